// topology/node-state.ts — what is known of one node, and how an answer or a failure changes it. Pure values.
import type { NodeConfig } from '../config/config.js'
import type { Position } from '../consistency/position.js'
import type { Lsn } from '../consistency/lsn.js'
import type { ServerPosition } from '../consistency/position-query.js'
import { nextHealth } from './health.js'
import type { Health, Role } from './topology.js'

/** One answer of a server to the monitor. Times are process-monotonic ms. */
export interface Answer {
  /** Just before the query was sent. */
  readonly sentAt: number
  /** The monitor's connection was open at this time. */
  readonly connectedAt: number
  readonly server: ServerPosition
  /** pg_control_system().system_identifier: the same on all servers of one cluster, for life. */
  readonly systemIdentifier: string
  /** The monitor's user may see a standby's timeline (pg_monitor). */
  readonly tellsTimeline: boolean
}

export type NodeEvent = { readonly kind: 'answer'; readonly answer: Answer } | { readonly kind: 'miss' | 'lost'; readonly reason: string }

/** The role a server told, and when. It expires: a server that says nothing has no role. */
export interface RoleEvidence {
  readonly role: Role
  readonly timeline: number | null
  readonly systemIdentifier: string
  readonly tellsTimeline: boolean
  /** A standby's WAL receiver was connected. */
  readonly receiving: boolean
  /** Why its position cannot be told at all, in words; null: it can. */
  readonly blind: string | null
  readonly connectedAt: number
  readonly sentAt: number
}

export interface NodeState {
  readonly node: NodeConfig
  readonly health: Health
  /** It was asked once at least, and has answered or failed. */
  readonly asked: boolean
  readonly evidence: RoleEvidence | null
  readonly position: Position | null
  /** Bytes replayed per ms, of late; null: not known. */
  readonly replayRate: number | null
  /** The last that was seen of it as a replica, whatever has become of it since: it has at least this. */
  readonly replayed: { readonly timeline: number; readonly lsn: Lsn } | null
  /** Bytes that a primary had written to its log but not to disk when last asked; null: a replica, or not known. */
  readonly insertAheadBytes: number | null
  /** Why it is not up, in words; null where it is. */
  readonly trouble: string | null
  /** Why it is left unused as a replica, whatever its health; null: it is not. */
  readonly aside: string | null
}

/** A node nobody has asked yet. */
export function newNode(node: NodeConfig): NodeState {
  return {
    node,
    health: 'probation',
    asked: false,
    evidence: null,
    position: null,
    replayRate: null,
    replayed: null,
    insertAheadBytes: null,
    trouble: 'not asked yet',
    aside: null,
  }
}

/** A role that was told longer ago than this, in ms, is not known any more. */
export const roleExpiryMs = 5_000

export function afterEvent(state: NodeState, event: NodeEvent): NodeState {
  switch (event.kind) {
    case 'answer':
      return afterAnswer(state, event.answer)
    case 'miss':
    case 'lost': {
      const health = nextHealth(state.health, event.kind)
      // A node that is down must prove its role again before it is anything.
      const evidence = health === 'down' ? null : state.evidence
      return { ...state, health, asked: true, evidence, position: null, trouble: event.reason }
    }
  }
}

function afterAnswer(state: NodeState, answer: Answer): NodeState {
  const { server, sentAt, connectedAt } = answer
  const timeline = timelineOf(state, answer)
  // The first answer ever is as good as two: there is no failure to recover from.
  const health = state.asked ? nextHealth(state.health, 'ok') : 'up'
  const trouble = health === 'up' ? null : (state.trouble ?? 'on probation')
  const position = positionOf(answer, timeline)
  const role = server.inRecovery ? 'replica' : 'primary'
  const { systemIdentifier, tellsTimeline } = answer
  return {
    ...state,
    health,
    asked: true,
    trouble,
    position,
    replayed: server.inRecovery && position !== null && timeline !== null ? { timeline, lsn: position.lsn } : state.replayed,
    insertAheadBytes: server.commits?.ahead ?? null,
    evidence: {
      role,
      timeline,
      systemIdentifier,
      tellsTimeline,
      receiving: server.receiving,
      blind: server.blind,
      connectedAt,
      sentAt,
    },
  }
}

function positionOf({ server, sentAt, connectedAt }: Answer, timeline: number | null): Position | null {
  const { lsn, postmasterStart, commits } = server
  if (lsn === null) return null
  const position = { lsn, sentAt, connectedAt, postmasterStart, timeline }
  return commits === null || commits.insert === lsn ? position : { ...position, insert: commits.insert }
}

/**
 * A standby tells its timeline only while its WAL receiver lives. Cut off from its primary it stays on the timeline it was
 * on: what was told on this same connection holds, unless the server has meanwhile replayed into a later one.
 */
function timelineOf(state: NodeState, { server, connectedAt }: Answer): number | null {
  if (server.timeline !== null || !server.inRecovery) return server.timeline
  const before = state.evidence
  if (before?.role !== 'replica' || before.connectedAt !== connectedAt || before.timeline === null) return null
  return (server.replayedTimeline ?? 0) > before.timeline ? null : before.timeline
}
