// consistency/floors.ts — what one session must see again: its own writes and what its reads have shown (CONSISTENCY
// §2.3 W0 and §2.6). One per session, kept per cluster. It asks no server anything: a write or a read leaves a mark in
// time, and the first sample that the monitor SENT after that mark turns it into a position. Until then it is pending,
// which no replica meets. Pure: times are arguments.
//
//   write sent ── acknowledged (mark) ── sample sent ── sample read: its LSN is the floor
//
// A floor keeps its mark. On a new timeline its LSN says nothing any more; the first sample of the new primary sent after
// the mark holds everything of it that survived, so the floor is made again from there (§2.8.3).
import { firstSampleAfter } from './series.js'
import type { Lsn } from './lsn.js'
import type { ClusterView, Position } from './position.js'

/** How a read ended, well or not. All times are process-monotonic ms. */
export interface ReadEnd {
  readonly node: string
  readonly role: 'primary' | 'replica'
  /** `evidence.openedAt` of the connection it ran on. */
  readonly openedAt: number
  /** `evidence.postmasterStart` of that connection. */
  readonly postmasterStart: string
  /** Before the read was sent, at or after `openedAt`. */
  readonly startedAt: number
  /** After its last reply was read. */
  readonly endedAt: number
}

export interface SessionFloors {
  /** A write is about to be sent: pending until resolved, infinite while in flight. Called BEFORE sending. */
  writeStarted(cluster: string): void
  /** The write was acknowledged, failed, or its outcome is unknown (all count), at `now`. */
  writeEnded(cluster: string, now: number): void
  /** Every read counts, whatever its policy: a later `session` read must not show less. */
  readEnded(cluster: string, read: ReadEnd): void
  /**
   * Resolves what the cluster's samples can resolve, and says what is asked of a `session` read that was invoked at `invokedAt`,
   * process-monotonic ms (default: now). All that this session has done so far is owed to it: a pipelined read arrives before
   * the write ahead of it has ended. Of what is shared only endedBefore(invokedAt) is.
   */
  standing(cluster: ClusterView, invokedAt?: number): Standing
  /** standing(), without what ended after `time`: while many go on writing, no sample would ever cover the last of them. */
  endedBefore(cluster: ClusterView, time: number): Standing
  /** Takes what a token says of this cluster, received at `now`. It only ever raises what is asked. */
  imported(cluster: string, part: TokenPart, now: number): void
  /** What a token must say of this cluster so that whoever brings it sees what this session has written and seen; null: nothing. */
  exported(cluster: ClusterView): TokenPart | null
  /** exported() could say it by position once the primary has been sampled again; not while a write is in flight. */
  unresolved(cluster: ClusterView): boolean
  /** When the last write, read or token on it ended or came (process-monotonic ms; Infinity: in flight); null: nothing is asked there. */
  usedAt(cluster: string): number | null
  /** The clusters that it has written on; reads and imported tokens do not count. */
  readonly written: ReadonlySet<string>
  /** The replica that answered last, to be preferred (monotonic reads are free there), or null. */
  lastReplica(cluster: string): string | null
}

/** What a session asks of a replica, apart from its policy. */
export type Standing =
  /** `lsn` 0 where nothing was written or read yet. `same`: a read is not resolved yet, so only its own server may answer. */
  | {
      readonly kind: 'floor'
      readonly timeline: number
      readonly lsn: Lsn
      readonly same: SameServer | null
      readonly claimed: boolean
    }
  /**
   * `impatient`: this session has been sent to the primary several times in a row because of it. `elsewhere`: it has to do with
   * a timeline newer than that of the primary which is known here, and which may therefore be an old one that lacks it, too.
   */
  | { readonly kind: 'pending'; readonly reason: string; readonly impatient: boolean; readonly elsewhere: boolean }

/** A connection to `node` that was open at `openedBefore` and still is shows at least what was read there. */
export interface SameServer {
  readonly node: string
  readonly openedBefore: number
}

/** One cluster's part of a token (token.ts). */
export interface TokenPart {
  /** systemKey(); '' where it was not known. */
  readonly system: string
  readonly timeline: number
  /** null: whatever the primary of that timeline, or of a newer one, has when the token is received. */
  readonly lsn: Lsn | null
}

interface Floor {
  readonly timeline: number
  readonly lsn: Lsn
  readonly mark: number
}

