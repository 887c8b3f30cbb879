// The library's door on real servers: every form of query(), clients that bind late, transactions, settings, streams,
// events and counters, and what is left behind afterwards.
import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import pg from 'pg'
import Cursor from 'pg-cursor'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'
import QueryStream from 'pg-query-stream'
import t from 'tap'
import { stringify } from 'yaml'
import { until } from '../../src/embedded/until.js'
import { createRouter, type RoutedClient } from '../../src/index.js'
import { withTopology } from '../support/topology.js'
import { router, routerConfig } from '../support/router.js'

const running = await withTopology(t, {
  clusters: {
    main: {
      replicas: 1,
      seed: `CREATE TABLE users (id int PRIMARY KEY, name text); INSERT INTO users SELECT i, 'user ' || i FROM generate_series(1, 50) i;
             CREATE TABLE notes (id int); CREATE TABLE comments (image_id bigint, body text);
             CREATE SEQUENCE counted;
             CREATE FUNCTION lies() RETURNS bigint LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN nextval('counted'); END $$;`,
    },
    media: {
      seed: 'CREATE TABLE images (id int PRIMARY KEY); INSERT INTO images SELECT generate_series(1, 9); CREATE TABLE comments (image_id bigint, body text)',
    },
  },
})
const config = routerConfig(running, {
  default: 'main',
  partitions: { media: { cluster: 'media', tables: ['images'] } },
  sharded: { comments: { clusters: ['main', 'media'], shards: 8, key_type: 'bigint', tables: { comments: 'image_id' } } },
  reads: { default: { consistency: 'session', on_unmet: ['wait 2s', 'primary'] } },
})
const pool = router(t, config)
pool.on('error', () => undefined)
const primary = running.cluster('main').primary.address
const replica = running.cluster('main').replica().address
const checkOut = (): Promise<RoutedClient> => pool.connect()

t.test('it is a pg.Pool, by instance and by name', (t) => {
  t.ok(pool instanceof pg.Pool)
  t.match((Object.getPrototypeOf(pool) as object).constructor.name, /Pool/)
  t.match(pool, { ending: false, ended: false, expiredCount: 0 })
  t.equal(pool.options.max, 5)
  t.end()
})

t.test('every form of query()', async (t) => {
  const text = 'SELECT id, name FROM users WHERE id = $1'
  const expected = [{ id: 7, name: 'user 7' }]
  t.same((await pool.query('SELECT id, name FROM users WHERE id = 7')).rows, expected)
  t.same((await pool.query(text, [7])).rows, expected)
  t.same((await pool.query({ text, values: [7] })).rows, expected)
  t.same((await pool.query({ text, values: [1] }, [7])).rows, expected, 'values as an argument win, as in pg')
  t.same((await pool.query({ name: 'by-id', text, values: [7] })).rows, expected)
  t.same((await pool.query({ text, values: [7], rowMode: 'array' })).rows, [[7, 'user 7']])
  const types = { getTypeParser: () => (value: string) => `<${value}>` } as unknown as pg.CustomTypesConfig
  t.same((await pool.query({ text, values: [7], types })).rows, [{ id: '<7>', name: '<user 7>' }])
  const result = await new Promise((resolve) => {
    pool.query(text, [7], (error, result) => {
      resolve([error, result.rows])
    })
  })
  t.same(result, [null, expected])
  const failed = await new Promise<{ code?: string }>((resolve) => {
    pool.query('SELECT nonsense', (error) => {
      resolve(error as { code?: string })
    })
  })
  t.equal(failed.code, '42703')
  await t.rejects(pool.query('SELEC'), { code: '42601' })
  await t.rejects(pool.query({ text, values: 'no array' as unknown as unknown[] }), /Query values must be an array/)
  t.throws(() => pool.query(null as unknown as string), TypeError)
  const several = (await pool.query('SELECT 1 AS a; SELECT 2 AS b')) as unknown as pg.QueryResult[]
  t.same(
    several.map(({ rows }) => rows as unknown),
    [[{ a: 1 }], [{ b: 2 }]],
  )
})

