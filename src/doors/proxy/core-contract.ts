// doors/proxy/core-contract.ts — how statements are read and routed; the proxy is given these so that tests and doors share one core.
import type { DescribedReads } from '../../execute/described-reads.js'
import type { PlanInput } from '../../routing/input.js'
import type { Plan } from '../../routing/plan.js'
import type { RouteTaken } from '../../execute/contract.js'
import type { Shape, Understood } from '../../sql/statement.js'
import type { UnderstandingStats } from '../../sql/understand.js'

export interface Core {
  understand(text: string): Understood
  plan(input: PlanInput): Plan
  /** Several that must go together. */
  planBatch(inputs: readonly PlanInput[]): Plan
  printRoute(plan: Plan, route: RouteTaken | null): string
  /** The same of a statement that is over. */
  printTaken(plan: Plan, route: RouteTaken | null): string
  stats(): UnderstandingStats
  /** Of merged reads (scatter.ts). */
  readonly described: DescribedReads<DescribedRead>
  /** Those at hand, most recently used first. */
  shapes(): IterableIterator<Shape>
}

/** What a server has said of a merged read. */
export interface DescribedRead {
  /** Of the client's statement, and of what the parts run: RowDescription. */
  readonly original: Uint8Array
  readonly part: Uint8Array
  readonly parameters: readonly number[]
}

/** A statement and its parameters. */
export type Planned = Pick<PlanInput, 'understood' | 'parameters'>
