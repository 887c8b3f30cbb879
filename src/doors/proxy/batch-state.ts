// doors/proxy/batch-state.ts — where a batch stands: what was sent of it, to which server, and under which plan.
import type { BroadcastPlan, OnePlan, ScatterPlan } from '../../routing/plan.js'
import type { Hold } from './hold.js'
import type { Message } from './messages.js'
import type { Proof } from './proved-statements.js'
import type { Request } from './request.js'

/** What is done with a step's messages: sent to one server, with what is answered here in its place between them. */
export interface Step {
  readonly messages: readonly Message[]
  /** null: nothing needs a server. */
  readonly plan: OnePlan | null
  /** Replies of ours, by message; messages that are not here are the server's. */
  readonly replies: ReadonlyMap<Message, readonly Uint8Array[]>
  /** Runs something, rather than only describing it. */
  readonly runs: boolean
  /** It is a read on several clusters. */
  readonly scatter?: ScatterPlan
  /** It begins with BEGIN, up to this message, and goes on with what may be on several clusters: two steps. */
  readonly begins?: number
  /** It is a write on several clusters. */
  readonly broadcast?: BroadcastPlan
}

export class BatchState {
  request: Request | null = null
  /** The server connection that this batch has been sent to. */
  hold: Hold | null = null
  plan: OnePlan | null = null
  /** Nothing has run yet: only descriptions were asked for, so it may still go elsewhere. */
  onlyDescribed = true
  /** A portal with a limit of rows over several clusters is open in a transaction of ours, which ends with the batch. */
  own = false
  steps: Step[] = []
  sentBytes = 0
  /** What this batch proves if it succeeds. */
  proof: Proof | null = null

  reset(): void {
    this.request = null
    this.onlyDescribed = true
    this.own = false
    this.proof = null
    this.leaveServer()
  }

  /** Nothing of the batch is on a server any more. */
  leaveServer(): void {
    this.hold = null
    this.plan = null
    this.steps = []
    this.sentBytes = 0
  }
}
