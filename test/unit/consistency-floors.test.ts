// Floors and requirements, one rule at a time.
import t from 'tap'
import { createFloors, type ReadEnd, type SessionFloors } from '../../src/consistency/floors.js'
import { readPolicy, type ReadPolicy } from '../../src/consistency/policy.js'
import type { ClusterView, Position } from '../../src/consistency/position.js'
import {
  admits,
  mayAdmit,
  requirement,
  usablePosition,
  type ConnectionEvidence,
  type Requirement,
} from '../../src/consistency/requirement.js'
import type { Sample } from '../../src/consistency/series.js'

const policy = (over: Partial<ReadPolicy>): ReadPolicy => readPolicy({ consistency: 'session', ...over })
const session = policy({})

const position = (over: Partial<Position> = {}): Position => ({
  lsn: 100n,
  sentAt: 0,
  connectedAt: 0,
  postmasterStart: 'p',
  timeline: 1,
  ...over,
})

function view(
  samples: readonly (readonly [number, bigint])[],
  nodes: Record<string, Position | null> = {},
  timeline: number | null = 1,
): ClusterView {
  return {
    id: 'main',
    system: null,
    timeline,
    since: -Infinity,
    exact: true,
    series: { samples: samples.map(([sentAt, lsn]): Sample => ({ sentAt, lsn })) },
    nodes: Object.entries(nodes).map(([id, position]) => ({ id, position })),
  }
}

function wrote(at: number): SessionFloors {
  const floors = createFloors()
  floors.writeStarted('main')
  floors.writeEnded('main', at)
  return floors
}

const read = (over: Partial<ReadEnd> = {}): ReadEnd => ({
  node: 'r',
  role: 'replica',
  openedAt: 0,
  postmasterStart: 'p',
  startedAt: 90,
  endedAt: 100,
  ...over,
})

const asked = (floors: SessionFloors, cluster: ClusterView, over: ReadPolicy = session, now = 1_000): Requirement =>
  requirement(over, floors, cluster, now)

t.test('policies without a session', (t) => {
  const cluster = view([[900, 10n]])
  const kind = (over: Partial<ReadPolicy>): string => asked(createFloors(), cluster, policy(over)).kind
  t.equal(kind({ consistency: 'strong' }), 'primary')
  t.equal(kind({ consistency: 'strong', maxStalenessMs: 5_000 }), 'primary')
  t.equal(kind({ consistency: 'any' }), 'any')
  t.equal(kind({ consistency: 'any', maxStalenessMs: 0 }), 'primary', 'I4: a bound of 0 is the primary')
  t.equal(kind({ consistency: 'bounded' }), 'primary', 'a bound that nobody named is none that can be kept')
  t.match(asked(createFloors(), cluster, policy({ consistency: 'bounded', maxStalenessMs: 100 })), { kind: 'floor', lsn: 10n, timeline: 1 })
  t.equal(kind({ consistency: 'bounded', maxStalenessMs: 99 }), 'unmet')
  t.equal(asked(createFloors(), view([[900, 10n]], {}, null), policy({ consistency: 'bounded', maxStalenessMs: 500 })).kind, 'unmet')
  t.match(
    asked(createFloors(), cluster),
    { kind: 'floor', lsn: 0n, timeline: 1, same: null, claimed: false },
    'a session that did nothing yet',
  )
  t.equal(asked(createFloors(), view([], {}, null)).kind, 'unmet')
  t.end()
})

t.test('I4: a write is pending until a sample sent after its acknowledgement', (t) => {
  const floors = createFloors()
  floors.writeStarted('main')
  t.equal(asked(floors, view([[900, 10n]])).kind, 'unmet', 'in flight: no sample is late enough')
  floors.writeEnded('main', 950)
  t.equal(asked(floors, view([[900, 10n]])).kind, 'unmet')
  t.equal(asked(floors, view([[950, 10n]])).kind, 'unmet', 'sent at that very moment is not after it')
  t.match(
    asked(
      floors,
      view([
        [950, 10n],
        [951, 20n],
        [980, 30n],
      ]),
    ),
    { kind: 'floor', lsn: 20n },
    'the first one after it',
  )
  t.match(asked(floors, view([])), { kind: 'floor', lsn: 20n }, 'what is resolved stays')
  t.equal(asked(floors, { ...view([]), id: 'other' }).kind, 'floor', 'floors are per cluster')
  t.end()
})

