// Logins to real servers: every method and every TLS mode, the evidence of primary and replica, what a refusal says.
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net'
import { createServer } from 'node:tls'
import t from 'tap'
import { until } from '../../src/embedded/until.js'
import { dial } from '../../src/server/dial.js'
import { failing } from '../support/failing.js'
import { makeAuthority } from '../support/certificates.js'
import { noTls, openServer, type Where } from '../support/server-connection.js'
import { withTopology } from '../support/topology.js'

const authority = makeAuthority()
const stranger = makeAuthority('somebody else')
const server = authority.issue('localhost', ['localhost', '127.0.0.1'])
const running = await withTopology(t, {
  clusters: {
    main: {
      replicas: 1,
      prepare: `CREATE ROLE with_scram LOGIN PASSWORD 'p\u00e4ss\u2168';
        SET password_encryption = 'md5'; CREATE ROLE with_md5 LOGIN PASSWORD 'old';
        SET password_encryption = 'scram-sha-256'; CREATE ROLE with_clear LOGIN PASSWORD 'clear'; CREATE ROLE with_cert LOGIN;
        CREATE ROLE with_monitor LOGIN PASSWORD 'monitor' IN ROLE pg_monitor; CREATE ROLE limited LOGIN CONNECTION LIMIT 0 PASSWORD 'limited'`,
      settings: { ssl: 'on', ssl_cert_file: 'server.crt', ssl_key_file: 'server.key', ssl_ca_file: 'ca.crt' },
      files: { 'server.crt': server.cert, 'server.key': server.key, 'ca.crt': authority.cert },
      hba: [
        'host all with_md5 127.0.0.1/32 md5',
        'host all with_clear 127.0.0.1/32 password',
        'hostssl all with_cert 127.0.0.1/32 cert',
        'hostssl all with_scram 127.0.0.1/32 scram-sha-256',
        'hostnossl all with_scram 127.0.0.1/32 scram-sha-256',
      ],
    },
  },
})
const cluster = running.cluster('main')
const { host, port } = cluster.primary
const at = (where: Partial<Where> = {}): Where => ({ host, port, ...where })

async function secureOf(where: Partial<Where>): Promise<boolean> {
  const connection = await openServer(at(where))
  const { rows } = await connection.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')
  connection.close()
  t.equal(rows[0]?.[0], connection.secure ? 't' : 'f')
  return connection.secure
}

t.test('methods', async (t) => {
  for (const [user, password] of [
    ['with_scram', 'p\u00e4ss\u2168'],
    ['with_md5', 'old'],
    ['with_clear', 'clear'],
    ['app', 'app'],
  ] as const) {
    const connection = await openServer(at({ user, password }))
    const { rows } = await connection.query("SELECT current_user, current_setting('client_encoding'), current_setting('application_name')")
    t.same(rows, [[user, 'UTF8', '']], user)
    connection.close()
  }
  const connection = await openServer(at({ user: 'with_scram', password: 'p\u00e4ssIX' }))
  t.ok(connection.usable, 'SASLprep makes the two passwords one')
  connection.close()
})

t.test('refusals', async (t) => {
  for (const user of ['with_scram', 'with_md5', 'with_clear']) {
    await t.rejects(openServer(at({ user, password: 'wrong' })), { name: 'ServerError', code: '28P01' }, user)
  }
  await t.rejects(openServer(at({ dbname: 'nowhere' })), failing({ name: 'ServerError', code: '3D000' }))
  await t.rejects(openServer(at({ user: 'limited' })), failing({ name: 'ServerError', code: '53300' }))
  await t.rejects(openServer(at({ password: null })), failing({ key: 'authentication_failed', code: '28P01' }))
})

t.test('TLS modes', async (t) => {
  const ca = authority.cert
  t.equal(await secureOf({ tls: { mode: 'disable' } }), false)
  t.equal(await secureOf({ tls: { mode: 'prefer' } }), true)
  t.equal(await secureOf({ tls: { mode: 'require' } }), true)
  t.equal(await secureOf({ tls: { mode: 'verify-ca', ca } }), true)
  t.equal(await secureOf({ tls: { mode: 'verify-full', ca } }), true)
  t.equal(await secureOf({ host: 'localhost', tls: { mode: 'verify-full', ca } }), true)
  const unknown = { mode: 'verify-ca', ca: stranger.cert } as const
  await t.rejects(openServer(at({ tls: unknown })), failing({ key: 'node_unreachable', message: /certificate/ }))
  await t.rejects(
    openServer(at({ tls: { ...unknown, mode: 'require' } })),
    failing({ key: 'node_unreachable' }),
    'require with a ca checks it',
  )
  await t.rejects(
    openServer(at({ tls: { mode: 'verify-full', ca: null } })),
    failing({ key: 'node_unreachable' }),
    'not one of the well-known authorities',
  )
})

