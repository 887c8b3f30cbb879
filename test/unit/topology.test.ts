// Who is the primary, who is fit, and what is forgotten when.
import t from 'tap'
import type { NodeConfig } from '../../src/config/config.js'
import { createFloors } from '../../src/consistency/floors.js'
import { readPolicy } from '../../src/consistency/policy.js'
import { stalenessOf } from '../../src/consistency/position.js'
import { mayAdmit, requirement } from '../../src/consistency/requirement.js'
import { Acknowledged } from '../../src/topology/acknowledged.js'
import {
  discardSeries,
  expireRoles,
  newCluster,
  nextExpiry,
  observe,
  reconfigure,
  snapshotOf,
  type ClusterState,
} from '../../src/topology/cluster-state.js'
import { nextHealth, type HealthEvent } from '../../src/topology/health.js'
import { roleExpiryMs, type Answer } from '../../src/topology/node-state.js'
import type { ClusterSnapshot, Health, NodeSnapshot } from '../../src/topology/topology.js'

const node = (id: string): NodeConfig => ({ id, host: id, port: 5432, weight: 1, zone: null, subscriber: false })

interface Said {
  readonly primary?: boolean
  readonly at?: number
  readonly lsn?: bigint | null
  readonly timeline?: number | null
  readonly system?: string
  readonly connectedAt?: number
  readonly tells?: boolean
  readonly replayed?: number
  readonly blind?: string
}

function says(said: Said): { kind: 'answer'; answer: Answer } {
  const {
    primary = false,
    at = 1,
    lsn = 100n,
    timeline = 1,
    system = 's',
    connectedAt = 0,
    tells = true,
    replayed = null,
    blind = null,
  } = said
  const server = {
    inRecovery: !primary,
    lsn,
    postmasterStart: 'p',
    timeline,
    replayedTimeline: replayed,
    receiving: !primary && timeline !== null,
    commits: null,
    blind,
  }
  return { kind: 'answer', answer: { sentAt: at, connectedAt, server, systemIdentifier: system, tellsTimeline: tells } }
}

const lost = { kind: 'lost', reason: 'gone' } as const

function cluster(...ids: string[]): ClusterState {
  return newCluster('main', ids.map(node))
}

function after(state: ClusterState, ...events: [string, Parameters<typeof observe>[2], number?][]): ClusterState {
  return events.reduce(
    (all, [id, event, now]) => observe(all, id, event, now ?? (event.kind === 'answer' ? event.answer.sentAt : 1)),
    state,
  )
}

const show = (state: ClusterState): ClusterSnapshot & { of: (id: string) => NodeSnapshot } => {
  const snapshot = snapshotOf(state)
  return { ...snapshot, of: (id) => snapshot.nodes.find((one) => one.id === id) as NodeSnapshot }
}

const healthy = (): ClusterState => after(cluster('a', 'b'), ['a', says({ primary: true })], ['b', says({})])

t.test('health: two strikes and it is down, back by probation', (t) => {
  const walk = (...events: HealthEvent[]): Health => events.reduce(nextHealth, 'up')
  t.equal(walk('miss'), 'suspect')
  t.equal(walk('lost', 'ok'), 'up')
  t.equal(walk('miss', 'lost'), 'down')
  t.equal(walk('lost', 'lost', 'ok'), 'probation')
  t.equal(walk('lost', 'lost', 'ok', 'ok'), 'up')
  t.equal(walk('lost', 'lost', 'ok', 'miss'), 'down')
  t.end()
})

t.test('roles are detected, positions sampled', (t) => {
  const seen = show(healthy())
  t.equal(seen.primary?.id, 'a')
  t.equal(seen.timeline, 1)
  t.same(seen.series.samples, [{ sentAt: 1, lsn: 100n }])
  t.match(seen.of('b'), { role: 'replica', health: 'up', unfit: null, limited: null, position: { lsn: 100n, sentAt: 1 } })
  t.end()
})

