// The monitor on real servers: roles and timelines are found, samples bound what a replica misses, and a position that a
// server may have lost is never taken for a proof.
import t from 'tap'
import { createFloors } from '../../src/consistency/floors.js'
import { parseLsn } from '../../src/consistency/lsn.js'
import { readPolicy, type ReadPolicy } from '../../src/consistency/policy.js'
import { admits, mayAdmit, requirement, usablePosition, type ConnectionEvidence } from '../../src/consistency/requirement.js'
import { boundOf } from '../../src/consistency/series.js'
import { positionQuery, readPosition } from '../../src/consistency/position-query.js'
import type { Events } from '../../src/observe/events.js'
import type { EmbeddedNode } from '../../src/embedded/node.js'
import { connectNode } from '../../src/monitor/connect-node.js'
import type { ConnectMonitor, MonitorConnection } from '../../src/monitor/connection.js'
import { withTopology } from '../support/topology.js'
import { clusterConfigs, nodeConfig, now, watch } from '../support/watched.js'

const bounded = (maxStalenessMs: number): ReadPolicy => readPolicy({ consistency: 'bounded', maxStalenessMs })
const session: ReadPolicy = readPolicy({ consistency: 'session' })

const running = await withTopology(t, {
  clusters: {
    main: { replicas: 2, seed: 'CREATE TABLE counter (n bigint); INSERT INTO counter VALUES (0)', prepare: 'GRANT pg_monitor TO app' },
  },
})
const main = running.cluster('main')
const config = clusterConfigs(running)
const [first, second] = main.replicas as [EmbeddedNode, EmbeddedNode]

/** A connection as a pool opens it, with the evidence it gives. */
async function open(node: EmbeddedNode): Promise<{ connection: MonitorConnection; evidence: ConnectionEvidence }> {
  const cluster = config.clusters.get('main')
  if (cluster === undefined) throw new Error('no cluster')
  const login = { user: running.user, password: running.password, dbname: main.dbname }
  const connection = await connectNode(now)(nodeConfig(node), cluster, login, AbortSignal.timeout(10_000))
  const openedAt = now()
  const { inRecovery, lsn, postmasterStart, timeline } = readPosition((await connection.query(positionQuery))[0])
  return { connection, evidence: { node: node.address, openedAt, inRecovery, position: lsn, postmasterStart, timeline } }
}

const write = (): Promise<unknown> => main.primary.sql('UPDATE counter SET n = n + 1')

t.test('roles, timelines and positions are found', async (t) => {
  const { monitor, cluster, node, until } = watch(t, config)
  await monitor.ready(10_000)
  await until('the replicas are usable', () => cluster('main').nodes.every(({ unfit, limited }) => unfit === null && limited === null))
  t.equal(cluster('main').primary?.id, main.primary.address)
  t.same(
    [first, second].map(({ address }) => node('main', address).role),
    ['replica', 'replica'],
  )
  t.equal(cluster('main').timeline, 1)
  t.ok(cluster('main').series.samples.length > 0)
  t.ok(monitor.catalogs().has('main'), 'the catalog is loaded')
})

t.test('the monitor’s own connections have a lifetime, and nothing is forgotten when they are replaced', async (t) => {
  const short = [...config.clusters].map(([id, it]) => [id, { ...it, pool: { ...it.pool, lifetimeMs: 300 } }] as const)
  const { monitor, node, until } = watch(t, { ...config, clusters: new Map(short) })
  await monitor.ready(10_000)
  const connected = new Map<string, Set<number>>()
  const forgotten: unknown[] = []
  await until('each was replaced twice', () => {
    for (const { address } of main.nodes) {
      const { health, unfit, limited, position } = node('main', address)
      if (health !== 'up' || unfit !== null || limited !== null || position === null) forgotten.push([address, health, unfit, limited])
      connected.set(address, (connected.get(address) ?? new Set()).add(position?.connectedAt ?? 0))
    }
    return [...connected.values()].every(({ size }) => size > 2)
  })
  t.same(forgotten, [])
})

