// routing/scatter/scatter.ts — a SELECT that no key puts on one shard → its plan: merged from several clusters, run on one where
// all shards that it concerns are there, or refused. The rules are the same for one cluster and for several: what is answered
// does not change when shards move.
import type { Context } from '../context.js'
import type { Destination, Routed } from '../destination.js'
import { finish } from '../finish.js'
import { refuse } from '../make.js'
import type { OnePlan, Plan, RefusePlan, ScatterPlan } from '../plan.js'
import { why, type Rule } from '../rules.js'
import type { ShardNeed } from '../shard-demands.js'
import type { Evaluated } from '../shard-eval.js'
import { analyse, type Analysed } from './analyse.js'

type Found = Extract<Evaluated, { readonly kind: 'missing' | 'several' }>

/** Plans of one shape and session; analysed once for each text, since a part's text holds the literals. */
export class Scatters {
  readonly #context: Context
  readonly #routed: Routed
  readonly #need: ShardNeed
  readonly #analysed = new Map<string, Analysed>()
  readonly #finished = new Map<string, OnePlan | RefusePlan>()

  constructor(context: Context, routed: Routed, need: ShardNeed) {
    this.#context = context
    this.#routed = routed
    this.#need = need
  }

  /** null: it is none of the statements that could be read from several clusters at all. */
  plan(found: Found, text: string): Plan | null {
    const { statement, outer } = this.#routed
    if (statement.detail.kind !== 'select' || outer !== statement || statement.writes) return null
    const { home } = this.#context.session.transaction
    const { sharded } = this.#need
    const shards = found.kind === 'several' ? found.shards : sharded.map.map((_, shard) => shard)
    const clusters = found.kind === 'several' ? found.clusters : sharded.clusters
    if (sharded.scatter === 'refuse')
      return this.#refused(
        found,
        `\`scatter: refuse\` forbids to read several`,
        'Bind the shard key of every sharded table with = to one value.',
      )
    const before = this.#notHere()
    if (before !== null) return this.#refused(found, before.reason, before.hint)
    const analysed = this.#analyse(text)
    if (analysed.kind === 'refused')
      return (analysed.viewable ? this.#coordinated() : null) ?? this.#refused(found, analysed.reason, analysed.hint)
    const plans = clusters.map((cluster) => this.#finish(cluster))
    const refused = plans.find((plan) => plan.kind === 'refuse')
    if (refused !== undefined) return refused
    const ones = plans.filter((plan) => plan.kind === 'one')
    const unfit = ones.map(unfitFor).find((reason) => reason !== null)
    if (unfit !== undefined) return this.#refused(found, unfit, 'Send it to each of them in turn: /* pointsman: cluster=… */')
    const [first, second] = ones
    const provisional = found.kind === 'several' && found.provisional
    if (first === undefined) return null
    if (second === undefined) {
      const alone = home === null ? first : finish(this.#context, this.#routed, this.#allOf(first.cluster))
      return alone.kind === 'one' ? Object.freeze({ ...alone, provisional }) : alone
    }
    if (home?.role === 'replica' && ones.some((plan) => plan.role === 'primary'))
      return this.#refused(
        found,
        'the transaction was begun READ ONLY on a replica, and not all of them may be read there',
        'Send it outside of a transaction, or give the shard key.',
      )
    return this.#scatter(ones, { clusters, shards, analysed, provisional })
  }

  #scatter(
    ones: readonly OnePlan[],
    to: {
      readonly clusters: readonly string[]
      readonly shards: readonly number[]
      readonly analysed: Extract<Analysed, { readonly kind: 'merged' }>
      readonly provisional: boolean
    },
  ): ScatterPlan | null {
    const { sharded } = this.#need
    const [first] = ones
    if (first === undefined) return null
    const strictest = ones.find((plan) => plan.role === 'primary') ?? first
    const reasons = strictest.why.filter((entry) => entry.rule !== 'scatter')
    return Object.freeze({
      kind: 'scatter',
      sharded: sharded.name,
      parts: to.clusters.map((cluster) => ({ cluster, shards: to.shards.filter((shard) => sharded.map[shard] === cluster) })),
      query: to.analysed.query,
      merge: to.analysed.merge,
      role: strictest.role,
      policy: strictest.policy,
      taints: ones.find((plan) => plan.taints !== null)?.taints ?? null,
      provisional: to.provisional,
      owner: first.owner,
      tables: first.tables,
      why: Object.freeze([why('scatter', `${sharded.name}: rows of ${to.clusters.join(', ')}, each at its own moment`), ...reasons]),
    })
  }

