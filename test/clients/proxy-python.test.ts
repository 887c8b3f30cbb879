// Drivers and libraries of Python, with their defaults, through the proxy.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { pythonPackages } from '../support/client-tools.js'
import { withClients } from '../support/clients.js'
import { findCommand } from '../support/commands.js'

const { folder, skip } = await pythonPackages()
const run = skip === false ? await withClients(t) : null

for (const name of ['psycopg3', 'psycopg2', 'asyncpg', 'sqlalchemy', 'django']) {
  t.test(name, { skip }, (t) => {
    const program = fileURLToPath(new URL(`python/with_${name}.py`, import.meta.url))
    const env = { PYTHONPATH: folder ?? '', PYTHONPYCACHEPREFIX: join(folder ?? '', '.compiled') }
    return run?.(t, { command: findCommand('python3') ?? 'python3', args: [program], env })
  })
}
