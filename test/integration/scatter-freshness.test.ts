// How fresh a read on several clusters is, on both doors: bounds and floors hold on each cluster by itself. Replay is paused on the
// replica of one of them: there the read takes the primary, waits or is refused, as its policy says; the other cluster's replica goes
// on to be read, and the answer is said to be as old as its oldest part.
import type pg from 'pg'
import t, { type Test } from 'tap'
import type { ConfigInput } from '../../src/config/input.js'
import { until } from '../../src/embedded/until.js'
import { lastRoute, withProxy } from '../support/proxy.js'
import { router, routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const tables = ['plain', 'bound', 'waits', 'strict'] as const
const schema = tables.map((name) => `CREATE TABLE ${name} (key bigint PRIMARY KEY);`).join(' ')
const cluster = { seed: schema, prepare: 'GRANT pg_monitor TO app', replicas: 1 }
const running = await withTopology(t, { clusters: { shard_0: cluster, shard_1: cluster } })
const behind = running.cluster('shard_1').nodes.find(({ port }) => port !== running.cluster('shard_1').primary.port)
if (behind === undefined) throw new Error('no replica')

const config: ConfigInput = routerConfig(running, {
  default: 'shard_0',
  sharded: {
    all: {
      clusters: ['shard_0', 'shard_1'],
      shards: 4,
      by: 'hash',
      key_type: 'bigint',
      tables: Object.fromEntries(tables.map((name) => [name, 'key'])),
    },
  },
  reads: {
    default: { consistency: 'any' },
    tables: {
      bound: { consistency: 'bounded', max_staleness: '2s' },
      waits: { consistency: 'session', on_unmet: ['wait 60s', 'error'] },
      strict: { consistency: 'session', on_unmet: ['error'] },
    },
  },
})

interface Door {
  readonly name: string
  readonly client: Pick<pg.Client, 'query'>
}

const { connect } = await withProxy(t, config)
const pool = router(t, config)
const inside = await pool.connect()
t.teardown(() => inside.release())
const doors: readonly Door[] = [
  { name: 'proxy', client: await connect() },
  { name: 'library', client: inside },
]

/** The key of a row on that cluster, written through the door. */
async function writeOn(cluster: string, { client }: Door, table: string): Promise<number> {
  for (;;) {
    const key = nextKey++
    const insert = { text: `INSERT INTO ${table} VALUES ($1)`, values: [key] }
    // Nothing is written on any other cluster.
    const plan = await pool.explain(insert)
    if (plan.kind !== 'one' || plan.cluster !== cluster) continue
    await client.query(insert)
    return key
  }
}
let nextKey = 1

async function keys({ client }: Door, table: string): Promise<readonly number[]> {
  return (await client.query<{ key: string }>(`SELECT key FROM ${table} ORDER BY key`)).rows.map(({ key }) => Number(key))
}

/** The line of the last route, and the server that each cluster was read on. */
async function route({ client }: Door): Promise<{ readonly line: string; readonly servers: Readonly<Record<string, string>> }> {
  const line = await lastRoute(client as pg.Client)
  const servers = [...line.matchAll(/scatter: (primary|replica) \S+ of (\w+)/g)].map(([, role = '', name = '']) => [name, role])
  return { line, servers: Object.fromEntries(servers) as Record<string, string> }
}

async function untilReadOn(door: Door, table: string, servers: Readonly<Record<string, string>>): Promise<void> {
  await until(`${table} is read on ${JSON.stringify(servers)} through the ${door.name}`, async () => {
    await keys(door, table)
    const on = (await route(door)).servers
    return Object.entries(servers).every(([name, role]) => on[name] === role)
  })
}

const bothReplicas = { shard_0: 'replica', shard_1: 'replica' }

for (const door of doors) {
  t.test(`through the ${door.name}`, async (t) => {
    await untilReadOn(door, 'bound', bothReplicas)
    await t.test('I1: floors of a write on one cluster hold there, and nowhere else', (t) => floors(t, door))
    await t.test('I3: a bound that one cluster breaks is met by its primary; the answer is as old as its oldest part', (t) =>
      bounds(t, door),
    )
  })
}

async function floors(t: Test, door: Door): Promise<void> {
  await until('both replicas are proved to have what was seen before', () =>
    keys(door, 'strict').then(
      () => true,
      () => false,
    ),
  )
  await behind?.pauseReplay()
  const written = await writeOn('shard_1', door, 'waits')
  await t.rejects(keys(door, 'strict'), { message: /shard_1/ }, 'the ladder has no other step')
  const reading = keys(door, 'waits')
  const [read] = await Promise.all([reading, behind?.resumeReplay()])
  t.ok(read.includes(written), 'it waited for its own write')
  t.match((await route(door)).servers, bothReplicas)
}

async function bounds(t: Test, door: Door): Promise<void> {
  await untilReadOn(door, 'bound', bothReplicas)
  await behind?.pauseReplay()
  try {
    const written = await writeOn('shard_1', door, 'bound')
    await untilReadOn(door, 'bound', { shard_0: 'replica', shard_1: 'primary' })
    t.ok((await keys(door, 'bound')).includes(written))
    await untilReadOn(door, 'plain', bothReplicas)
    await until('the age of the paused replica is told', async () => {
      await keys(door, 'plain')
      const { line } = await route(door)
      return Number(/at worst (\d+) ms old/.exec(line)?.[1]) > 2_000
    })
    const { line } = await route(door)
    const ages = [...line.matchAll(/replica \S+ of \w+ \(bound (\d+) ms/g)].map(([, ms]) => Number(ms))
    t.equal(Number(/at worst (\d+) ms/.exec(line)?.[1]), Math.max(...ages), line)
    if (door.name === 'library') {
      const { routed } = await (door.client as typeof inside).query('SELECT key FROM plain ORDER BY key')
      t.match(routed, { cluster: 'shard_1', role: 'replica' }, 'the route is that of the oldest part')
    }
  } finally {
    await behind?.resumeReplay()
  }
  await untilReadOn(door, 'bound', bothReplicas)
}