/** Reads on one replica whose upper bound is not known yet. Open at `since` and still open: no crash between them and now. */
interface ReplicaMark {
  readonly since: number
  readonly endedAt: number
  readonly postmasterStart: string
}

/** `mark`: when it was received. `hearsay`: its sender had not seen that timeline itself, so it is not passed on any further. */
interface Claim extends Floor {
  readonly system: string
  readonly hearsay: boolean
}

interface ClusterFloors {
  floor: Floor | null
  /** What a token said and no sample has confirmed. */
  claim: Claim | null
  writing: number
  /** The end of the last write or primary read that no sample has covered yet. */
  mark: number | null
  readonly reads: Map<string, ReplicaMark>
  /** Reads on the primary since the last one on a replica. */
  spills: number
  lastReplica: string | null
}

/** After so many reads in a row on the primary, the next one is asked to wait for a sample instead (CONSISTENCY §2.3 W0). */
const PATIENCE = 3
/**
 * A token of a newer timeline than the primary's may come from a process that saw a promotion earlier. If the same primary
 * is still proved this much later, in ms (twice the time for which a role is believed), the token was wrong.
 */
const DOUBT_MS = 10_000

/**
 * The floors of a new session: nothing written, nothing read. `shared`: the writes of all sessions that were made with it
 * count for each of them, from their end on; reads never do, since sessions that read side by side owe each other no order
 * (and would hold each other to the primary, while they read from several replicas).
 */
export function createFloors(shared: SessionFloors | null = null): SessionFloors {
  const clusters = new Map<string, ClusterFloors>()
  const written = new Set<string>()
  const of = (cluster: string): ClusterFloors => {
    let state = clusters.get(cluster)
    if (state === undefined) {
      state = { floor: null, claim: null, writing: 0, mark: null, reads: new Map(), spills: 0, lastReplica: null }
      clusters.set(cluster, state)
    }
    return state
  }
  const own = (view: ClusterView, time = Infinity): Standing => {
    if (view.timeline === null) return { kind: 'pending', reason: 'no primary has been seen yet', impatient: false, elsewhere: false }
    const state = clusters.get(view.id)
    return state === undefined
      ? { kind: 'floor', timeline: view.timeline, lsn: 0n, same: null, claimed: false }
      : stand(state, view, view.timeline, time)
  }
  return {
    writeStarted: (cluster) => {
      of(cluster).writing += 1
      written.add(cluster)
    },
    writeEnded: (cluster, now) => {
      const state = of(cluster)
      state.writing = Math.max(0, state.writing - 1)
      state.mark = later(state.mark, now)
      shared?.writeEnded(cluster, now)
    },
    readEnded: (cluster, read) => {
      if (read.role === 'primary') primaryRead(of(cluster), read)
      else replicaRead(of(cluster), read)
    },
    standing: (view, invokedAt = Infinity) => {
      const standing = own(view)
      if (shared === null || standing.kind === 'pending') return standing
      const others = shared.endedBefore(view, invokedAt)
      if (others.kind === 'pending') return others
      return others.lsn > standing.lsn ? { ...standing, lsn: others.lsn } : standing
    },
    endedBefore: own,
    imported: (cluster, part, now) => {
      claim(of(cluster), part, now)
    },
    exported: (view) => {
      const state = clusters.get(view.id)
      return both(state === undefined ? null : told(state, view), shared?.exported(view) ?? null)
    },
    unresolved: (view) => {
      const state = clusters.get(view.id)
      return (state?.writing === 0 && told(state, view)?.lsn === null) || shared?.unresolved(view) === true
    },
    usedAt: (cluster) => {
      const state = clusters.get(cluster)
      const mine = state === undefined ? null : lastUse(state)
      const theirs = shared?.usedAt(cluster) ?? null
      return mine === null && theirs === null ? null : Math.max(mine ?? -Infinity, theirs ?? -Infinity)
    },
    written,
    lastReplica: (cluster) => clusters.get(cluster)?.lastReplica ?? null,
  }
}

/** The primary shows what any replica showed before, so its mark takes the place of theirs. */
function primaryRead(state: ClusterFloors, read: ReadEnd): void {
  state.mark = later(state.mark, read.endedAt)
  state.spills += 1
  for (const [node, mark] of state.reads) if (mark.endedAt <= read.startedAt) state.reads.delete(node)
}

