// postgres.js: everything is prepared and pipelined, unless one says otherwise.
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import postgres from 'postgres'
import { check, codeOf, done, url } from './cases.mjs'

const sql = postgres(url, { onnotice: () => undefined })

await check('a table', async () => {
  await sql`DROP TABLE IF EXISTS users`
  const { command } = await sql`CREATE TABLE users (id serial PRIMARY KEY, name text UNIQUE, born date, tags text[], extra jsonb)`
  return command
})

await check('create, read, update, delete', async () => {
  const people = ['Ada', 'Bob', 'Cyd'].map((name) => ({ name, born: '1815-12-10', tags: ['a', 'b'], extra: { name } }))
  const rows = await sql`INSERT INTO users ${sql(people)} RETURNING *`
  const updated = await sql`UPDATE users SET ${sql({ name: 'Bob!' }, 'name')} WHERE id = ${2}`
  const deleted = await sql`DELETE FROM users WHERE id IN ${sql([3])}`
  const all = await sql`SELECT name FROM users ORDER BY id`
  return [rows, updated.count, deleted.count, all, all.columns.map(({ name, type }) => [name, type])]
})

await check('a pipeline on every connection', async () => {
  const results = await Promise.all(Array.from({ length: 300 }, (_, index) => sql`SELECT ${index}::int AS n, count(*)::int FROM users`))
  return results.map(([{ n }]) => n)
})

await check('a pipeline on one connection, with errors in it', async () => {
  const one = postgres(url, { max: 1 })
  const results = await Promise.allSettled(
    Array.from({ length: 200 }, (_, index) => (index % 7 === 3 ? one`SELECT 1 / ${0}::int AS n` : one`SELECT ${index}::int AS n`)),
  )
  await one.end()
  return results.map(({ value, reason }) => reason?.code ?? value[0].n)
})

await check('many different statements', async () => {
  const results = await Promise.all(
    Array.from({ length: 200 }, (_, index) => sql.unsafe(`SELECT $1::int + ${index} AS n`, [index], { prepare: true })),
  )
  return results.map(([{ n }]) => n)
})

await check('transactions and savepoints', async () => {
  const code = await codeOf(
    sql.begin('isolation level serializable', async (tx) => {
      await tx`INSERT INTO users (name) VALUES ('Dan')`
      const inner = await codeOf(tx.savepoint((nested) => nested`INSERT INTO users (name) VALUES ('Ada')`))
      const [{ n }] = await tx`SELECT count(*)::int AS n FROM users`
      throw Object.assign(new Error('enough'), { code: `${inner} ${n}` })
    }),
  )
  const kept = await sql.begin((tx) => [tx`INSERT INTO users (name) VALUES ('Eve')`, tx`SELECT count(*)::int AS n FROM users`])
  const readOnly = await codeOf(sql.begin('read only', (tx) => tx`DELETE FROM users`))
  return [code, kept[1], readOnly]
})

await check('errors', async () => [
  await codeOf(sql`SELECT nothing`),
  await codeOf(sql`SELEC 1`),
  await codeOf(sql`INSERT INTO users (name) VALUES (${'Ada'})`),
  await codeOf(sql`SELECT ${'x'}::int`),
])

await check('several statements in one text', async () => {
  const results = await sql`SELECT 1 AS a; SELECT 2 AS b`.simple()
  return results
})

await check('a cursor', async () => {
  const read = []
  for await (const rows of sql`SELECT i FROM generate_series(1, 25) i`.cursor(10)) read.push(rows.length)
  await sql`SELECT i FROM generate_series(1, 1000) i`.cursor(10, (rows) => {
    read.push(rows.length)
    return sql.CLOSE
  })
  return read
})

await check('row by row', async () => {
  let sum = 0
  await sql`SELECT i FROM generate_series(1, 1000) i`.forEach(({ i }) => (sum += i))
  return sum
})

await check('describe', async () => {
  const { types, columns } = await sql`SELECT name FROM users WHERE id = ${1}`.describe()
  return [types, columns.map(({ name, type }) => [name, type])]
})

await check('COPY both ways', async () => {
  const lines = Array.from({ length: 1000 }, (_, index) => `copied ${index}\n`)
  await pipeline(Readable.from(lines), await sql`COPY users (name) FROM STDIN`.writable())
  const chunks = []
  for await (const chunk of await sql`COPY (SELECT name FROM users ORDER BY id) TO STDOUT`.readable()) chunks.push(chunk)
  return Buffer.concat(chunks).toString().split('\n').length
})

await check('LISTEN and NOTIFY', async () => {
  let hear
  const heard = new Promise((resolve) => (hear = resolve))
  const { unlisten } = await sql.listen('news', hear)
  await sql.notify('news', 'hello')
  const payload = await heard
  await unlisten()
  return payload
})

await check('a connection of its own', async () => {
  const own = await sql.reserve()
  await own`CREATE TEMP TABLE mine AS SELECT 7 AS n`
  const rows = await own`SELECT n FROM mine`
  await own`DROP TABLE mine`
  own.release()
  return rows
})

await check('cancel', async () => {
  const slow = sql`SELECT pg_sleep(60)`.execute()
  const code = codeOf(slow)
  await sql`SELECT pg_sleep(1)`
  slow.cancel()
  return [await code, await sql`SELECT 1 AS n`]
})

await sql.end()
done()
