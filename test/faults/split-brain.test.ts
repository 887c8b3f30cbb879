// Two primaries, none, and replicas that are cut off: which server is believed, what becomes of what was open on the other,
// and how long anybody waits.
import type pg from 'pg'
import t, { type Test } from 'tap'
import type { EmbeddedNode } from '../../src/embedded/node.js'
import { until } from '../../src/embedded/until.js'
import { lastRoute, withProxy } from '../support/proxy.js'
import { routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, {
  clusters: {
    main: {
      replicas: 2,
      seed: [
        'CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items SELECT g, 0 FROM generate_series(1, 10) g',
        'CREATE TABLE limited (); INSERT INTO limited DEFAULT VALUES; CREATE TABLE guarded (); CREATE TABLE waited ()',
        // A commit that takes as long as one likes: what is deferred runs in it.
        `CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;
         CREATE TABLE slow (id int);
         CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION linger()`,
      ],
    },
  },
})
const main = running.cluster('main')
const [first, heir, other] = main.nodes as unknown as [EmbeddedNode, EmbeddedNode, EmbeddedNode]
const failoverMs = 700
const waitMs = 100
const config = routerConfig(
  running,
  {
    default: 'main',
    reads: {
      default: { consistency: 'any' },
      tables: {
        limited: { consistency: 'bounded', max_staleness: '1ms', on_unmet: ['primary 5', 'stale'] },
        guarded: { consistency: 'any', cut_off: 'refuse' },
        waited: { consistency: 'bounded', max_staleness: '1ms', on_unmet: [`wait ${String(waitMs)}ms`, 'primary'] },
      },
    },
  },
  (_id, cluster) => ({ ...cluster, pool: { max: 80, wait: '10s' }, failover: { wait: `${String(failoverMs)}ms` } }),
)
const { connect, runtime } = await withProxy(t, { ...config, auth: { method: 'trust', users: [{ name: 'app' }] } })
const nodeNow = (id: string) =>
  runtime
    .snapshot()
    .topology.clusters.get('main')
    ?.nodes.find((node) => node.id === id)
const primaryNow = (): string | null => runtime.snapshot().topology.clusters.get('main')?.primary?.id ?? null
const failure = (work: Promise<unknown>): Promise<{ readonly code?: string }> =>
  work.then(
    () => ({}),
    (error: unknown) => error as object,
  )
const closed = (client: pg.Client): Promise<string> =>
  new Promise((resolve) => client.on('error', (error) => resolve((error as { code?: string }).code ?? '')))

/** The nodes that answer `sql`, over some reads. */
async function answering(sql: string): Promise<Set<string>> {
  const client = await connect()
  const found = new Set<string>()
  for (let n = 0; n < 20; n++) {
    await client.query(sql)
    found.add((await lastRoute(client)).split(' ')[1] ?? '')
  }
  await client.end()
  return found
}

/** A pump of writes, so that a replica that stands still falls behind. */
function keepWriting(t: Test, node: EmbeddedNode): void {
  const stop = new AbortController()
  const pump = (async () => {
    while (!stop.signal.aborted) await node.sql('UPDATE items SET n = n + 1 WHERE id = 10')
  })()
  t.teardown(async () => {
    stop.abort()
    await pump
  })
}

t.test('I12: with all replicas behind, 64 readers put no more on the primary than the rung allows', async (t) => {
  const readers = await Promise.all(Array.from({ length: 64 }, () => connect()))
  await Promise.all([heir, other].map((replica) => replica.pauseReplay()))
  t.teardown(() => Promise.all([heir, other].map((replica) => replica.resumeReplay())))
  keepWriting(t, first)
  const read = 'SELECT count(*) FROM limited, pg_sleep(0.02) AS spilled'
  const roles = { primary: 0, replica: 0 }
  const stop = new AbortController()
  const work = readers.map(async (client) => {
    while (!stop.signal.aborted) {
      await client.query(read)
      roles[(await lastRoute(client)).startsWith('primary') ? 'primary' : 'replica'] += 1
    }
  })
  const seen: number[] = []
  const counting = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE query LIKE '%AS spilled' AND state = 'active'"
  await until('many reads were made on both', async () => {
    const [row] = await first.sql(counting)
    seen.push(Number(row?.['n']))
    return roles.primary > 100 && roles.replica > 100 && seen.length > 30
  })
  stop.abort()
  await Promise.all(work)
  const most = Math.max(...seen)
  t.ok(most > 0 && most <= 5, `at most ${String(most)} at once; ${JSON.stringify(roles)}`)
  await Promise.all(readers.map((client) => client.end()))
})

t.test('cut_off: a replica that lost its link answers only where the policy lets it', async (t) => {
  await heir.cutLink()
  await until('it is known to be cut off', () => Promise.resolve(nodeNow(heir.address)?.receiving === false))
  t.same([...(await answering('SELECT count(*) FROM guarded'))], [other.address])
  t.ok((await answering('SELECT count(*) FROM items')).has(heir.address))
  await other.cutLink()
  await until('both are', () => Promise.resolve(nodeNow(other.address)?.receiving === false))
  t.same([...(await answering('SELECT count(*) FROM guarded'))], [first.address])
  await Promise.all([heir, other].map((replica) => replica.restoreLink()))
  await until('they are back', () => Promise.resolve([heir, other].every(({ address }) => nodeNow(address)?.receiving === true)))
  t.notOk((await answering('SELECT count(*) FROM guarded')).has(first.address))
})

