// What Prisma sends: its driver adapter over pg, asked as Prisma's client asks it. (The client itself is made for each schema by a
// command that downloads an engine, so it is not part of this.)
import { PrismaPg } from '@prisma/adapter-pg'
import { check, codeOf, done, url } from './cases.mjs'

const adapter = await new PrismaPg({ connectionString: url }).connect()
const text = { scalarType: 'string', arity: 'scalar' }
const integer = { scalarType: 'int', arity: 'scalar' }
const statement = (sql, args = [], argTypes = args.map((value) => (typeof value === 'number' ? integer : text))) => ({
  sql,
  args,
  argTypes,
})

await check('a table', async () => {
  await adapter.executeScript('DROP TABLE IF EXISTS users; CREATE TABLE users (id serial PRIMARY KEY, name text UNIQUE, born timestamptz)')
  return adapter.queryRaw(statement('SELECT current_schema()'))
})

await check('create, read, update, delete', async () => {
  const time = { scalarType: 'datetime', dbType: 'TIMESTAMPTZ', arity: 'scalar' }
  const insert = 'INSERT INTO users (name, born) VALUES ($1, $2) RETURNING id'
  const { rows } = await adapter.queryRaw(statement(insert, ['Ada', '1815-12-10T00:00:00.000Z'], [text, time]))
  await adapter.executeRaw(statement('INSERT INTO users (name) VALUES ($1), ($2)', ['Bob', 'Cyd']))
  const updated = await adapter.executeRaw(statement('UPDATE users SET name = $1 WHERE id = $2', ['Bob!', 2]))
  const deleted = await adapter.executeRaw(statement('DELETE FROM users WHERE id = $1', [3]))
  return [rows, updated, deleted, await adapter.queryRaw(statement('SELECT * FROM users ORDER BY id'))]
})

await check('transactions', async () => {
  const seen = []
  for (const end of ['COMMIT', 'ROLLBACK']) {
    const transaction = await adapter.startTransaction('SERIALIZABLE')
    await transaction.executeRaw(statement("UPDATE users SET name = name || '+' WHERE id = $1", [1]))
    seen.push((await transaction.queryRaw(statement('SELECT name FROM users WHERE id = $1', [1]))).rows)
    await transaction.executeRaw(statement(end))
    await (end === 'COMMIT' ? transaction.commit() : transaction.rollback())
  }
  return [seen, (await adapter.queryRaw(statement('SELECT name FROM users ORDER BY id'))).rows]
})

await check('many at once', async () => {
  const results = await Promise.all(Array.from({ length: 50 }, (_, index) => adapter.queryRaw(statement('SELECT $1::int AS n', [index]))))
  return results.map(({ rows }) => rows[0][0])
})

await check('errors', async () => [
  await codeOf(adapter.queryRaw(statement('SELECT 1 FROM nowhere'))),
  await codeOf(adapter.executeRaw(statement('INSERT INTO users (name) VALUES ($1)', ['Ada+']))),
])

await adapter.dispose()
done()
