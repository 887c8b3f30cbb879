// Sequelize 6 over pg.
import { DataTypes, QueryTypes, Sequelize, Transaction } from 'sequelize'
import { check, codeOf, done, url } from './cases.mjs'

const sequelize = new Sequelize(url, { logging: false })
const User = sequelize.define(
  'user',
  { name: { type: DataTypes.STRING, unique: true }, karma: DataTypes.INTEGER, born: DataTypes.DATE },
  { timestamps: false },
)
const Post = sequelize.define('post', { title: DataTypes.TEXT, body: DataTypes.JSONB }, { timestamps: false })
User.hasMany(Post)
Post.belongsTo(User)

await check('tables', async () => {
  await sequelize.authenticate()
  await sequelize.sync({ force: true })
  return (await sequelize.getQueryInterface().showAllTables()).filter((name) => ['users', 'posts'].includes(name)).sort()
})

await check('create, read, update, delete', async () => {
  const ada = await User.create({ name: 'Ada', karma: 1, born: new Date('1815-12-10T00:00:00Z') })
  await User.bulkCreate([{ name: 'Bob', karma: 2 }, { name: 'Cyd' }])
  await ada.createPost({ title: 'first', body: { words: ['a', 'b'] } })
  const updated = await User.update({ karma: 5 }, { where: { name: 'Bob' } })
  const deleted = await User.destroy({ where: { name: 'Cyd' } })
  await ada.increment('karma', { by: 10 })
  const users = await User.findAll({ include: Post, order: ['id'] })
  return [updated, deleted, users.map((user) => user.toJSON()), await User.findAndCountAll({ where: { karma: 11 }, raw: true })]
})

await check('find or create, upsert', async () => {
  const [, created] = await User.findOrCreate({ where: { name: 'Dan' }, defaults: { karma: 3 } })
  const [, again] = await User.findOrCreate({ where: { name: 'Dan' } })
  await User.upsert({ name: 'Dan', karma: 4 })
  return [created, again, (await User.findOne({ where: { name: 'Dan' } })).karma]
})

await check('transactions', async () => {
  const code = await codeOf(
    sequelize.transaction({ isolationLevel: Transaction.ISOLATION_LEVELS.SERIALIZABLE }, async (transaction) => {
      await User.create({ name: 'Eve' }, { transaction })
      await User.create({ name: 'Ada' }, { transaction })
    }),
  )
  await sequelize.transaction(async (transaction) => {
    const ada = await User.findOne({ where: { name: 'Ada' }, lock: transaction.LOCK.UPDATE, transaction })
    await sequelize.transaction({ transaction }, (nested) => ada.update({ karma: 12 }, { transaction: nested }))
  })
  return [code, await User.count(), (await User.findOne({ where: { name: 'Ada' } })).karma]
})

await check('parameters', async () => [
  await sequelize.query('SELECT $1::int + $2::int AS n', { bind: [1, 2], type: QueryTypes.SELECT }),
  await sequelize.query('SELECT :one AS n', { replacements: { one: "it's" }, type: QueryTypes.SELECT }),
])

await check('many at once', async () => {
  const rows = await Promise.all(Array.from({ length: 50 }, () => User.findByPk(1, { raw: true })))
  return rows.map((user) => user.name)
})

await check('errors', async () => [
  await codeOf(User.create({ name: 'Ada' })),
  await codeOf(sequelize.query('SELECT nothing')),
  await codeOf(Post.create({ userId: 999 })),
])

await check('the schema', async () => [await sequelize.getQueryInterface().describeTable('users'), await sequelize.databaseVersion()])

await sequelize.drop()
await sequelize.close()
done()
