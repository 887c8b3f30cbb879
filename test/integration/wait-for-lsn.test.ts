// WAIT FOR LSN. No server that has it is at hand: a scripted one stands in for PostgreSQL 19, and says what its documentation
// says. What decides is the normal check afterwards.
import t from 'tap'
import { connectServer } from '../../src/server/connect-server.js'
import type { MonitorConnection } from '../../src/monitor/connection.js'
import { LsnWaiter } from '../../src/monitor/lsn-waiter.js'
import { scriptedServer, trustLogin } from '../support/scripted-peer.js'
import { positionQuery } from '../../src/consistency/position-query.js'

const evidence = [
  `F Query ${JSON.stringify(positionQuery)}`,
  `B RowDescription 9${' "c" 0 0 25 -1 -1 0'.repeat(9)}`,
  'B DataRow 9 "true" "0/10" "2026-01-01" "1" "8192" "16777216" NULL NULL "on"',
  'B CommandComplete "SELECT 1"',
  'B ReadyForQuery I',
]
const waits = (lsn: string, ms: number, status: string): string[] => [
  `F Query ${JSON.stringify(`WAIT FOR LSN '${lsn}' WITH (TIMEOUT '${String(ms)}ms', NO_THROW)`)}`,
  'B RowDescription 1 "status" 0 0 25 -1 -1 0',
  `B DataRow 1 ${JSON.stringify(status)}`,
  'B CommandComplete "WAIT"',
  'B ReadyForQuery I',
]

async function waiter(port: number): Promise<{ waiter: LsnWaiter; over: () => Promise<void>; opened: () => number; at: { now: number } }> {
  const at = { now: 0 }
  let opened = 0
  let done: (() => void)[] = []
  const made = new LsnWaiter({
    now: () => at.now,
    over: () => {
      for (const each of done) each()
      done = []
    },
    connect: async (signal): Promise<MonitorConnection> => {
      opened += 1
      const node = { id: `127.0.0.1:${String(port)}`, host: '127.0.0.1', port, weight: 1, zone: null, subscriber: false }
      const tls = { mode: 'disable', ca: null, cert: null, key: null } as const
      const identity = { cluster: 'main', dbname: 'app', user: 'app', password: null, key: 'k' }
      const connection = await connectServer(node, tls, identity, { maxStatements: 0 }, signal)
      return {
        query: async (sql) => (await connection.query(sql)).rows,
        close: () => connection.close(),
        onClosed: (listener) => connection.onClosed(listener),
      }
    },
  })
  return { waiter: made, over: () => new Promise((resolve) => done.push(resolve)), opened: () => opened, at }
}

t.test('one question at a time, over one connection; who wants more is served by it first, who wants less is not', async (t) => {
  const server = await scriptedServer([...trustLogin, ...evidence, ...waits('0/20', 50, 'success'), ...waits('0/30', 10, 'timeout')])
  t.teardown(() => server.close())
  const { waiter: it, over, opened } = await waiter(server.port)
  t.teardown(() => it.stop())
  const first = over()
  t.ok(it.waitFor(0x20n, 49.5))
  t.ok(it.waitFor(0x30n, 50), 'joins: it is told when 0/20 is there, and asks again')
  t.ok(it.waitFor(0x20n, 50))
  t.notOk(it.waitFor(0x1fn, 50), 'this one would be told too late')
  await first
  const second = over()
  t.ok(it.waitFor(0x30n, 10))
  await second
  t.equal(opened(), 1)
  await server.done
  t.notOk(it.waitFor(0x30n, 0.5), 'no time')
})

t.test('a server that refuses it, or is lost: over at once, and polling does it alone for a while', async (t) => {
  const refusal = [
    `F Query ${JSON.stringify("WAIT FOR LSN '0/20' WITH (TIMEOUT '50ms', NO_THROW)")}`,
    'B ErrorResponse S "ERROR" V "ERROR" C "42601" M "syntax error"',
    'B ReadyForQuery I',
  ]
  const server = await scriptedServer([...trustLogin, ...evidence, ...refusal])
  t.teardown(() => server.close())
  const { waiter: it, over, at } = await waiter(server.port)
  t.teardown(() => it.stop())
  const ended = over()
  t.ok(it.waitFor(0x20n, 50))
  await ended
  t.notOk(it.waitFor(0x20n, 50))
  at.now = 5_001
  const again = over()
  t.ok(it.waitFor(0x20n, 50), 'tried again later')
  await again
  it.stop()
  t.notOk(it.waitFor(0x20n, 50))
})
