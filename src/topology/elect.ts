// topology/elect.ts — which of the nodes that say they are the primary is believed. At most one: a write on the wrong one
// is lost, so every doubt leaves the cluster without a primary (DESIGN §10). A timeline only ever grows: an old primary
// that comes back is recognised by its lower one.
import type { NodeState, RoleEvidence } from './node-state.js'

/** What is remembered of the last proved primary; null where there never was one. */
export interface Incumbent {
  readonly node: string
  readonly timeline: number
  readonly systemIdentifier: string
}

export interface Election {
  readonly primary: Incumbent | null
  /** Why a node that claims to be the primary is not believed, by node id. */
  readonly refused: ReadonlyMap<string, string>
}

interface Claim {
  readonly node: string
  readonly evidence: RoleEvidence
}

/** Nodes that claimed to be the primary beside the proved one, on the same timeline, which it was. */
export type Rivals = ReadonlyMap<string, number>

/** `nodes`: those whose role is known and not expired count; down nodes claim nothing. `rivals`: see rivalsAfter(). */
export function elect(nodes: readonly NodeState[], incumbent: Incumbent | null, rivals: Rivals = new Map()): Election {
  const refused = new Map<string, string>()
  const claims = nodes.flatMap((state): Claim[] => {
    const { evidence } = state
    return evidence?.role === 'primary' && state.health !== 'down' ? [{ node: state.node.id, evidence }] : []
  })
  const system = systemOf(nodes, claims, incumbent)
  const same = claims.filter((claim) => {
    if (system !== null && claim.evidence.systemIdentifier === system) return true
    refused.set(
      claim.node,
      system === null ? 'primaries of different clusters claim this one' : 'belongs to another cluster (its system identifier differs)',
    )
    return false
  })
  // Without a primary to compare with, the first to answer would win: wait until every node has had its say.
  if (incumbent === null && nodes.some((state) => !state.asked)) return { primary: null, refused }
  const primary = highest(same, nodes, system === incumbent?.systemIdentifier ? incumbent : null, rivals, refused)
  return { primary, refused }
}

/**
 * A copy of the primary that runs beside it has another history under the same number, and must not get the writes when the
 * primary is away for a second. It stays refused until it is a replica, or on another timeline: promoting it anew makes it that.
 */
export function rivalsAfter(nodes: readonly NodeState[], primary: Incumbent | null, before: Rivals): Rivals {
  const after = new Map<string, number>()
  const provedAt = nodes.find(({ node }) => node.id === primary?.node)?.evidence?.sentAt ?? -Infinity
  for (const { node, evidence } of nodes) {
    const known = before.get(node.id)
    if (evidence === null ? known !== undefined : isRival(node.id, evidence, known, primary, provedAt))
      after.set(node.id, evidence?.timeline ?? known ?? 0)
  }
  return after.size === 0 && before.size === 0 ? before : after
}

/** The proved primary was asked again after it, and still is one: neither has taken over from the other. */
function isRival(
  node: string,
  { role, timeline, systemIdentifier, sentAt }: RoleEvidence,
  known: number | undefined,
  primary: Incumbent | null,
  provedAt: number,
): boolean {
  if (role !== 'primary' || timeline === null || node === primary?.node) return false
  return timeline === known || (sentAt < provedAt && timeline === primary?.timeline && systemIdentifier === primary.systemIdentifier)
}

/** The system identifier that counts: the known one; else what all claims agree on. */
function systemOf(nodes: readonly NodeState[], claims: readonly Claim[], incumbent: Incumbent | null): string | null {
  const told = new Set(claims.map((claim) => claim.evidence.systemIdentifier))
  const [only] = told
  const agreed = told.size === 1 && only !== undefined ? only : null
  if (incumbent === null) return agreed
  // The primary's own place, with a new identity and nobody left of the old: it was restored, or upgraded in place.
  const oldLives = nodes.some((state) => !state.node.subscriber && state.evidence?.systemIdentifier === incumbent.systemIdentifier)
  const reborn = agreed !== null && !oldLives && claims.length === 1 && claims[0]?.node === incumbent.node
  return reborn ? agreed : incumbent.systemIdentifier
}

function highest(
  claims: readonly Claim[],
  nodes: readonly NodeState[],
  incumbent: Incumbent | null,
  rivals: Rivals,
  refused: Map<string, string>,
): Incumbent | null {
  let best: Incumbent[] = []
  for (const { node, evidence } of claims) {
    const { timeline, systemIdentifier } = evidence
    // A standby on a newer timeline tells of a promotion, also before the promoted server itself was asked.
    const least = Math.max(incumbent?.timeline ?? 0, followed(nodes, systemIdentifier))
    if (timeline === null) refused.set(node, 'claims to be the primary, but its timeline is unknown')
    else if (timeline < least) refused.set(node, `an old primary: on timeline ${String(timeline)}, the cluster is on ${String(least)}`)
    else if (rivals.get(node) === timeline) continue
    else if (best[0] === undefined || timeline > best[0].timeline) best = [{ node, timeline, systemIdentifier }]
    else if (timeline === best[0].timeline) best.push({ node, timeline, systemIdentifier })
  }
  const winner = best.length === 1 ? best[0] : best.find(({ node }) => node === incumbent?.node)
  for (const { node } of claims) {
    if (node === winner?.node || refused.has(node)) continue
    refused.set(
      node,
      winner === undefined
        ? rivals.has(node)
          ? 'it was a second primary on the same timeline: promote it anew, if it is to be the primary'
          : 'several nodes claim to be the primary on the same timeline'
        : `claims to be the primary, but ${winner.node} is`,
    )
  }
  return winner ?? null
}

/** The newest timeline that a standby of this system follows. */
function followed(nodes: readonly NodeState[], systemIdentifier: string): number {
  return Math.max(
    0,
    ...nodes.map(({ node, evidence }) =>
      !node.subscriber && evidence?.role === 'replica' && evidence.systemIdentifier === systemIdentifier ? (evidence.timeline ?? 0) : 0,
    ),
  )
}