t.test('I4: a pending write is never served by a replica, and is resolved by a sample sent after it', async (t) => {
  const { monitor, cluster, node } = watch(t, config)
  await monitor.ready(10_000)
  const floors = createFloors()
  floors.writeStarted('main')
  await monitor.sampleNow('main')
  t.equal(requirement(session, floors, cluster('main'), now()).kind, 'unmet', 'in flight')
  await write()
  floors.writeEnded('main', now())
  t.equal(requirement(session, floors, cluster('main'), now()).kind, 'unmet', 'acknowledged, no sample yet')
  await monitor.sampleNow('main')
  const asked = requirement(session, floors, cluster('main'), now())
  t.equal(asked.kind, 'floor')
  await main.waitCaughtUp()
  await monitor.checkNow('main', first.address)
  t.ok(mayAdmit(asked, node('main', first.address)))
})

t.test('I6: replay paused: the position stalls, the bound grows, the bound is not met; resumed: it is', async (t) => {
  const { monitor, cluster, node, until } = watch(t, config)
  await monitor.ready(10_000)
  await first.pauseReplay()
  t.teardown(() => first.resumeReplay())
  await write()
  await monitor.sampleNow('main')
  const policy = bounded(300)
  const able = (address: string): boolean => {
    monitor.wanted('main')
    return mayAdmit(requirement(policy, createFloors(), cluster('main'), now()), node('main', address))
  }
  await until('the paused replica is too old', () => !able(first.address) && able(second.address))
  const stalled = node('main', first.address)
  t.ok(stalled.health === 'up' && stalled.unfit === null, 'it stays good for reads that may be old')
  t.ok((boundOf(cluster('main').series, stalled.position?.lsn ?? 0n, now()) ?? Infinity) > 300)
  await first.resumeReplay()
  await until('it is used again', () => able(first.address))
})

t.test('I6: on an idle primary a paused or cut replica stays: nothing is missing', async (t) => {
  const { monitor, cluster, node, until } = watch(t, config)
  await monitor.ready(10_000)
  await main.waitCaughtUp()
  await until('its timeline is known', () => node('main', first.address).limited === null)
  await first.cutLink()
  t.teardown(() => first.restoreLink())
  const samples = cluster('main').series.samples.at(-1)?.sentAt ?? 0
  const able = (): boolean => {
    monitor.wanted('main')
    return mayAdmit(requirement(bounded(1_000), createFloors(), cluster('main'), now()), node('main', first.address))
  }
  await until(
    'later samples than the cut still prove it',
    () => (cluster('main').series.samples.at(-1)?.sentAt ?? 0) > samples + 1_500 && able(),
  )
  t.equal(node('main', first.address).limited, null, 'its timeline is still known')
  await write()
  await until('a write makes it too old', () => !able())
  await first.restoreLink()
  await until('it has caught up', able)
})

t.test('I5: an idle primary, a connected replica and a bound of one second: read now and then, it is always good', async (t) => {
  const { monitor, cluster, node, until } = watch(t, config)
  await monitor.ready(10_000)
  await main.waitCaughtUp()
  await until('the replica is usable', () => node('main', second.address).limited === null)
  monitor.wanted('main')
  const start = now()
  const missed: number[] = []
  // The first second is sampled densely; what counts is how it is afterwards.
  await until('some samples were taken', () => {
    const able = mayAdmit(requirement(bounded(1_000), createFloors(), cluster('main'), now()), node('main', second.address))
    if (now() > start + 1_500 && !able) missed.push(now() - start)
    return now() > start + 4_500
  })
  t.same(missed, [])
})