function replicaRead(state: ClusterFloors, read: ReadEnd): void {
  state.spills = 0
  state.lastReplica = read.node
  const before = state.reads.get(read.node)
  if (before === undefined) {
    state.reads.set(read.node, { since: read.startedAt, endedAt: read.endedAt, postmasterStart: read.postmasterStart })
    return
  }
  // A connection that was open at `since` and answered this read later proves that there was no crash between; else the older
  // mark stays. (A read may be told late: a kept result is given again long after it was read.)
  const unbroken = read.openedAt <= before.since && read.startedAt >= before.since && read.postmasterStart === before.postmasterStart
  state.reads.set(read.node, {
    since: unbroken ? Math.max(before.since, read.startedAt) : Math.min(before.since, read.startedAt),
    endedAt: Math.max(before.endedAt, read.endedAt),
    postmasterStart: before.postmasterStart,
  })
}

function stand(state: ClusterFloors, view: ClusterView, timeline: number, time = Infinity): Standing {
  if (state.writing > 0) return pending(state, 'a write of this session is in flight')
  const known = state.floor
  if (known !== null && known.timeline > timeline && known.mark >= view.since)
    return pending(state, 'this session has seen a newer timeline', true)
  if (!moveToTimeline(state, view, timeline)) return pending(state, 'the new primary has not been sampled yet')
  const claimed = resolveClaim(state, view, timeline)
  if (claimed === null) {
    const elsewhere = (state.claim?.timeline ?? 0) > timeline
    return pending(state, 'a token of this session speaks of another timeline, and no sample has settled it yet', elsewhere)
  }
  if (!resolvePrimaryMark(state, view, timeline, time))
    return pending(state, 'the last write or primary read of this session has no sample yet')
  resolveReplicaMarks(state, view, timeline)
  if (state.reads.size > 1) return pending(state, 'reads of this session on several replicas have no sample yet')
  const [unresolved] = state.reads
  const same = unresolved === undefined ? null : { node: unresolved[0], openedBefore: unresolved[1].since }
  const lsn = state.floor?.lsn ?? 0n
  return { kind: 'floor', timeline, lsn: claimed > lsn ? claimed : lsn, same, claimed: claimed > lsn }
}

function claim(state: ClusterFloors, { system, timeline, lsn }: TokenPart, now: number): void {
  const before = state.claim
  const comparable = before === null || (before.system === system && before.timeline === timeline)
  // What cannot be located, or compared with an earlier claim, is covered by the first sample from here on: of this timeline, or a newer one.
  if (lsn === null || !comparable) state.mark = later(state.mark, now)
  if (timeline === 0) return
  const made: Claim = { system, timeline, lsn: lsn ?? 0n, mark: now, hearsay: lsn === null }
  if (before === null || (!comparable && timeline > before.timeline)) state.claim = made
  // The later mark counts for both: a sample between the two may cut down the first, but says nothing of the second.
  else if (comparable)
    state.claim = { ...made, lsn: made.lsn > before.lsn ? made.lsn : before.lsn, hearsay: made.hearsay && before.hearsay }
}

/**
 * The position that a claim asks for now, 0 for none; null: not known yet. The first sample after the token was received
 * is at or after everything that a true token can speak of, so a claim beyond it is cut down to it.
 */
function resolveClaim(state: ClusterFloors, view: ClusterView, timeline: number): Lsn | null {
  const { claim } = state
  if (claim === null) return 0n
  const foreign = view.system !== null && claim.system !== view.system
  const sample = firstSampleAfter(view.series, claim.timeline > timeline && !foreign ? claim.mark + DOUBT_MS : claim.mark)
  if (sample === null) return claim.timeline === timeline && !foreign ? claim.lsn : null
  // Another process may know of commits that are not on disk yet.
  const top = sample.insert ?? sample.lsn
  const known = claim.timeline === timeline && !foreign && claim.lsn < top
  raise(state, { timeline, lsn: known ? claim.lsn : top, mark: claim.mark })
  state.claim = null
  return 0n
}

/** Everything this session has written and seen, as far as it can be located; what a replica showed, by the primary's samples. */
function told(state: ClusterFloors, view: ClusterView): TokenPart | null {
  const system = view.system ?? ''
  const { timeline } = view
  if (lastUse(state) === null) return null
  if (timeline === null) return { system, timeline: newest(state, view), lsn: null }
  const standing = stand(state, view, timeline)
  let lsn = standing.kind === 'floor' ? standing.lsn : null
  for (const { endedAt } of state.reads.values()) {
    const sample = firstSampleAfter(view.series, endedAt)
    if (sample === null || lsn === null) lsn = null
    else if (sample.lsn > lsn) lsn = sample.lsn
  }
  return { system, timeline: lsn === null ? newest(state, view) : timeline, lsn }
}

