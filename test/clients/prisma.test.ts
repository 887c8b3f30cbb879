// Prisma's driver adapter over the pool, asked what Prisma's client asks of it. (The client itself is made for each schema by a
// command that downloads an engine, so it is not part of this test.)
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import t from 'tap'
import { createRouter } from '../../src/index.js'
import { routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const seed = 'CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL, born timestamptz)'
const running = await withTopology(t, { clusters: { main: { replicas: 1, seed } } })
const config = routerConfig(running, {
  default: 'main',
  reads: { default: { consistency: 'session', on_unmet: ['wait 2s', 'primary'] } },
})
const plain = (sql: string): { sql: string; args: unknown[]; argTypes: [] } => ({ sql, args: [], argTypes: [] })

t.test('the adapter of Prisma', async (t) => {
  const pool = createRouter({ pg, config }) // was: new pg.Pool({ … })
  t.teardown(() => (pool.ending ? undefined : pool.end()))
  const nodes = new Set<string>()
  pool.events.on('query.end', ({ node }) => node !== null && nodes.add(node))
  const adapter = await new PrismaPg(pool).connect()

  const insert = plain('INSERT INTO users (name, born) VALUES ($1, $2)')
  const types = [
    { scalarType: 'string', arity: 'scalar' },
    { scalarType: 'datetime', dbType: 'TIMESTAMPTZ', arity: 'scalar' },
  ] as const
  t.equal(await adapter.executeRaw({ ...insert, args: ['Ada', '1815-12-10T00:00:00.000Z'], argTypes: [...types] }), 1)
  const found = await adapter.queryRaw(plain('SELECT id, name, born FROM users'))
  t.same(found.columnNames, ['id', 'name', 'born'])
  t.same(found.rows, [[1, 'Ada', '1815-12-10T00:00:00+00:00']], "with the adapter's own parsers")

  for (const end of ['COMMIT', 'ROLLBACK'] as const) {
    const transaction = await adapter.startTransaction('REPEATABLE READ')
    await transaction.executeRaw(plain("UPDATE users SET name = name || '!'"))
    t.same((await transaction.queryRaw(plain('SELECT name FROM users'))).rows, [[end === 'COMMIT' ? 'Ada!' : 'Ada!!']])
    await transaction.executeRaw(plain(end))
    await (end === 'COMMIT' ? transaction.commit() : transaction.rollback())
  }
  t.same((await adapter.queryRaw(plain('SELECT name FROM users'))).rows, [['Ada!']])
  await t.rejects(adapter.queryRaw(plain('SELECT 1 FROM nowhere')), { cause: { kind: 'TableDoesNotExist' } })

  const expected = running.cluster('main').nodes.map(({ address }) => address)
  t.same([...nodes].sort(), expected.sort(), 'the primary and the replica had work')
  await adapter.dispose()
  t.notOk(pool.ending, 'a pool that it was given is not its own')
})