  /** On the cluster that sees all rows; null: there is none, or it would be no read there. */
  #coordinated(): OnePlan | null {
    const { coordinator } = this.#context.database
    if (coordinator === undefined) return null
    const entry = why('coordinator', `${this.#need.sharded.name}: cluster ${coordinator} sees all of it`)
    const made = finish(this.#context, this.#routed, { cluster: coordinator, shard: null, provisional: false, why: [entry] })
    return made.kind === 'one' && unfitFor(made) === null ? made : null
  }

  /** What of the session stands in the way. */
  #notHere(): { readonly reason: string; readonly hint: string } | null {
    const { session } = this.#context
    const { transaction, pins } = session
    const open = transaction.status !== 'idle'
    if (open && (transaction.joined === null || session.spreads !== true))
      return {
        reason: 'here a transaction stays on one of them',
        hint: 'Send it outside of a transaction, or give the shard key.',
      }
    if (open && transaction.isolated)
      return {
        reason: 'above READ COMMITTED a transaction would have to see one moment of all of them',
        hint: 'Use READ COMMITTED, send it outside of a transaction, or give the shard key.',
      }
    if (transaction.needsPrimary)
      return { reason: 'SERIALIZABLE would have to see one moment of all of them', hint: 'Use READ COMMITTED, or give the shard key.' }
    if (open && !session.understood)
      return { reason: 'the session reads text in another way', hint: 'SET standard_conforming_strings = on.' }
    if (!session.unicode) return { reason: 'the client_encoding of the session is not UTF8', hint: 'SET client_encoding = UTF8.' }
    const pinned = this.#need.sharded.clusters.find((cluster) => pins.has(cluster))
    if (pinned === undefined) return null
    return {
      reason: `the session keeps its connection to cluster ${pinned} (${pins.get(pinned) ?? ''})`,
      hint: 'Send it in a session that keeps no connection.',
    }
  }

  #analyse(text: string): Analysed {
    const known = this.#analysed.get(text)
    if (known !== undefined) return known
    const { statement, touched } = this.#routed
    const { clusters } = this.#need.sharded
    const made = analyse({ context: this.#context, statement, touched, clusters, text })
    if (this.#analysed.size >= maxTexts) this.#analysed.clear()
    this.#analysed.set(text, made)
    return made
  }

  #finish(cluster: string): OnePlan | RefusePlan {
    const known = this.#finished.get(cluster)
    if (known !== undefined) return known
    const made = finish(this.#partContext(cluster), this.#routed, this.#allOf(cluster))
    this.#finished.set(cluster, made)
    return made
  }

  #allOf(cluster: string): Destination {
    const entry = why('scatter', `${this.#need.sharded.name}: all of it on cluster ${cluster}`)
    return { cluster, shard: null, provisional: false, why: [entry] }
  }

  /** A transaction comes to each of them to read there, whatever else it may do. */
  #partContext(cluster: string): Context {
    const context = this.#context
    const { session } = context
    const { transaction } = session
    if (transaction.home === null || transaction.home.cluster === cluster) return context
    return { ...context, session: { ...session, transaction: { ...transaction, home: null } } }
  }

  #refused(found: Found, reason: string, hint: string): RefusePlan {
    const { sharded } = this.#need
    const rule: Rule = 'not-merged'
    return refuse(rule, {
      message: `the statement needs rows of ${found.demand.table} from several shards of ${sharded.name}, and ${reason}`,
      hint,
      owner: sharded.owner,
      tables: this.#routed.touched.map((one) => one.key),
    })
  }
}

const maxTexts = 64

/** What a part may not do. */
function unfitFor(plan: OnePlan): string | null {
  const [reason] = plan.why.slice(-1)
  if (plan.writes) return `it may write (${reason?.detail ?? ''})`
  const state = plan.pins ?? plan.unpins ?? (plan.settings.length > 0 ? 'setting' : null)
  if (state !== null) return `it changes the session (${state})`
  if (plan.readsSequences || plan.asksListening || plan.notifies || plan.listens) return 'it concerns one connection'
  return null
}
