// execute/measured.ts — what a finished read tells the metrics of its policy and of the age that was proved for it.
import type { Plan } from '../routing/plan.js'
import type { RouteTaken } from './contract.js'

/** `consistency` of the read's policy; null: it read nothing. */
export function policyName(plan: Plan | null): string | null {
  if (plan?.kind === 'scatter') return plan.policy.consistency
  return plan?.kind === 'one' && plan.readsData && !plan.writes ? plan.policy.consistency : null
}

/** At most how old its answer was; null: no read, or nothing was proved. */
export function boundSeconds(plan: Plan | null, route: RouteTaken | null): number | null {
  if (policyName(plan) === null || route?.boundMs === undefined || route.boundMs === null) return null
  return route.boundMs / 1_000
}
