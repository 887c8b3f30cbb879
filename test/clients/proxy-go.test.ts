// Drivers of Go, with their defaults, through the proxy.
import { join } from 'node:path'
import t from 'tap'
import { goPrograms } from '../support/client-tools.js'
import { withClients } from '../support/clients.js'

const names = ['pgx', 'libpq']
const { folder, skip } = await goPrograms(names)
const run = skip === false ? await withClients(t) : null

for (const name of names) t.test(name, { skip }, (t) => run?.(t, { command: join(folder ?? '', name), args: [] }))