t.test('nobody is elected before everybody was asked', (t) => {
  const one = after(cluster('a', 'b'), ['a', says({ primary: true })])
  t.equal(show(one).primary, null)
  t.match(show(one).of('a').unfit, /asked/)
  t.equal(show(after(one, ['b', lost])).primary?.id, 'a')
  const newer = show(after(one, ['b', says({ primary: true, timeline: 2 })]))
  t.equal(newer.primary?.id, 'b', 'the first to answer would have been the old one')
  t.match(newer.of('a').unfit, /old primary|but b is/)
  t.end()
})

t.test('two claims: the higher timeline, else whoever it was', (t) => {
  const promoted = after(healthy(), ['b', says({ primary: true, timeline: 2, at: 5, lsn: 200n })])
  t.equal(show(promoted).primary?.id, 'b')
  t.same(show(promoted).series.samples, [{ sentAt: 5, lsn: 200n }], 'a new timeline, a new series')
  const back = after(promoted, ['a', says({ primary: true, timeline: 1, at: 6, lsn: 999n })])
  t.equal(show(back).primary?.id, 'b')
  t.same(show(back).series.samples.length, 1)
  t.match(show(back).of('a').unfit, /old primary/)
  const tie = after(healthy(), ['b', says({ primary: true, timeline: 1, at: 5 })])
  t.equal(show(tie).primary?.id, 'a')
  t.match(show(tie).of('b').unfit, /a is/)
  const fresh = after(cluster('a', 'b'), ['a', says({ primary: true })], ['b', says({ primary: true })])
  t.equal(show(fresh).primary, null, 'nobody is better than a guess')
  t.match(show(fresh).of('a').unfit, /several/)
  t.end()
})

t.test('an old primary alone is no primary', (t) => {
  const gone = after(healthy(), ['b', says({ primary: true, timeline: 2, at: 5 })], ['b', lost], ['b', lost])
  t.equal(show(after(gone, ['a', says({ primary: true, timeline: 1, at: 9 })])).primary, null)
  const followers = after(cluster('a', 'b'), ['a', says({ primary: true, timeline: 1 })], ['b', says({ timeline: 2 })])
  t.equal(show(followers).primary, null, 'a replica that follows a newer timeline knows better')
  const left = after(healthy(), ['b', says({ timeline: 2, at: 5 })])
  t.equal(show(left).primary, null, 'I10: also where it has been the primary until now')
  t.match(show(left).of('a').unfit, /an old primary: on timeline 1, the cluster is on 2/)
  t.end()
})

t.test('a second primary on the same timeline does not take over when the first is away for a moment', (t) => {
  const claim = ['b', says({ primary: true, at: 5 })] as const
  const beside = after(cluster('a', 'b'), ['a', says({ primary: true })], ['b', lost], [...claim], ['a', says({ primary: true, at: 6 })])
  const away = after(beside, ['a', lost], ['a', lost], ['b', says({ primary: true, at: 7 })])
  t.equal(show(away).primary, null)
  t.match(show(away).of('b').unfit, /second primary on the same timeline/)
  t.equal(show(after(away, ['b', lost], ['b', lost], ['b', says({ primary: true, at: 8 })])).primary, null, 'not after it was away itself')
  t.equal(show(after(away, ['a', says({ primary: true, at: 8 })])).primary?.id, 'a', 'the first comes back')
  t.equal(show(after(away, ['b', says({ primary: true, timeline: 2, at: 8 })])).primary?.id, 'b', 'promoted anew')
  const disk = after(cluster('a', 'b'), ['a', says({ primary: true })], ['b', lost], [...claim], ['a', lost], ['a', lost])
  t.equal(show(disk).primary?.id, 'b', 'one that was never seen beside it has taken over its disk')
  t.notOk(show(disk).contested)
  t.end()
})

