// A Knex program, a page long: it takes the pool as `connectionPool` (Knex 3.3 and later).
import knexOf from 'knex'
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

interface User {
  readonly id: number
  readonly name: string
  readonly karma: number
}

t.test('a Knex program', async (t) => {
  const pool = createRouter({ pg, config }) // was: new pg.Pool({ … })
  t.teardown(() => (pool.ending ? undefined : pool.end()))
  const knex = knexOf({ client: 'pg', connectionPool: pool })
  const nodes = new Set<string>()
  pool.events.on('query.end', ({ node }) => node !== null && nodes.add(node))

  const [ada] = await knex<User>('users').insert({ name: 'Ada' }).returning('id')
  await knex<User>('users').insert([{ name: 'Bob' }, { name: 'Cyd', karma: 3 }])
  t.same(await knex<User>('users').pluck('name').orderBy('id'), ['Ada', 'Bob', 'Cyd'])

  await knex.transaction(async (trx) => {
    await trx<User>('users').where({ name: 'Bob' }).update({ karma: 10 })
    t.match(await trx<User>('users').where({ name: 'Bob' }).first(), { karma: 10 }, 'inside the transaction')
    const nested = trx.transaction(async (inner) => {
      await inner<User>('users').where({ name: 'Bob' }).update({ karma: 11 })
      throw new Error('only this')
    })
    await nested.catch(() => undefined)
  })
  const undone = knex.transaction(async (trx) => {
    await trx<User>('users').delete()
    throw new Error('changed my mind')
  })
  await t.rejects(undone, /changed my mind/)
  const readOnly = knex.transaction((trx) => trx<User>('users').sum('karma as karma').first(), { readOnly: true })
  t.same(await readOnly, { karma: '13' }, 'the savepoint and the transaction were rolled back')

  const { rows } = await knex.raw<pg.QueryResult<User>>('SELECT id FROM users WHERE id = ?', [ada?.id ?? 0])
  t.same(rows, [{ id: ada?.id }])
  await t.rejects(knex.raw('SELECT nothing'), { code: '42703' })

  const expected = running.cluster('main').nodes.map(({ address }) => address)
  t.same([...nodes].sort(), expected.sort(), 'the primary and the replica had work')
  await knex.destroy()
  t.notOk(pool.ending, 'a pool that it was given is not its own')
})
