// TypeORM over pg, with a schema that it makes itself.
import { DataSource, EntitySchema } from 'typeorm'
import { check, codeOf, done, url } from './cases.mjs'

const User = new EntitySchema({
  name: 'user',
  tableName: 'users',
  columns: {
    id: { type: Number, primary: true, generated: true },
    name: { type: String, unique: true },
    karma: { type: 'int', default: 0 },
    born: { type: 'timestamptz', nullable: true },
    extra: { type: 'jsonb', nullable: true },
  },
  relations: { posts: { type: 'one-to-many', target: 'post', inverseSide: 'user' } },
})
const Post = new EntitySchema({
  name: 'post',
  tableName: 'posts',
  columns: { id: { type: 'uuid', primary: true, generated: 'uuid' }, title: { type: 'text' } },
  relations: { user: { type: 'many-to-one', target: 'user', inverseSide: 'posts' } },
})
const source = new DataSource({ type: 'postgres', url, entities: [User, Post], uuidExtension: 'pgcrypto', installExtensions: false })

await check('tables', async () => {
  await source.initialize()
  await source.synchronize(true)
  await source.synchronize() // compares with what there is: a page of catalog queries
  return (await source.createQueryRunner().getTable('users')).columns.map(({ name, type }) => [name, type])
})
const users = source.getRepository(User)

await check('create, read, update, delete', async () => {
  await users.save([{ name: 'Ada', born: new Date('1815-12-10T00:00:00Z'), extra: { first: true } }, { name: 'Bob' }, { name: 'Cyd' }])
  await source.getRepository(Post).save({ title: 'first', user: { id: 1 } })
  const updated = await users.update({ name: 'Bob' }, { karma: 5 })
  const deleted = await users.delete({ name: 'Cyd' })
  await users.increment({ name: 'Ada' }, 'karma', 10)
  const found = await users.find({ relations: { posts: true }, order: { id: 'ASC' } })
  return [
    updated.affected,
    deleted.affected,
    found.map(({ posts, ...user }) => [user, posts.map(({ title }) => title)]),
    await users.findAndCount(),
  ]
})

await check('transactions', async () => {
  const code = await codeOf(
    source.transaction('SERIALIZABLE', async (manager) => {
      await manager.insert(User, { name: 'Dan' })
      await manager.insert(User, { name: 'Ada' })
    }),
  )
  await source.transaction(async (manager) => {
    const ada = await manager.findOne(User, { where: { name: 'Ada' }, lock: { mode: 'pessimistic_write' } })
    await manager.transaction((nested) => nested.save(User, { ...ada, karma: 11 }))
  })
  return [code, await users.count(), (await users.findOneBy({ name: 'Ada' })).karma]
})

await check('a runner of its own', async () => {
  const runner = source.createQueryRunner()
  await runner.connect()
  await runner.startTransaction('REPEATABLE READ')
  await runner.query('UPDATE users SET karma = 0')
  await runner.rollbackTransaction()
  const rows = await runner.query('SELECT name, karma FROM users WHERE id = $1', [1])
  await runner.release()
  return rows
})

await check('upsert', async () => {
  await users.upsert({ name: 'Ada', karma: 20 }, ['name'])
  return (await users.findOneBy({ name: 'Ada' })).karma
})

await check('many at once', async () => {
  const found = await Promise.all(Array.from({ length: 50 }, () => users.findOneBy({ id: 1 })))
  return found.map(({ name }) => name)
})

await check('errors', async () => [
  await codeOf(users.insert({ name: 'Ada' })),
  await codeOf(source.query('SELECT nothing')),
  await codeOf(source.getRepository(Post).insert({ title: 'x', user: { id: 999 } })),
])

await check('a stream', async () => {
  const seen = []
  for await (const row of await users.createQueryBuilder('u').select('u.name', 'name').orderBy('u.id').stream()) seen.push(row)
  return seen
})

await source.dropDatabase()
await source.destroy()
done()