t.test('a result says where it ran and why, without changing how it compares', async (t) => {
  const read = await pool.query('SELECT count(*) FROM users')
  t.match(read.routed, { cluster: 'main', node: replica, role: 'replica', step: /first|wait/ })
  t.type(read.routed?.boundMs, 'number')
  t.match(read.routed?.why.at(-1)?.rule, /./)
  t.notOk(Object.keys(read).includes('routed'))
  t.match(JSON.parse(JSON.stringify(read.routed)), { cluster: 'main' }, 'where it ran can be written to a log as JSON')
  const write = await pool.query("UPDATE users SET name = 'seven' WHERE id = 7")
  t.match(write.routed, { cluster: 'main', node: primary, role: 'primary' })
  t.match((await pool.query('SELECT * FROM images')).routed, { cluster: 'media' })
})

t.test('a write is seen by the read right after it, fifty times', async (t) => {
  for (let n = 0; n < 50; n++) {
    await pool.query('UPDATE users SET name = $1 WHERE id = 3', [`n${String(n)}`])
    const { rows } = await pool.query<{ name: string }>('SELECT name FROM users WHERE id = 3')
    t.equal(rows[0]?.name, `n${String(n)}`)
  }
})

t.test('options of one query', async (t) => {
  t.equal((await pool.query({ text: 'SELECT id FROM users', consistency: 'strong' })).routed?.node, primary)
  t.equal((await pool.query({ text: 'SELECT id FROM users', consistency: 'any' })).routed?.node, replica)
  t.equal((await pool.query({ text: 'SELECT id FROM users', maxStaleness: 0 })).routed?.node, primary)
  const bounded = await pool.query({ text: 'SELECT id FROM users', consistency: { maxStaleness: '1h' } })
  t.equal(bounded.routed?.node, replica)
  t.ok((bounded.routed?.boundMs ?? Infinity) <= 3_600_000)
  await t.rejects(pool.query({ text: 'SELECT id FROM users', maxStaleness: 'soon' }), { code: '22023' })
  await t.rejects(pool.query({ text: '/* pointsman: consistency=any */ SELECT id FROM users', consistency: 'strong' }), { code: '22023' })
})

t.test('shard keys of every JavaScript kind find the same shard', async (t) => {
  const clusters = new Set<string>()
  for (let key = 1; key <= 12; key++) {
    const insert = { text: 'INSERT INTO comments VALUES ($1, $2)', values: [key, 'x'] }
    const { routed } = await pool.query(insert)
    t.match(await pool.explain(insert), { cluster: routed?.cluster })
    for (const same of [String(key), BigInt(key)]) {
      const read = await pool.query('SELECT image_id FROM comments WHERE image_id = $1', [same])
      t.same([read.routed?.cluster, read.rows], [routed?.cluster, [{ image_id: String(key) }]])
    }
    const list = await pool.query('SELECT body FROM comments WHERE image_id = ANY($1)', [[key]])
    t.same([list.routed?.cluster, list.rows.length], [routed?.cluster, 1])
    const hinted = await pool.query({ text: 'SELECT image_id FROM comments', shardKey: key })
    t.equal(hinted.routed?.cluster, routed?.cluster)
    clusters.add(routed?.cluster ?? '')
  }
  t.same([...clusters].sort(), ['main', 'media'])
  t.equal((await pool.query('SELECT * FROM comments')).rowCount, 12)
  await t.rejects(pool.query('SELECT * FROM comments WHERE image_id = $1', [{ no: 'key' }]))
})

t.test('explain() is the plan, and runs nothing', async (t) => {
  t.match(await pool.explain('SELECT * FROM users WHERE id = $1', [1]), { kind: 'one', cluster: 'main', role: 'replica' })
  t.match(await pool.explain('DELETE FROM users'), { kind: 'one', role: 'primary', writes: true })
  t.match(await pool.explain('SELECT * FROM users u JOIN images i ON i.id = u.id'), { kind: 'refuse', error: 'feature_not_supported' })
  t.match(await pool.explainText('SELECT * FROM users'), /main/)
  t.equal((await pool.query('SELECT count(*)::int AS n FROM users')).rows[0].n, 50)
})

