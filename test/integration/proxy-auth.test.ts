// Who may come in by what the servers say of users: auth_query, secrets that serve both sides, and rules. One server stands behind.
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import t from 'tap'
import type { AuthInput, ConfigInput } from '../../src/config/input.js'
import { until } from '../../src/embedded/until.js'
import { encodeSaslInitialResponse, encodeSaslResponse } from '../../src/protocol/authentication.js'
import { formatVerifier, makeVerifier } from '../../src/protocol/scram.js'
import { LoginKeys } from '../../src/server/login-keys.js'
import { withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'
import { WireClient } from '../support/wire-client.js'

const running = await withTopology(t, {
  clusters: {
    main: {
      prepare: `CREATE ROLE looked LOGIN PASSWORD 'looked'; CREATE ROLE "Ünï ''quoted" LOGIN PASSWORD 'pässⅨ';
        CREATE ROLE expired LOGIN PASSWORD 'expired' VALID UNTIL '2001-01-01'; CREATE ROLE nologin PASSWORD 'nologin';
        SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'old'; SET password_encryption = 'scram-sha-256';
        CREATE ROLE asks LOGIN PASSWORD 'asks'; CREATE ROLE reader LOGIN PASSWORD 'reader'; CREATE ROLE powerless LOGIN PASSWORD 'powerless'`,
      seed: 'CREATE SEQUENCE asked',
      hba: ['host all old 127.0.0.1/32 md5', 'host all all 127.0.0.1/32 scram-sha-256'],
    },
  },
})
const { primary } = running.cluster('main')
await primary.sql(`CREATE FUNCTION secret_of(who text) RETURNS TABLE (name name, secret text) LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $$ BEGIN PERFORM nextval('public.asked');
  RETURN QUERY SELECT rolname, rolpassword FROM pg_authid WHERE rolname = who AND rolcanlogin AND NOT rolsuper; END $$;
  REVOKE ALL ON FUNCTION secret_of FROM PUBLIC; GRANT EXECUTE ON FUNCTION secret_of TO asks; GRANT SELECT ON pg_authid TO reader`)
const nodes = [primary.address]
const own = { dbname: 'app', user: 'app', password: 'app', tls: { mode: 'disable' as const }, nodes }
/** Entered with what the client proved itself with. */
const passing = { dbname: 'app', monitor: { user: 'app', password: 'app' }, tls: { mode: 'disable' as const }, nodes }
const secretOf = { cluster: 'main', user: 'asks', password: 'asks', sql: 'SELECT * FROM secret_of($1);', cache: '1h' }
const code = (wanted: string, message = /./) => ({ code: wanted, message }) as never

const config = (auth: AuthInput, cluster: ConfigInput['clusters'][string] = own, more: Partial<ConfigInput> = {}): ConfigInput => ({
  version: 1,
  clusters: { main: cluster },
  databases: { app: { default: 'main' } },
  auth: { failure_delay: 0, ...auth },
  ...more,
})

async function asked(): Promise<number> {
  const [row] = await primary.sql('SELECT last_value + is_called::int - 1 AS n FROM asked')
  return Number(row?.['n'])
}

async function secretIn(role: string): Promise<string> {
  const [row] = await primary.sql(`SELECT rolpassword AS secret FROM pg_authid WHERE rolname = '${role}'`)
  return row?.['secret'] ?? ''
}

async function whoAmI(client: pg.Client): Promise<string> {
  return (await client.query<{ who: string }>('SELECT current_user AS who')).rows[0]?.who ?? ''
}

t.test('auth_query: users that are listed nowhere, each looked up once', async (t) => {
  const { connect } = await withProxy(t, config({ users: [{ name: 'app', password: 'app' }], auth_query: secretOf }))
  const before = await asked()
  await Promise.all(Array.from({ length: 20 }, () => connect({ user: 'looked', password: 'looked' })))
  await connect({ user: 'looked', password: 'looked' })
  t.equal(await asked(), before + 1, 'twenty at once, and one later')
  await connect({ user: "Ünï ''quoted", password: 'pässⅨ' })
  await connect()
  t.equal(await asked(), before + 2, 'who is listed is not looked up')
  const words = new Set<string>()
  for (const [user, password] of [
    ['looked', 'wrong'],
    ['nobody', 'nobody'],
    ['nobody', 'again'],
    ['nologin', 'nologin'],
    ['postgres', 'postgres'],
    ['old', 'old'],
    ["x') UNION SELECT 'x', 'md5", 'x'],
    [`looked${'x'.repeat(100)}`, 'looked'],
  ] as const) {
    const error = (await connect({ user, password }).catch((error: unknown) => error)) as pg.DatabaseError
    t.equal(error.code, '28P01', user)
    words.add(error.message.replace(user, 'USER'))
  }
  t.equal(words.size, 1)
  t.equal(await asked(), before + 2 + 6, 'that there is no such user is remembered too')
})

t.test('auth_query: a password that was changed is known after a login that failed', async (t) => {
  await primary.sql("CREATE ROLE changing LOGIN PASSWORD 'one'")
  const { connect } = await withProxy(t, config({ auth_query: secretOf }))
  await connect({ user: 'changing', password: 'one' })
  await primary.sql("ALTER ROLE changing PASSWORD 'two'")
  const tries = async (password: string): Promise<boolean> =>
    connect({ user: 'changing', password }).then(
      () => true,
      () => false,
    )
  await until('the new password is taken', () => tries('two'))
  t.notOk(await tries('one'))
})

t.test('auth_query: pg_authid by default, and md5 where that is what it holds', async (t) => {
  const { connect } = await withProxy(t, config({ method: 'md5', auth_query: { cluster: 'main', user: 'reader', password: 'reader' } }))
  await connect({ user: 'old', password: 'old' })
  await connect({ user: 'looked', password: 'looked' })
  await t.rejects(connect({ user: 'old', password: 'new' }), code('28P01'))
  await t.rejects(connect({ user: 'expired', password: 'expired' }), code('28P01'))
  await t.rejects(connect({ user: 'nologin', password: 'nologin' }), code('28P01'))
})

t.test('auth_query that cannot be asked: nobody comes in by it, everybody else does, and the log says why', async (t) => {
  const users = [{ name: 'app', password: 'app' }]
  const { connect, events } = await withProxy(t, config({ users, auth_query: { ...secretOf, user: 'powerless', password: 'powerless' } }))
  await t.rejects(connect({ user: 'looked', password: 'looked' }), code('57P03', /cannot be looked up/))
  t.equal(await whoAmI(await connect()), 'app')
  t.match(events('log'), [{ level: 'error', message: 'auth_query failed', fields: { error: /permission denied for function secret_of/ } }])
  const gone = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => gone.once('listening', resolve))
  const { port } = gone.address() as { port: number }
  await new Promise((resolve) => gone.close(resolve))
  const other = await withProxy(t, config({ auth_query: secretOf }, { ...own, nodes: [`127.0.0.1:${String(port)}`, ...nodes] }))
  t.equal(await whoAmI(await other.connect({ user: 'looked', password: 'looked' })), 'app', 'another server of the cluster is asked')
})

