// What writers see when the primary dies and a replica is promoted, when it comes back as it was, and when it is exchanged by hand: a
// proxy in a process of its own and a library in this one, each with a monitor of its own. Commits wait for one replica, and the replica
// that has come furthest is promoted, so nothing that was acknowledged may be missing.
import t, { type Test } from 'tap'
import type { EmbeddedNode } from '../../src/embedded/node.js'
import { until } from '../../src/embedded/until.js'
import type { Events } from '../../src/observe/events.js'
import { router, routerConfig } from '../support/router.js'
import { Served } from '../support/served.js'
import { withTopology } from '../support/topology.js'
import { auditWrites, keepWriting, newWriting, writersSchema, type Writing, type WritingClient } from '../support/writers.js'

const running = await withTopology(t, { clusters: { main: { replicas: 2, seed: writersSchema } } })
const main = running.cluster('main')
const first = main.primary
// What stands in postgresql.auto.conf a rebuilt server has too.
const names = main.nodes.map(({ id }) => `"${id}"`).join(', ')
for (const node of main.nodes) await node.sql(`ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (${names})'`)
for (const node of main.nodes) await node.sql('SELECT pg_reload_conf()')

const config = routerConfig(running, { default: 'main', reads: { default: { consistency: 'any' } } }, (_id, cluster) => ({
  ...cluster,
  pool: { max: 12, wait: '20s' },
  failover: { wait: '20s' },
}))
const served = await Served.start(
  t,
  JSON.stringify({ ...config, listen: { port: 0 }, admin: { port: 0 }, auth: { users: [{ name: 'app', password: 'app' }] } }),
)
const pool = router(t, config)
const seen: Events['primary.changed'][] = []
pool.events.on('primary.changed', (event) => void seen.push(event))
const fenced: Events['primary.fenced'][] = []
pool.events.on('primary.fenced', (event) => void fenced.push(event))
await pool.ready()

/** A client of the proxy that is opened anew when it was closed. */
function throughProxy(): () => Promise<WritingClient> {
  let client: WritingClient | null = null
  return async () => (client ??= await reopened(() => (client = null)))
}

async function reopened(gone: () => void): Promise<WritingClient> {
  const client = await served.connect(t)
  let said: unknown = null
  client.on('error', (error) => {
    said ??= error
    gone()
  })
  client.on('end', gone)
  return {
    query: async (query) => {
      try {
        return await client.query<Record<string, unknown>>(query)
      } catch (error) {
        // The last that this connection will ever say.
        if ((error as { severity?: string }).severity === 'FATAL') gone()
        // Told between two statements, of which pg knows nothing any more when it refuses the next.
        throw said ?? error
      }
    },
  }
}

/** A checked-out client of the library, which is good again after any loss. */
function throughLibrary(): () => Promise<WritingClient> {
  const client = pool.connect().then((client) => {
    client.on('error', () => undefined)
    t.teardown(() => client.release())
    return client
  })
  return () => client
}

/** 24 clients of the proxy and 8 of the library. */
function start(writing: Writing, offset: number): Promise<void>[] {
  return Array.from({ length: 32 }, (_, n) => keepWriting(writing, offset + n, n < 24 ? throughProxy() : throughLibrary()))
}

const acks = (writing: Writing): number => writing.acked.size

/** The replica that has received and replayed most. */
async function furthest(nodes: readonly EmbeddedNode[]): Promise<EmbeddedNode> {
  const told = await Promise.all(
    nodes.map(async (node) => {
      const [row] = await node.sql("SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn AS at")
      return { node, at: Number(row?.['at']) }
    }),
  )
  const best = told.sort((a, b) => b.at - a.at)[0]
  if (best === undefined) throw new Error('no replica')
  return best.node
}

/** Promotes the furthest of `nodes`, has the others follow it, and resolves with when writes went on. */
async function failOver(
  writing: Writing,
  nodes: readonly EmbeddedNode[],
): Promise<{ readonly to: EmbeddedNode; readonly resumedMs: number }> {
  const to = await furthest(nodes)
  const before = new Set(writing.acked.keys())
  await to.promote()
  const promotedAt = performance.now()
  for (const node of nodes) if (node !== to) await node.follow(to)
  const since = (): number[] => [...writing.acked].filter(([key]) => !before.has(key)).map(([, { at }]) => at)
  await until('writing goes on', () => Promise.resolve(since().length >= 32))
  return { to, resumedMs: Math.min(...since()) - promotedAt }
}

async function nextXid(node: EmbeddedNode): Promise<string> {
  const [row] = await node.sql('SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS xid')
  return row?.['xid'] ?? ''
}

function tally(writing: Writing): string {
  const counts: Record<string, number> = {}
  for (const { kind, code } of writing.failures) counts[`${kind} ${code}`] = (counts[`${kind} ${code}`] ?? 0) + 1
  return `${String(acks(writing))} acknowledged, ${String(writing.ran)} found by reading back; told: ${JSON.stringify(counts)}`
}

