// routing/joining.ts — a transaction that comes to a second cluster (DESIGN §4 "Transactions"): where the database says `two_phase`
// it becomes one of both, and its end a two-phase commit. What could not be prepared, or would mean something else on two
// servers than on one, is refused with words.
import { pinReasons, sessionMode } from '../session/pin-reasons.js'
import type { TransactionFacts } from '../sql/statement.js'
import type { Context } from './context.js'
import type { Destination, Routed } from './destination.js'
import { answer, refuse } from './make.js'
import type { AnswerPlan, OnePlan, RefusePlan } from './plan.js'
import { why } from './rules.js'

type Home = NonNullable<Context['session']['transaction']['home']>

/** The open transaction is one of several clusters. */
export function inJoint({ session }: Context): boolean {
  return (session.transaction.joined?.length ?? 0) > 0
}

/** A statement of the open transaction belongs to another cluster than its home. null: it goes there, and the transaction with it. */
export function joinRefusal(context: Context, routed: Routed, to: Destination, home: Home): RefusePlan | null {
  const against = obstacle(context, to, home)
  if (against === null) return null
  return refuse('other-cluster', {
    message: `the transaction is open on cluster ${home.cluster}, and this statement belongs to cluster ${to.cluster}`,
    hint: against,
    tables: routed.touched.map((one) => one.key),
    owner: routed.owner,
    before: to.why,
  })
}

/** Without two-phase commit a transaction may write where it began; what it came to later it only reads, which the servers are told. */
export function writesApart(context: Context, routed: Routed, { cluster, writes }: OnePlan): RefusePlan | null {
  const { home } = context.session.transaction
  if (!writes || home === null || home.cluster === cluster || context.database.twoPhase !== null) return null
  return refuse('other-cluster', {
    message: `the transaction may write on cluster ${home.cluster}, and this statement belongs to cluster ${cluster}, which it only reads`,
    hint: 'End the transaction first, or set two_phase: true for the database.',
    tables: routed.touched.map((one) => one.key),
    owner: routed.owner,
  })
}

/** What the connection may be kept for, and a transaction still be prepared on it. */
export const harmlessPins: ReadonlySet<string> = new Set([sessionMode, 'sequence'])

function obstacle(context: Context, to: Destination, home: Home): string | null {
  const { database, session, inBatch } = context
  const { joined, isolated } = session.transaction
  const there = joined?.includes(to.cluster) === true
  if (database.twoPhase === null && !there) return 'End the transaction first, or set two_phase: true for the database.'
  if (joined === null) return 'End the transaction first: here a transaction stays on one cluster.'
  if (home.role === 'replica' && !there) return 'End the transaction first: it was begun READ ONLY, on a replica.'
  if (isolated)
    return 'End the transaction first: above READ COMMITTED all of it would have to see one moment, which two clusters do not have.'
  if (session.transaction.constraints === true)
    return 'End the transaction first: SET CONSTRAINTS was said in it, which would count for one of its clusters only.'
  if (!session.understood) return 'SET standard_conforming_strings = on and use client_encoding UTF8.'
  if (inBatch) return 'Send the statements one by one: what is sent together goes to one cluster.'
  for (const cluster of [home.cluster, to.cluster]) {
    const reason = session.pins.get(cluster)
    if (reason !== undefined && !harmlessPins.has(reason))
      return `End the transaction first: the session keeps its connection to cluster ${cluster} (${reason}), and what is kept there cannot be prepared.`
  }
  return null
}

/** `what` stands in the way of preparing the transaction, or belongs to one connection of several. */
export function notInJoint(context: Context, what: string): RefusePlan | null {
  return inJoint(context) ? unfitForJoint(context, what) : null
}

export function unfitForJoint(context: Context, what: string): RefusePlan {
  const { joined, home } = context.session.transaction
  const clusters = joined === null || joined.length === 0 ? `of cluster ${home?.cluster ?? ''} and another one` : joined.join(', ')
  return refuse('two-phase', {
    message: `${what} cannot be part of a transaction on several clusters (${clusters})`,
    hint: 'Do it before BEGIN, or in a transaction of its own.',
  })
}

/** Pins that a statement would make. */
export function pinInJoint(context: Context, pins: string | null, joins: boolean): string | null {
  if (pins === null || !(joins || inJoint(context))) return null
  return pins === pinReasons.cursor ? 'a cursor WITH HOLD' : `what outlives the transaction (${pins})`
}

/** Control of a transaction of several clusters: carried out on all of them, and answered by Pointsman. */
export function jointControl(context: Context, facts: TransactionFacts): AnswerPlan | RefusePlan | null {
  if (!inJoint(context)) return null
  const together = (tag: string): AnswerPlan | RefusePlan => {
    if (context.inBatch) return notTogether(context, tag)
    const { op, name } = facts
    const detail = `${tag} on ${(context.session.transaction.joined ?? []).join(', ')}`
    return answer('two-phase', detail, { what: 'joint', op: op as JointOp, name: name ?? '', tag })
  }
  switch (facts.op) {
    case 'commit':
    case 'rollback':
      if (facts.chain) return notInJoint(context, `${facts.op.toUpperCase()} AND CHAIN`)
      return together(facts.op === 'commit' ? 'COMMIT' : 'ROLLBACK')
    case 'savepoint':
      return together('SAVEPOINT')
    case 'release':
      return together('RELEASE')
    case 'rollback-to':
      return together('ROLLBACK')
    case 'begin':
      return null
    case 'set-transaction':
      return notInJoint(context, 'SET TRANSACTION')
    case 'set-characteristics':
      return notInJoint(context, 'SET SESSION CHARACTERISTICS')
    case 'prepare-transaction':
    case 'commit-prepared':
    case 'rollback-prepared':
      return notInJoint(context, facts.op.replace('-', ' ').toUpperCase())
  }
}

export type JointOp = Extract<AnswerPlan['answer'], { what: 'joint' }>['op']

function notTogether(context: Context, tag: string): RefusePlan {
  return refuse('two-phase', {
    message: `${tag} of a transaction on several clusters (${(context.session.transaction.joined ?? []).join(', ')}) cannot go together with other statements`,
    hint: 'Send it by itself.',
  })
}

/** The reason why `to` is another cluster than the transaction's home. */
export function withJoin(to: Destination, home: Home): Destination {
  return {
    ...to,
    why: Object.freeze([...to.why, why('two-phase', `the transaction of cluster ${home.cluster} is one of cluster ${to.cluster} too`)]),
  }
}
