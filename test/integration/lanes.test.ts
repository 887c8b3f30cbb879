// Lanes on real servers: requests of several clients on one server connection at the same moment (docs/lanes.md). Every hazard
// of that page has its test here, or in faults/lanes where a connection must break for it.
import t from 'tap'
import { untilOnLane } from '../support/lanes.js'
import { withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'
import { names, WireClient } from '../support/wire-client.js'

const running = await withTopology(t, {
  clusters: {
    main: {
      seed: `CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL);
        INSERT INTO items SELECT g, g * 2 FROM generate_series(1, 100) g`,
    },
  },
})
const { primary } = running.cluster('main')
const { port, proxy } = await withProxy(t, {
  version: 1,
  auth: { method: 'trust', users: [{ name: 'app' }] },
  clusters: {
    main: { dbname: 'app', user: 'app', password: 'app', tls: { mode: 'disable' }, nodes: [primary.address], pool: { max: 8 } },
  },
  databases: { app: { default: 'main' } },
  lanes: { connections: 1, depth: 32, stall: '200ms' },
})

const byId = 'SELECT n FROM items WHERE id = '

t.test('what has proved fast and small shares a connection, and everybody gets the own answer', async (t) => {
  const clients = await Promise.all(Array.from({ length: 8 }, () => WireClient.login(t, port)))
  const [first] = clients
  if (first === undefined) return
  await untilOnLane(proxy, first, () => first.query(`${byId}1`))
  const before = proxy.lanes().counts.served
  await Promise.all(
    clients.map(async (client, index) => {
      for (let round = 1; round <= 10; round++) {
        const id = index * 10 + round
        client.query(`${byId}${String(id)}`)
        const lines = await client.until('ReadyForQuery')
        t.same(names(lines), ['RowDescription', 'DataRow', 'CommandComplete', 'ReadyForQuery'])
        t.equal(lines[1], `DataRow 1 "${String(id * 2)}"`)
      }
    }),
  )
  t.equal(proxy.lanes().counts.served - before, 80, 'all of them on the one lane')
  t.equal(proxy.lanes().lanes.length, 1)
})
