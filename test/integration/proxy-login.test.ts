// Who may come in, and how: passwords, TLS, limits, garbage. One small server stands behind.
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type pg from 'pg'
import t from 'tap'
import { formatVerifier, makeVerifier } from '../../src/protocol/scram.js'
import { encodeSslRequest, encodeStartupMessage } from '../../src/protocol/startup.js'
import { validateConfig } from '../../src/config/validate.js'
import { until } from '../../src/embedded/until.js'
import { withProxy } from '../support/proxy.js'
import { WireClient } from '../support/wire-client.js'
import { makeAuthority } from '../support/certificates.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, { clusters: { main: {} } })
const { primary } = running.cluster('main')
const clusters = {
  main: { dbname: 'app', user: 'app', password: 'app', tls: { mode: 'disable' as const }, nodes: [primary.address], pool: { max: 2 } },
}
const databases = { app: { default: 'main' } }
const users = [
  { name: 'app', password: 'app' },
  { name: 'kept', verifier: formatVerifier(makeVerifier('secret', Buffer.alloc(16, 7))) },
]
const base = { version: 1 as const, clusters, databases }
const code = (wanted: string) => ({ code: wanted }) as never

t.test('SCRAM: by password and by verifier; who is unknown fails like who is wrong', async (t) => {
  const { connect, events } = await withProxy(t, { ...base, auth: { method: 'scram-sha-256', users } })
  t.equal((await (await connect()).query('SELECT 1 AS one')).rows[0].one, 1)
  t.equal((await (await connect({ user: 'kept', password: 'secret' })).query('SELECT 1 AS one')).rows[0].one, 1)
  const words: string[] = []
  for (const login of [
    { user: 'app', password: 'wrong' },
    { user: 'kept', password: 'app' },
    { user: 'nobody', password: 'app' },
  ]) {
    const error = (await connect(login).catch((error: unknown) => error)) as pg.DatabaseError
    t.equal(error.code, '28P01')
    words.push(error.message.replace(login.user, 'USER'))
  }
  t.equal(new Set(words).size, 1)
  t.equal(events('client.refused').length, 3)
  await t.rejects(connect({ database: 'nowhere', password: 'wrong' }), code('28P01'), 'databases are told to who has logged in')
  await t.rejects(connect({ database: 'nowhere' }), code('3D000'))
})

t.test('md5', async (t) => {
  const { connect } = await withProxy(t, { ...base, auth: { method: 'md5', users: users.slice(0, 1) } })
  t.equal((await (await connect()).query('SELECT 1 AS one')).rows[0].one, 1)
  await t.rejects(connect({ password: 'wrong' }), code('28P01'))
  await t.rejects(connect({ user: 'nobody' }), code('28P01'))
})

t.test('TLS: offered, and asked for where the config says so', async (t) => {
  const { cert, key } = makeAuthority().issue('localhost', ['localhost', '127.0.0.1'])
  const files: Readonly<Record<string, string>> = { 'cert.pem': cert, 'key.pem': key }
  const tls = { cert: 'cert.pem', key: 'key.pem', mode: 'require' as const }
  const listen = { host: '127.0.0.1', port: 0, tls }
  const { connect, port } = await withProxy(t, { ...base, listen, auth: { method: 'scram-sha-256', users } }, files)
  const client = await connect({ ssl: { rejectUnauthorized: false } })
  t.equal((await client.query("SELECT repeat('x', 1000000) AS x")).rows[0].x.length, 1_000_000)
  await t.rejects(connect(), code('28000'))
  const smuggler = await WireClient.open(t, port)
  smuggler.raw(Buffer.concat([encodeSslRequest(), Buffer.from('before the handshake')]))
  t.match((await smuggler.closed()).join(), /08P01/)
  const plain = await withProxy(t, base)
  t.equal(await (await WireClient.open(t, plain.port)).encrypt(), 'N')
})

t.test('a database that is taken out of the config is closed to its clients, after their transaction', async (t) => {
  const { connect, runtime } = await withProxy(t, { ...base, databases: { app: { default: 'main' }, other: { default: 'main' } } })
  const [idle, busy] = [await connect({ database: 'other' }), await connect({ database: 'other' })]
  await busy.query('BEGIN')
  await busy.query('SELECT 1')
  const next = validateConfig(
    { ...base, listen: { host: '127.0.0.1', port: 0 }, auth: { method: 'scram-sha-256', users } },
    { env: {}, readFile: () => '' },
  )
  if (!next.ok) throw new Error('a bad config')
  t.equal((await runtime.reload(next.config)).outcome, 'applied')
  await busy.query('SELECT 2')
  await busy.query('COMMIT')
  await t.rejects(busy.query('SELECT 3'), code('57P01'))
  await t.rejects(idle.query('SELECT 1'), code('57P01'))
  t.equal((await (await connect()).query('SELECT 1 AS one')).rows[0].one, 1)
  while (runtime.snapshot().draining > 0) await new Promise(setImmediate)
})

