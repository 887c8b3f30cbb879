// test/support/simulation.ts — a cluster that exists only on a simulated clock, and two routers in front of it that use the
// real rules (series, floors, requirement, admission, topology, tokens), each with samples of its own. Messages take random
// time and get lost, replicas lag, stop and crash back to an older position (with or without a new postmaster), primaries die
// and are replaced, and come back. Sessions hop between the routers with tokens, and bring old, torn and forged ones, too.
// What every read shows is held against what it had promised (CONSISTENCY I1, I2, I3, I15).
//
// Processes are generators that yield the ms they sleep; nothing else moves the clock. Same seed, same run.
import type { NodeConfig } from '../../src/config/config.js'
import { createFloors, type SessionFloors } from '../../src/consistency/floors.js'
import { normaliseInsertLsn } from '../../src/consistency/lsn.js'
import { readPolicy, type ReadPolicy } from '../../src/consistency/policy.js'
import type { Position } from '../../src/consistency/position.js'
import { admits, mayAdmit, requirement, type ConnectionEvidence } from '../../src/consistency/requirement.js'
import { decodeToken, encodeToken } from '../../src/consistency/token.js'
import { exportToken, importToken } from '../../src/consistency/token-exchange.js'
import { seededRandom } from '../../src/runtime/seeded-random.js'
import { newCluster, observe, snapshotOf, type ClusterState } from '../../src/topology/cluster-state.js'
import type { Answer } from '../../src/topology/node-state.js'
import type { ClusterSnapshot, NodeSnapshot } from '../../src/topology/topology.js'

/** Rules to take out, so that a test can see that each is needed. */
export interface Faults {
  /** A sample's time is when its answer came, not when it was asked for. */
  readonly receiveTime?: boolean
  /** Samples from before a connection was opened count for it. */
  readonly olderSamples?: boolean
  /** A pending write is resolved by a sample sent up to so many ms before its acknowledgement. */
  readonly earlyWrite?: number
  /** What a read has shown is bounded by a sample sent up to so many ms before its end. */
  readonly earlyRead?: number
  /** A sample bounds a read although the server may have crashed between the two. */
  readonly anyIncarnation?: boolean
  /** All timelines are taken for one. */
  readonly oneTimeline?: boolean
  /** A token's position is taken for one of the present timeline. */
  readonly tokenTimeline?: boolean
  /** A token counts as received up to so many ms before it came. */
  readonly earlyToken?: number
  /** A token is made before the session's last write has ended. */
  readonly tokenBeforeWrite?: boolean
  /** A token of a newer timeline is met by the primary that this process still believes in. */
  readonly believesOld?: boolean
  /** Of what the process has written, the last so many ms before a read are not owed to it. */
  readonly lateShared?: number
}

export interface World {
  /** Positions are beats of a heartbeat, not of the log. */
  readonly heartbeat?: boolean
}

export interface Outcome {
  readonly violations: readonly string[]
  readonly replicaReads: number
  readonly primaryReads: number
  readonly writes: number
  readonly crashes: number
  readonly failovers: number
  /** Tokens that sessions brought to the other router. */
  readonly hops: number
  /** Moves of any process. */
  readonly steps: number
}

const sizes = { block: 8_192, segment: 16 * 1024 * 1024 }

/** One WAL record; `top`: the newest commit up to it; `beat`, `beatTimeline`: the heartbeat's row as it shows it. */
interface WalRecord {
  readonly end: bigint
  readonly top: number
  readonly beat: number
  readonly beatTimeline: number
}

interface Server {
  readonly node: NodeConfig
  role: 'primary' | 'replica'
  timeline: number
  wal: WalRecord[]
  /** Records on disk (primary): only those are sent to replicas. */
  flushed: number
  /** Records shown. */
  replayed: number
  /** Where a crash falls back to. */
  safe: number
  alive: boolean
  /** Changes with every crash: connections of the last one are broken. */
  incarnation: number
  postmaster: number
  upstream: Server | null
}

interface Connection {
  readonly server: Server
  readonly incarnation: number
  readonly evidence: ConnectionEvidence
}

