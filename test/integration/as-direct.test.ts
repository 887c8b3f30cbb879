// What PostgreSQL's own regression files found: each test says on a direct connection and through the proxy the same, with a
// replica beside the primary, one connection per server, and clients that meet on it.
import pg from 'pg'
import t from 'tap'
import { until } from '../../src/embedded/until.js'
import { lastRoute, withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, {
  clusters: { main: { replicas: 1, prepare: 'ALTER ROLE app SUPERUSER; CREATE ROLE plain; CREATE ROLE other' } },
})
const main = running.cluster('main')
const { connect } = await withProxy(t, {
  version: 1,
  clusters: {
    main: {
      dbname: 'app',
      user: 'app',
      password: 'app',
      tls: { mode: 'disable' },
      nodes: main.nodes.map((node) => node.address),
      pool: { max: 1, wait: '5s' },
    },
  },
  databases: { app: { default: 'main', reads: { default: { consistency: 'any' } } } },
})

/** The last row of each statement, or its code and words. */
async function said(client: pg.Client, sql: readonly string[]): Promise<readonly unknown[]> {
  const answers: unknown[] = []
  for (const text of sql) {
    try {
      const { rows } = await client.query<unknown[]>({ text, rowMode: 'array' })
      answers.push(rows.at(-1) ?? null)
    } catch (error) {
      const { code, message } = error as { code?: string; message: string }
      answers.push([code, message])
    }
  }
  return answers
}

async function direct(sql: readonly string[]): Promise<readonly unknown[]> {
  const client = new pg.Client(running.url(main.primary))
  await client.connect()
  try {
    return await said(client, sql)
  } finally {
    await client.end()
  }
}

t.test('what a superuser has set stands under a session user who may not set it', async (t) => {
  const script = [
    'SET lo_compat_privileges = on',
    'SET SESSION AUTHORIZATION plain',
    'SELECT session_user, current_user',
    'SHOW lo_compat_privileges',
    'RESET SESSION AUTHORIZATION',
    "SET session_replication_role = 'replica'",
    'SET ROLE plain',
    'SELECT session_user, current_user',
    'SHOW session_replication_role',
    'RESET ROLE',
    'RESET session_replication_role',
    'RESET lo_compat_privileges',
  ]
  t.same(await said(await connect(), script), await direct(script))
})

t.test('a role granted a moment ago can be taken while replicas have not heard of it', async (t) => {
  const asleep = new pg.Client(running.url(main.replica()))
  await asleep.connect()
  t.teardown(() => asleep.end())
  const [giver, taker] = [await connect(), await connect()]
  await said(giver, ['CREATE TABLE granted (n int); GRANT SELECT ON granted TO public'])
  await until('the replica knows the table', async () => (await said(asleep, ["SELECT to_regclass('granted')::text"]))[0] !== null)
  await until('reads are on the replica', async () => {
    await taker.query('SELECT count(*) FROM granted')
    return (await lastRoute(taker)).startsWith('replica')
  })
  await asleep.query('SELECT pg_wal_replay_pause()')
  await said(giver, ['GRANT other TO plain'])
  const script = [
    'SET SESSION AUTHORIZATION plain',
    'SET ROLE other',
    'SELECT count(*) FROM granted',
    "SET work_mem = '3MB'",
    'RESET work_mem',
    'SELECT session_user, current_user',
    'BEGIN READ ONLY',
    'SELECT count(*) FROM granted',
    'COMMIT',
  ]
  const through = await said(taker, script)
  await asleep.query('SELECT pg_wal_replay_resume()')
  t.same(through, [null, null, ['0'], null, null, ['plain', 'other'], null, ['0'], null])
  t.same(await said(taker, ['SET ROLE nobody', 'SET ROLE app']), [
    ['22023', 'role "nobody" does not exist'],
    ['42501', 'permission denied to set role "app"'],
  ])
})

t.test('a wrong snapshot is told where it is said', async (t) => {
  const script = [
    'BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ',
    "SET TRANSACTION SNAPSHOT 'Incorrect Identifier'",
    'ROLLBACK',
    'BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY',
    "SET TRANSACTION SNAPSHOT 'FFF-FFF-F'",
    'SELECT 1',
    'ROLLBACK',
  ]
  t.same(await said(await connect(), script), await direct(script))
})

t.test('a statement that writes and asks for a sequence is never answered with what another has drawn', async (t) => {
  const [a, b, c] = [await connect(), await connect(), await connect()]
  await said(a, ['CREATE SEQUENCE drawn', 'CREATE TABLE kept (n bigint)'])
  await said(a, ["SELECT nextval('drawn')"])
  await said(b, ["SELECT nextval('drawn')"])
  const asks = "INSERT INTO kept VALUES (currval('drawn')) RETURNING n"
  const [never] = await said(c, [asks])
  t.match(never, ['55000', /not yet defined/], 'c has drawn nothing')
  const [lost] = await said(a, [asks])
  t.match(lost, ['55000', /not yet defined/], 'b was there since')
  t.same((await said(a, ["SELECT nextval('drawn')", asks])).at(-1), ['3'], 'from then on connections are kept for the question')
  t.same(await said(b, ["INSERT INTO kept VALUES (nextval('drawn') + currval('drawn')) RETURNING n"]), [['8']], 'what it has drawn itself')
})