t.test('a refusal is an error with SQLSTATE and a way out', async (t) => {
  const error = await pool.query('SELECT * FROM users u JOIN images i ON i.id = u.id').catch((error: unknown) => error)
  t.match(error, { name: 'PointsmanError', code: '0A000', hint: /./ })
})

t.test('a transaction lives on one server; BEGIN waits to see which', async (t) => {
  const client = await checkOut()
  t.equal(client.processID, null, 'bound to nothing yet')
  t.equal((await client.query('BEGIN')).command, 'BEGIN')
  t.equal(client.getTransactionStatus(), 'T')
  const inserted = await client.query('INSERT INTO notes VALUES (42) RETURNING id')
  t.equal(inserted.routed?.node, primary)
  t.type(client.processID, 'number')
  const read = await client.query('SELECT id FROM notes WHERE id = 42')
  t.same([read.rows, read.routed?.node], [[{ id: 42 }], primary])
  t.equal((await client.query('ROLLBACK')).command, 'ROLLBACK')
  t.equal(client.getTransactionStatus(), 'I')
  t.same((await client.query('SELECT id FROM notes WHERE id = 42')).rows, [])
  client.release()
})

t.test('a READ ONLY transaction may live on a replica', async (t) => {
  const client = await checkOut()
  await client.query('BEGIN READ ONLY')
  t.equal((await client.query({ text: 'SELECT 1 FROM users', consistency: 'any' })).routed?.node, replica)
  t.equal((await client.query('SELECT 2 FROM users')).routed?.node, replica)
  await t.rejects(client.query('UPDATE users SET id = id'), { code: /25006|0A000/ as unknown as string })
  await client.query('ROLLBACK')
  client.release()
})

t.test('an error fails the transaction until it ends; a refusal does too', async (t) => {
  for (const wrong of ['SELECT 1/0 FROM users', 'SELECT * FROM images']) {
    const client = await checkOut()
    await client.query('BEGIN')
    await client.query('INSERT INTO notes VALUES (43)')
    await t.rejects(client.query(wrong))
    t.equal(client.getTransactionStatus(), 'E')
    await t.rejects(client.query('SELECT 1 FROM users'), { code: '25P02' })
    t.equal((await client.query('COMMIT')).command, 'ROLLBACK')
    t.same((await client.query('SELECT id FROM notes WHERE id = 43')).rows, [])
    client.release()
  }
})

t.test('a client released in a transaction leaves nothing behind', async (t) => {
  const client = await checkOut()
  await client.query('BEGIN')
  await client.query('INSERT INTO notes VALUES (44)')
  client.release()
  t.throws(() => {
    client.release()
  }, /already been released/)
  await t.rejects(client.query('SELECT 1'), /released/)
  const again = await checkOut()
  t.same((await again.query({ text: 'SELECT id FROM notes WHERE id = 44', consistency: 'strong' })).rows, [])
  again.release()
})

t.test('settings follow their client and nobody else', async (t) => {
  const [one, other] = [await checkOut(), await checkOut()]
  await one.query("SET application_name = 'one'")
  const name = async (client: { query: RoutedClient['query'] }, consistency: 'any' | 'strong'): Promise<string> =>
    (await client.query<{ n: string }>({ text: "SELECT current_setting('application_name') AS n FROM users LIMIT 1", consistency })).rows[0]
      ?.n ?? ''
  for (const consistency of ['any', 'strong'] as const) {
    t.equal(await name(one, consistency), 'one', consistency)
    t.equal(await name(other, consistency), '', consistency)
  }
  await one.query('BEGIN')
  await one.query("SET application_name = 'undone'")
  t.equal(await name(one, 'strong'), 'undone')
  await one.query('ROLLBACK')
  t.equal(await name(one, 'strong'), 'one')
  one.release()
  other.release()
  for (let n = 0; n < 6; n++) t.equal(await name(pool, 'strong'), '')
})