t.test('I10: two promotions took the same timeline: a replica of the first meets nothing of the second by accident', (t) => {
  const [first, second] = [says({ primary: true, timeline: 2, at: 5, lsn: 200n }), says({ primary: true, timeline: 2, at: 9, lsn: 150n })]
  const followed = after(
    cluster('a', 'b', 'c', 'd'),
    ['a', says({ primary: true })],
    ...(['b', 'c', 'd'] as const).map((id) => [id, says({})] as [string, ReturnType<typeof says>]),
    ['a', lost],
    ['a', lost],
    ['b', first],
    ['c', says({ timeline: 2, at: 6, lsn: 200n })],
  )
  const bounded = readPolicy({ consistency: 'bounded', maxStalenessMs: 10 })
  const met = (state: ClusterState, policy = bounded): boolean =>
    mayAdmit(requirement(policy, createFloors(), snapshotOf(state), 10), show(state).of('c'))
  t.ok(met(followed))
  const again = after(followed, ['b', lost], ['b', lost], ['d', second], ['c', says({ timeline: 2, at: 10, lsn: 200n })])
  t.equal(show(again).primary?.id, 'd')
  t.notOk(met(again), 'c followed b, and lacks what d has had since')
  t.notOk(met(again, readPolicy({ consistency: 'session' })))
  t.ok(met(again, readPolicy({ consistency: 'any' })))
  t.match(show(again).of('c').limited, /two primaries have had timeline 2/)
  const staleness = (state: ClusterState): number | null => stalenessOf(snapshotOf(state), show(state).of('c').position, 10)
  t.equal(staleness(followed), 5)
  t.equal(staleness(again), null, 'and nobody is told that it is proved to be this far behind')
  const third = after(
    again,
    ['d', says({ primary: true, timeline: 3, at: 12, lsn: 210n })],
    ['c', says({ timeline: 3, at: 13, lsn: 210n })],
  )
  t.ok(met(third), 'until the next timeline')
  t.end()
})

t.test('a primary whose timeline is unknown is not believed', (t) => {
  t.equal(show(after(cluster('a'), ['a', says({ primary: true, timeline: null })])).primary, null)
  t.end()
})

t.test('another system identifier belongs to another cluster', (t) => {
  const foreign = show(after(healthy(), ['b', says({ system: 'x', at: 5 })]))
  t.match(foreign.of('b').unfit, /another cluster/)
  const claim = after(healthy(), ['b', says({ system: 'x', primary: true, timeline: 9, at: 5 })])
  t.equal(show(claim).primary?.id, 'a')
  t.equal(show(after(claim, ['a', lost], ['a', lost])).primary, null, 'not even when the own primary is gone')
  const two = after(
    cluster('a', 'b'),
    ['a', says({ primary: true, system: 'x' })],
    ['b', says({ primary: true, system: 'y', timeline: 2 })],
  )
  t.equal(show(two).primary, null)
  const reborn = show(after(healthy(), ['b', lost], ['b', lost], ['a', says({ primary: true, system: 'new', at: 5 })]))
  t.equal(reborn.primary?.id, 'a', 'restored in its own place')
  t.same(
    reborn.series.samples.map(({ sentAt }) => sentAt),
    [5],
  )
  t.end()
})

t.test('a lost connection: the position is unknown at once, the role after the second strike', (t) => {
  const once = show(after(healthy(), ['b', lost]))
  t.match(once.of('b'), { health: 'suspect', role: 'replica', position: null, unfit: null })
  t.match(once.of('b').limited, /position/)
  const twice = show(after(healthy(), ['b', lost], ['b', lost]))
  t.match(twice.of('b'), { health: 'down', role: null })
  t.match(twice.of('b').unfit, /down: gone/)
  const primary = show(after(healthy(), ['a', lost], ['a', lost]))
  t.equal(primary.primary, null)
  t.equal(primary.timeline, 1, 'reads go on against the last primary')
  t.equal(primary.series.samples.length, 1)
  t.end()
})

t.test('a role that was told too long ago is none', (t) => {
  const late = show(observe(healthy(), 'b', says({ at: roleExpiryMs + 2 }), roleExpiryMs + 2))
  t.equal(late.of('a').role, null)
  t.equal(late.primary, null)
  t.end()
})

t.test('a replica counts only on the timeline of the primary', (t) => {
  const limited = (said: Said): string | null => show(after(healthy(), ['b', says({ at: 2, connectedAt: 1, ...said })])).of('b').limited
  t.match(limited({ timeline: null, tells: false }), /pg_monitor/)
  t.match(limited({ timeline: null }), /no WAL receiver/)
  t.match(limited({ timeline: 2 }), /timeline 2/)
  t.match(limited({ lsn: null }), /position/)
  t.equal(limited({}), null)
  t.equal(limited({ timeline: null, connectedAt: 0 }), null, 'told before on the same connection')
  t.match(limited({ timeline: null, connectedAt: 0, replayed: 2 }), /no WAL receiver/, 'unless it has replayed into a later one')
  t.end()
})

