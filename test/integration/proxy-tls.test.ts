// TLS with clients: asked for or from the first byte, what ALPN and channel binding hold together, certificates of clients, and
// certificates that are renewed while it runs.
import { randomBytes } from 'node:crypto'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls'
import type pg from 'pg'
import t from 'tap'
import type { AuthInput, ConfigInput } from '../../src/config/input.js'
import { validateConfig } from '../../src/config/validate.js'
import { until } from '../../src/embedded/until.js'
import { encodeCancelRequest, encodeGssEncRequest, encodeSslRequest } from '../../src/protocol/startup.js'
import { makeAuthority } from '../support/certificates.js'
import { findCommand } from '../support/commands.js'
import { withProxy } from '../support/proxy.js'
import { runProgram } from '../support/program.js'
import { withTopology } from '../support/topology.js'
import { WireClient } from '../support/wire-client.js'

const running = await withTopology(t, { clusters: { main: {} } })
const { primary } = running.cluster('main')
const authority = makeAuthority()
const server = authority.issue('localhost', ['localhost', '127.0.0.1'])
const files: Record<string, string> = { 'cert.pem': server.cert, 'key.pem': server.key, 'ca.pem': authority.cert }
const users = ['app', 'ops'].map((name) => ({ name, password: name }))
const code = (wanted: string, message = /./) => ({ code: wanted, message }) as never

const config = (auth: AuthInput = {}, tls: Partial<NonNullable<NonNullable<ConfigInput['listen']>['tls']>> = {}): ConfigInput => ({
  version: 1,
  listen: { host: '127.0.0.1', port: 0, tls: { cert: 'cert.pem', key: 'key.pem', ...tls } },
  auth: { users, failure_delay: 0, ...auth },
  clusters: { main: { dbname: 'app', user: 'app', password: 'app', tls: { mode: 'disable' }, nodes: [primary.address] } },
  databases: { app: { default: 'main' } },
})
const ssl = { ca: authority.cert }

/** The handshake on a socket of its own; rejects with what TLS says. */
function handshake(port: number, options: ConnectionOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, ca: authority.cert, ...options })
    t.teardown(() => socket.destroy())
    socket.once('error', reject).once('secureConnect', () => resolve(socket))
  })
}

t.test('direct TLS: by ALPN only', async (t) => {
  const { port, connect } = await withProxy(t, config({}, { mode: 'require' }), files)
  const client = await connect({ ssl, sslnegotiation: 'direct' })
  t.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1)
  await t.rejects(handshake(port, { ALPNProtocols: ['h2', 'http/1.1'] }), code('ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL'))
  const unnamed = new WireClient(await handshake(port, {}))
  t.match(await unnamed.closed(), [/^ErrorResponse .*08P01.*without ALPN/])
  const named = new WireClient(await handshake(port, { ALPNProtocols: ['postgresql'] }))
  named.raw(encodeSslRequest())
  named.raw(encodeGssEncRequest())
  t.equal((await named.rawAnswer(2)).toString(), 'NN', 'TLS within TLS is not spoken')
  const plain = await withProxy(t, { ...config(), listen: { host: '127.0.0.1', port: 0 } })
  await t.rejects(handshake(plain.port, { ALPNProtocols: ['postgresql'] }), 'closed, since nobody would understand a word')
})

t.test('asked for: GSSAPI first, another version, another protocol', async (t) => {
  const { port, connect } = await withProxy(t, config({}, { min_version: 'TLSv1.3' }), files)
  const client = await WireClient.open(t, port)
  client.raw(encodeGssEncRequest())
  t.equal((await client.rawAnswer(1)).toString(), 'N')
  t.equal(await client.encrypt(), 'S')
  await connect({ ssl })
  await t.rejects(connect({ ssl: { ...ssl, maxVersion: 'TLSv1.2' } }))
  await t.rejects(connect({ ssl: { ...ssl, ALPNProtocols: ['h2'] } }))
  await connect({ ssl: { ...ssl, ALPNProtocols: ['postgresql'] } })
})

t.test('beginnings of TLS that are none', async (t) => {
  const { port, connect, events } = await withProxy(t, config(), files)
  await Promise.all(
    Array.from({ length: 200 }, async (_, number) => {
      const socket = connectTcp(port, '127.0.0.1')
      socket.on('error', () => undefined)
      const hello = Buffer.from([0x16, 3, 1, 0, number % 256, 1])
      socket.end(Buffer.concat([number % 2 === 0 ? encodeSslRequest() : Buffer.alloc(0), hello, randomBytes(number)]))
      socket.resume()
      await new Promise((resolve) => socket.once('close', resolve))
    }),
  )
  await connect({ ssl })
  t.same(
    events('log').filter(({ level }) => level === 'error'),
    [],
  )
})