t.test('temporary tables and LISTEN keep their connection, and are gone afterwards', async (t) => {
  const client = await checkOut()
  await client.query('CREATE TEMP TABLE mine (id int)')
  await client.query('INSERT INTO mine VALUES (1)')
  t.same((await client.query('SELECT id FROM mine')).rows, [{ id: 1 }])
  const heard = once(client, 'notification')
  await client.query('LISTEN news')
  await pool.query("NOTIFY news, 'hello'")
  t.match((await heard)[0], { channel: 'news', payload: 'hello' })
  client.release()
  await t.rejects(pool.query({ text: 'SELECT id FROM mine', consistency: 'strong' }), { code: '42P01' })
})

t.test('a function that lies about being read-only runs on the primary after all', async (t) => {
  let misrouted = 0
  const off = pool.events.on('read.misrouted', () => misrouted++)
  t.teardown(off)
  const { routed } = await pool.query({ text: 'SELECT lies()', consistency: 'any' })
  t.equal(routed?.node, primary)
  t.equal(misrouted, 1)
})

t.test('notices, type parsers and escapes', async (t) => {
  const client = await checkOut()
  const noticed = once(client, 'notice')
  await client.query("DO $$ BEGIN RAISE NOTICE 'look'; END $$")
  t.match((await noticed)[0], { message: 'look' })
  client.setTypeParser(pg.types.builtins.INT4, (value: string) => `int ${value}`)
  t.same((await client.query('SELECT id FROM users WHERE id = 1')).rows, [{ id: 'int 1' }])
  const real = new pg.Client()
  for (const text of [`it's`, 'a\\b', '"x"', '']) {
    t.equal(client.escapeLiteral(text), real.escapeLiteral(text))
    t.equal(client.escapeIdentifier(text), real.escapeIdentifier(text))
  }
  client.release()
  t.same((await pool.query({ text: 'SELECT id FROM users WHERE id = 1', consistency: 'strong' })).rows, [{ id: 1 }])
})

t.test('a prepared statement by its name alone, whichever server it meets', async (t) => {
  const client = await pool.connect()
  await client.query({ name: 'mine', text: 'SELECT id FROM users WHERE id = $1', values: [1] })
  for (const consistency of ['any', 'strong'] as const) {
    const { rows } = await client.query({ name: 'mine', values: [2], consistency } as unknown as { text: string })
    t.same(rows, [{ id: 2 }], consistency)
  }
  await t.rejects(client.query({ values: [2] } as unknown as { text: string }), /either text or a name/)
  client.release()
})

t.test('cursors, query streams and COPY, returned at once', async (t) => {
  const client = await pool.connect()
  const cursor = client.query(new Cursor<{ id: number }>('SELECT id FROM users WHERE id <= $1 ORDER BY id', [5]))
  t.same(
    (await cursor.read(2)).map(({ id }) => id),
    [1, 2],
  )
  await cursor.close()
  const wrong = client.query(new Cursor('SELECT * FROM users u JOIN images i ON true'))
  await t.rejects(wrong.read(1), { code: '0A000' })
  const ids: number[] = []
  for await (const row of client.query(new QueryStream('SELECT id FROM users ORDER BY id', [], { batchSize: 7 })))
    ids.push((row as { id: number }).id)
  t.equal(ids.length, 50)
  const into = client.query(copyFrom('COPY notes FROM STDIN'))
  into.end('100\n101\n')
  await once(into, 'finish')
  let out = ''
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      out += chunk.toString()
      done()
    },
  })
  await pipeline(client.query(copyTo('COPY (SELECT id FROM notes WHERE id >= 100 ORDER BY id) TO STDOUT')), sink)
  t.equal(out, '100\n101\n')
  client.release()
  const through: number[] = []
  for await (const row of pool.query(new QueryStream('SELECT id FROM users WHERE id < 4'))) through.push((row as { id: number }).id)
  t.equal(through.length, 3)
})

