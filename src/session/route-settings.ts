// session/route-settings.ts — the settings that the router itself obeys: `pointsman.consistency`, `.max_staleness`,
// `.shard_key`, `.cluster`, `.sticky_writes`. They live in the same state as all others, so SET LOCAL, ROLLBACK and RESET need no rules here.
import { parseDuration } from '../consistency/duration.js'
import type { Consistency } from '../consistency/policy.js'
import { parseSwitch } from '../sql/switch.js'
import type { Settings } from './settings.js'
import type { RouteOverrides } from './view.js'

/** Brings a token (consistency/token.ts). It moves floors and is never kept as a setting. */
export const tokenSetting = 'pointsman.token'

const levels: readonly string[] = ['strong', 'session', 'bounded', 'any'] satisfies readonly Consistency[]

/** What is wrong with `value` for the setting `name`, in words; null: it can be set. */
export function routeSettingProblem(name: string, value: string): string | null {
  switch (name) {
    case 'pointsman.consistency':
      return levels.includes(value) ? null : `invalid value for parameter "${name}": allowed are ${levels.join(', ')}`
    case 'pointsman.max_staleness':
      return parseDuration(value) === null ? `invalid value for parameter "${name}": a duration such as 2s or 200ms is needed` : null
    case 'pointsman.shard_key':
    case 'pointsman.cluster':
    // Whatever it is, it is no error: see importToken().
    case tokenSetting:
      return null
    case 'pointsman.sticky_writes':
      return parseSwitch(value) === null ? `parameter "${name}" requires a Boolean value` : null
    default:
      return `unrecognized configuration parameter "${name}"`
  }
}

/** The overrides that stand in `settings`. Values that could not be set are not there; '' means the default. */
export function routeOverrides(settings: Settings): RouteOverrides {
  const consistency = settings.get('pointsman.consistency')
  const staleness = settings.get('pointsman.max_staleness')
  const maxStalenessMs = staleness === undefined ? null : parseDuration(staleness)
  const shardKey = settings.get('pointsman.shard_key')
  const cluster = settings.get('pointsman.cluster')
  const stickyWrites = parseSwitch(settings.get('pointsman.sticky_writes') ?? '')
  return {
    ...(consistency !== undefined && levels.includes(consistency) ? { consistency: consistency as Consistency } : {}),
    ...(maxStalenessMs === null ? {} : { maxStalenessMs }),
    ...(shardKey === undefined || shardKey === '' ? {} : { shardKey }),
    ...(cluster === undefined || cluster === '' ? {} : { cluster }),
    ...(stickyWrites === null ? {} : { stickyWrites }),
  }
}
