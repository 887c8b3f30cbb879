// More clients than connections, on real servers: one user's many do not keep another's one waiting, bounds hold and are told,
// and a storm of clients opens no storm of connections.
import type pg from 'pg'
import t from 'tap'
import { until } from '../../src/embedded/until.js'
import { withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, { clusters: { main: { seed: 'CREATE TABLE t (id int)' } } })
const cluster = {
  dbname: 'app',
  user: 'app',
  password: 'app',
  tls: { mode: 'disable' as const },
  nodes: running.cluster('main').nodes.map((node) => node.address),
}
const proxy = await withProxy(t, {
  version: 1,
  auth: {
    method: 'trust',
    users: [
      { name: 'crowd' },
      { name: 'lone' },
      { name: 'seats', max_clients: 2 },
      { name: 'bound', max_connections: 2, weight: 3 },
      { name: 'ops', max_clients: 1 },
    ],
    default_user: { max_clients: 1000 },
    admins: ['ops'],
  },
  clusters: { main: { ...cluster, pool: { max: 4, wait: '60s' } }, second: { ...cluster, pool: { max: 9, wait: '60s' } } },
  databases: {
    app: { default: 'main' },
    small: { default: 'main', max_clients: 1, max_connections: 3 },
    stormy: { default: 'second' },
  },
})

const pool = (name: string) => proxy.runtime.snapshot().pools.filter((it) => it.cluster === name)

async function many(count: number, options: pg.ClientConfig): Promise<readonly pg.Client[]> {
  return Promise.all(Array.from({ length: count }, () => proxy.connect(options)))
}

t.test('200 clients of one user in transactions: another user’s one is served in turn', async (t) => {
  const crowd = await many(200, { user: 'crowd' })
  const lone = await proxy.connect({ user: 'lone' })
  const done = { crowd: 0, over: false }
  const busy = crowd.map(async (client) => {
    while (!done.over) {
      await client.query('BEGIN')
      await client.query('SELECT pg_sleep(0.002)')
      done.crowd += 1
      await client.query('COMMIT')
    }
  })
  await until('they wait', async () => (pool('main')[0]?.waiting ?? 0) > 150)
  const between: number[] = []
  for (let n = 0; n < 12; n++) {
    const before = done.crowd
    await lone.query('BEGIN')
    await lone.query('SELECT 1')
    between.push(done.crowd - before)
    await lone.query('COMMIT')
  }
  done.over = true
  await Promise.all(busy)
  t.ok(Math.max(...between) < 100, `with ${between.join(', ')} of the others in between; as they came it would be nearly 200`)
})

t.test('max_connections: who is at his bound waits, and nobody else', async (t) => {
  const bound = await many(6, { user: 'bound' })
  let inside = 0
  const ends: (() => void)[] = []
  const work = bound.map(async (client) => {
    await client.query('BEGIN')
    await client.query('SELECT 1')
    inside += 1
    await new Promise<void>((resolve) => ends.push(resolve))
    await client.query('COMMIT')
  })
  await until('two are in', async () => inside === 2)
  await until('four wait', async () => pool('main')[0]?.waiting === 4)
  const lone = await proxy.connect({ user: 'lone' })
  await lone.query('BEGIN')
  t.same((await lone.query('SELECT 1 AS n')).rows, [{ n: 1 }], 'others pass')
  await lone.query('COMMIT')
  t.equal(inside, 2)
  while (inside < 6) {
    const before = inside
    ends.shift()?.()
    await until('the next is in', async () => inside === before + 1)
    t.equal(pool('main')[0]?.waiting, 6 - inside)
  }
  for (const end of ends) end()
  await Promise.all(work)
})

t.test('clients of a user and of a database: 53300 at login, in the words of PostgreSQL; the console tells the limits', async (t) => {
  const first = await proxy.connect({ user: 'seats' })
  await proxy.connect({ user: 'seats' })
  await t.rejects(proxy.connect({ user: 'seats' }), { code: '53300', message: 'too many connections for role "seats" (max_clients 2)' })
  await proxy.connect({ user: 'lone', database: 'small' })
  const tooMany = { code: '53300', message: 'too many connections for database "small" (max_clients 1)' }
  await t.rejects(proxy.connect({ user: 'crowd', database: 'small' }), tooMany)
  await first.end()
  await until('a place is free', async () => (await proxy.connect({ user: 'seats' }).catch(() => null)) !== null)
  await proxy.connect({ user: 'ops' })
  const console = await proxy.connect({ user: 'ops', database: 'pointsman' })
  const users = (await console.query<Record<string, unknown>>('SHOW USERS')).rows
  t.match(
    users.find(({ name }) => name === 'bound'),
    { max_user_connections: 2, max_user_client_connections: 1000 },
  )
  t.match(
    users.find(({ name }) => name === 'seats'),
    { max_user_connections: 0, max_user_client_connections: 2, current_client_connections: 2 },
  )
  const databases = (await console.query<Record<string, unknown>>('SHOW DATABASES')).rows
  t.match(
    databases.find(({ name }) => name === 'small'),
    { max_connections: 3, max_client_connections: 1, current_client_connections: 1 },
  )
})

t.test('a storm of 300 clients opens pool.max connections, at most four at a time', async (t) => {
  const opened = (): number => proxy.events('pool.opened').filter((event) => event.cluster === 'second').length
  const seen = { most: 0, over: false }
  const watch = (async () => {
    while (!seen.over) {
      for (const { opening } of pool('second')) seen.most = Math.max(seen.most, opening)
      await new Promise((resolve) => setImmediate(resolve))
    }
  })()
  // The first of them are greeted with what a server says, so it begins as they log in.
  const clients = await many(300, { user: 'crowd', database: 'stormy' })
  await Promise.all(
    clients.map(async (client) => {
      await client.query('BEGIN')
      await client.query('SELECT pg_sleep(0.005)')
      await client.query('COMMIT')
    }),
  )
  seen.over = true
  await watch
  t.ok(opened() > 1 && opened() <= 9, `opened ${String(opened())}`)
  t.ok(seen.most >= 1 && seen.most <= 4, `${String(seen.most)} at a time`)
})