t.test('I7: an insert position behind the header of a page, or of a segment, is met without further WAL', async (t) => {
  const { monitor, cluster, node, until } = watch(t, config)
  await monitor.ready(10_000)
  await until('the replica is usable', () => node('main', first.address).limited === null)
  const sql = await main.primary.open()
  t.teardown(() => sql.close())
  const at = async (): Promise<{ insert: bigint; flush: bigint }> => {
    const [lsn] = await sql.query('SELECT pg_current_wal_insert_lsn()::text AS i, pg_current_wal_flush_lsn()::text AS f')
    return { insert: parseLsn(String(lsn?.['i'])), flush: parseLsn(String(lsn?.['f'])) }
  }
  const emit = (bytes: number): Promise<unknown> =>
    sql.query(`SELECT pg_logical_emit_message(false, 'x', repeat('y', ${String(bytes)}), true)`)
  /** Fills what is left of a page with one record: its headers and the message's own are tried out. */
  const page = async (): Promise<boolean> => {
    for (let overhead = 48; overhead <= 80; overhead += 1) {
      const left = 8192n - ((await at()).insert % 8192n)
      if (left < 120n) await emit(200)
      else await emit(Number(left) - overhead)
      const { insert, flush } = await at()
      if (insert % 8192n === 24n && flush === insert - 24n) return true
    }
    return false
  }
  /** Leaves the rest of the segment unused. */
  const segment = async (): Promise<boolean> => {
    await emit(10)
    await sql.query('SELECT pg_switch_wal()')
    const { insert, flush } = await at()
    return insert % (16n * 1024n * 1024n) === 40n && flush === insert - 40n
  }
  for (const [what, make] of Object.entries({ page, segment })) {
    let met = false
    // Something else may write in between, which would be the further WAL that must not be needed.
    for (let tries = 0; tries < 20 && !met; tries++) {
      if (!(await make())) continue
      const start = await at()
      const floors = createFloors()
      floors.writeStarted('main')
      floors.writeEnded('main', now())
      await monitor.sampleNow('main')
      const asked = requirement(session, floors, cluster('main'), now())
      const deadline = now() + 2_000
      const able = (): boolean => mayAdmit(asked, node('main', first.address))
      while (!able() && now() < deadline) await monitor.checkNow('main', first.address)
      const still = (await at()).insert === start.insert
      if (still) t.match(asked, { kind: 'floor', lsn: start.flush }, `${what}: the floor is the end of the record`)
      met = still && able()
    }
    t.ok(met, `${what}: a replica meets it`)
  }
})

t.test('I8: a commit with synchronous_commit = off is covered by the insert position', async (t) => {
  const { monitor, cluster, node, until } = watch(t, config)
  await monitor.ready(10_000)
  const sql = await main.primary.open()
  t.teardown(() => sql.close())
  await sql.query('SET synchronous_commit = off')
  const floors = createFloors()
  for (let round = 0; round < 10; round++) {
    floors.writeStarted('main')
    const [row] = await sql.query('UPDATE counter SET n = n + 1 RETURNING n::text AS n')
    floors.writeEnded('main', now())
    await monitor.sampleNow('main')
    const asked = requirement(session, floors, cluster('main'), now())
    await until('a replica has it', () => {
      void monitor.checkNow('main', second.address)
      return mayAdmit(asked, node('main', second.address))
    })
    const [seen] = await second.sql('SELECT n::text AS n FROM counter')
    t.ok(Number(seen?.['n']) >= Number(row?.['n']), 'it shows the write')
  }
})

t.test('I9: a crash of the server makes its older positions worthless for new connections', async (t) => {
  const { monitor, node, until } = watch(t, config)
  await monitor.ready(10_000)
  await until('its timeline is known', () => node('main', first.address).limited === null)
  for (const how of ['one backend', 'the postmaster'] as const) {
    await until('it is up', () => node('main', first.address).health === 'up' && node('main', first.address).position !== null)
    const before = node('main', first.address).position
    const victim = await open(first)
    if (how === 'the postmaster') {
      await first.kill9()
      await until('the loss is seen', () => node('main', first.address).position === null)
      await first.start()
    } else {
      const [row] = await victim.connection.query('SELECT pg_catalog.pg_backend_pid()::text')
      await first.killBackend(Number(row?.[0]), 'kill')
      await until('the loss is seen', () => node('main', first.address).position !== before)
    }
    const reopened = await reopen()
    t.teardown(() => reopened.connection.close())
    const { evidence } = reopened
    const timeline = before?.timeline ?? 0
    t.equal(
      usablePosition({ ...evidence, position: null }, before, timeline),
      null,
      `${how}: a sample sent before the connection opened is no proof`,
    )
    const old = { kind: 'floor', timeline, lsn: (evidence.position ?? 0n) + 1n, same: null, claimed: false } as const
    t.notOk(admits(old, evidence, before === null ? null : { ...before, lsn: 1n << 60n }), `${how}: however far it says the server was`)
    t.ok(admits({ ...old, lsn: evidence.position ?? 0n }, { ...evidence, timeline }, before), `${how}: its own position counts`)
    await until('it is up again', () => node('main', first.address).health === 'up' && node('main', first.address).limited === null)
    victim.connection.close()
  }

  async function reopen(): Promise<Awaited<ReturnType<typeof open>>> {
    for (;;) {
      try {
        return await open(first)
      } catch {
        await until('it is reachable', () => node('main', first.address).position !== null)
      }
    }
  }
})