async function end(t: Test, writing: Writing, work: Promise<void>[], primary: EmbeddedNode): Promise<void> {
  writing.going = false
  writing.paused = false
  await Promise.all(work)
  t.comment(tally(writing))
  t.same(await auditWrites(writing, primary), [])
}

t.test('kill -9 of the primary under 32 writers: nothing acknowledged is lost, nothing runs twice, writing goes on', async (t) => {
  const writing = newWriting()
  const work = start(writing, 0)
  await until('writes flow', () => Promise.resolve(acks(writing) > 300))
  await first.kill9()
  const killed = acks(writing)
  const { to, resumedMs } = await failOver(writing, main.replicas)
  t.comment(`writing went on ${resumedMs.toFixed(0)} ms after the promotion`)
  await until('much is written', () => Promise.resolve(acks(writing) > killed + 200))
  // In flight when it died: the outcome is unknown, or the transaction is gone. Nothing else, and each writer once.
  t.same(
    writing.failures.filter(({ kind, code }) => !(code === '08007' || (kind === 'transaction' && code === '08006'))),
    [],
  )
  t.ok(writing.failures.length <= 32, `${String(writing.failures.length)} errors`)

  await t.test('both routers see the same', async (t) => {
    for (const events of [() => served.events('primary.changed'), (): readonly object[] => seen]) {
      await until('it is known', () => Promise.resolve(events().some((event) => 'to' in event && event.to === to.address)))
      t.match(events().slice(-2), [
        { from: first.address, to: null, timeline: 1 },
        { from: null, to: to.address, timeline: 2 },
      ])
    }
  })

  await t.test('the old primary comes back as it was: it is reported, and gets no write', async (t) => {
    await first.start()
    // Nothing waits there for a replica's word: a write that came would stand.
    await first.sql('ALTER SYSTEM RESET synchronous_standby_names')
    await first.sql('SELECT pg_reload_conf()')
    const xid = await nextXid(first)
    const isOld = (event: Readonly<Record<string, unknown>>): boolean =>
      event['node'] === first.address && String(event['reason']).includes('old primary')
    await until('the proxy reports it', () => Promise.resolve(served.events('primary.fenced').some(isOld)))
    await until('the library reports it', () => Promise.resolve(fenced.some(isOld)))
    const late = router(t, config)
    const then = acks(writing)
    await late.query("INSERT INTO keyed VALUES ('late', 63)")
    await late.query('UPDATE counted SET n = n + 1 WHERE writer = 63')
    await until('much is written', () => Promise.resolve(acks(writing) > then + 200))
    t.equal(await nextXid(first), xid, 'no transaction has written there')
    await late.end()
  })

  await t.test('rebuilt, it is a replica that is used', async (t) => {
    // Nothing to be seen of them meanwhile, and a quiet server is sooner copied.
    writing.paused = true
    await first.rebuild(to)
    writing.paused = false
    await until('it answers reads', async () => {
      const { routed } = await pool.query('SELECT count(*) FROM counted')
      return routed?.node === first.address && routed.role === 'replica'
    })
    t.equal((await first.sql('SELECT pg_is_in_recovery() AS r'))[0]?.['r'], 't')
  })
  await end(t, writing, work, to)
})

t.test('a switchover by hand: writers wait, and where nothing was in flight nobody is told anything', async (t) => {
  const before = main.primary
  const writing = newWriting()
  const work = start(writing, 32)
  await until('writes flow', () => Promise.resolve(acks(writing) > 100))
  writing.paused = true
  await until('nothing is in flight', () => Promise.resolve(writing.busy === 0))
  await before.stop('fast')
  writing.paused = false
  await until('writers wait', () => Promise.resolve(writing.busy === 32))
  const { to, resumedMs } = await failOver(writing, main.replicas)
  t.comment(`writing went on ${resumedMs.toFixed(0)} ms after the promotion`)
  before.attach(to)
  await before.start()
  await until('the former primary is a replica that answers', async () => {
    const { routed } = await pool.query('SELECT count(*) FROM counted')
    return routed?.node === before.address && routed.role === 'replica'
  })
  t.same(writing.failures, [])
  await end(t, writing, work, to)
})

t.test(
  'kill -9 of the primary while commits stand on a replica and wait for its word: all of them are found by reading back',
  async (t) => {
    const before = main.primary
    const writing = newWriting()
    const work = start(writing, 64)
    await until('writes flow', () => Promise.resolve(acks(writing) > 100))
    // Nobody's word counts any more: what is committed from here on is replicated, and never acknowledged.
    await before.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await before.sql('SELECT pg_reload_conf()')
    const waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    // As many as may write at a time: the pools of both routers are full.
    await until('commits wait', async () => (await before.sql(waiting)).length >= 20)
    await main.waitCaughtUp()
    await before.kill9()
    const { to, resumedMs } = await failOver(writing, main.replicas)
    t.comment(`writing went on ${resumedMs.toFixed(0)} ms after the promotion`)
    t.same(
      writing.failures.filter(({ code }) => code !== '08007'),
      [],
    )
    await end(t, writing, work, to)
    t.ok(writing.ran >= 20, `${String(writing.ran)} had run`)
  },
)