t.test('SCRAM is bound to the channel where client and certificate allow it', async (t) => {
  const { connect, port } = await withProxy(t, config(), files)
  await connect({ ssl, enableChannelBinding: true })
  const bound = await connect({ ssl, enableChannelBinding: true, password: 'wrong' }).catch((error: unknown) => error)
  t.match(bound, { code: '28P01' })
  const client = await WireClient.open(t, port)
  t.equal(await client.encrypt(), 'S')
  client.startup()
  t.match(await client.until('Authentication'), [/SCRAM-SHA-256-PLUS.*SCRAM-SHA-256/])
  const plain = await WireClient.open(t, port)
  plain.startup()
  t.notMatch((await plain.until('Authentication')).join(), /PLUS/)
  if (findCommand('psql') === null) return
  const psql = (option: string) =>
    runProgram('psql', port, [`host=localhost hostaddr=127.0.0.1 sslmode=require channel_binding=${option}`, '-Atc', 'SELECT 1'])
  t.match(await psql('require'), { code: 0, out: '1\n' })
  t.match(await psql('disable'), { code: 0, out: '1\n' })
})

t.test('client certificates: instead of a password, besides it, and whose they are', async (t) => {
  const own = authority.issue('app')
  const batch = authority.issue('batch.example.com')
  const stranger = makeAuthority('somebody else').issue('app')
  const rules: AuthInput['rules'] = [
    { databases: ['app'], users: ['ops'], clientcert: 'verify-ca' },
    { databases: ['app'], tls: true, method: 'cert' },
    { databases: ['pointsman'], clientcert: 'verify-full' },
  ]
  const { connect } = await withProxy(
    t,
    config({ rules, map: { 'batch.example.com': ['ops', 'app'] }, admins: ['app'] }, { ca: 'ca.pem' }),
    files,
  )
  const password = 'not asked for'
  await connect({ ssl: { ...ssl, ...own }, password })
  await connect({ ssl: { ...ssl, ...batch }, password })
  await t.rejects(connect({ ssl, password }), code('28000', /^connection requires a valid client certificate$/))
  await t.rejects(connect({ ssl: { ...ssl, ...stranger }, password }), code('28000', /^connection requires a valid client certificate$/))
  const other = authority.issue('ops')
  await t.rejects(connect({ ssl: { ...ssl, ...other }, password }), code('28000', /^certificate authentication failed for user "app"$/))
  await t.rejects(connect({ password }), code('28000', /no encryption$/))
  await t.rejects(connect({ user: 'nobody', ssl: { ...ssl, ...authority.issue('nobody') } }), code('28P01'))
  // Besides a password.
  await connect({ user: 'ops', password: 'ops', ssl: { ...ssl, ...own } })
  await t.rejects(connect({ user: 'ops', password: 'wrong', ssl: { ...ssl, ...own } }), code('28P01'))
  await t.rejects(connect({ user: 'ops', password: 'ops', ssl }), code('28000', /requires a valid client certificate/))
  await connect({ database: 'pointsman', ssl: { ...ssl, ...own } })
  await t.rejects(connect({ database: 'pointsman', ssl: { ...ssl, ...other } }), code('28000', /failed for user "app"/))
})

t.test('a cancel comes encrypted as well', async (t) => {
  const { port, connect, events } = await withProxy(t, config({}, { mode: 'require' }), files)
  for (const sslnegotiation of ['postgres', 'direct']) {
    const client = await connect({ ssl, sslnegotiation } as pg.ClientConfig)
    const { processID, secretKey } = client as unknown as { processID: number; secretKey: number }
    const slept = client.query('SELECT pg_sleep(60)').catch((error: unknown) => error)
    await until(
      'it runs',
      async () =>
        (await primary.sql("SELECT 1 AS one FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'")).length > 0,
    )
    const caller = await WireClient.open(t, port)
    await caller.encrypt()
    const secret = Buffer.alloc(4)
    secret.writeInt32BE(secretKey)
    caller.raw(encodeCancelRequest(processID, secret))
    t.match(await slept, { code: '57014' }, sslnegotiation)
    await caller.closed()
  }
  t.same(events('client.refused'), [])
})

t.test('a renewed certificate is for new clients; one that does not fit is refused, and the old one stays', async (t) => {
  const { port, connect, runtime } = await withProxy(t, config(), files)
  const serialOf = async (): Promise<string | undefined> => {
    const socket = await handshake(port, { ALPNProtocols: ['postgresql'] })
    const serial = socket.getPeerX509Certificate()?.serialNumber
    socket.destroy()
    return serial
  }
  const before = await serialOf()
  const old = await connect({ ssl })
  const renewed = authority.issue('localhost', ['localhost', '127.0.0.1'])
  const read = (changed: Record<string, string>) =>
    validateConfig(config(), { env: {}, readFile: (path) => ({ ...files, ...changed })[path] ?? '' })
  const torn = read({ 'cert.pem': renewed.cert })
  t.match(torn, { ok: false, problems: [{ path: 'listen.tls.key', message: 'the key does not belong to the certificate' }] })
  t.equal(await serialOf(), before)
  const whole = read({ 'cert.pem': renewed.cert, 'key.pem': renewed.key })
  if (!whole.ok) throw new Error('a good pair was refused')
  t.match(await runtime.reload(whole.config), { outcome: 'applied', changes: ['listen.tls changed'] })
  t.not(await serialOf(), before)
  t.equal((await old.query('SELECT 1 AS one')).rows[0].one, 1)
  await connect({ ssl, enableChannelBinding: true })
})