t.test('two writes at once: pending until both have ended', (t) => {
  const floors = createFloors()
  floors.writeStarted('main')
  floors.writeStarted('main')
  floors.writeEnded('main', 10)
  t.equal(asked(floors, view([[900, 10n]])).kind, 'unmet')
  floors.writeEnded('main', 20)
  t.equal(asked(floors, view([[15, 10n]])).kind, 'unmet')
  t.match(
    asked(
      floors,
      view([
        [15, 10n],
        [21, 11n],
      ]),
    ),
    { lsn: 11n },
  )
  t.end()
})

t.test('a bound and a session: the stricter of both', (t) => {
  const both = policy({ maxStalenessMs: 100 })
  t.match(
    asked(
      wrote(800),
      view([
        [850, 10n],
        [900, 20n],
      ]),
      both,
    ),
    { kind: 'floor', lsn: 20n },
  )
  t.match(
    asked(
      wrote(940),
      view([
        [900, 10n],
        [950, 20n],
      ]),
      both,
    ),
    { kind: 'floor', lsn: 20n },
  )
  t.end()
})

t.test('I2: what a replica showed is bounded by its own next sample, and until then only it may answer', (t) => {
  const floors = createFloors()
  floors.readEnded('main', read())
  t.match(asked(floors, view([[500, 900n]], { r: position({ sentAt: 99 }) })), {
    kind: 'floor',
    lsn: 0n,
    same: { node: 'r', openedBefore: 90 },
  })
  t.match(
    asked(floors, view([[500, 900n]], { r: position({ sentAt: 101, lsn: 70n }) })),
    { kind: 'floor', lsn: 70n, same: null, claimed: false },
    'not by the primary, which is far ahead',
  )
  t.equal(floors.lastReplica('main'), 'r')
  t.end()
})

t.test('I2: a sample that may come from beyond a crash bounds nothing; the primary does', (t) => {
  const cases: [string, Position | null][] = [
    ['the monitor connected after the read began', position({ sentAt: 101, connectedAt: 91, lsn: 70n })],
    ['another start of the server', position({ sentAt: 101, postmasterStart: 'q', lsn: 70n })],
    ['another timeline', position({ sentAt: 101, timeline: 2, lsn: 70n })],
    ['an unknown position', null],
  ]
  for (const [what, r] of cases) {
    const floors = createFloors()
    floors.readEnded('main', read())
    t.match(asked(floors, view([[100, 80n]], { r })), { same: { node: 'r' } }, `${what}: not yet`)
    t.match(asked(floors, view([[101, 90n]], { r })), { kind: 'floor', lsn: 90n, same: null, claimed: false }, what)
  }
  t.end()
})

t.test('I2: reads on one replica before and after a crash keep the older mark', (t) => {
  const floors = createFloors()
  floors.readEnded('main', read({ openedAt: 10, startedAt: 20, endedAt: 30 }))
  floors.readEnded('main', read({ openedAt: 10, startedAt: 40, endedAt: 50 }))
  t.match(asked(floors, view([])), { same: { openedBefore: 40 } }, 'one connection saw both')
  floors.readEnded('main', read({ openedAt: 55, startedAt: 60, endedAt: 70 }))
  t.match(asked(floors, view([])), { same: { openedBefore: 40 } }, 'a younger connection proves nothing of before')
  t.match(asked(floors, view([], { r: position({ sentAt: 60, connectedAt: 5 }) })), { same: { openedBefore: 40 } }, 'the last end counts')
  t.match(asked(floors, view([], { r: position({ sentAt: 71, connectedAt: 5, lsn: 7n }) })), { same: null, lsn: 7n })
  t.end()
})

