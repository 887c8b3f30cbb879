// execute/homes-touched.ts — what `query.end` tells of a plan's homes: of one that crosses them, and of all where some are
// only tried yet. Statements of other databases pay a look at two fields.
import type { DatabaseConfig } from '../config/config.js'
import type { HomesTouched } from '../observe/events.js'
import { crossingOf } from '../routing/crossing.js'
import type { Plan } from '../routing/plan.js'

/** `text`: of the statement's shape. */
export function homesTouched(plan: Plan | null, text: string, database: () => DatabaseConfig | undefined): HomesTouched | null {
  if (plan === null) return null
  const { tables } = plan
  if (plan.kind === 'one') return plan.place === null && plan.crossing === null ? null : { tables, crossing: plan.crossing, text }
  if (plan.kind !== 'refuse') return null
  const config = database()
  const crossing = config === undefined ? null : crossingOf(plan, config)
  return crossing === null ? null : { tables, crossing, text }
}