t.test('a primary that crashed back starts its series anew', (t) => {
  const back = show(after(healthy(), ['a', says({ primary: true, at: 5, lsn: 200n })], ['a', says({ primary: true, at: 6, lsn: 150n })]))
  t.same(back.series.samples, [{ sentAt: 6, lsn: 150n }])
  t.end()
})

t.test('another configuration: what stays is kept', (t) => {
  const more = reconfigure(healthy(), [node('a'), { ...node('b'), weight: 3 }, node('c')], 9)
  t.equal(show(more).primary?.id, 'a', 'a new node does not unseat anybody')
  t.equal(show(more).of('b').weight, 3)
  t.equal(show(more).series.samples.length, 1)
  t.equal(show(more).of('c').role, null)
  const without = show(reconfigure(healthy(), [node('b')], 9))
  t.equal(without.primary, null)
  t.equal(without.timeline, null)
  t.equal(without.series.samples.length, 0)
  t.end()
})

t.test('I3: when the clock cannot be trusted nothing that was told before comes back as a sample, or proves a role', (t) => {
  const state = discardSeries(healthy(), 50)
  t.same(show(state).series.samples, [])
  t.match(show(state), { primary: null, headlessSince: 50, timeline: 1 })
  const next = after(state, ['b', says({ at: 60 })])
  t.same(show(next).series.samples, [], "a replica's answer brings nothing back")
  t.equal(show(next).primary, null)
  t.same(show(after(next, ['a', says({ primary: true, at: 61 })])).series.samples, [{ sentAt: 61, lsn: 100n }])
  t.end()
})

t.test('a role expires without any event, and that is told by a new value only', (t) => {
  const state = healthy()
  t.equal(nextExpiry(state), 1 + roleExpiryMs)
  t.equal(expireRoles(state, 1 + roleExpiryMs), state)
  const late = show(expireRoles(state, 2 + roleExpiryMs))
  t.equal(late.primary, null)
  t.equal(late.headlessSince, 2 + roleExpiryMs)
  t.match(late.of('b'), { role: null, position: null, roleProvedAt: null })
  t.equal(nextExpiry(newCluster('main', [node('a')])), Infinity)
  t.end()
})

t.test('a subscriber is a replica, whatever system and timeline it has of its own', (t) => {
  const start = newCluster('main', [node('a'), { ...node('s'), subscriber: true }], 'heartbeat "public"."beat"')
  const both = after(start, ['a', says({ primary: true, lsn: 7n })], ['s', says({ system: 'other', lsn: 5n })])
  t.match(show(both).of('s'), { role: 'replica', unfit: null, limited: null, position: { lsn: 5n } })
  t.equal(show(both).primary?.id, 'a')
  t.notOk(show(both).exact, 'a beat bounds what is shown from below only')
  t.not(show(both).system, show(healthy()).system, 'positions of two kinds never compare')
  const blind = after(both, ['s', says({ system: 'other', lsn: null, at: 2, blind: 'no table' })])
  t.match(show(blind).of('s').unfit, /no table/)
  const newer = after(both, ['s', says({ system: 's', timeline: 9, at: 2 })])
  t.equal(show(newer).primary?.id, 'a', 'a timeline in its row unseats nobody')
  t.end()
})

t.test('positions of another kind: everything starts anew', (t) => {
  const other = reconfigure(healthy(), [node('a'), node('b')], 9, 'heartbeat "x"."y"')
  t.equal(show(other).primary, null)
  t.equal(show(other).series.samples.length, 0)
  t.ok(show(other).nodes.every(({ position }) => position === null))
  t.end()
})

