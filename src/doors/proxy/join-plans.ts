// doors/proxy/join-plans.ts — the plans of a batch that comes in steps: what they are together, and where they do not go together.
import { PointsmanError } from '../../errors/error.js'
import { asksOf, changesOf, policyOf, stickyOf } from '../../routing/batch.js'
import type { OnePlan } from '../../routing/plan.js'
import type { Hold } from './hold.js'

/** A description changes nothing, wherever it is asked for. */
export function describing(plan: OnePlan): OnePlan {
  return {
    ...plan,
    writes: false,
    taints: null,
    pins: null,
    unpins: null,
    asks: null,
    readsSequences: false,
    listens: false,
    notifies: false,
    readsData: false,
    changesCatalog: false,
    lane: false,
    keptOn: null,
    changes: [],
  }
}

export function fits(hold: Hold, plan: OnePlan): boolean {
  return hold.cluster === plan.cluster && (plan.role === 'replica' || hold.route.role === 'primary')
}

/** Both in one: what either of them is. */
export function joined(before: OnePlan, next: OnePlan): OnePlan {
  return {
    ...next,
    role: before.role === 'primary' ? 'primary' : next.role,
    policy: policyOf([before, next]),
    writes: before.writes || next.writes,
    sticky: stickyOf([before, next]),
    taints: before.taints ?? next.taints,
    pins: next.pins ?? before.pins,
    unpins: next.unpins ?? before.unpins,
    asks: asksOf([before, next]),
    listens: before.listens || next.listens,
    notifies: before.notifies || next.notifies,
    asksListening: before.asksListening || next.asksListening,
    readsSequences: before.readsSequences || next.readsSequences,
    settings: [...before.settings, ...next.settings],
    readsData: before.readsData || next.readsData,
    changesCatalog: before.changesCatalog || next.changesCatalog,
    keptOn: null,
    changes: changesOf([before, next]),
  }
}

/** `plan` null: it belongs on several clusters. */
export function elsewhere(hold: Hold, plan: OnePlan | null): PointsmanError {
  const where = plan === null ? 'on several clusters' : `on the ${plan.role} of cluster ${plan.cluster}`
  return new PointsmanError('feature_not_supported', {
    values: { what: `the batch has begun on the ${hold.route.role} of cluster ${hold.cluster}, and this statement belongs ${where}` },
    hint: 'Send Sync between statements that belong to different servers.',
  })
}