/** One process: what it knows of the servers, its connections, and what its sessions outside any request have written. */
interface Router {
  cluster: ClusterState
  readonly idle: Map<string, Connection[]>
  readonly written: SessionFloors
  /** Commits of those sessions, by the time at which they were acknowledged. */
  readonly commits: Acknowledged[]
}

interface Acknowledged {
  readonly at: number
  readonly commit: number
}

interface Session {
  router: Router
  floors: SessionFloors
  /** It sees what its process has written, and stays there. */
  readonly shared: boolean
  /** Newest acknowledged write and newest commit seen, as far as they survive. */
  readonly mine: number[]
  readonly seen: number[]
  /** Tokens it had earlier. */
  readonly old: string[]
}

type Process<T = void> = Generator<number, T>

export function simulate(seed: number, seconds: number, faults: Faults = {}, world: World = {}): Outcome {
  return new Simulation(seed, faults, world).run(seconds * 1_000)
}

class Simulation {
  readonly #faults: Faults
  readonly #random: () => number
  readonly #servers: Server[]
  readonly #heartbeat: boolean
  readonly #routers: readonly Router[]
  readonly #acknowledged: Acknowledged[] = []
  readonly #violations: string[] = []
  readonly #counts = { replicaReads: 0, primaryReads: 0, writes: 0, crashes: 0, failovers: 0, hops: 0, steps: 0 }
  #now = 0
  #queue: { at: number; order: number; process: Process }[] = []
  #order = 0
  #commits = 0
  /** The newest primary: what it has is what survives. */
  #truth: Server

