// routing/choose.ts — picks one server of a cluster for a read or a write: health last, so that a retry is choosing again.
// Power of two choices: the less loaded of two candidates, drawn by weight, so that unequal servers get unequal work and
// nobody herds to the one that was idle a moment ago. Pure: health is a snapshot, chance arrives as numbers.
import type { Health, NodeSnapshot } from '../topology/topology.js'

export interface ChooseInput {
  /** The cluster's nodes. */
  readonly nodes: readonly NodeSnapshot[]
  /** The proved primary's id, or null. */
  readonly primary: string | null
  readonly role: 'primary' | 'replica'
  /** Whether a replica may answer this read as far as its last position tells (mayAdmit). Not asked of a primary. */
  readonly admissible: (node: NodeSnapshot) => boolean
  /** Nodes that were tried and lost. */
  readonly avoid: ReadonlySet<string>
  /** The session's last replica: kept unless it is clearly busier than another. */
  readonly prefer: string | null
  /** Statements of the same session under way, most likely on `prefer`: no reason to leave it. Default 0. */
  readonly own?: number
  /** Statements under way on a node, by id. */
  readonly inFlight: (node: string) => number
  /** Three independent numbers in [0, 1). */
  readonly random: readonly [number, number, number]
}

export type Choice =
  | { readonly kind: 'node'; readonly node: NodeSnapshot }
  /** `none-fit`: no node of that role can be used at all. `unmet`: some can, but are not proved to meet the policy. `avoided`: all were tried. */
  | { readonly kind: 'none'; readonly why: 'none-fit' | 'unmet' | 'avoided'; readonly detail: string }

/** One read in so many goes to a node on probation while others are up. */
const TRICKLE = 1 / 16
/** The preferred node is kept while it has no more than this much work (per weight) above another. */
const LOYALTY = 1

export function choose(input: ChooseInput): Choice {
  const fit = input.nodes.filter(
    (node) => node.unfit === null && (input.role === 'primary' ? node.id === input.primary : node.role === 'replica'),
  )
  if (fit.length === 0) return { kind: 'none', why: 'none-fit', detail: reasons(input.nodes, (node) => node.unfit) }
  const able = input.role === 'primary' ? fit : fit.filter(input.admissible)
  if (able.length === 0) return { kind: 'none', why: 'unmet', detail: reasons(fit, (node) => node.limited) }
  const left = able.filter((node) => !input.avoid.has(node.id))
  const node = pick(healthiest(left, input.random[2]), input)
  return node === undefined ? { kind: 'none', why: 'avoided', detail: able.map(({ id }) => id).join(', ') } : { kind: 'node', node }
}

/** Up, with a trickle for probation; else probation; suspects only where nobody healthy is left: avoiding them would help no one. */
function healthiest(nodes: readonly NodeSnapshot[], chance: number): readonly NodeSnapshot[] {
  const of = (health: Health): readonly NodeSnapshot[] => nodes.filter((node) => node.health === health)
  const [up, probation] = [of('up'), of('probation')]
  if (up.length > 0) return probation.length > 0 && chance < TRICKLE ? probation : up
  return probation.length > 0 ? probation : of('suspect')
}

function pick(nodes: readonly NodeSnapshot[], input: ChooseInput): NodeSnapshot | undefined {
  const weighted = nodes.filter((node) => node.weight > 0)
  const candidates = weighted.length > 0 ? weighted : nodes
  const preferred = candidates.find((node) => node.id === input.prefer)
  const first = preferred ?? draw(candidates, input.random[0])
  const second = draw(
    candidates.filter((node) => node !== first),
    input.random[1],
  )
  if (first === undefined || second === undefined) return first
  const slack = preferred === undefined ? 0 : LOYALTY + (input.own ?? 0)
  return load(second, input) + slack < load(first, input) ? second : first
}

function load(node: NodeSnapshot, input: ChooseInput): number {
  return input.inFlight(node.id) / (node.weight > 0 ? node.weight : 1)
}

/** One node, drawn with a chance in proportion to its weight. */
function draw(nodes: readonly NodeSnapshot[], random: number): NodeSnapshot | undefined {
  let left = random * nodes.reduce((sum, node) => sum + node.weight, 0)
  for (const node of nodes) {
    left -= node.weight
    if (left < 0) return node
  }
  return nodes[0]
}

function reasons(nodes: readonly NodeSnapshot[], of: (node: NodeSnapshot) => string | null): string {
  return nodes
    .map((node) => `${node.id} ${of(node) ?? `is a ${node.role ?? 'server'}${node.role === 'replica' ? ' not proved fresh enough' : ''}`}`)
    .join('; ')
}
