// How many clients, and server connections of theirs, one process allows: of several that share the port each its equal share.
import t from 'tap'
import type { Config } from '../../src/config/config.js'
import { parseConfigText } from '../../src/config/yaml.js'
import { ClientLimits } from '../../src/doors/proxy/client-limits.js'
import { createObserver } from '../../src/observe/observer.js'
import { Parties } from '../../src/runtime/parties.js'

function configOf(maxClients: number): Config {
  const text = `version: 1
listen: { max_clients: ${String(maxClients)} }
auth: { method: trust, users: [{ name: few, max_clients: 2, max_connections: 6 }, { name: many }] }
clusters: { main: { user: u, password: p, nodes: ['127.0.0.1:5432'] } }
databases: { small: { default: main, max_clients: 4, max_connections: 3 }, '*': { default: main } }
`
  const result = parseConfigText(text, { env: {}, readFile: () => '' })
  if (!result.ok) throw new Error(JSON.stringify(result.problems))
  return result.config
}

/** How many come in before one is refused, at most 20. */
function admitted(limits: ClientLimits, config: Config, user: string, database: string): number {
  for (let count = 0; count < 20; count++) {
    try {
      limits.admit(config, user, database)
    } catch {
      return count
    }
  }
  return 20
}

t.test('of several processes each lets its share of the clients in', async (t) => {
  const config = configOf(9)
  const shares = [1, 2, 4].map((workers) => {
    const limits = () => new ClientLimits(workers, createObserver())
    return [
      admitted(limits(), config, 'few', 'any'),
      admitted(limits(), config, 'many', 'small'),
      admitted(limits(), config, 'many', 'any'),
    ]
  })
  t.same(shares, [
    [2, 4, 9],
    [1, 2, 5],
    [1, 1, 3],
  ]) // prettier-ignore
})

t.test('who leaves gives the place to another, at the console too', async (t) => {
  const config = configOf(2)
  const limits = new ClientLimits(2, createObserver())
  const seat = limits.admit(config, 'many', 'pointsman')
  t.throws(() => limits.admit(config, 'many', 'small'), { code: '53300' })
  seat.leave()
  t.equal(admitted(limits, config, 'many', 'small'), 1)
})

t.test('of several processes each lends its share of the server connections', async (t) => {
  const { user, database } = new Parties(configOf(9), 2).of('few', 'small')
  t.same([user.max, database.max], [3, 2])
})