t.test(
  'another server is promoted while the primary lives: nothing that was open there can commit, and it gets nothing more',
  async (t) => {
    const [began, committing, idle, waiting] = await Promise.all([connect(), connect(), connect(), connect()])
    const told = closed(began)
    await began.query('BEGIN')
    await began.query('UPDATE items SET n = 1000 WHERE id = 1')
    await committing.query('BEGIN')
    await committing.query('INSERT INTO slow VALUES (1)')
    const commit = failure(committing.query('COMMIT'))
    await until(
      'the commit is under way',
      async () => (await first.sql("SELECT 1 FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'")).length > 0,
    )
    await idle.query('UPDATE items SET n = 1 WHERE id = 2')
    await main.waitCaughtUp()
    await heir.promote()
    await other.follow(heir)
    t.equal(await told, '08006', 'its transaction is lost, and it is told')
    t.match(await commit, { code: '08007' }, 'nobody knows what became of a commit under way')
    t.equal(primaryNow(), heir.address)
    // A server notices that its client has gone when it next listens to it: what waits for a COMMIT ends there and then.
    const open = "SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    await until('the old one has nothing open any more', async () => (await first.sql(open)).length === 0)
    t.same(await first.sql('SELECT n FROM items WHERE id = 1'), [{ n: 0 }])
    await idle.query('UPDATE items SET n = 2 WHERE id = 2')
    await waiting.query('UPDATE items SET n = 3 WHERE id = 3')
    t.same(await heir.sql('SELECT n FROM items WHERE id IN (2, 3) ORDER BY id'), [{ n: 2 }, { n: 3 }])
    t.same(await first.sql('SELECT n FROM items WHERE id IN (2, 3) ORDER BY id'), [{ n: 1 }, { n: 0 }])
  },
)

t.test('the old primary dies, and comes back as one while the new one lives: not one write and no bounded read goes there', async (t) => {
  await first.kill9()
  await first.start()
  await until('it has been seen', () => Promise.resolve(nodeNow(first.address)?.role === 'primary'))
  t.equal(primaryNow(), heir.address)
  t.match(nodeNow(first.address)?.unfit, /old primary|timeline/)
  const before = await first.sql('SELECT sum(n)::int AS n FROM items')
  const clients = await Promise.all(Array.from({ length: 8 }, () => connect()))
  await Promise.all(
    clients.map(async (client) => {
      for (let n = 0; n < 20; n++) await client.query('UPDATE items SET n = n + 1 WHERE id = 4')
    }),
  )
  t.same(await heir.sql('SELECT n FROM items WHERE id = 4'), [{ n: 160 }])
  t.same(await first.sql('SELECT sum(n)::int AS n FROM items'), before)
  t.notOk((await answering('SELECT count(*) FROM waited')).has(first.address))
  t.notOk((await answering('SELECT count(*) FROM items')).has(first.address))
})

t.test(
  'I10: the primary dies and nobody is promoted: no read hangs beyond its budget, and writes that come late wait no more',
  async (t) => {
    const [strong, waited, writer] = await Promise.all([connect(), connect(), connect()])
    await strong.query("SET pointsman.consistency = 'strong'")
    await heir.kill9()
    await first.stop('immediate')
    const took = async (work: Promise<unknown>): Promise<{ readonly code: string | undefined; readonly ms: number }> => {
      const since = performance.now()
      const { code } = await failure(work)
      return { code, ms: performance.now() - since }
    }
    const early = await Promise.all([
      took(strong.query('SELECT n FROM items')),
      took(waited.query('SELECT count(*) FROM waited')),
      took(writer.query('UPDATE items SET n = 0')),
    ])
    t.same(
      early.map(({ code }) => code),
      ['57P03', '57P03', '25006'],
    )
    // A dead server refuses at once; what is waited for is the failover, once, and the time it takes to notice.
    const slack = 5_000
    for (const { ms } of early) t.ok(ms < waitMs + failoverMs + slack, `${String(Math.round(ms))} ms`)
    await until('the cluster has been without a primary for long enough', () => {
      const { headlessSince } = runtime.snapshot().topology.clusters.get('main') ?? {}
      return Promise.resolve(typeof headlessSince === 'number' && performance.now() - headlessSince > failoverMs)
    })
    const late = await took(writer.query('UPDATE items SET n = 0'))
    t.equal(late.code, '25006')
    t.ok(late.ms < failoverMs, `refused as it comes: ${String(Math.round(late.ms))} ms`)
    t.ok((await answering('SELECT count(*) FROM items')).has(other.address), 'reads go on under their policy')
    t.match(
      await failure((await connect()).query('SELECT count(*) FROM guarded')),
      { code: '57P03' },
      'unless it refuses replicas that are cut off',
    )
  },
)