t.test('a monitor that may not see timelines: any reads only, and it says why', async (t) => {
  await main.primary.sql('CREATE ROLE plain LOGIN PASSWORD $$plain$$')
  await main.waitCaughtUp()
  const plain = clusterConfigs(running, (cluster) => ({ ...cluster, monitor: { user: 'plain', password: 'plain' } }))
  const { monitor, cluster, node, until } = watch(t, plain)
  await monitor.ready(10_000)
  await until('all are seen', () => cluster('main').nodes.every(({ role }) => role !== null))
  t.equal(cluster('main').primary?.id, main.primary.address)
  const seen = node('main', first.address)
  t.equal(seen.unfit, null)
  t.match(seen.limited, /pg_monitor/)
  await monitor.sampleNow('main')
  t.notOk(mayAdmit(requirement(bounded(60_000), createFloors(), cluster('main'), now()), seen))
})

t.test('a node of another cluster is unfit', async (t) => {
  const other = await withTopology(t, { clusters: { other: {} } })
  const stranger = other.cluster('other').primary
  const mixed = clusterConfigs(running, (cluster) => ({
    ...cluster,
    nodes: [...cluster.nodes, nodeConfig(stranger)],
    password: running.password,
  }))
  const { monitor, cluster, node, until } = watch(t, config)
  await monitor.ready(10_000)
  monitor.configure(mixed as Parameters<typeof monitor.configure>[0])
  await until('the stranger was asked', () => node('main', stranger.address).role !== null)
  t.equal(cluster('main').primary?.id, main.primary.address)
  t.match(node('main', stranger.address).unfit, /another cluster/)
})

t.test('a server that hangs: its position is unknown after the first silence, it is down after the second; thawed, it is up', async (t) => {
  const { monitor, node, until } = watch(t, config)
  await monitor.ready(10_000)
  await until('it is usable', () => node('main', second.address).limited === null)
  await second.freeze()
  t.teardown(() => second.thaw())
  await until('its position is unknown', () => node('main', second.address).position === null)
  await until('it is down', () => node('main', second.address).health === 'down')
  t.equal(node('main', second.address).role, null)
  await second.thaw()
  await until('it is up', () => node('main', second.address).health === 'up' && node('main', second.address).limited === null)
})

t.test('a pool that cannot connect counts at once, and the monitor looks for itself', async (t) => {
  const { monitor, observer, node, until } = watch(t, config)
  await monitor.ready(10_000)
  const states: string[] = []
  observer.on('node.state', ({ node, state }) => {
    if (node === first.address) states.push(state)
  })
  monitor.reportFailure(first.address, Object.assign(new Error('password authentication failed'), { code: '28P01' }))
  t.equal(node('main', first.address).health, 'up', 'a refused login says nothing of the node')
  const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
  monitor.reportFailure(first.address, refused)
  monitor.reportFailure(first.address, refused)
  t.equal(node('main', first.address).health, 'suspect', 'the monitor is connected: what it is answered decides')
  await until('it answered', () => node('main', first.address).health === 'up')
  t.same(states, ['suspect', 'up'], 'reads that it is answering are not cut off')
})