t.test('I2: unresolved reads on two replicas are met by neither; the primary shows what both have shown', (t) => {
  const floors = createFloors()
  floors.readEnded('main', read({ node: 'r' }))
  floors.readEnded('main', read({ node: 's' }))
  t.equal(asked(floors, view([], { r: position(), s: position() })).kind, 'unmet')
  floors.readEnded('main', read({ node: 'p', role: 'primary', startedAt: 110, endedAt: 120 }))
  t.equal(asked(floors, view([[120, 5n]])).kind, 'unmet', 'a primary read is a mark too')
  t.match(asked(floors, view([[121, 5n]])), { kind: 'floor', lsn: 5n, same: null, claimed: false })
  t.end()
})

t.test('after three reads in a row on the primary the fourth is impatient', (t) => {
  const floors = wrote(10)
  const impatient = (): boolean => {
    const it = asked(floors, view([]))
    return it.kind === 'unmet' && it.impatient
  }
  const told: boolean[] = []
  for (let round = 0; round < 5; round++) {
    told.push(impatient())
    floors.readEnded('main', read({ node: 'p', role: 'primary' }))
  }
  t.same(told, [false, false, false, true, false])
  floors.writeStarted('main')
  t.notOk(impatient(), 'a write in flight is not waited for')
  t.end()
})

t.test('shared floors: writes count for all, reads for oneself (I16)', (t) => {
  const shared = createFloors()
  const [one, two] = [createFloors(shared), createFloors(shared)]
  one.writeStarted('main')
  t.equal(asked(two, view([])).kind, 'floor', 'a write of another session counts from its end on')
  t.equal(asked(one, view([])).kind, 'unmet')
  one.writeEnded('main', 10)
  t.equal(asked(two, view([[10, 5n]])).kind, 'unmet')
  t.match(asked(two, view([[11, 5n]])), { kind: 'floor', lsn: 5n })
  one.readEnded('main', read({ node: 'r' }))
  two.readEnded('main', read({ node: 's' }))
  t.match(asked(one, view([[11, 5n]])), { lsn: 5n, same: { node: 'r' } })
  t.match(asked(two, view([[11, 5n]])), { lsn: 5n, same: { node: 's' } })
  t.match(asked(createFloors(shared), view([[11, 5n]])), { lsn: 5n, same: null, claimed: false })
  t.match(asked(createFloors(), view([])), { lsn: 0n, same: null, claimed: false }, 'not for sessions made without it')
  t.end()
})

t.test('I10: on a new timeline a floor is made again from a sample of the new primary', (t) => {
  const floors = wrote(10)
  t.match(asked(floors, view([[20, 1_000n]])), { timeline: 1, lsn: 1_000n })
  t.equal(asked(floors, view([], {}, 2)).kind, 'unmet', 'not before it was sampled')
  t.equal(asked(floors, view([[10, 300n]], {}, 2)).kind, 'unmet', 'nor by a sample as old as the mark')
  t.match(
    asked(
      floors,
      view(
        [
          [30, 400n],
          [40, 500n],
        ],
        {},
        2,
      ),
    ),
    { timeline: 2, lsn: 400n },
    'the old number means nothing any more',
  )
  t.equal(asked(floors, view([[50, 9_999n]], {}, 1)).kind, 'unmet', 'never back')
  t.end()
})

const evidence = (over: Partial<ConnectionEvidence> = {}): ConnectionEvidence => ({
  node: 'r',
  openedAt: 50,
  inRecovery: true,
  position: 10n,
  postmasterStart: 'p',
  timeline: 1,
  ...over,
})
const floor = (over: object = {}): Requirement => ({ kind: 'floor', timeline: 1, lsn: 20n, same: null, claimed: false, ...over })

