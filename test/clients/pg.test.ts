// A program written for pg alone, a page long: one line is Pointsman's, the one that makes the pool. The same program runs on a plain
// pg.Pool first; both must say the same.
import { once } from 'node:events'
import pg from 'pg'
import Cursor from 'pg-cursor'
import t from 'tap'
import { createRouter } from '../../src/index.js'
import { routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const seed = 'CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL UNIQUE, karma int NOT NULL DEFAULT 0)'
const running = await withTopology(t, { clusters: { main: { replicas: 1, seed } } })
const main = running.cluster('main')
const config = routerConfig(running, {
  default: 'main',
  reads: { default: { consistency: 'session', on_unmet: ['wait 2s', 'primary'] } },
})

async function program(pool: pg.Pool): Promise<unknown[]> {
  const said: unknown[] = []
  const { rows } = await pool.query<{ id: number }>("INSERT INTO users (name) VALUES ($1), ('Bob') RETURNING id", ['Ada'])
  said.push(rows.length)

  // Promises
  const { rows: users, rowCount, command, fields } = await pool.query('SELECT name, karma FROM users ORDER BY id')
  said.push(
    users,
    rowCount,
    command,
    fields.map(({ name, dataTypeID }) => [name, dataTypeID]),
  )

  // Callbacks
  await new Promise<void>((resolve) => {
    pool.connect((_error, client, release) => {
      client?.query('SELECT karma + $1::int AS n FROM users WHERE name = $2', [1, 'Ada'], (error: Error | null, result) => {
        said.push(error, result.rows)
        release()
        resolve()
      })
    })
  })

  // A transaction, the way pg's own documentation has it
  const client = await pool.connect()
  try {
    await client.query('BEGIN')
    await client.query("UPDATE users SET karma = 5 WHERE name = 'Bob'")
    await client.query("INSERT INTO users (name) VALUES ('Ada')")
    await client.query('COMMIT')
  } catch (error) {
    said.push((error as pg.DatabaseError).code, (error as pg.DatabaseError).constraint)
    await client.query('ROLLBACK')
  } finally {
    client.release()
  }
  said.push((await pool.query('SELECT sum(karma) AS sum FROM users')).rows)

  // LISTEN
  const listener = await pool.connect()
  const heard = once(listener, 'notification')
  await listener.query('LISTEN news')
  await pool.query("SELECT pg_notify('news', 'hello')")
  const [{ channel, payload }] = (await heard) as [pg.Notification]
  said.push(channel, payload)
  await listener.query('UNLISTEN news')
  listener.release()

  // A cursor
  const reader = await pool.connect()
  const cursor = reader.query(new Cursor<{ i: number }>('SELECT i FROM generate_series(1, 5) i'))
  for (let some = await cursor.read(2); some.length > 0; some = await cursor.read(2)) said.push(some.map(({ i }) => i))
  await cursor.close()
  reader.release()

  said.push(
    pool.waitingCount,
    pool.totalCount > 0,
    await pool.query('SELECT nothing').catch((error: unknown) => (error as pg.DatabaseError).code),
  )
  await pool.query('DELETE FROM users')
  await pool.end()
  return said
}

t.test('a program written for pg', async (t) => {
  const plain = await program(
    new pg.Pool({ host: main.primary.host, port: main.primary.port, user: 'app', password: 'app', database: 'app' }),
  )
  const pool = createRouter({ pg, config })
  t.teardown(() => (pool.ending ? undefined : pool.end()))
  const nodes = new Set<string>()
  pool.events.on('query.end', ({ node }) => node !== null && nodes.add(node))
  t.same(await program(pool), plain)
  t.equal(plain.length, 18)
  t.same([...nodes].sort(), main.nodes.map(({ address }) => address).sort(), 'the primary and the replica had work')
})
