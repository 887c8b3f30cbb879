// A Drizzle program, a page long: one line is Pointsman's, the one that makes the pool.
import { asc, eq, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { integer, pgTable, serial, text } from 'drizzle-orm/pg-core'
import pg from 'pg'
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

const users = pgTable('users', { id: serial().primaryKey(), name: text().notNull(), karma: integer().notNull().default(0) })

t.test('a Drizzle program', async (t) => {
  const pool = createRouter({ pg, config }) // was: new pg.Pool({ … })
  t.teardown(() => pool.end())
  const db = drizzle(pool)
  const nodes = new Set<string>()
  pool.events.on('query.end', ({ node }) => node !== null && nodes.add(node))

  const [ada] = await db.insert(users).values({ name: 'Ada' }).returning()
  await db.insert(users).values([{ name: 'Bob' }, { name: 'Cyd', karma: 3 }])
  const names = await db.select({ name: users.name }).from(users).orderBy(asc(users.id))
  t.same(
    names.map(({ name }) => name),
    ['Ada', 'Bob', 'Cyd'],
    'what was written is read',
  )

  await db.transaction(async (tx) => {
    await tx.update(users).set({ karma: 10 }).where(eq(users.name, 'Bob'))
    const [bob] = await tx.select().from(users).where(eq(users.name, 'Bob'))
    t.equal(bob?.karma, 10, 'inside the transaction')
    await tx
      .transaction(async (nested) => {
        await nested.update(users).set({ karma: 11 }).where(eq(users.name, 'Bob'))
        nested.rollback()
      })
      .catch(() => undefined)
  })
  await t.rejects(
    db.transaction(async (tx) => {
      await tx.delete(users)
      throw new Error('changed my mind')
    }),
    /changed my mind/,
  )
  const total = await db.transaction((tx) => tx.select({ karma: sql<number>`sum(${users.karma})::int` }).from(users), {
    accessMode: 'read only',
  })
  t.same(total, [{ karma: 13 }], 'the savepoint and the transaction were rolled back')

  const byId = db
    .select()
    .from(users)
    .where(eq(users.id, sql.placeholder('id')))
    .prepare('user_by_id')
  t.match(await byId.execute({ id: ada?.id }), [{ name: 'Ada' }])
  t.match(await byId.execute({ id: ada?.id }), [{ name: 'Ada' }], 'prepared, once per connection')

  t.same(
    [...nodes].sort(),
    running
      .cluster('main')
      .nodes.map(({ address }) => address)
      .sort(),
    'the primary and the replica had work',
  )
})