/** The newest timeline that this session knows of, where its cluster's present primary may be of an older one; 0: it knows of none. */
function newest({ floor, claim: said }: ClusterFloors, view: ClusterView): number {
  const believed = said !== null && !said.hearsay && (view.system === null || view.system === said.system)
  return Math.max(view.timeline ?? 0, floor?.timeline ?? 0, believed ? said.timeline : 0)
}

/** What both ask, each of the same cluster at the same moment. */
function both(one: TokenPart | null, other: TokenPart | null): TokenPart | null {
  if (one === null || other === null) return one ?? other
  const timeline = Math.max(one.timeline, other.timeline)
  if (one.lsn === null || other.lsn === null || one.timeline !== other.timeline) return { ...one, timeline, lsn: null }
  return one.lsn >= other.lsn ? one : other
}

function lastUse(state: ClusterFloors): number | null {
  if (state.writing > 0) return Infinity
  const times = [state.floor?.mark, state.claim?.mark, state.mark, ...[...state.reads.values()].map((read) => read.endedAt)]
  const latest = Math.max(...times.filter((time) => typeof time === 'number'))
  return latest === -Infinity ? null : latest
}

function pending(state: ClusterFloors, reason: string, elsewhere = false): Standing {
  return { kind: 'pending', reason, impatient: state.writing === 0 && state.spills % (PATIENCE + 1) === PATIENCE, elsewhere }
}

/**
 * False: the floor was made from another primary's samples (an older timeline; or the cluster was restored, or measured in
 * another way), and the present one was not sampled since its mark.
 */
function moveToTimeline(state: ClusterFloors, view: ClusterView, timeline: number): boolean {
  if (state.floor === null || (state.floor.timeline === timeline && state.floor.mark >= view.since)) return true
  const sample = firstSampleAfter(view.series, state.floor.mark)
  if (sample === null) return false
  state.floor = { timeline, lsn: sample.lsn, mark: Math.max(state.floor.mark, view.since) }
  return true
}

/** A sample sent after `time` covers everything that ended before it; the mark stays for what ended later. */
function resolvePrimaryMark(state: ClusterFloors, view: ClusterView, timeline: number, time: number): boolean {
  if (state.mark === null) return true
  const mark = Math.min(state.mark, time)
  const sample = firstSampleAfter(view.series, mark)
  if (sample === null) return false
  raise(state, { timeline, lsn: sample.lsn, mark })
  if (sample.sentAt > state.mark) state.mark = null
  return true
}

/**
 * What a replica showed is bounded by its own position in a sample sent afterwards, as long as the monitor's connection
 * was open before the read started: a crash between the two would have broken it, and may have taken the position back.
 * Where no such sample can come any more, the primary's first sample after the read bounds it too.
 */
function resolveReplicaMarks(state: ClusterFloors, view: ClusterView, timeline: number): void {
  for (const [node, mark] of state.reads) {
    const position = view.nodes.find(({ id }) => id === node)?.position ?? null
    const own = position?.timeline === timeline && position.connectedAt <= mark.since && position.postmasterStart === mark.postmasterStart
    const proof = own ? boundBy(position, mark, view) : firstSampleAfter(view.series, mark.endedAt)
    if (proof === null) continue
    raise(state, { timeline, lsn: proof.lsn, mark: mark.endedAt })
    state.reads.delete(node)
  }
}

/** `position`: of the replica that was read, with no crash since; null: it does not bound the read yet. */
function boundBy(position: Position, mark: ReplicaMark, view: ClusterView): { readonly lsn: Lsn } | null {
  if (view.exact) return position.sentAt > mark.endedAt ? position : null
  // Between two heartbeats it may show anything of what lies between: the primary's next one bounds it. Until the replica
  // itself is there it alone is known to be good enough.
  const sample = firstSampleAfter(view.series, mark.endedAt)
  return sample !== null && position.lsn >= sample.lsn ? sample : null
}

function raise(state: ClusterFloors, by: Floor): void {
  const floor = state.floor
  state.floor =
    floor === null ? by : { timeline: by.timeline, lsn: by.lsn > floor.lsn ? by.lsn : floor.lsn, mark: Math.max(by.mark, floor.mark) }
}

function later(mark: number | null, now: number): number {
  return mark === null ? now : Math.max(mark, now)
}
