// Logins that real servers do not give: scripted ones that lie, stall, close, or ask for too much.
import t, { type Test } from 'tap'
import type { ClusterTls } from '../../src/server/address.js'
import { connectServer, createConnect } from '../../src/server/connect-server.js'
import type { ServerConnection } from '../../src/server/contract.js'
import { failing } from '../support/failing.js'
import { scriptedServer, trustLogin, type ScriptedServer } from '../support/scripted-peer.js'

const plain: ClusterTls = { mode: 'disable', ca: null, cert: null, key: null }
const never = new AbortController().signal

function open(
  server: ScriptedServer,
  tls: ClusterTls = plain,
  password: string | null = 'sesame',
  timeoutMs = 5000,
  signal: AbortSignal = never,
  answerMs?: number,
): Promise<ServerConnection> {
  const node = { id: `127.0.0.1:${String(server.port)}`, host: '127.0.0.1', port: server.port, weight: 1, zone: null, subscriber: false }
  const options = { timeoutMs, ...(answerMs === undefined ? {} : { answerMs }) }
  return connectServer(node, tls, { cluster: 'main', dbname: 'app', user: 'joe', password, key: 'k' }, options, signal)
}

async function refused(
  t: Test,
  script: readonly string[],
  expected: Record<string, unknown>,
  tls = plain,
  password: string | null = 'sesame',
): Promise<void> {
  const server = await scriptedServer(script)
  t.teardown(() => server.close())
  await t.rejects(open(server, tls, password), failing(expected))
}

const sasl = (code: number, data: string): string => `B Authentication ${JSON.stringify(String.fromCharCode(0, 0, 0, code) + data)}`

t.test('the evidence is read on the connection itself', async (t) => {
  const row = 'B DataRow 7 "true" "0/3000060" "2026-01-01 00:00:00.000000" "3" "8192" "16777216" NULL'
  const description = `B RowDescription 7 ${'"c" 0 0 25 -1 -1 0 '.repeat(7).trim()}`
  const server = await scriptedServer([
    ...trustLogin,
    'F ?',
    description,
    row,
    'B CommandComplete "SELECT 1"',
    'B ReadyForQuery I',
    'F Terminate',
    'closed',
  ])
  t.teardown(() => server.close())
  const connection = await open(server)
  t.match(connection.evidence, { inRecovery: true, position: 0x3000060n, timeline: 3, postmasterStart: '2026-01-01 00:00:00.000000' })
  t.equal(connection.parameters.get('client_encoding'), 'UTF8')
  t.same(connection.backend, { pid: 7, secret: Uint8Array.from([0, 0, 0, 9]) })
  const closed = new Promise((resolve) => connection.onClosed(resolve))
  connection.close()
  t.notOk(connection.usable)
  t.equal(await closed, 'closed')
  await server.done
})

t.test('a cancel that cannot be sent leaves the connection to nobody: it might still arrive', async (t) => {
  const answer = [
    'F ?',
    `B RowDescription 7 ${'"c" 0 0 25 -1 -1 0 '.repeat(7).trim()}`,
    'B DataRow 7 "false" "0/3000060" "x" "1" "8192" "16777216" NULL',
  ]
  const server = await scriptedServer([...trustLogin, ...answer, 'B CommandComplete "SELECT 1"', 'B ReadyForQuery I', 'closed'])
  t.teardown(() => server.close())
  const connection = await open(server)
  server.stopListening()
  await t.rejects(connection.cancel(), /ECONNREFUSED/)
  t.notOk(connection.usable)
  connection.close()
})

t.test('a server that leaves a question of ours unanswered is cut off, and whoever asked is told', { timeout: 10_000 }, async (t) => {
  const row = 'B DataRow 7 "false" "0/3000060" "x" "1" "8192" "16777216" NULL'
  const evidence = ['F ?', `B RowDescription 7 ${'"c" 0 0 25 -1 -1 0 '.repeat(7).trim()}`, row, 'B CommandComplete "SELECT 1"']
  for (const ask of ['query', 'sync'] as const) {
    const server = await scriptedServer([...trustLogin, ...evidence, 'B ReadyForQuery I', 'F ?', 'B ReadyForQuery I', 'F ?', 'closed'])
    t.teardown(() => server.close())
    const connection = await open(server, plain, null, 5000, never, 50)
    // The time is each question's own.
    await connection.sync()
    const closed = new Promise((resolve) => connection.onClosed(resolve))
    const asked = async (): Promise<void> => {
      await (ask === 'query' ? connection.query('ROLLBACK') : connection.sync())
    }
    await t.rejects(asked(), { code: '08006' })
    t.match(await closed, /a question of ours was not answered within 50 ms/)
    t.notOk(connection.usable)
    await server.done
  }
})