t.test('no more clients than max_clients', async (t) => {
  const { connect, proxy } = await withProxy(t, { ...base, listen: { host: '127.0.0.1', port: 0, max_clients: 2 } })
  const [first] = [await connect(), await connect()]
  await t.rejects(connect(), code('53300'))
  await first.end()
  while (proxy.clients().length > 1) await new Promise(setImmediate)
  await t.resolves(connect())
})

t.test('a client that does not finish its login is cut off', async (t) => {
  const { port } = await withProxy(t, { ...base, limits: { login: '200ms' } })
  const client = await WireClient.open(t, port)
  client.startup()
  t.match(await client.closed(), [/Authentication/])
})

t.test('shutting down: idle clients at once, open transactions at their end', async (t) => {
  const { connect, proxy } = await withProxy(t, base)
  const [quiet, busy] = [await connect(), await connect()]
  const told = new Promise<string>((resolve) => quiet.on('error', (error) => resolve((error as unknown as { code: string }).code)))
  await busy.query('BEGIN')
  await busy.query('SELECT 1')
  const closed = proxy.close({ graceMs: 30_000 })
  t.equal(await told, '57P01')
  await busy.query('SELECT 2')
  await busy.query('COMMIT')
  await closed
  await t.rejects(connect())
})

/** What is still needed, not what has not been collected yet. */
function heldBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

t.test('random bytes, cut messages, huge lengths and wrong versions: answered or closed, and no harm done', async (t) => {
  const {
    port,
    connect: login,
    events,
  } = await withProxy(t, {
    ...base,
    auth: { method: 'trust', users: [{ name: 'app' }] },
    limits: { login: '5s', max_message_bytes: '64KB' },
  })
  await login()
  const before = heldBytes()
  let made = 0
  const worker = async (): Promise<void> => {
    while (made < 10_000) await attempt(port, garbage(made++))
  }
  await Promise.all(Array.from({ length: 32 }, worker))
  await until('memory has not grown', () => Promise.resolve(heldBytes() - before < 50 * 2 ** 20))
  t.equal((await (await login()).query('SELECT 1 AS one')).rows[0].one, 1)
  t.same(
    events('log').filter(({ level }) => level === 'error'),
    [],
  )
})

t.test('what is no startup packet is closed without a word, as PostgreSQL does', async (t) => {
  const { port, events } = await withProxy(t, { ...base, auth: { method: 'trust', users: [{ name: 'app' }] } })
  const terminate = Buffer.from([0x58, 0, 0, 0, 4])
  for (const bytes of [terminate, Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from([0, 0, 0, 7])]) {
    t.equal((await answerTo(port, bytes)).length, 0)
  }
  t.same(
    events('client.refused').map(({ sqlstate, reason }) => [sqlstate, reason]),
    Array.from({ length: 3 }, () => ['08P01', 'invalid length of startup packet']),
  )
  // What can be read is told what is wrong with it.
  t.equal((await answerTo(port, Buffer.from([0, 0, 0, 8, 0, 2, 0, 0])))[0], 'E'.charCodeAt(0))
})

/** Every sort in turn; in half of them the garbage comes after a good login. */
function garbage(number: number): Buffer {
  const bytes = randomBytes(1 + (number % 97))
  const length = Buffer.alloc(4)
  length.writeUInt32BE([0, 3, 7, 9, 10_001, 0x7fffffff, 0x80000000, 0xffffffff][number % 8] ?? 0)
  const startup = encodeStartupMessage([
    ['user', 'app'],
    ['database', 'app'],
  ])
  const type = Buffer.from('BCDEFHPQSXcdfp'.charAt(number % 14))
  switch (number % 8) {
    case 0:
      return bytes
    case 1:
      return Buffer.concat([length, bytes])
    case 2:
      return Buffer.concat([Buffer.from([0, 0, 0, 8]), bytes.subarray(0, 4), bytes])
    case 3:
      return startup.subarray(0, number % startup.length)
    case 4:
      return Buffer.concat([startup, bytes])
    case 5:
      return Buffer.concat([startup, type, length, bytes])
    case 6: {
      length.writeUInt32BE(4 + bytes.length)
      return Buffer.concat([startup, type, length, bytes, Buffer.from([0x53, 0, 0, 0, 4])])
    }
    default:
      return Buffer.concat([startup, Buffer.from([0x51, 0, 0, 0, 13]), Buffer.from('SELECT 1\0'), type, length.subarray(0, number % 4)])
  }
}

/** All that the other side says until it closes. */
function answerTo(port: number, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(Buffer.concat(chunks)))
    socket.on('data', (chunk) => chunks.push(chunk))
  })
}

/** Resolves when the other side has closed, having been told that nothing more will come. */
function attempt(port: number, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.end(bytes))
    socket.on('error', () => undefined)
    socket.on('close', () => resolve())
    socket.resume()
  })
}
