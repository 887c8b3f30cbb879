// A Kysely program, a page long: one line is Pointsman's, the one that makes the pool.
import { Kysely, PostgresDialect, sql, type Generated } from 'kysely'
import pg from 'pg'
import Cursor from 'pg-cursor'
import t from 'tap'
import { createRouter } from '../../src/index.js'
import { routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const seed = 'CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL, karma int NOT NULL DEFAULT 0)'
const running = await withTopology(t, { clusters: { main: { replicas: 1, seed } } })
const config = routerConfig(running, {
  default: 'main',
  reads: { default: { consistency: 'session', on_unmet: ['wait 2s', 'primary'] } },
})

interface Database {
  users: { id: Generated<number>; name: string; karma: Generated<number> }
}

t.test('a Kysely program', async (t) => {
  const pool = createRouter({ pg, config }) // was: new pg.Pool({ … })
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool, cursor: Cursor }) })
  t.teardown(() => (pool.ended ? undefined : db.destroy()))
  const nodes = new Set<string>()
  pool.events.on('query.end', ({ node }) => node !== null && nodes.add(node))

  const ada = await db.insertInto('users').values({ name: 'Ada' }).returning('id').executeTakeFirstOrThrow()
  await db
    .insertInto('users')
    .values([{ name: 'Bob' }, { name: 'Cyd', karma: 3 }])
    .execute()
  t.same(await db.selectFrom('users').select('name').orderBy('id').execute(), [{ name: 'Ada' }, { name: 'Bob' }, { name: 'Cyd' }])

  await db.transaction().execute(async (trx) => {
    await trx.updateTable('users').set({ karma: 10 }).where('name', '=', 'Bob').execute()
    const bob = await trx.selectFrom('users').selectAll().where('name', '=', 'Bob').executeTakeFirstOrThrow()
    t.equal(bob.karma, 10, 'inside the transaction')
  })
  await t.rejects(
    db.transaction().execute(async (trx) => {
      await trx.deleteFrom('users').execute()
      throw new Error('changed my mind')
    }),
    /changed my mind/,
  )
  const readOnly = await db
    .transaction()
    .setAccessMode('read only')
    .execute((trx) =>
      trx
        .selectFrom('users')
        .select(({ fn }) => fn.sum<string>('karma').as('karma'))
        .executeTakeFirst(),
    )
  t.same(readOnly, { karma: '13' })

  const streamed: string[] = []
  for await (const { name } of db.selectFrom('users').select('name').orderBy('id').stream(2)) streamed.push(name)
  t.same(streamed, ['Ada', 'Bob', 'Cyd'], 'through a cursor')

  const { rows } = await sql<{ id: number }>`select id from users where id = ${ada.id}`.execute(db)
  t.same(rows, [{ id: ada.id }])

  t.same(
    [...nodes].sort(),
    running
      .cluster('main')
      .nodes.map(({ address }) => address)
      .sort(),
    'the primary and the replica had work',
  )
  await db.destroy()
  t.ok(pool.ended)
})