t.test('admission: only what is proved for this connection', (t) => {
  const newer = position({ lsn: 30n, sentAt: 51 })
  t.ok(admits(floor(), evidence(), newer))
  t.notOk(admits(floor(), evidence(), position({ lsn: 30n, sentAt: 50 })), 'a sample that was not sent after the connection opened')
  t.notOk(admits(floor(), evidence(), { ...newer, postmasterStart: 'q' }), 'another start')
  t.notOk(admits(floor(), evidence(), { ...newer, timeline: 2 }), 'another timeline')
  t.notOk(admits(floor(), evidence(), { ...newer, timeline: null }), 'an unknown one')
  t.notOk(admits(floor(), evidence({ inRecovery: false }), newer), 'not a replica')
  t.ok(admits(floor(), evidence({ position: 20n }), null), 'its own position')
  t.notOk(admits(floor(), evidence({ position: 20n, timeline: null }), null), 'of no known timeline')
  t.ok(admits(floor(), evidence({ position: 20n, timeline: null }), position({ sentAt: 1 })), 'which the monitor knows of this start')
  t.notOk(admits(floor(), evidence({ position: null }), null))
  t.equal(usablePosition(evidence({ position: 40n }), newer, 1), 40n)
  t.end()
})

t.test('admission: the same server, open since before the read', (t) => {
  const same = { node: 'r', openedBefore: 50 }
  t.ok(admits(floor({ lsn: 0n, same }), evidence(), null))
  t.notOk(admits(floor({ lsn: 0n, same }), evidence({ openedAt: 51 }), null))
  t.notOk(admits(floor({ lsn: 0n, same }), evidence({ node: 's' }), null))
  t.notOk(mayAdmit(floor({ lsn: 0n, same }), { id: 's', position: position() }))
  t.ok(mayAdmit(floor({ lsn: 0n, same }), { id: 'r', position: position() }))
  t.end()
})

t.test('admission: the other kinds', (t) => {
  t.ok(admits({ kind: 'any' }, evidence({ position: null }), null))
  t.ok(admits({ kind: 'primary' }, evidence({ inRecovery: false }), null))
  t.notOk(admits({ kind: 'primary' }, evidence(), null))
  t.notOk(admits({ kind: 'unmet', reason: '', impatient: false, elsewhere: false }, evidence(), position({ sentAt: 99 })))
  t.ok(mayAdmit({ kind: 'any' }, { id: 'r', position: null }))
  t.notOk(mayAdmit({ kind: 'primary' }, { id: 'r', position: position() }))
  t.notOk(mayAdmit({ kind: 'unmet', reason: '', impatient: false, elsewhere: false }, { id: 'r', position: position() }))
  t.notOk(mayAdmit(floor({ lsn: 101n }), { id: 'r', position: position() }))
  t.notOk(mayAdmit(floor({ timeline: 2 }), { id: 'r', position: position() }))
  t.end()
})

t.test('a read is not held up by what others wrote after it was invoked', (t) => {
  const shared = createFloors()
  const reader = createFloors(shared)
  const writer = createFloors(shared)
  writer.writeStarted('main')
  writer.writeEnded('main', 100)
  writer.writeStarted('main')
  writer.writeEnded('main', 300)
  t.match(asked(reader, view([[50, 5n]]), session, 200), { kind: 'unmet' }, 'the first write is owed')
  const sampled = view([
    [50, 5n],
    [250, 7n],
  ])
  t.match(asked(reader, sampled, session, 200), { kind: 'floor', lsn: 7n }, 'a sample sent after it was invoked covers that')
  t.match(asked(reader, sampled, session, 310), { kind: 'unmet' }, 'a read invoked after the second write is owed both')
  t.match(asked(writer, sampled, session, 200), { kind: 'unmet' }, "I1: a session's own writes count, also when its read was sent ahead")
  t.end()
})