t.test('TLS from the first byte', async (t) => {
  const direct = { negotiation: 'direct', ca: authority.cert } as const
  t.equal(await secureOf({ user: 'with_scram', password: 'p\u00e4ss\u2168', tls: { ...direct, mode: 'verify-full' } }), true)
  await t.rejects(openServer(at({ tls: { ...direct, mode: 'verify-ca', ca: stranger.cert } })), failing({ key: 'node_unreachable' }))
  const connection = await openServer(at({ tls: { ...direct, mode: 'require' } }))
  const slept = connection.query('SELECT pg_sleep(60)')
  await until(
    'it runs',
    async () => (await cluster.primary.sql("SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'")).length > 0,
  )
  // Its end may be told before that of the cancel.
  const ended = t.rejects(slept, failing({ code: '57014' }), 'a cancel comes the same way')
  await connection.cancel()
  await ended
  connection.close()
  const unnamed = createServer(server)
  await new Promise<void>((resolve) => void unnamed.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void unnamed.close())
  const other = { host: '127.0.0.1', port: (unnamed.address() as AddressInfo).port, tls: { ...direct, mode: 'verify-full' } } as const
  await t.rejects(openServer(other), failing({ key: 'node_unreachable', message: /no ALPN/ }), 'some server that speaks TLS')
})

t.test('a client certificate', async (t) => {
  const own = authority.issue('with_cert')
  t.equal(
    await secureOf({ user: 'with_cert', password: null, tls: { mode: 'verify-full', ca: authority.cert, cert: own.cert, key: own.key } }),
    true,
  )
  await t.rejects(openServer(at({ user: 'with_cert', password: null, tls: { mode: 'require' } })), failing({ code: '28000' }))
})

t.test('SCRAM is bound to the channel: a man in the middle with a certificate of his own gets no login', async (t) => {
  const user = { user: 'with_scram', password: 'p\u00e4ss\u2168' }
  const middle = createServer(stranger.issue('localhost'))
  // Takes TLS off on one side and puts it on again on the other: what `require` alone does not notice.
  const sockets: Socket[] = []
  const relay = createTcpServer((client) => {
    client.once('data', () => {
      client.write('S')
      middle.emit('connection', client)
    })
  })
  middle.on('secureConnection', (client) => {
    void dial(
      { cluster: 'x', node: { id: 'x', host, port, weight: 1, zone: null, subscriber: false }, tls: { ...noTls, mode: 'require' } },
      new AbortController().signal,
    ).then(({ socket }) => {
      sockets.push(client, socket)
      client.on('error', () => undefined).pipe(socket)
      socket.on('error', () => undefined).pipe(client)
    })
  })
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    relay.close()
  })
  const there = (relay.address() as AddressInfo).port
  await t.rejects(
    openServer(at({ ...user, port: there, tls: { mode: 'require' } })),
    failing({ name: 'ServerError', message: /channel binding/ }),
  )
  const direct = await openServer(at({ ...user, tls: { mode: 'require' } }))
  t.ok(direct.usable)
  direct.close()
})

t.test('evidence', async (t) => {
  let clock = 41
  const options = { now: (): number => ++clock }
  const primary = await openServer(at({ options }))
  t.match(primary.evidence, { node: `${host}:${String(port)}`, openedAt: 42, inRecovery: false, timeline: 1, position: BigInt })
  primary.close()
  const replica = cluster.replica()
  const there = { host: replica.host, port: replica.port }
  const first = await openServer({ ...there, user: 'with_monitor', password: 'monitor' })
  t.match(first.evidence, { inRecovery: true, timeline: 1, position: BigInt })
  const second = await openServer({
    ...there,
    user: 'with_monitor',
    password: 'monitor',
    options: { startup: { TimeZone: 'Asia/Tokyo', DateStyle: 'German' } },
  })
  t.equal(second.evidence.postmasterStart, first.evidence.postmasterStart, 'the same text whatever the settings')
  t.not(first.evidence.postmasterStart, primary.evidence.postmasterStart)
  const blind = await openServer({ ...there, user: 'with_scram', password: 'p\u00e4ss\u2168' })
  t.equal(blind.evidence.timeline, null, 'a role that may not see the receiver')
  for (const connection of [first, second, blind]) connection.close()
})

t.test('a Unix socket', async (t) => {
  const { rows } = await (await openServer(at())).query("SELECT current_setting('unix_socket_directories')")
  const directory = String(rows[0]?.[0])
  const connection = await openServer({ host: directory, port, tls: { mode: 'verify-full' } })
  t.notOk(connection.secure, 'TLS makes no sense there, as in libpq')
  connection.close()
})
