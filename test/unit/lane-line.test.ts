// The line before the lanes of a group: nobody stands there for a lane that does not come.
import t, { type Test } from 'tap'
import { Account, type Party } from '../../src/pool/account.js'
import type { Lease, PooledConnection } from '../../src/pool/contract.js'
import type { LaneKind, LaneNewcomer, LaneOwner, LaneState, SharedLane } from '../../src/pool/lane-kind.js'
import { Lanes } from '../../src/pool/lanes.js'
import { laneKey } from '../../src/session/lane-key.js'
import type { Pool } from '../../src/pool/pool.js'
import { until } from '../../src/embedded/until.js'

class Asked implements LaneNewcomer<FakeLane> {
  queuedAt = 0
  readonly party: Party = { user: new Account('user'), database: new Account('database') }
  readonly told: string[] = []
  fitting: (lane: FakeLane) => boolean = () => true
  outliving: (lane: FakeLane) => boolean = () => false
  onUp: () => void = () => undefined

  fits(lane: FakeLane): boolean {
    return this.fitting(lane)
  }

  outlived(lane: FakeLane): boolean {
    return this.outliving(lane)
  }

  comesUp(): void {
    this.onUp()
  }

  missed({ why }: { readonly why: 'crowded' }): void {
    this.told.push(why)
  }
}

class FakeLane implements SharedLane<Asked> {
  readonly node = 'p:1'
  readonly openedAt = 0
  readonly idleSince = Infinity
  readonly served = 0
  readonly state: LaneState = 'open'
  open = true
  moving = true
  gathers = false
  inFlight = 0
  checks = 0
  retired = false
  readonly owner: LaneOwner<FakeLane>

  constructor(owner: LaneOwner<FakeLane>) {
    this.owner = owner
  }

  has(): boolean {
    return false
  }

  push(): void {
    this.inFlight += 1
  }

  retire(): void {
    this.retired = true
    this.open = this.moving = false
  }

  check(): void {
    this.checks += 1
  }
}

const config = { enabled: true, connections: 2, stallMs: 20, maxResultBytes: 1000, depth: 1 }

/** `refuses`: no connection becomes a lane. */
function lanesOf(refuses = false) {
  const opened: FakeLane[] = []
  const ended: string[] = []
  const kind: LaneKind<PooledConnection, Asked, FakeLane> = {
    suits: () => 0,
    prepare: () => Promise.resolve(false),
    open: (_lease, owner) => {
      if (refuses) throw new Error('the connection is not usable')
      const lane = new FakeLane(owner)
      opened.push(lane)
      return lane
    },
  }
  const connection = { usable: true }
  const closing = new Set<PooledConnection>()
  const destroy = (reason: string): void => void ended.push(reason)
  const lease = { release: destroy, destroy, connection } as unknown as Lease<PooledConnection>
  const pool = {
    node: { id: 'p:1' },
    draining: false,
    wanted: false,
    share: 8,
    lifetimeMs: 1e9,
    counts: () => ({ busy: 0, idle: 1, opening: 0, waiting: 0, max: 8 }),
    lease: () => Promise.resolve(lease),
    onDraining: () => undefined,
    closeNeeded: () => closing.size > 0,
    identity: { cluster: 'main', user: 'app', dbname: 'app' },
  } as unknown as Pool<PooledConnection>
  const lanes = new Lanes<PooledConnection, Asked, FakeLane>(config, { now: () => performance.now(), kind })
  return { lanes, opened, ended, connection, pool, closing }
}