t.test('when the clocks drift apart, samples from before are forgotten before anybody uses them', async (t) => {
  let asleep = 0
  const { monitor, cluster, until } = watch(t, config, { wall: () => now() + asleep })
  await monitor.ready(10_000)
  await until('there are samples', () => cluster('main').series.samples.length > 0)
  asleep = 60_000
  const before = now()
  t.equal(cluster('main').series.samples.length, 0)
  await monitor.sampleNow('main')
  t.ok(cluster('main').series.samples.every(({ sentAt }) => sentAt >= before))
})

t.test('another configuration: nodes that stay keep their connection and their samples', async (t) => {
  const one = clusterConfigs(running, (cluster) => ({ ...cluster, nodes: [main.primary, first].map(nodeConfig) }))
  const { monitor, cluster, node, until } = watch(t, one)
  await monitor.ready(10_000)
  await until('it is usable', () => node('main', first.address).limited === null)
  const [connectedAt, oldest] = [node('main', first.address).position?.connectedAt, cluster('main').series.samples[0]?.sentAt]
  monitor.configure(config as Parameters<typeof monitor.configure>[0])
  t.equal(cluster('main').primary?.id, main.primary.address, 'there is no moment without a primary')
  await until('the new node is usable', () => node('main', second.address).limited === null && node('main', second.address).role !== null)
  await monitor.checkNow('main', first.address)
  t.equal(node('main', first.address).position?.connectedAt, connectedAt)
  t.equal(cluster('main').series.samples[0]?.sentAt, oldest)
  monitor.configure({ clusters: new Map() } as unknown as Parameters<typeof monitor.configure>[0])
  t.equal(monitor.current().clusters.size, 0)
})

t.test('idle cost: with no clients a node is asked once a second at most; who asks at once shares one question at a time', async (t) => {
  const asked = new Map<string, number>()
  const open = new Map<string, number>()
  let opened = 0
  const counting: ConnectMonitor = async (to, ...rest) => {
    opened += 1
    const connection = await connectNode(now)(to, ...rest)
    return {
      ...connection,
      query: async (sql) => {
        asked.set(to.id, (asked.get(to.id) ?? 0) + 1)
        if (sql === positionQuery) open.set(to.id, (open.get(to.id) ?? 0) + 1)
        t.ok((open.get(to.id) ?? 0) <= 1, 'alone')
        try {
          return await connection.query(sql)
        } finally {
          if (sql === positionQuery) open.set(to.id, (open.get(to.id) ?? 0) - 1)
        }
      },
    }
  }
  const { monitor, cluster, until } = watch(t, config, { connect: counting })
  await monitor.ready(10_000)
  await until('all are seen', () => cluster('main').primary !== null && cluster('main').nodes.every(({ role }) => role !== null))
  asked.clear()
  const [startedAt, connections] = [now(), opened]
  await until('some time has passed', () => now() - startedAt > 4_000)
  const seconds = (now() - startedAt) / 1_000
  for (const [id, count] of asked) t.ok(count <= seconds + 1, `${id}: ${String(count)} questions of any kind in ${seconds.toFixed(1)} s`)
  t.equal(opened, connections, 'over the connections that are there')
  // Writes ask nothing by themselves; their sessions wait for the samples that come anyway, or share one.
  asked.clear()
  const floors = Array.from({ length: 200 }, () => createFloors())
  const wroteAt = now()
  for (const each of floors) {
    each.writeStarted('main')
    each.writeEnded('main', now())
    monitor.writeAcknowledged('main', now())
  }
  await Promise.all(floors.map(() => monitor.sampleNow('main')))
  const primary = cluster('main').primary?.id ?? ''
  t.ok((asked.get(primary) ?? 0) <= 2 + (now() - wroteAt) / 1_000, `two hundred writes cost ${String(asked.get(primary))} samples`)
  t.ok(floors.every((each) => each.standing(cluster('main')).kind === 'floor'))
})