const taken = (lsn: bigint | null, over: { timeline?: number; system?: string } = {}, at = 100): SessionFloors => {
  const floors = createFloors()
  floors.imported('main', { system: 'sys', timeline: 1, lsn, ...over }, at)
  return floors
}
const seen = (...[samples, nodes = {}, timeline = 1]: Parameters<typeof view>): ClusterView => ({
  ...view(samples, nodes, timeline),
  system: 'sys',
})

t.test('I11: a claim is asked for at once, and cut down to the first sample after it was received', (t) => {
  const forged = taken(1n << 60n)
  t.match(asked(forged, seen([[90, 500n]])), { kind: 'floor', lsn: 1n << 60n, claimed: true })
  t.match(asked(forged, seen([[100, 500n]])), { lsn: 1n << 60n }, 'one of that very moment is not after it')
  t.match(asked(forged, seen([[101, 500n]])), { lsn: 500n, claimed: false })
  t.match(asked(forged, seen([])), { lsn: 500n }, 'what is settled stays')
  t.match(asked(taken(400n), seen([[101, 500n]])), { lsn: 400n, claimed: false }, 'a true one is kept as it is')
  t.end()
})

t.test('I8: where samples are of what is on disk, a claim is cut down to what was written', (t) => {
  const cluster = { ...seen([]), series: { samples: [{ sentAt: 101, lsn: 500n, insert: 700n }] } }
  t.match(asked(taken(650n), cluster), { lsn: 650n })
  t.match(asked(taken(900n), cluster), { lsn: 700n })
  t.end()
})

t.test('I10: claims of other timelines and systems', (t) => {
  const older = taken(900n, { timeline: 1 })
  t.equal(asked(older, seen([[90, 500n]], {}, 2)).kind, 'unmet')
  t.match(asked(older, seen([[101, 510n]], {}, 2)), { timeline: 2, lsn: 510n }, 'an older one: what survived')
  const foreign = taken(3n, { system: 'other' })
  t.equal(asked(foreign, seen([[90, 500n]])).kind, 'unmet')
  t.match(asked(foreign, seen([[101, 510n]])), { lsn: 510n }, 'another system: its number says nothing')
  const newer = taken(900n, { timeline: 2 })
  t.equal(asked(newer, seen([[10_100, 600n]])).kind, 'unmet', 'a newer one is doubted for ten seconds')
  t.match(asked(newer, seen([[10_101, 600n]])), { timeline: 1, lsn: 600n }, 'then dropped')
  t.match(asked(taken(900n, { timeline: 2 }), seen([[300, 950n]], {}, 2)), { timeline: 2, lsn: 900n }, 'or true, once it is seen here')
  t.end()
})

t.test('I11: a claim without a position asks for what there is when it arrives', (t) => {
  const floors = taken(null)
  t.equal(asked(floors, seen([[100, 500n]])).kind, 'unmet')
  t.match(asked(floors, seen([[101, 510n]])), { lsn: 510n })
  t.end()
})

t.test('claims are merged: the higher position, the newer timeline, and never less than each alone', (t) => {
  const two = taken(300n)
  two.imported('main', { system: 'sys', timeline: 1, lsn: 200n }, 110)
  t.match(asked(two, seen([[105, 250n]])), { lsn: 300n }, 'a sample before the second arrived settles neither')
  t.match(asked(two, seen([[111, 400n]])), { lsn: 300n })
  const mixed = taken(300n)
  mixed.imported('main', { system: 'sys', timeline: 2, lsn: 50n }, 110)
  t.equal(asked(mixed, seen([[90, 40n]], {}, 2)).kind, 'unmet', 'the older claim asks for a sample of the new timeline')
  t.match(asked(mixed, seen([[111, 60n]], {}, 2)), { timeline: 2, lsn: 60n })
  const own = taken(300n)
  own.writeStarted('main')
  t.equal(asked(own, seen([[101, 400n]])).kind, 'unmet', 'a token does not end a write')
  own.writeEnded('main', 200)
  t.match(asked(own, seen([[201, 450n]])), { lsn: 450n })
  t.end()
})