t.test('I10: what is known of the time at which another primary took over', (t) => {
  const old = after(
    healthy(),
    ['a', says({ primary: true, at: 10, lsn: 200n })],
    ['b', says({ at: 11, lsn: 150n })],
    ['a', says({ primary: true, at: 20, lsn: 300n })],
    ['b', says({ at: 21, lsn: 250n })],
    ['a', says({ primary: true, at: 30, lsn: 400n })],
  )
  t.equal(old.handover, null, 'the first primary took over from nobody')
  t.equal(show(old).since, 1)
  const promoted = after(old, ['a', lost], ['a', lost], ['b', says({ primary: true, timeline: 2, at: 40, lsn: 260n })])
  t.match(promoted.handover, { from: 'a', to: 'b', safeUntil: 10, at: 40, kept: 250n }, 'what was acknowledged before 10 is at 200 at most')
  t.equal(show(promoted).since, 40)
  const unseen = after(
    cluster('a', 'b'),
    ['b', lost],
    ['b', lost],
    ['a', says({ primary: true })],
    ['b', says({ primary: true, timeline: 2, at: 40 })],
  )
  t.match(unseen.handover, { safeUntil: -Infinity, kept: null }, 'never seen as a replica: nothing is proved')
  t.end()
})

t.test('acknowledged writes are counted, rather one too many than one too few', (t) => {
  const counts = new Acknowledged()
  for (const at of [1, 2, 9, 15, 27, 27, 100]) counts.add(at)
  t.same(counts.since(-Infinity), { count: 7, whole: true })
  t.same(counts.since(10), { count: 4, whole: true })
  t.same(counts.since(12), { count: 4, whole: true }, 'to within ten milliseconds')
  t.same(counts.since(20), { count: 3, whole: true })
  t.same(counts.since(110), { count: 0, whole: true })
  counts.add(50)
  t.same(counts.since(100), { count: 2, whole: true }, 'told late, counted late')
  for (let at = 1_000; at < 200_000; at += 10) counts.add(at)
  t.same(counts.since(199_000), { count: 100, whole: true })
  t.same(counts.since(-Infinity), { count: 6_000, whole: false }, 'a minute is kept')
  t.end()
})

t.test('the pace of replay: between two positions with nothing lost between, while there is something to replay', (t) => {
  const rate = (state: ClusterState): number | null => show(state).of('b').replayRate
  const behind = after(healthy(), ['a', says({ primary: true, at: 10, lsn: 10_000n })], ['b', says({ at: 20, lsn: 1_000n })])
  t.equal(rate(behind), null, 'it was not behind before')
  const going = after(behind, ['b', says({ at: 120, lsn: 3_000n })])
  t.equal(rate(going), 20)
  t.equal(rate(after(going, ['b', says({ at: 130, lsn: 20_000n })])), 1_700, 'there, so that fast at least')
  const slower = rate(after(going, ['b', says({ at: 220, lsn: 3_001n })])) ?? 0
  t.ok(slower < 20 && slower > 18, 'smoothed')
  const still = after(going, ['b', says({ at: 5_120, lsn: 3_000n })])
  t.equal(rate(still), 0, 'a replica that stands still promises no soon')
  t.equal(rate(after(still, ['b', says({ at: 5_220, lsn: 5_000n })])), 20, 'and has its pace as soon as it goes on')
  t.equal(rate(after(going, ['b', says({ at: 220, lsn: 5_000n, connectedAt: 5 })])), null, 'another connection: it may have crashed')
  const idle = after(going, ['b', says({ at: 130, lsn: 10_000n })], ['b', says({ at: 5_000, lsn: 10_000n })])
  t.equal(rate(idle), 700, 'idle is not slow')
  t.end()
})

t.test('I5: a primary that is idle for a minute, a connected replica, a bound of one second: the replica is good at any time', (t) => {
  let state = healthy()
  const floors = createFloors()
  const late: number[] = []
  // As the monitor asks while somebody reads now and then: about twice a second, the answers take their time.
  for (let at = 1_000, next = 1_000; at <= 61_000; at += 10) {
    if (at >= next) {
      state = after(state, ['a', says({ primary: true, at: at - 40 }), at], ['b', says({ at: at - 30 }), at])
      next = at + 500 + (at % 100)
    }
    const asked = requirement(readPolicy({ consistency: 'bounded', maxStalenessMs: 1_000 }), floors, show(state), at)
    if (!mayAdmit(asked, show(state).of('b'))) late.push(at)
  }
  t.same(late, [])
  t.ok(show(state).series.samples.length < 80)
  t.end()
})