const busy = (): number => (pool.snapshot()?.pools ?? []).reduce((sum, pool) => sum + pool.busy, 0)

t.test('a cursor or stream that is closed before it reached a server takes no connection', async (t) => {
  const text = 'SELECT id FROM users'
  const cursor = pool.query(new Cursor(text))
  await cursor.close()
  t.same(await cursor.read(1), [])
  pool.query(new QueryStream(text)).destroy()
  pool.query(copyTo(`COPY (${text}) TO STDOUT`)).destroy()
  const client = await checkOut()
  await client.query(new Cursor(text)).close()
  t.same((await client.query('SELECT 1 AS n')).rows, [{ n: 1 }], 'what follows goes on')
  client.release()
  await until('nothing is out', () => Promise.resolve(busy() === 0))
  const used = pool.query(new Cursor(text))
  t.equal((await used.read(3)).length, 3)
  await used.close()
})

t.test('a client that leaves with a cursor open takes its connection with it, and what waited behind is refused', async (t) => {
  const client = await checkOut()
  const cursor = client.query(new Cursor('SELECT id FROM users'))
  const behind = ['BEGIN', "UPDATE users SET name = 'x'"].map((text) => t.rejects(client.query(text), /released/))
  client.release()
  await Promise.all(behind)
  await t.rejects(cursor.read(1))
  await until('nothing is out', () => Promise.resolve(busy() === 0))
  t.not((await pool.query({ text: 'SELECT name FROM users WHERE id = 1', consistency: 'strong' })).rows[0].name, 'x')
})

t.test('what a stream has written is seen by whoever hears of its end', async (t) => {
  const main = running.cluster('main')
  const own = router(t, routerConfig(running, { default: 'main', reads: { default: { consistency: 'session', on_unmet: ['primary'] } } }))
  await own.query('SELECT count(*) FROM notes')
  await main.replica().pauseReplay()
  t.teardown(() => main.replica().resumeReplay())
  for (let n = 200; n < 210; n++) {
    const into = own.query(copyFrom('COPY notes FROM STDIN'))
    const read = new Promise<pg.QueryResult>((resolve, reject) => {
      into.once('finish', () => void own.query('SELECT id FROM notes WHERE id = $1', [n]).then(resolve, reject))
    })
    into.end(`${String(n)}\n`)
    t.same((await read).rows, [{ id: n }])
  }
})

t.test('BEGIN through pool.query() is refused: its COMMIT could never find it', async (t) => {
  await t.rejects(pool.query('BEGIN'), { code: '0A000' })
  t.same((await pool.query('SHOW pointsman.last_route')).rows.length, 1)
  t.same((await pool.query('')).rows, [])
})

t.test('connect() with a callback, events and counters', async (t) => {
  const seen: string[] = []
  for (const event of ['acquire', 'release'] as const) pool.on(event, () => seen.push(event))
  await new Promise<void>((resolve, reject) => {
    pool.connect((error, client, release) => {
      if (error !== undefined || client === undefined) {
        reject(error ?? new Error('no client'))
        return
      }
      client.query('SELECT 1 AS one', (_error, result) => {
        t.same(result.rows, [{ one: 1 }])
        release()
        resolve()
      })
    })
  })
  await new Promise((resolve) => setImmediate(resolve))
  t.same(seen, ['acquire', 'release'])
  t.ok(pool.totalCount > 0)
  t.equal(pool.waitingCount, 0)
  t.equal(pool.idleCount, pool.totalCount)
})