t.test('I1, I2: what is exported asks of whoever takes it what it asks here', (t) => {
  const rows: [string, (floors: SessionFloors) => void][] = [
    [
      'a write',
      (floors) => {
        floors.writeStarted('main')
        floors.writeEnded('main', 50)
      },
    ],
    ['a read on the primary', (floors) => floors.readEnded('main', read({ node: 'p', role: 'primary', startedAt: 40, endedAt: 50 }))],
    ['a read on a replica', (floors) => floors.readEnded('main', read({ startedAt: 40, endedAt: 50 }))],
    ['an imported claim', (floors) => floors.imported('main', { system: 'sys', timeline: 1, lsn: 45n }, 50)],
  ]
  for (const [what, happen] of rows) {
    const floors = createFloors()
    t.equal(floors.exported(seen([])), null, 'nothing to tell')
    happen(floors)
    const early = floors.exported(seen([[45, 30n]], { r: position({ sentAt: 45, lsn: 20n }) }))
    const late = floors.exported(seen([[51, 60n]], { r: position({ sentAt: 45, lsn: 20n }) }))
    if (what === 'an imported claim') t.match(early, { lsn: 45n }, what)
    else t.equal(early?.lsn, null, `${what}: not located yet`)
    t.ok((late?.lsn ?? 0n) >= 45n, `${what}: by a sample of the primary sent after it`)
    for (const part of [early, late]) {
      const next = createFloors()
      next.imported('main', part as NonNullable<typeof part>, 100)
      const asks = asked(next, seen([[101, 80n]]))
      t.ok(asks.kind === 'floor' && asks.lsn >= 45n, `${what}: whoever brings it is asked for as much`)
      t.match(asked(next, seen([])), { kind: 'floor' })
    }
  }
  const busy = createFloors()
  busy.writeStarted('main')
  t.equal(busy.exported(seen([[900, 30n]]))?.lsn, null, 'a write in flight is everything there is on arrival')
  t.end()
})

t.test('I10: a floor from before another primary took over is made again, also on the same number of timeline', (t) => {
  const floors = wrote(10)
  t.match(asked(floors, view([[20, 1_000n]])), { lsn: 1_000n })
  const elsewhere = { ...view([[60, 2_000n]]), since: 50 }
  t.match(asked(floors, elsewhere), { timeline: 1, lsn: 2_000n })
  t.equal(asked(wrote(10), { ...view([]), since: 50 }).kind, 'unmet')
  const restored = wrote(10)
  asked(restored, view([[20, 1_000n]], {}, 5))
  t.match(asked(restored, { ...view([[60, 30n]], {}, 1), since: 50 }), { timeline: 1, lsn: 30n }, 'a cluster restored from a backup')
  t.end()
})

t.test('I2: a heartbeat does not bound what a replica showed; the next beat of the primary does, once the replica is there', (t) => {
  const beats = (...parts: Parameters<typeof view>): ClusterView => ({ ...view(...parts), exact: false })
  const floors = createFloors()
  floors.readEnded('main', read())
  t.match(
    asked(floors, beats([[90, 7n]], { r: position({ sentAt: 101, lsn: 7n }) })),
    { lsn: 0n, same: { node: 'r' } },
    'its own beat is too low',
  )
  t.match(
    asked(floors, beats([[105, 8n]], { r: position({ sentAt: 101, lsn: 7n }) })),
    { lsn: 0n, same: { node: 'r' } },
    'it alone is good until it is there',
  )
  t.match(asked(floors, beats([[105, 8n]], { r: position({ sentAt: 110, lsn: 8n }) })), { lsn: 8n, same: null })
  const lost = createFloors()
  lost.readEnded('main', read())
  t.match(asked(lost, beats([[105, 8n]], { r: null })), { lsn: 8n, same: null }, 'gone: the beat bounds it')
  t.end()
})
