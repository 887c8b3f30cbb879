// Drivers and libraries of Node, with their defaults, through the proxy.
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { withClients } from '../support/clients.js'

const run = await withClients(t)

for (const name of ['pg', 'postgres', 'sequelize', 'typeorm', 'knex', 'prisma']) {
  t.test(name, (t) => run(t, { command: process.execPath, args: [fileURLToPath(new URL(`node/${name}.mjs`, import.meta.url))] }))
}