t.test('a poller that is stuck: the role expires all the same, and that is told', async (t) => {
  let stuck = false
  const sticking: ConnectMonitor = async (...to) => {
    const connection = await connectNode(now)(...to)
    // No answer, no failure: as if the poller had stopped.
    return { ...connection, query: (sql) => (stuck ? new Promise(() => undefined) : connection.query(sql)) }
  }
  let ahead = 0
  const clock = (): number => now() + ahead
  const { monitor, observer, cluster, until } = watch(t, config, { connect: sticking, now: clock, wall: clock })
  await monitor.ready(10_000)
  await until('there is a primary', () => cluster('main').primary !== null)
  const told: (string | null)[] = []
  observer.on('primary.changed', ({ to }) => told.push(to))
  stuck = true
  ahead = 6_000
  t.equal(cluster('main').primary, null, 'whoever asks is not given an old role')
  t.ok(cluster('main').nodes.every(({ role }) => role === null))
  t.same(told, [null])
})

t.test('promotion: the new primary is found on its newer timeline, the old one gets nothing', async (t) => {
  const { monitor, observer, cluster, node, until } = watch(t, config)
  const changes: (string | null)[] = []
  observer.on('primary.changed', ({ to }) => changes.push(to))
  const fenced: string[] = []
  observer.on('primary.fenced', ({ node, reason }) => fenced.push(`${node} ${reason}`))
  const usable: number[] = []
  observer.on('replicas.usable', ({ usable: count }) => usable.push(count))
  const losses: Events['writes.lost'][] = []
  observer.on('writes.lost', (event) => losses.push(event))
  await monitor.ready(10_000)
  await until('the replicas are usable', () => cluster('main').nodes.every(({ limited }) => limited === null))
  const old = main.primary
  const floors = createFloors()
  floors.writeStarted('main')
  await write()
  floors.writeEnded('main', now())
  await monitor.sampleNow('main')
  t.equal(requirement(session, floors, cluster('main'), now()).kind, 'floor')
  await main.waitCaughtUp()
  await monitor.checkNow('main', first.address)
  // Proved to be on the replica that will be promoted: not counted.
  const safe = now() - 100
  for (let n = 0; n < 3; n++) monitor.writeAcknowledged('main', cluster('main').series.samples.at(-1)?.sentAt ?? safe)
  await write()
  const unproved = now()
  for (let n = 0; n < 5; n++) monitor.writeAcknowledged('main', unproved + 20)
  await old.kill9()
  await until('no primary', () => cluster('main').primary === null)
  t.equal(requirement(session, floors, cluster('main'), now()).kind, 'floor', 'reads go on under their policy')
  await first.promote()
  await until('the promoted one', () => cluster('main').primary?.id === first.address)
  t.equal(cluster('main').timeline, 2)
  const [oldest] = cluster('main').series.samples
  const asked = requirement(session, floors, cluster('main'), now())
  t.match(asked, { kind: 'floor', timeline: 2 }, 'the floor has moved to the new timeline')
  t.ok(asked.kind === 'floor' && oldest !== undefined && asked.lsn >= oldest.lsn)
  t.notOk(mayAdmit(asked, node('main', second.address)), 'a replica of the old timeline does not count')
  t.match(node('main', second.address).limited, /timeline/)
  await second.follow(first)
  await until('the other replica follows', () => {
    monitor.wanted('main')
    return node('main', second.address).position?.timeline === 2 && mayAdmit(asked, node('main', second.address))
  })
  // It follows the new one before the old one is back: what the old one writes now would lead it astray.
  await old.start()
  await until('the old primary is seen', () => node('main', old.address).role === 'primary')
  t.equal(cluster('main').primary?.id, first.address)
  t.match(node('main', old.address).unfit, /old primary/)
  t.same(changes.slice(-2), [null, first.address])
  await until('the old one is told of', () => fenced.length > 0)
  t.match(fenced, [`${old.address} an old primary`])
  t.equal(fenced.length, 1, 'once')
  t.ok(usable.includes(2), 'both replicas were usable')
  t.equal(usable.at(-1), 1, `the replica that became the primary is none any more: ${String(usable)}`)
  t.equal(losses.length, 1)
  t.ok((losses[0]?.possible ?? 0) >= 5 && (losses[0]?.possible ?? 0) <= 8, `of eight writes ${String(losses[0]?.possible)} may be lost`)
  t.match(losses[0], { cluster: 'main', reason: /is known to have had it up to/ })
})
