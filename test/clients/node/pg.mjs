// node-postgres through its pool, with pg-cursor, pg-query-stream and pg-copy-streams.
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import copy from 'pg-copy-streams'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import { check, codeOf, done, url } from './cases.mjs'

const pool = new pg.Pool({ connectionString: url })

await check('a table', async () => {
  await pool.query('DROP TABLE IF EXISTS users')
  const { command } = await pool.query('CREATE TABLE users (id serial PRIMARY KEY, name text UNIQUE, born date, tags text[], extra jsonb)')
  return command
})

await check('create, read, update, delete', async () => {
  const { rows } = await pool.query('INSERT INTO users (name, born, tags, extra) VALUES ($1, $2, $3, $4) RETURNING *', [
    'Ada',
    '1815-12-10',
    ['math', 'poetry'],
    { first: true },
  ])
  await pool.query("INSERT INTO users (name) VALUES ('Bob'), ('Cyd')")
  const updated = await pool.query("UPDATE users SET name = name || '!' WHERE id = $1", [2])
  const deleted = await pool.query('DELETE FROM users WHERE id = $1', [3])
  const all = await pool.query('SELECT name FROM users ORDER BY id')
  return [rows, updated.rowCount, deleted.rowCount, all.rows, all.fields.map(({ name, dataTypeID }) => [name, dataTypeID])]
})

await check('prepared statements', async () => {
  const values = []
  for (let id = 1; id <= 20; id++) {
    const { rows } = await pool.query({ name: 'by-id', text: 'SELECT name, $1::int AS asked FROM users WHERE id = $1', values: [id] })
    values.push(rows)
  }
  return values
})

await check('one after another without waiting', async () => {
  const client = await pool.connect()
  const results = await Promise.all(Array.from({ length: 50 }, (_, index) => client.query('SELECT $1::int AS n', [index])))
  client.release()
  return results.map(({ rows }) => rows[0].n)
})

await check('many at once', async () => {
  const results = await Promise.all(
    Array.from({ length: 100 }, (_, index) => pool.query('SELECT $1::int + count(*)::int AS n FROM users', [index])),
  )
  return results.map(({ rows }) => rows[0].n)
})

await check('a transaction that is rolled back', async () => {
  const client = await pool.connect()
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  await client.query("INSERT INTO users (name) VALUES ('Dan')")
  await client.query('SAVEPOINT one')
  const code = await codeOf(client.query("INSERT INTO users (name) VALUES ('Ada')"))
  const failed = await codeOf(client.query('SELECT 1'))
  await client.query('ROLLBACK TO one')
  const { rows } = await client.query('SELECT count(*)::int AS n FROM users')
  await client.query('ROLLBACK')
  client.release()
  return [code, failed, rows, (await pool.query('SELECT count(*)::int AS n FROM users')).rows]
})

await check('errors', async () => [
  await codeOf(pool.query('SELECT nothing')),
  await codeOf(pool.query('SELEC 1')),
  await codeOf(pool.query('SELECT 1 / $1::int', [0])),
  await codeOf(pool.query("INSERT INTO users (name) VALUES ('Ada')")),
])

await check('several statements in one text', async () => {
  const results = await pool.query("SELECT 1 AS a; UPDATE users SET tags = '{}'; SELECT 2 AS b")
  return results.map(({ command, rowCount, rows }) => [command, rowCount, rows])
})

await check('settings of a client', async () => {
  const client = new pg.Client({ connectionString: url, application_name: 'mine', statement_timeout: 5000, options: '-c work_mem=5MB' })
  await client.connect()
  await client.query("SET TIME ZONE 'Asia/Tokyo'")
  const { rows } = await client.query(
    "SELECT current_setting('application_name') a, current_setting('statement_timeout') s, current_setting('work_mem') w, current_setting('TimeZone') t",
  )
  await client.end()
  return rows
})

await check('a cursor', async () => {
  const client = await pool.connect()
  const cursor = client.query(new Cursor('SELECT i FROM generate_series(1, $1::int) i', [10]))
  const read = []
  for (let rows = await cursor.read(4); rows.length > 0; rows = await cursor.read(4)) read.push(rows.length)
  await cursor.close()
  const left = client.query(new Cursor('SELECT i FROM generate_series(1, 1000) i'))
  read.push((await left.read(1)).length)
  await left.close()
  client.release()
  return read
})

await check('a stream', async () => {
  const client = await pool.connect()
  let sum = 0
  for await (const { i } of client.query(new QueryStream('SELECT i FROM generate_series(1, 1000) i'))) sum += i
  client.release()
  return sum
})

await check('COPY both ways', async () => {
  const client = await pool.connect()
  const lines = Array.from({ length: 1000 }, (_, index) => `copied ${index}\n`)
  await pipeline(Readable.from(lines), client.query(copy.from('COPY users (name) FROM STDIN')))
  const chunks = await client.query(copy.to('COPY (SELECT name FROM users ORDER BY id) TO STDOUT')).toArray()
  const wrong = await codeOf(pipeline(Readable.from(['a\tb\n']), client.query(copy.from('COPY users (name) FROM STDIN'))))
  client.release()
  return [Buffer.concat(chunks).toString().split('\n').length, wrong]
})

await check('LISTEN and NOTIFY', async () => {
  const listener = await pool.connect()
  await listener.query('LISTEN news')
  const heard = once(listener, 'notification')
  await pool.query("SELECT pg_notify('news', 'hello')")
  const [{ channel, payload }] = await heard
  await listener.query('UNLISTEN news')
  listener.release()
  return [channel, payload]
})

await check('cancel', async () => {
  const client = await pool.connect()
  let code = null
  const slow = codeOf(client.query('SELECT pg_sleep(60)')).then((told) => (code = told))
  let rows = []
  // Again where it came before the statement ran.
  while (code === null) {
    ;({ rows } = await pool.query('SELECT pg_cancel_backend($1) AS sent', [client.processID]))
    await Promise.race([slow, sleep(500)])
  }
  const after = await client.query('SELECT 1 AS n')
  client.release()
  return [rows, code, after.rows]
})

await pool.end()
done()