t.test('one secret for both sides: the proof of the client opens the servers', async (t) => {
  const [verifier, hash] = [await secretIn('looked'), await secretIn('old')]
  const users = [
    { name: 'looked', verifier },
    { name: 'old', verifier: hash },
    { name: 'powerless', verifier: formatVerifier(makeVerifier('powerless', randomBytes(16))) },
  ]
  const { connect, proxy, runtime } = await withProxy(t, config({ method: 'md5', users }, passing))
  const looked = { user: 'looked', password: 'looked' }
  const released = t.capture(LoginKeys.prototype, 'release', LoginKeys.prototype.release) // eslint-disable-line @typescript-eslint/unbound-method
  const first = await connect(looked)
  t.equal(await whoAmI(first), 'looked')
  const second = await connect(looked)
  t.equal(await whoAmI(second), 'looked')
  t.equal(runtime.snapshot().pools.filter(({ user }) => user === 'looked').length, 1, 'they share connections')
  await first.end()
  await second.end()
  await until('both have left', () => Promise.resolve(proxy.clients().length === 0))
  t.equal(released.args().length, 2, 'each lets go of its keys')
  await primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'looked'")
  t.equal(await whoAmI(await connect(looked)), 'looked', 'their keys are gone, and the next client brings its own')
  t.equal(await whoAmI(await connect({ user: 'old', password: 'old' })), 'old', 'md5')
  await t.rejects(connect({ user: 'powerless', password: 'powerless' }), code('28P01', /another SCRAM verifier for user "powerless"/))
  const looking = await withProxy(t, config({ auth_query: secretOf }, passing))
  t.equal(await whoAmI(await looking.connect(looked)), 'looked', 'by auth_query')
  t.notMatch(JSON.stringify([...looking.events('log'), ...looking.events('pool.opened')]), /clientKey|serverKey/)
})