t.test('who waits for a lane that is gone is not kept in line by another that moves and does not fit', async (t) => {
  const { lanes, opened, pool } = lanesOf()
  t.teardown(() => opened.forEach((lane) => lane.owner.ended(lane)))
  const group = lanes.group(pool, '', new Map())
  if (group === null) return
  for (let count = 0; count < 20 && opened.length < 2; count++) {
    group.push(new Asked(), 0)
    await Promise.resolve()
  }
  await until('both lanes are open', () => {
    if (opened.length < 2) group.push(new Asked(), 0)
    return Promise.resolve(opened.length === 2)
  })
  const [first, second] = opened
  if (first === undefined || second === undefined) return
  first.open = second.open = false
  const asked = new Asked()
  asked.fitting = (lane): boolean => lane === first
  const behind = new Asked()
  t.ok(group.push(asked, 0))
  t.ok(group.push(behind, 0))
  second.open = true
  group.moved(second)
  t.same(asked.told, [], 'the lane that it fits is still there')
  first.moving = false
  const before = second.inFlight
  group.moved(second)
  t.same(asked.told, ['crowded'])
  t.same(behind.told, [])
  t.equal(second.inFlight, before + 1, 'and the next in line has its turn')
})

t.test('a lane that is about to write is preferred to one with less in flight', async (t) => {
  const { lanes, opened, pool } = lanesOf()
  t.teardown(() => opened.forEach((lane) => lane.owner.ended(lane)))
  const group = lanes.group(pool, '', new Map())
  if (group === null) return
  await until('both lanes are open', () => {
    for (let count = 0; count < 20 && opened.length < 2; count++) group.push(new Asked(), 0)
    return Promise.resolve(opened.length === 2)
  })
  const [first, second] = opened
  if (first === undefined || second === undefined) return
  first.inFlight = 5
  second.inFlight = 0
  first.gathers = true
  group.push(new Asked(), 0)
  t.same([first.inFlight, second.inFlight], [6, 0])
  const elsewhere = new Asked()
  elsewhere.fitting = (lane): boolean => lane === second
  group.push(elsewhere, 0)
  t.same([first.inFlight, second.inFlight], [6, 1])
  first.gathers = false
  group.push(new Asked(), 0)
  t.same([first.inFlight, second.inFlight], [6, 2])
})

async function oneLane(t: Test) {
  const it = lanesOf()
  t.teardown(() => it.opened.forEach((lane) => lane.owner.ended(lane)))
  const group = it.lanes.group(it.pool, '', new Map())
  if (group === null) throw new Error('no group')
  await until('a lane is open', () => {
    for (let count = 0; count < 20 && it.opened.length === 0; count++) group.push(new Asked(), 0)
    return Promise.resolve(it.opened.length > 0)
  })
  const [lane] = it.opened
  if (lane === undefined) throw new Error('no lane')
  return { ...it, group, lane }
}

t.test('a lane whose server has another role since makes room for one that fits; one that only does not fit now stays', async (t) => {
  const { group, lane } = await oneLane(t)
  const asked = new Asked()
  asked.fitting = (): boolean => false
  t.notOk(group.push(asked, 0))
  t.notOk(lane.retired)
  asked.outliving = (one): boolean => one === lane
  t.notOk(group.push(asked, 0))
  t.ok(lane.retired)
})

t.test('who comes up in line is asked where it may go now', async (t) => {
  const { group, lane } = await oneLane(t)
  lane.open = false
  const asked = new Asked()
  asked.onUp = (): void => {
    asked.fitting = (): boolean => false
  }
  t.ok(group.push(asked, 0))
  lane.open = true
  group.moved(lane)
  t.same(asked.told, ['crowded'], 'its lane does not fit any more')
})

t.test('a lane whose connection is to be closed goes at once, however many come', async (t) => {
  const { group, lane, closing, connection } = await oneLane(t)
  group.check(performance.now(), 20, false)
  t.notOk(lane.retired)
  closing.add(connection as PooledConnection)
  group.check(performance.now(), 20, false)
  t.ok(lane.retired)
})