t.test('pool.query() tells of the connections it takes and gives back; one that breaks while idle is an error of the pool', async (t) => {
  const own = router(t, config)
  const seen: string[] = []
  for (const event of ['connect', 'acquire', 'release', 'remove'] as const) own.on(event, () => seen.push(event))
  await own.ready()
  await own.query({ text: 'SELECT id FROM users', consistency: 'strong' })
  await until('it is given back', () => Promise.resolve(seen.includes('release')))
  t.same(seen, ['connect', 'acquire', 'release'])
  const broken: [Error & { code?: string }, pg.PoolClient][] = []
  own.on('error', (...args) => broken.push(args))
  const pids = await own.query<{ pid: number }>({ text: 'SELECT pg_backend_pid() AS pid', consistency: 'strong' })
  await running.cluster('main').primary.sql(`SELECT pg_terminate_backend(${String(pids.rows[0]?.pid)})`)
  await until('the loss is noticed', () => Promise.resolve(broken.length > 0))
  t.equal(broken[0]?.[0].code, '57P01')
  t.ok(broken[0]?.[1] instanceof pg.Client)
  t.ok(seen.includes('remove'))
})

t.test('many at once: each its own answer, and no warning of leaks', async (t) => {
  const warnings: Error[] = []
  const listen = (warning: Error): void => void warnings.push(warning)
  process.on('warning', listen)
  t.teardown(() => process.off('warning', listen))
  const rows = await Promise.all(Array.from({ length: 100 }, (_, n) => pool.query('SELECT $1::int AS n FROM users LIMIT 1', [n])))
  t.same(
    rows.map(({ rows }) => rows[0].n as number),
    Array.from({ length: 100 }, (_, n) => n),
  )
  await new Promise((resolve) => setImmediate(resolve))
  t.same(warnings, [])
})

t.test('a reload that is refused changes nothing, and is told like any other', async (t) => {
  const file = join(t.testdir(), 'pointsman.yaml')
  const text = stringify(config)
  writeFileSync(file, text)
  const own = createRouter({ pg, file })
  t.teardown(() => own.end())
  const told: string[] = []
  own.events.on('config.reloaded', ({ outcome, problems }) => told.push(`${outcome} ${problems.join()}`))
  writeFileSync(file, text.replace('default: main', 'default: elsewhere'))
  t.match(await own.reload(), { outcome: 'refused', generation: 1, problems: [{ path: /default/, line: Number }] })
  writeFileSync(file, text.replace(/^  app:$/m, '  other:'))
  t.match(await own.reload(), { outcome: 'refused', problems: [{ found: 'app' }] }, 'without the database that it is for')
  rmSync(file)
  t.match(await own.reload(), { outcome: 'refused', problems: [{ message: /ENOENT/ }] })
  writeFileSync(file, text)
  t.match(await own.reload(), { outcome: 'unchanged', generation: 1 })
  t.match(told, [/^refused .*default/, /^refused .*app/, /^refused .*ENOENT/, /^unchanged/])
  t.same((await own.query('SELECT 1 AS n')).rows, [{ n: 1 }])
})

t.test('what `connect` listeners set stands on every connection, also after a scrub', async (t) => {
  const own = router(t, config)
  own.on('connect', (client) => void client.query("SET statement_timeout = '7s'"))
  const setting = async (): Promise<string> =>
    (await own.query<{ s: string }>({ text: "SELECT current_setting('statement_timeout') AS s FROM users LIMIT 1", consistency: 'strong' }))
      .rows[0]?.s ?? ''
  t.equal(await setting(), '7s')
  await own.query('CREATE TEMP TABLE scrubbed (id int)')
  for (let n = 0; n < 6; n++) t.equal(await setting(), '7s')
})

t.test('end(): waits for who is out, then takes nothing more', async (t) => {
  const own = router(t, config)
  const client = await own.connect()
  let ended = false
  const end = own.end().then(() => (ended = true))
  t.ok(own.ending)
  await client.query('SELECT 1')
  t.notOk(ended)
  client.release()
  await end
  t.ok(own.ended)
  t.equal(own.totalCount, 0)
  await t.rejects(own.query('SELECT 1'), /after calling end/)
  await t.rejects(own.connect(), /after calling end/)
  await t.rejects(own.end(), /more than once/)
})