t.test('rules: the first that fits decides', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'pm-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const users = ['app', 'ops', 'guest'].map((name) => ({ name, password: name }))
  const { connect } = await withProxy(
    t,
    config(
      {
        users,
        rules: [
          { address: 'local', users: ['ops'], method: 'trust' },
          { address: 'local', method: 'reject' },
          { users: ['guest'], databases: ['other'], method: 'scram-sha-256' },
          { users: ['guest'], method: 'reject' },
          { address: '10.0.0.0/8', method: 'trust' },
          { address: '127.0.0.0/8', databases: ['app'], users: ['app', 'nobody'] },
        ],
      },
      own,
      {
        listen: { host: '127.0.0.1', port: 0, unix: join(directory, '.s.PGSQL.6432') },
        databases: { app: { default: 'main' }, other: { default: 'main' } },
      },
    ),
  )
  const local = { host: directory, port: 6432 }
  await connect({ ...local, user: 'ops', password: 'not asked for' })
  const line = (user: string, database: string, host = '127.0.0.1') =>
    new RegExp(`host "${host.replace(/[[\].]/g, '\\$&')}", user "${user}", database "${database}", no encryption$`)
  await t.rejects(connect({ ...local, user: 'app' }), code('28000', line('app', 'app', '[local]')))
  await connect({ user: 'guest', password: 'guest', database: 'other' })
  await t.rejects(connect({ user: 'guest', password: 'guest', database: 'app' }), code('28000', /^pg_hba.conf rejects connection for host/))
  await connect()
  await t.rejects(connect({ password: 'wrong' }), code('28P01'))
  await t.rejects(connect({ user: 'nobody' }), code('28P01'), 'who is unknown is asked as everybody is')
  await t.rejects(connect({ user: 'ops', password: 'ops' }), code('28000', /^no pg_hba.conf entry for host/))
  await t.rejects(connect({ database: 'other' }), code('28000', line('app', 'other')))
})

t.test('what is sent during the exchange and makes no sense', async (t) => {
  const { port, connect, events } = await withProxy(t, config({ users: [{ name: 'app', password: 'app' }] }))
  const first = 'n,,n=,r=clientnonce'
  for (const message of [
    Buffer.from([0x70, 0, 0, 0, 4]),
    Buffer.from([0x51, 0, 0, 0, 13, ...Buffer.from('SELECT 1\0')]),
    Buffer.from([0x70, 0x7f, 0xff, 0xff, 0xff]),
    encodeSaslInitialResponse('SCRAM-SHA-256-PLUS', 'p=tls-server-end-point,,n=,r=c'),
    encodeSaslInitialResponse('SCRAM-SHA-1', first),
    encodeSaslInitialResponse('SCRAM-SHA-256', ''),
    encodeSaslInitialResponse('SCRAM-SHA-256', 'p=tls-unique,,n=,r=c'),
    encodeSaslInitialResponse('SCRAM-SHA-256', 'x'.repeat(60_000)),
    Buffer.concat([encodeSaslInitialResponse('SCRAM-SHA-256', first), encodeSaslResponse('c=biws,r=another,p=AAAA')]),
    Buffer.concat([encodeSaslInitialResponse('SCRAM-SHA-256', first), encodeSaslInitialResponse('SCRAM-SHA-256', first)]),
    Buffer.concat([encodeSaslInitialResponse('SCRAM-SHA-256', first), randomBytes(64)]),
  ]) {
    const client = await WireClient.open(t, port)
    client.startup()
    client.raw(message)
    t.match((await client.closed()).at(-1), /^ErrorResponse .*08P01/, message.subarray(0, 40).toString('latin1'))
  }
  await connect()
  t.same(
    events('log').filter(({ level }) => level === 'error'),
    [],
  )
})

t.test('who has not proved anything takes no place of those who have', async (t) => {
  const { port, connect } = await withProxy(
    t,
    config({ users: [{ name: 'app', password: 'app' }] }, own, { listen: { host: '127.0.0.1', port: 0, max_clients: 1 } }),
  )
  for (let waiting = 0; waiting < 5; waiting++) {
    const client = await WireClient.open(t, port)
    client.startup()
    await client.until('Authentication')
  }
  await connect()
  await t.rejects(connect(), code('53300'))
})