t.test("the server's own error is passed on", async (t) => {
  await refused(t, ['F StartupMessage', 'B ErrorResponse S "FATAL" V "FATAL" C "53300" M "too many clients" H "wait"', 'close'], {
    name: 'ServerError',
    code: '53300',
    message: 'too many clients',
    fields: { hint: 'wait' },
  })
})

t.test('a server that is not one', async (t) => {
  await refused(t, ['F StartupMessage', 'raw "HTTP/1.1 400 Bad Request\\r\\n"'], { key: 'node_unreachable', code: '08001' })
  await refused(t, ['F StartupMessage', 'close'], { key: 'node_unreachable', message: /closed the connection/ })
  await refused(t, ['F StartupMessage', 'B DataRow 1 "x"'], { key: 'node_unreachable' })
})

t.test('SCRAM that proves nothing', async (t) => {
  await refused(t, ['F StartupMessage', sasl(10, 'SCRAM-SHA-256\0\0'), 'F ?', sasl(0, '')], { message: /without proving/ })
  await refused(t, ['F StartupMessage', sasl(10, 'SCRAM-SHA-256\0\0'), 'F ?', sasl(11, 'r=other,s=AAAA,i=1')], {
    message: /nonce is not ours/,
  })
  await refused(t, ['F StartupMessage', sasl(11, 'r=other,s=AAAA,i=1')], { message: /without a SASL exchange/ })
  await refused(t, ['F StartupMessage', sasl(10, 'OAUTHBEARER\0\0')], { message: /no SASL mechanism/ })
  await refused(t, ['F StartupMessage', sasl(7, '')], { key: 'feature_not_supported' })
  await refused(t, ['F StartupMessage', sasl(10, 'SCRAM-SHA-256\0\0')], { key: 'authentication_failed', code: '28P01' }, plain, null)
})

t.test('TLS', async (t) => {
  const require: ClusterTls = { ...plain, mode: 'require' }
  await refused(t, ['F SSLRequest', 'B byte "N"'], { key: 'node_unreachable', message: /does not support TLS/ }, require)
  await refused(t, ['F SSLRequest', 'raw "SX"'], { key: 'node_unreachable', message: /more than one byte/ }, require)
  await refused(t, ['F SSLRequest', 'B ErrorResponse S "FATAL" C "0A000" M "x"'], { key: 'node_unreachable' }, require)
  const refusing = [
    'F SSLRequest',
    'B byte "N"',
    'F StartupMessage',
    'B ErrorResponse S "FATAL" V "FATAL" C "28000" M "plain it is"',
    'close',
  ]
  await refused(t, refusing, { code: '28000', message: 'plain it is' }, { ...plain, mode: 'prefer' })
})

t.test('a server that stalls, and a caller that gives up', async (t) => {
  const server = await scriptedServer(['F StartupMessage', 'closed'], ['F StartupMessage', 'closed'])
  t.teardown(() => server.close())
  await t.rejects(open(server, plain, null, 50), failing({ key: 'node_unreachable', message: /no answer within 50 ms/ }))
  const giveUp = new AbortController()
  const opening = open(server, plain, null, 60_000, giveUp.signal)
  giveUp.abort(new Error('enough'))
  await t.rejects(opening, { message: 'enough' })
})

t.test('nobody listens', async (t) => {
  const server = await scriptedServer()
  await server.close()
  const error: unknown = await open(server).catch((error: unknown) => error)
  t.match(error, { key: 'node_unreachable', code: '08001', retry: 'safe' })
  t.match(String(error), /node 127\.0\.0\.1:\d+ of cluster main cannot be reached: .*ECONNREFUSED/)
  t.notMatch(JSON.stringify(error), /sesame/)
})

t.test('a cluster that the configuration does not have', async (t) => {
  const connect = createConnect(() => undefined)
  const node = { id: 'x:1', host: 'x', port: 1, weight: 1, zone: null, subscriber: false }
  await t.rejects(
    connect(node, { cluster: 'gone', dbname: 'a', user: 'a', password: null, key: 'k' }, never),
    failing({ key: 'cluster_unreachable' }),
  )
})