t.test('a lane is listed with the settings that its sessions have in common, not with what only the first had', async (t) => {
  const { lanes, opened, pool } = lanesOf()
  t.teardown(() => opened.forEach((lane) => lane.owner.ended(lane)))
  const settings = new Map([
    ['application_name', 'psql'],
    ['pointsman.consistency', 'any'],
    ['timezone', 'UTC'],
  ])
  const group = lanes.group(pool, laneKey(settings), settings)
  await until('a lane is open', () => {
    for (let count = 0; count < 20 && opened.length === 0; count++) group?.push(new Asked(), 0)
    return Promise.resolve(opened.length > 0)
  })
  t.same(lanes.snapshot()[0]?.settings, ['timezone'])
})

t.test('retired lanes are listed for as long as they answer somebody', async (t) => {
  const { lanes, lane } = await oneLane(t)
  lanes.configure({ ...config, depth: 2 })
  t.ok(lane.retired)
  t.equal(lanes.snapshot().length, 1)
  const { checks } = lane
  await until('it is still looked at, so that nobody waits behind a slow one', () => Promise.resolve(lane.checks > checks))
  lane.owner.ended(lane)
  t.equal(lanes.snapshot().length, 0)
})

t.test('a connection that goes while it is made a lane is given up, not kept by nobody', async (t) => {
  for (const refuses of [true, false]) {
    const { lanes, opened, ended, connection, pool } = lanesOf(refuses)
    connection.usable = refuses
    const group = lanes.group(pool, '', new Map())
    for (let count = 0; count < 20; count++) group?.push(new Asked(), 0)
    await until('it has ended', () => Promise.resolve(ended.length > 0))
    t.same(ended, ['it could not be made a lane'])
    t.equal(opened.length, 0)
    t.equal(group?.size, 0)
    lanes.close()
  }
})

t.test('nobody stands in line for a lane that does not move, or has not for long', async (t) => {
  const { group, lane } = await oneLane(t)
  lane.open = false
  const inLine = (): Asked => {
    const asked = new Asked()
    t.ok(group.push(asked, performance.now()))
    t.equal(asked.party.user.inLine, 1)
    return asked
  }
  group.moved(lane)
  const behindSlow = inLine()
  lane.moving = false
  group.check(performance.now(), 1_000_000, false)
  t.same(behindSlow.told, ['crowded'])
  lane.moving = true
  const forLong = inLine()
  group.check(performance.now() + 100, 1_000_000, false)
  t.same(forLong.told, [])
  group.check(performance.now() + 2_000_000, 1_000_000, false)
  t.same(forLong.told, ['crowded'])
  const leaves = inLine()
  t.ok(group.leaveLine(leaves))
  t.notOk(group.leaveLine(leaves))
  const ofLane = inLine()
  group.ended(lane)
  t.same(ofLane.told, ['crowded'])
  for (const asked of [behindSlow, forLong, leaves, ofLane]) t.equal(asked.party.user.inLine, 0, 'it counts no more as in line')
  t.same(leaves.told, [])
})

t.test('what becomes a lane for a group that is gone meanwhile is given back', async (t) => {
  const { lanes, opened, ended, pool } = lanesOf()
  t.teardown(() => lanes.close())
  const group = lanes.group(pool, '', new Map())
  for (let count = 0; count < 20; count++) group?.push(new Asked(), 0)
  t.equal(group?.size, 1, 'it is being opened')
  group?.retire('the configuration has changed')
  await until('it was given back', () => Promise.resolve(ended.length > 0))
  t.same([ended, opened.length], [['it was to be a lane'], 0])
})

t.test('lanes are half of the pool at most', async (t) => {
  const { group, opened, lane, pool } = await oneLane(t)
  lane.inFlight = 1
  Object.assign(pool, { share: 3 })
  for (let count = 0; count < 40; count++) {
    group.push(new Asked(), 0)
    await Promise.resolve()
  }
  t.equal(opened.length + group.size, 2, 'one, and no other is opened')
  Object.assign(pool, { share: 4 })
  await until('there is another', () => {
    group.push(new Asked(), 0)
    return Promise.resolve(opened.length === 2)
  })
})