  constructor(seed: number, faults: Faults, { heartbeat = false }: World) {
    this.#faults = faults
    this.#heartbeat = heartbeat
    this.#random = seededRandom(seed)
    this.#servers = ['a', 'b', 'c'].map((id): Server => {
      const node = { id, host: id, port: 1, weight: 1, zone: null, subscriber: false }
      const wal = [{ end: BigInt(sizes.segment) + 100n * 8n, top: 0, beat: 0, beatTimeline: 0 }]
      return {
        node,
        role: 'replica',
        timeline: 1,
        wal,
        flushed: 1,
        replayed: 1,
        safe: 1,
        alive: true,
        incarnation: 0,
        postmaster: 0,
        upstream: null,
      }
    })
    const [primary, ...replicas] = this.#servers as [Server, ...Server[]]
    primary.role = 'primary'
    for (const replica of replicas) follow(replica, primary)
    this.#truth = primary
    const nodes = this.#servers.map(({ node }) => node)
    this.#routers = [1, 2].map(() => ({
      cluster: newCluster('main', nodes, heartbeat ? 'heartbeat' : ''),
      idle: new Map(),
      written: createFloors(),
      commits: [],
    }))
  }

  run(ms: number): Outcome {
    for (const server of this.#servers) {
      for (const router of this.#routers) this.#start(this.#monitor(router, server))
      this.#start(this.#replay(server))
    }
    this.#start(this.#wal())
    this.#start(this.#accidents())
    for (let index = 0; index < 8; index++) this.#start(this.#session(index))
    while (this.#now < ms && this.#violations.length === 0) this.#step()
    return { violations: this.#violations, ...this.#counts }
  }

  // ---- the clock

  #start(process: Process): void {
    this.#queue.push({ at: this.#now, order: this.#order++, process })
  }

  #step(): void {
    let first = 0
    for (let index = 1; index < this.#queue.length; index++) {
      const [one, best] = [this.#queue[index], this.#queue[first]]
      if (one !== undefined && best !== undefined && (one.at < best.at || (one.at === best.at && one.order < best.order))) first = index
    }
    const [next] = this.#queue.splice(first, 1)
    if (next === undefined) throw new Error('nothing left to do')
    this.#now = next.at
    this.#counts.steps += 1
    const result = next.process.next()
    if (result.done !== true) this.#queue.push({ ...next, at: this.#now + result.value, order: this.#order++ })
  }

  #between(low: number, high: number): number {
    return low + this.#random() * (high - low)
  }

  #chance(p: number): boolean {
    return this.#random() < p
  }

  #delay(): number {
    if (this.#chance(0.03)) return this.#between(20, 400)
    return this.#between(0.1, 3)
  }

  #pick<T>(items: readonly T[]): T | undefined {
    return items[Math.floor(this.#random() * items.length)]
  }

  // ---- servers

  /** Bulk of other people's records, so that positions move all the time; and the disk that follows. */
  *#wal(): Process {
    for (;;) {
      yield this.#between(1, 15)
      for (const server of this.#servers) {
        if (server.role !== 'primary' || !server.alive) continue
        if (this.#chance(0.3)) append(server, Math.floor(this.#between(4, 60)) * 8, null)
        if (this.#chance(0.6)) server.flushed = server.wal.length
      }
    }
  }

  *#replay(server: Server): Process {
    for (;;) {
      yield this.#chance(0.01) ? this.#between(100, 3_000) : this.#between(1, 20)
      const from = server.upstream
      if (server.role !== 'replica' || !server.alive || from === null || !from.alive || server.wal !== from.wal) continue
      server.replayed = Math.max(server.replayed, Math.min(from.flushed, server.replayed + Math.ceil(this.#between(0, 6))))
      if (this.#chance(0.02)) server.safe = server.replayed
    }
  }

  *#accidents(): Process {
    for (;;) {
      yield this.#between(150, 1_500)
      if (this.#chance(0.15)) yield* this.#failover()
      else if (this.#chance(0.7)) this.#start(this.#crash(this.#pick(this.#servers.filter(({ role }) => role === 'replica'))))
    }
  }

  /** A replica comes back at an older position; its postmaster may live through it. */
  *#crash(server: Server | undefined): Process {
    if (server?.alive !== true) return
    this.#counts.crashes += 1
    server.alive = false
    server.incarnation += 1
    if (this.#chance(0.5)) server.postmaster += 1
    server.replayed = Math.floor(this.#between(server.safe, server.replayed + 1))
    yield this.#between(1, 100)
    server.alive = true
  }

  *#failover(): Process {
    const old = this.#truth
    const next = this.#pick(this.#servers.filter((server) => server.role === 'replica' && server.alive && server.wal === old.wal))
    if (next === undefined) return
    this.#counts.failovers += 1
    old.alive = false
    old.incarnation += 1
    old.postmaster += 1
    yield this.#between(5, 300)
    next.wal = next.wal.slice(0, next.replayed)
    next.role = 'primary'
    next.timeline += 1
    next.flushed = next.wal.length
    next.upstream = null
    this.#truth = next
    for (const server of this.#servers)
      if (server.role === 'replica' && server.replayed <= next.wal.length && server.wal === old.wal) follow(server, next)
    // The old one returns: for a while as what it was, then rebuilt as a replica.
    yield this.#between(50, 600)
    old.alive = true
    yield this.#between(50, 600)
    for (const server of this.#servers) {
      if (server === next || server.wal === next.wal) continue
      server.incarnation += 1
      server.postmaster += 1
      server.role = 'replica'
      server.replayed = server.safe = next.flushed
      follow(server, next)
    }
  }

  /** What the server answers when it is asked where it stands. `sample`: a heartbeat is written for it. */
  #answer(server: Server, sample: boolean): Answer['server'] {
    const inRecovery = server.role === 'replica'
    const receives = server.upstream?.alive === true && server.upstream.wal === server.wal
    if (this.#heartbeat && sample && !inRecovery) append(server, 64, null, true)
    const { lsn, timeline } = this.#heartbeat ? beatOf(server) : this.#position(server, receives)
    return {
      inRecovery,
      lsn,
      postmasterStart: String(server.postmaster),
      timeline: this.#faults.oneTimeline === true ? 1 : timeline,
      replayedTimeline: null,
      receiving: inRecovery && receives,
      commits: null,
      blind: null,
    }
  }

  #position(server: Server, receives: boolean): { readonly lsn: bigint; readonly timeline: number | null } {
    if (server.role === 'primary') return { lsn: normaliseInsertLsn(insertPosition(server), sizes), timeline: server.timeline }
    return { lsn: shown(server), timeline: receives ? server.timeline : null }
  }

  // ---- the network

  /** null: lost on the way, or the connection was broken by a crash. */
  *#call<T>(server: Server, incarnation: number, work: () => T): Process<T | null> {
    yield this.#delay()
    if (this.#chance(0.002)) {
      yield 1_000
      return null
    }
    if (!server.alive || server.incarnation !== incarnation) {
      yield this.#delay()
      return null
    }
    const result = work()
    yield this.#delay()
    return result
  }

  // ---- the router

  *#monitor(router: Router, server: Server): Process {
    const { id } = server.node
    for (;;) {
      const incarnation = yield* this.#connect(server)
      if (incarnation === null) {
        router.cluster = observe(router.cluster, id, { kind: 'lost', reason: 'refused' }, this.#now)
        yield this.#between(10, 60)
        continue
      }
      const connectedAt = this.#faults.anyIncarnation === true ? -Infinity : this.#now
      for (;;) {
        const sentAt = this.#now
        const said = yield* this.#call(server, incarnation, () => this.#answer(server, true))
        if (said === null) break
        const answer = {
          sentAt: this.#faults.receiveTime === true ? this.#now : sentAt,
          connectedAt,
          server: said,
          systemIdentifier: '1',
          tellsTimeline: true,
        }
        router.cluster = observe(router.cluster, id, { kind: 'answer', answer }, this.#now)
        yield this.#between(10, 120)
      }
      router.cluster = observe(router.cluster, id, { kind: 'lost', reason: 'broken' }, this.#now)
    }
  }

  *#connect(server: Server): Process<number | null> {
    yield this.#delay()
    if (!server.alive) return null
    const { incarnation } = server
    yield this.#delay()
    return incarnation
  }

  /** An idle connection, or a new one. */
  *#lease(router: Router, id: string): Process<Connection | null> {
    const idle = router.idle.get(id) ?? []
    router.idle.set(id, idle)
    if (idle.length > 0 && !this.#chance(0.1)) return idle.splice(Math.floor(this.#random() * idle.length), 1)[0] ?? null
    const server = this.#servers.find(({ node }) => node.id === id)
    if (server === undefined) return null
    const incarnation = yield* this.#connect(server)
    if (incarnation === null) return null
    const openedAt = this.#now
    const said = yield* this.#call(server, incarnation, () => this.#answer(server, false))
    if (said === null) return null
    const { inRecovery, lsn, postmasterStart, timeline } = said
    return { server, incarnation, evidence: { node: id, openedAt, inRecovery, position: lsn, postmasterStart, timeline } }
  }

  #release(router: Router, connection: Connection): void {
    const idle = router.idle.get(connection.server.node.id)
    if (idle !== undefined && idle.length < 4) idle.push(connection)
  }

  /** Two of them see what their process has written; the others carry what they have seen from process to process. */
  *#session(index: number): Process {
    let session = this.#begun(index)
    for (;;) {
      yield this.#chance(0.3) ? this.#between(0, 200) : this.#between(0, 5)
      if (this.#chance(0.01)) session = this.#begun(index)
      if (!session.shared && this.#chance(0.06)) yield* this.#hop(session)
      else if (!session.shared && this.#chance(0.02)) this.#bring(session, this.#forged(session))
      else if (this.#chance(0.15)) yield* this.#write(session)
      else yield* this.#read(session)
    }
  }

  #begun(index: number): Session {
    const router = this.#routers[index % this.#routers.length]
    if (router === undefined) throw new Error('no router')
    const shared = index < 3
    return { router, shared, floors: createFloors(shared ? router.written : null), mine: [], seen: [], old: [] }
  }

  /** Takes the session's token to the other process; mostly made after a sample, as a door does it. */
  *#hop(session: Session): Process {
    const ends = this.#now + 250
    while (this.#chance(0.8) && this.#now < ends && session.floors.unresolved(viewOf(session.router))) yield this.#between(5, 40)
    if (this.#faults.tokenBeforeWrite === true) {
      const early = this.#token(session)
      yield* this.#write(session)
      this.#move(session, early)
      return
    }
    const token = this.#token(session)
    yield this.#between(0, 100)
    this.#move(session, token)
  }

  #token({ floors, router }: Session): string {
    return exportToken(floors, [viewOf(router)], null)
  }

  #move(session: Session, token: string): void {
    this.#counts.hops += 1
    session.old.push(token)
    session.router = this.#routers.find((router) => router !== session.router) ?? session.router
    session.floors = createFloors()
    if (this.#chance(0.3)) this.#bring(session, this.#forged(session))
    this.#bring(session, token)
    if (this.#chance(0.3)) this.#bring(session, this.#forged(session))
  }

  #bring(session: Session, token: string): void {
    const { system, timeline } = viewOf(session.router)
    const text = this.#faults.tokenTimeline === true ? retimed(token, timeline ?? 1) : token
    const now = this.#now - (this.#faults.earlyToken ?? 0) * this.#random()
    importToken(session.floors, text, { clusters: ['main'], key: null, now, system: () => system })
  }

  /** Old ones, those of other servers or timelines, positions nobody has reached, and rubbish. */
  #forged({ old, router }: Session): string {
    const { system, timeline } = viewOf(router)
    const made = (of: string | null, tli: number, lsn: bigint | null): string =>
      encodeToken([{ cluster: 'main', system: of ?? '', timeline: tli, lsn }], null) ?? ''
    const anywhere = BigInt(Math.floor(this.#between(0, 2 * sizes.segment)))
    return (
      this.#pick([
        this.#pick(old) ?? '',
        made(system, timeline ?? 1, 1n << 50n),
        made(system, timeline ?? 1, anywhere),
        made(system, Math.max(0, (timeline ?? 1) - 1), anywhere),
        made('elsewhere', timeline ?? 1, anywhere),
        made(system, 0, null),
        'p1.rubbish',
      ]) ?? ''
    )
  }

  *#write(session: Session): Process {
    const { router } = session
    const id = viewOf(router).primary?.id
    if (id === undefined) return
    const connection = yield* this.#lease(router, id)
    if (connection === null) return
    if (connection.evidence.inRecovery) return
    // withoutStickyWrites: it asks nothing for this one, and is owed nothing; what it asked before stays.
    const sticky = !this.#chance(0.1)
    if (sticky) session.floors.writeStarted('main')
    const { server, incarnation } = connection
    const commit = yield* this.#call(server, incarnation, () => append(server, 8 * Math.floor(this.#between(4, 20)), ++this.#commits))
    if (sticky) session.floors.writeEnded('main', this.#now - (this.#faults.earlyWrite ?? 0) * this.#random())
    if (commit === null) return
    this.#counts.writes += 1
    const acknowledged = { at: this.#now, commit }
    if (sticky) session.mine.push(commit)
    if (sticky && session.shared) router.commits.push(acknowledged)
    this.#acknowledged.push(acknowledged)
    this.#release(router, connection)
  }

  #policy(): ReadPolicy {
    const maxStalenessMs = this.#between(20, 1_500)
    const choice = this.#random()
    if (choice < 0.5) return readPolicy({ consistency: 'session' })
    if (choice < 0.75) return readPolicy({ consistency: 'bounded', maxStalenessMs })
    if (choice < 0.9) return readPolicy({ consistency: 'session', maxStalenessMs })
    return readPolicy({ consistency: 'any' })
  }

  *#read(session: Session): Process {
    const { router } = session
    const policy = this.#policy()
    const invokedAt = this.#now
    const seenAt = invokedAt - (this.#faults.lateShared ?? 0) * this.#random()
    // It waits for its turn; what others end meanwhile is not owed to it.
    if (this.#chance(0.2)) yield this.#between(0, 150)
    const view = viewOf(router)
    const asked = requirement(policy, session.floors, view, this.#faults.lateShared === undefined ? invokedAt : seenAt)
    const last = session.floors.lastReplica('main')
    const able = view.nodes.filter((node) => node.role === 'replica' && node.unfit === null && mayAdmit(asked, node))
    const node = (this.#chance(0.5) ? able.find(({ id }) => id === last) : undefined) ?? this.#pick(able)
    if (node !== undefined) {
      const connection = yield* this.#lease(router, node.id)
      if (connection === null) return
      if (connection.evidence.inRecovery && admits(asked, connection.evidence, this.#latest(router, node.id))) {
        yield* this.#run(session, policy, invokedAt, connection, 'replica')
        return
      }
      this.#release(router, connection)
    }
    if (asked.kind === 'unmet' && asked.elsewhere && this.#faults.believesOld !== true && !(yield* this.#look(router))) return
    const primary: NodeSnapshot | null = viewOf(router).primary
    const connection = primary === null ? null : yield* this.#lease(router, primary.id)
    if (connection !== null && !connection.evidence.inRecovery) yield* this.#run(session, policy, invokedAt, connection, 'primary')
  }

  /** Asks every server once more. False: one that lives could not be asked. */
  *#look(router: Router): Process<boolean> {
    for (const server of this.#servers) {
      const incarnation = yield* this.#connect(server)
      if (incarnation === null) continue
      const [connectedAt, sentAt] = [this.#now, this.#now]
      const said = yield* this.#call(server, incarnation, () => this.#answer(server, true))
      if (said === null) return false
      const answer = { sentAt, connectedAt, server: said, systemIdentifier: '1', tellsTimeline: true }
      router.cluster = observe(router.cluster, server.node.id, { kind: 'answer', answer }, this.#now)
    }
    return true
  }

  #latest(router: Router, id: string): Position | null {
    const position = viewOf(router).nodes.find((node) => node.id === id)?.position ?? null
    return position !== null && this.#faults.olderSamples === true ? { ...position, sentAt: Infinity } : position
  }

  *#run(session: Session, policy: ReadPolicy, invokedAt: number, connection: Connection, role: 'primary' | 'replica'): Process {
    const { server, incarnation, evidence } = connection
    const startedAt = this.#now
    const top = yield* this.#call(server, incarnation, () => {
      this.#check(session, policy, invokedAt, server)
      return topOf(server)
    })
    const endedAt = this.#now - (this.#faults.earlyRead ?? 0) * this.#random()
    const { openedAt, postmasterStart } = evidence
    session.floors.readEnded('main', { node: server.node.id, role, openedAt, postmasterStart, startedAt, endedAt })
    if (top === null) return
    this.#counts[role === 'replica' ? 'replicaReads' : 'primaryReads'] += 1
    session.seen.push(top)
    this.#release(session.router, connection)
  }

  /** Everything that survives and was promised must be there. */
  #check(session: Session, policy: ReadPolicy, invokedAt: number, server: Server): void {
    const owed: [string, number][] = []
    // A heartbeat's timeline comes with the first beat that is replayed: until then nothing tells of a promotion (DESIGN §5: the
    // bound holds against the primary that the router can see).
    const blind = this.#heartbeat && server.role === 'primary' && server.wal !== this.#truth.wal
    if (policy.consistency === 'session' && !blind) {
      owed.push(['I1 read your writes', this.#newest(session.mine)], ['I2 monotonic reads', this.#newest(session.seen)])
      if (session.shared) owed.push(['I1 in one process', this.#newest(before(session.router.commits, invokedAt))])
    }
    const { maxStalenessMs } = policy
    // Nor can it know of writes on a primary that only the other process has seen yet.
    if (maxStalenessMs !== null && (viewOf(session.router).timeline ?? 0) >= this.#truth.timeline) {
      owed.push(['I3 bound', this.#newest(before(this.#acknowledged, invokedAt - maxStalenessMs))])
    }
    for (const [what, commit] of owed) {
      if (commit === 0 || has(server, commit)) continue
      this.#violations.push(
        `${what}: at ${this.#now.toFixed(1)} ms ${server.node.id} (${server.role}, timeline ${String(server.timeline)} of ${String(this.#truth.timeline)}, known here: ${String(viewOf(session.router).timeline)}) lacks commit ${String(commit)} (${policy.consistency}, ${String(policy.maxStalenessMs)} ms)`,
      )
    }
  }

  /** The newest commit of a list that was not lost in a failover. */
  #newest(commits: readonly number[]): number {
    for (let index = commits.length - 1, newest = 0; ; index--) {
      const commit = commits[index]
      if (commit === undefined) return newest
      if (commit > newest && has(this.#truth, commit, this.#truth.wal.length)) newest = commit
      // Lists grow with time; what stands far behind the newest cannot be newer.
      if (newest > 0 && commits.length - index > 50) return newest
    }
  }
}

function follow(server: Server, upstream: Server): void {
  server.upstream = upstream
  server.wal = upstream.wal
  server.timeline = upstream.timeline
}

/** Appends one record and returns its commit. A record that starts at a page boundary starts behind the page's header. */
function append(server: Server, bytes: number, commit: number | null, beats: boolean = false): number | null {
  const last = server.wal.at(-1)
  if (last === undefined) throw new Error('a server without WAL')
  const start = afterHeader(last.end)
  const end = start + BigInt(bytes)
  // Never across a boundary: cut there. It makes ends at boundaries common, as rare as they are in life.
  const boundary = (start / BigInt(sizes.block) + 1n) * BigInt(sizes.block)
  const beat = beats ? { beat: last.beat + 1, beatTimeline: server.timeline } : { beat: last.beat, beatTimeline: last.beatTimeline }
  server.wal.push({ end: end > boundary ? boundary : end, top: commit ?? last.top, ...beat })
  server.replayed = server.wal.length
  return commit
}

function afterHeader(end: bigint): bigint {
  if (end % BigInt(sizes.segment) === 0n) return end + 40n
  return end % BigInt(sizes.block) === 0n ? end + 24n : end
}

/** As pg_current_wal_insert_lsn() reads: where the next record will start. */
function insertPosition(server: Server): bigint {
  return afterHeader(server.wal.at(-1)?.end ?? 0n)
}

function shown(server: Server): bigint {
  return server.wal[server.replayed - 1]?.end ?? 0n
}

/** The heartbeat's row as the server shows it. On a primary it is read without a beat only where a connection is opened. */
function beatOf(server: Server): { readonly lsn: bigint; readonly timeline: number | null } {
  const { beat = 0, beatTimeline = 0 } = server.wal[server.replayed - 1] ?? {}
  const timeline = server.role === 'primary' ? server.timeline : beatTimeline
  return { lsn: BigInt(beat), timeline: timeline > 0 ? timeline : null }
}

/** The last commits that were acknowledged before `time`; what stands far behind the newest cannot be newer. */
function before(acknowledged: readonly Acknowledged[], time: number): readonly number[] {
  const end = acknowledged.findLastIndex(({ at }) => at < time) + 1
  return acknowledged.slice(Math.max(0, end - 60), end).map(({ commit }) => commit)
}

const views = new WeakMap<ClusterState, ClusterSnapshot>()

/** As the router sees it; states are values, so each has one. */
function viewOf({ cluster }: Router): ClusterSnapshot {
  let view = views.get(cluster)
  if (view === undefined) views.set(cluster, (view = snapshotOf(cluster)))
  return view
}

/** The same token, said to be of another timeline. */
function retimed(token: string, timeline: number): string {
  const reading = decodeToken(token, null)
  return reading.ok
    ? (encodeToken(
        reading.entries.map((entry) => ({ ...entry, timeline })),
        null,
      ) ?? '')
    : token
}

function topOf(server: Server): number {
  return server.wal[server.replayed - 1]?.top ?? 0
}

/** Whether the commit is among the first `count` records. `top` never falls along the WAL. */
function has(server: Server, commit: number, count: number = server.replayed): boolean {
  let low = 0
  let high = count
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((server.wal[middle]?.top ?? 0) < commit) low = middle + 1
    else high = middle
  }
  return low < count && server.wal[low]?.top === commit
}
