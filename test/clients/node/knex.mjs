// Knex over pg.
import { Readable } from 'node:stream'
import createKnex from 'knex'
import { check, codeOf, done, url } from './cases.mjs'

const knex = createKnex({ client: 'pg', connection: url, searchPath: ['public'] })

await check('a table', async () => {
  await knex.schema.dropTableIfExists('users')
  await knex.schema.createTable('users', (table) => {
    table.increments()
    table.string('name').unique()
    table.integer('karma').defaultTo(0)
    table.jsonb('extra')
  })
  return [await knex.schema.hasTable('users'), await knex('users').columnInfo()]
})

await check('create, read, update, delete', async () => {
  const rows = await knex('users')
    .insert([{ name: 'Ada', extra: { first: true } }, { name: 'Bob' }, { name: 'Cyd' }])
    .returning('*')
  const updated = await knex('users').where({ name: 'Bob' }).update({ karma: 5 })
  const deleted = await knex('users').where({ name: 'Cyd' }).del()
  await knex('users').insert({ name: 'Ada', karma: 9 }).onConflict('name').merge(['karma'])
  return [rows, updated, deleted, await knex('users').orderBy('id')]
})

await check('transactions', async () => {
  const code = await codeOf(
    knex.transaction(
      async (trx) => {
        await trx('users').insert({ name: 'Dan' })
        await trx.transaction((nested) => nested('users').insert({ name: 'Ada' }))
      },
      { isolationLevel: 'repeatable read' },
    ),
  )
  const kept = await knex.transaction(async (trx) => {
    await trx('users').insert({ name: 'Eve' })
    await codeOf(trx.transaction((nested) => nested('users').insert({ name: 'Ada' })))
    return trx('users').count('* as n')
  })
  const readOnly = await codeOf(knex.transaction((trx) => trx('users').del(), { readOnly: true }))
  return [code, kept, readOnly]
})

await check('many at once', async () => {
  const results = await Promise.all(Array.from({ length: 50 }, (_, index) => knex.raw('SELECT ?::int AS n', [index])))
  return results.map(({ rows }) => rows[0].n)
})

await check('errors', async () => [
  await codeOf(knex('users').insert({ name: 'Ada' })),
  await codeOf(knex('nowhere')),
  await codeOf(knex.raw('SELECT nothing')),
])

await check('a stream', async () => {
  let sum = 0
  for await (const { i } of knex.raw('SELECT i FROM generate_series(1, 1000) i').stream({ batchSize: 100 })) sum += i
  return sum
})

await check('batches', async () => {
  await knex.batchInsert(
    'users',
    Array.from({ length: 250 }, (_, index) => ({ name: `user ${index}` })),
    100,
  )
  return knex('users').count('* as n')
})

await check('cancel', async () => {
  const slow = await knex
    .raw('SELECT pg_sleep(60)')
    .timeout(1000, { cancel: true })
    .then(
      () => 'no error',
      (error) => error.name,
    )
  return [slow, (await knex.raw('SELECT 1 AS n')).rows]
})

await check('raw COPY, with a connection of its own', async () => {
  const { default: copy } = await import('pg-copy-streams')
  const { pipeline } = await import('node:stream/promises')
  const client = await knex.client.acquireConnection()
  await pipeline(Readable.from(['copied\n']), client.query(copy.from('COPY users (name) FROM STDIN')))
  await knex.client.releaseConnection(client)
  return knex('users').where({ name: 'copied' }).count('* as n')
})

await knex.destroy()
done()
