// Positions by heartbeat: a logical subscriber, whose log says nothing of the primary's, answers reads as a replica does, and a
// streaming replica beside it by the same row. Both doors; nothing but the provider knows the difference.
import t from 'tap'
import { createFloors } from '../../src/consistency/floors.js'
import { readPolicy } from '../../src/consistency/policy.js'
import { mayAdmit, requirement } from '../../src/consistency/requirement.js'
import type { ClusterConfig } from '../../src/config/config.js'
import type { ClusterInput, ConfigInput } from '../../src/config/input.js'
import type { EmbeddedNode } from '../../src/embedded/node.js'
import { until } from '../../src/embedded/until.js'
import { withProxy, lastRoute } from '../support/proxy.js'
import { router, routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'
import { clusterConfigs, nodeConfig, now, watch } from '../support/watched.js'

const table = `CREATE TABLE heartbeat (one boolean PRIMARY KEY DEFAULT true CHECK (one), beat bigint NOT NULL DEFAULT 0, timeline integer NOT NULL DEFAULT 0);
CREATE TABLE counter (id int PRIMARY KEY, n bigint NOT NULL);`

const running = await withTopology(t, {
  clusters: {
    main: {
      replicas: 1,
      seed: `${table} INSERT INTO heartbeat DEFAULT VALUES; INSERT INTO counter VALUES (1, 0)`,
      settings: { wal_level: 'logical' },
    },
    copy: { seed: table, settings: { wal_level: 'logical' } },
  },
})
const main = running.cluster('main')
const copy = running.cluster('copy').primary
const standby = main.replica()
await main.primary.sql('ALTER ROLE app REPLICATION; CREATE PUBLICATION everything FOR ALL TABLES')
await copy.sql(
  `CREATE SUBSCRIPTION everything CONNECTION 'host=127.0.0.1 port=${String(main.primary.port)} dbname=app user=app password=app' PUBLICATION everything`,
)

const position = { kind: 'heartbeat', schema: 'public', table: 'heartbeat' } as const
const heard = (cluster: ClusterConfig): ClusterConfig => ({
  ...cluster,
  position,
  nodes: [...main.nodes.map(nodeConfig), { ...nodeConfig(copy), subscriber: true }],
})
const config = { clusters: new Map([['main', heard(clusterConfigs(running).clusters.get('main') as ClusterConfig)]]) }

/** A router of the library over the primary and the subscriber alone. */
const doorConfig = (consistency: 'session' | 'any'): ConfigInput => {
  const input = routerConfig(
    running,
    { default: 'main', reads: { default: { consistency, on_unmet: ['wait 2s', 'primary'] } } },
    (_, cluster) => ({
      ...cluster,
      nodes: [main.primary.address, { host: copy.host, port: copy.port, subscriber: true }],
      position: { heartbeat: 'public.heartbeat' },
    }),
  )
  return { ...input, clusters: { main: input.clusters['main'] as ClusterInput } }
}

t.test('a subscriber and a standby are replicas, their positions beats; the primary is found as ever', async (t) => {
  const { monitor, cluster, node, until } = watch(t, config)
  await monitor.ready(10_000)
  await until('all are usable', () =>
    cluster('main').nodes.every(({ unfit, limited, position }) => unfit === null && limited === null && position !== null),
  )
  t.equal(cluster('main').primary?.id, main.primary.address)
  t.same(
    [standby, copy].map(({ address }) => node('main', address).role),
    ['replica', 'replica'],
  )
  const [row] = await main.primary.sql('SELECT beat::text, timeline::text FROM heartbeat')
  t.equal(row?.['timeline'], '1')
  const beat = cluster('main').series.samples.at(-1)?.lsn ?? 0n
  t.ok(beat > 0n && beat <= BigInt(row?.['beat'] ?? '0'), 'a sample is a beat')
  t.notOk(cluster('main').exact)
})

t.test('I1, I2: what was written is seen on the subscriber, and nothing older than what was seen; library', async (t) => {
  const pool = router(t, doorConfig('session'))
  const client = await pool.connect()
  t.teardown(() => client.release())
  let seen = 0
  let replicas = 0
  for (let round = 0; round < 40; round++) {
    const { rows } = await client.query<{ n: string }>('UPDATE counter SET n = n + 1 WHERE id = 1 RETURNING n')
    const wrote = Number(rows[0]?.n)
    for (let again = 0; again < 2; again++) {
      const read = await client.query<{ n: string }>('SELECT n FROM counter WHERE id = 1')
      const n = Number(read.rows[0]?.n)
      if (n < wrote || n < seen) t.fail(`read ${String(n)} after writing ${String(wrote)} and seeing ${String(seen)}`)
      seen = Math.max(seen, n)
      if ((read as { routed?: { role: string } }).routed?.role === 'replica') replicas += 1
    }
  }
  t.ok(replicas > 20, `${String(replicas)} of 80 reads were answered by the subscriber`)
})

t.test('I3: with the subscription stopped a bounded read moves to the primary, and comes back; proxy', async (t) => {
  const { connect } = await withProxy(t, doorConfig('any'))
  const client = await connect()
  const read = async (): Promise<string> => {
    await client.query('/* pointsman: consistency=bounded, max_staleness=1s */ SELECT n FROM counter')
    return (await lastRoute(client)).split(' ')[0] ?? ''
  }
  await until('the subscriber answers', async () => (await read()) === 'replica')
  await copy.sql('ALTER SUBSCRIPTION everything DISABLE')
  t.teardown(() => copy.sql('ALTER SUBSCRIPTION everything ENABLE'))
  const [row] = await main.primary.sql('UPDATE counter SET n = n + 1 RETURNING n::text')
  const at = now()
  const wrong: string[] = []
  await until('the bound moves it', async () => {
    const invoked = now()
    const { rows } = await client.query<{ n: string }>('/* pointsman: consistency=bounded, max_staleness=1s */ SELECT n FROM counter')
    if (invoked - at > 1_000 && Number(rows[0]?.n) < Number(row?.['n']))
      wrong.push(`${String(rows[0]?.n)} after ${(invoked - at).toFixed(0)} ms`)
    return (await lastRoute(client)).startsWith('primary')
  })
  t.same(wrong, [])
  await client.query('SELECT n FROM counter')
  t.match(await lastRoute(client), `replica ${copy.address}`, 'any reads stay')
  await copy.sql('ALTER SUBSCRIPTION everything ENABLE')
  await until('it is back', async () => (await read()) === 'replica')
})

t.test('a subscriber takes no write by mistake', async (t) => {
  // Marked as if it only read: it calls what does not.
  const sly = `CREATE FUNCTION writes() RETURNS bigint VOLATILE LANGUAGE plpgsql AS 'BEGIN UPDATE counter SET n = -1; RETURN 1; END';
CREATE FUNCTION sly() RETURNS bigint STABLE LANGUAGE plpgsql AS 'BEGIN PERFORM writes(); RETURN 1; END'`
  await main.primary.sql(sly, { user: 'app' })
  await copy.sql(sly, { user: 'app' })
  const { connect } = await withProxy(t, doorConfig('any'))
  const pool = router(t, doorConfig('any'))
  const client = await connect()
  await until('the subscriber answers', async () => {
    await client.query('SELECT n FROM counter')
    return (await lastRoute(client)).startsWith(`replica ${copy.address}`)
  })
  const on = async (node: EmbeddedNode): Promise<number> => Number((await node.sql('SELECT n::text FROM counter'))[0]?.['n'])
  await copy.sql('ALTER SUBSCRIPTION everything DISABLE')
  t.teardown(() => copy.sql('ALTER SUBSCRIPTION everything ENABLE'))
  for (const each of [client, pool]) {
    await each.query('SELECT sly()').catch(() => undefined)
    t.not(await on(copy), -1)
  }
  await main.primary.sql('UPDATE counter SET n = 1000')
  await copy.sql('ALTER SUBSCRIPTION everything ENABLE')
  const shown = await client.query<{ default_transaction_read_only: string }>('SHOW default_transaction_read_only')
  t.equal(shown.rows[0]?.default_transaction_read_only, 'off')
})

t.test('a subscriber that still copies a table is not used', async (t) => {
  const { monitor, cluster, node, until } = watch(t, config)
  await monitor.ready(10_000)
  await until('it is usable', () => node('main', copy.address).unfit === null && cluster('main').primary !== null)
  // It cannot copy a row that is there already.
  const late = 'CREATE TABLE late (id int PRIMARY KEY); INSERT INTO late VALUES (1)'
  await main.primary.sql(late, { user: 'app' })
  await copy.sql(late, { user: 'app' })
  await copy.sql('ALTER SUBSCRIPTION everything REFRESH PUBLICATION')
  await until('it is left out', () => (node('main', copy.address).unfit ?? '').includes('still copy'))
  await copy.sql('DELETE FROM late')
  await until('it is back', () => node('main', copy.address).unfit === null)
})

t.test('no table: the primary is used, its replicas are not, and it is said why', async (t) => {
  const without = new Map([['main', { ...(config.clusters.get('main') as ClusterConfig), position: { ...position, table: 'nowhere' } }]])
  const { monitor, cluster, node, until } = watch(t, { clusters: without })
  await monitor.ready(10_000)
  await until('the primary is found', () => cluster('main').primary !== null)
  for (const { address } of [standby, copy]) t.match(node('main', address).unfit, /nowhere.* does not exist/)
  t.equal(cluster('main').series.samples.length, 0)
})

t.test('a lock on the row does not make the primary a server that hangs', async (t) => {
  const { monitor, cluster, until } = watch(t, config)
  await monitor.ready(10_000)
  await until('there is a primary', () => cluster('main').primary !== null)
  const lock = await main.primary.open()
  t.teardown(() => lock.close())
  await lock.query('BEGIN; UPDATE heartbeat SET beat = beat')
  const last = cluster('main').series.samples.at(-1)?.sentAt ?? 0
  const start = now()
  await until('some time passes', () => now() - start > 2_500)
  t.equal(cluster('main').primary?.health, 'up')
  const floors = createFloors()
  const asked = requirement(readPolicy({ consistency: 'bounded', maxStalenessMs: 500 }), floors, cluster('main'), now())
  t.notOk(
    cluster('main').nodes.some((node) => mayAdmit(asked, node)),
    'and proves nothing meanwhile',
  )
  await lock.query('ROLLBACK')
  await until('it beats again', () => (cluster('main').series.samples.at(-1)?.sentAt ?? 0) > last)
})

t.test('promotion: beats of the new timeline only; the subscriber of the old primary falls behind', async (t) => {
  const { monitor, cluster, node, until } = watch(t, config)
  await monitor.ready(10_000)
  await until('all are usable', () => cluster('main').nodes.every(({ limited }) => limited === null))
  await main.waitCaughtUp()
  await main.primary.kill9()
  await until('no primary', () => cluster('main').primary === null)
  await standby.promote()
  await until('the promoted one beats', () => cluster('main').primary?.id === standby.address && cluster('main').series.samples.length > 0)
  t.equal(cluster('main').timeline, 2)
  await monitor.checkNow('main', copy.address)
  t.match(node('main', copy.address).limited, /timeline 1, the primary on 2/)
})
