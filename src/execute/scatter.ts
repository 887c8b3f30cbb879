// execute/scatter.ts — what both doors do alike with a read on several clusters: each part as a plan of its own, the parameters of
// the servers' sessions that must agree before rows are merged, and where it ran, told as one route.
import { PointsmanError } from '../errors/error.js'
import type { SessionForm } from '../merge/columns.js'
import type { MergeSpec } from '../merge/contract.js'
import type { Merger } from '../merge/merger.js'
import { one } from '../routing/make.js'
import type { OnePlan, ScatterPlan } from '../routing/plan.js'
import { printServer } from '../routing/print.js'
import { why } from '../routing/rules.js'
import { asWrite } from './again.js'
import type { RouteTaken } from './contract.js'

/** Status parameters that say how values are written. */
const formParameters = ['TimeZone', 'DateStyle', 'IntervalStyle', 'server_encoding', 'client_encoding'] as const

type StatusParameters = Pick<ReadonlyMap<string, string>, 'get'>

/** What one cluster does of it. `onPrimaries`: a replica has refused it as a write. */
export function partPlan(plan: ScatterPlan, cluster: string, onPrimaries: boolean): OnePlan {
  const { role, policy, owner, tables, why: reasons, taints } = plan
  const part = one({ cluster, role, policy, owner, tables, why: reasons, taints, readsData: true })
  return onPrimaries ? { ...asWrite(part), writes: false } : part
}

/** Throws 0A000 where two servers would write the same value in different ways. */
export function requireSameForm(parts: readonly { readonly cluster: string; readonly parameters: StatusParameters }[]): void {
  const [first, ...others] = parts
  if (first === undefined) return
  for (const { cluster, parameters } of others) {
    for (const name of formParameters) {
      const [here, there] = [parameters.get(name), first.parameters.get(name)]
      if (here === there) continue
      const what = `${name} is ${String(here)} on cluster ${cluster} and ${String(there)} on cluster ${first.cluster}, so their rows cannot be merged`
      throw new PointsmanError('feature_not_supported', { values: { what }, hint: `Give all clusters the same ${name}.` })
    }
  }
}

/** `values`: the client's settings. Throws 0A000 where they have floats written rounded: different ones would look alike. */
export function requireWholeFloats(values: StatusParameters): void {
  const digits = values.get('extra_float_digits')
  if (digits === undefined || Number(digits) >= 1) return
  const what = `extra_float_digits is ${digits}, so that different floats look alike and the rows of several clusters cannot be merged`
  throw new PointsmanError('feature_not_supported', { values: { what }, hint: 'SET extra_float_digits = 1, which is the default.' })
}

/** What the parts' sessions, which agree, say of the form of values. */
export function sessionForm(parameters: StatusParameters): SessionForm {
  const utf8 = parameters.get('client_encoding') === 'UTF8' && parameters.get('server_encoding') === 'UTF8'
  return { utf8, intervalStyle: parameters.get('IntervalStyle') ?? null }
}

/** Two servers have answered with different columns. */
export function otherColumns(cluster: string): PointsmanError {
  return new PointsmanError('feature_not_supported', {
    values: { what: `the columns that cluster ${cluster} gives are not those that another cluster gives` },
    hint: 'Bring the tables of all clusters to one definition: pointsman check --live tells where they differ.',
  })
}

/** The part of which least is proved: the whole answer is as old as that. Its reasons name the server of every part. */
export function scatterRoute(plan: ScatterPlan, routes: readonly RouteTaken[]): RouteTaken | null {
  const worst = routes.reduce<RouteTaken | null>((found, route) => (found === null || age(route) > age(found) ? route : found), null)
  if (worst === null) return null
  const servers = routes.map((route) => why('scatter', printServer(route.cluster, route)))
  return { ...worst, why: [...plan.why, ...servers] }
}

function age({ boundMs }: RouteTaken): number {
  return boundMs ?? Number.POSITIVE_INFINITY
}

/**
 * Rows may go out, or all be there, before the first part has any: what it looks like must be told at once then, since a server keeps
 * its replies back until they are many, or all there.
 */
export function mayGoFirst({ order, group }: MergeSpec, merger: Pick<Merger, 'done'> | null): boolean {
  return merger?.done === true || (order.length === 0 && group === null)
}
