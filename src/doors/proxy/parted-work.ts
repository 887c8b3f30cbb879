// doors/proxy/parted-work.ts — a write on several clusters of which each is sent something else.
import type { BroadcastPlan } from '../../routing/plan.js'
import type { BroadcastWork } from './broadcast.js'
import { InsertWork } from './insert-work.js'
import { MoveWork } from './move-work.js'
import type { PartAsk } from './part-frames.js'

/** `ask`: how the client has asked; null: with a simple query. null: all are sent what the client has sent. */
export function partedWork(plan: BroadcastPlan, ask: PartAsk | null): BroadcastWork | null {
  if (plan.insert !== undefined) return new InsertWork(plan.insert, ask)
  return plan.move === undefined ? null : new MoveWork(plan, plan.move, ask)
}
