// routing/settings.ts — SET and SHOW of `pointsman.*`: which names exist and which values they take. Doors answer them;
// here a bad one is refused with 22023 as PostgreSQL does for its own settings.
import { parseDuration } from '../consistency/duration.js'
import { reservedFor } from '../session/reserved-settings.js'
import type { SettingChange } from '../sql/statement.js'
import { parseSwitch } from '../sql/switch.js'
import type { Context } from './context.js'
import { answer, refuse } from './make.js'
import type { AnswerPlan, RefusePlan } from './plan.js'

type Shown = Extract<AnswerPlan['answer'], { what: 'show' }>['name']

const shown: ReadonlyMap<string, Shown> = new Map(
  (['last_route', 'token', 'consistency', 'max_staleness', 'shard_key', 'cluster', 'sticky_writes'] as const).map((name) => [
    `pointsman.${name}`,
    `pointsman.${name}`,
  ]),
)

export function isOurs(name: string): boolean {
  return name.startsWith('pointsman.')
}

export function planShow(name: string): AnswerPlan | RefusePlan {
  const known = shown.get(name)
  if (known === undefined) return unknownSetting(name)
  return answer('show', name, { what: 'show', name: known, column: name })
}

/** `SELECT current_setting('pointsman.token', true)` and nothing else, which works on plain PostgreSQL too. null: another setting. */
export function planRead(name: string, column: string): AnswerPlan | null {
  const known = shown.get(name.toLowerCase())
  return known === undefined ? null : answer('show', known, { what: 'show', name: known, column })
}

export function planSet(context: Context, change: SettingChange): AnswerPlan | RefusePlan {
  return checkSetting(context, change) ?? answer('set', change.name, { what: 'set', change })
}

/** null: a setting of ours with a value it takes, or one that is not ours. */
export function checkSetting(context: Context, change: SettingChange): RefusePlan | null {
  if (!isOurs(change.name)) return reserved(change)
  if (!shown.has(change.name) || change.name === 'pointsman.last_route') return unknownSetting(change.name)
  if (change.value === null) return null
  const texts = change.value.flatMap((value) => (value.kind === 'text' ? [value.text] : []))
  const [text] = texts
  // A parameter of set_config() is checked by the session room when its value is known.
  if (text === undefined && change.value.length === 1) return null
  const allowed = text === undefined || change.value.length !== 1 ? 'one value' : allowedIfBad(context, change.name, text)
  if (allowed === null) return null
  return refuse('hint', { message: `invalid value for ${change.name}`, hint: `Allowed: ${allowed}.`, error: 'invalid_parameter_value' })
}

/** What the setting takes, if `text` is not that. An empty text is RESET, as set_config() has no other way to say it. */
function allowedIfBad(context: Context, name: string, text: string): string | null {
  if (text === '') return null
  switch (name) {
    case 'pointsman.consistency':
      return ['strong', 'session', 'bounded', 'any'].includes(text) ? null : "'strong', 'session', 'bounded' or 'any', in quotes"
    case 'pointsman.max_staleness':
      return parseDuration(text) === null ? "a duration such as '2s' or '500ms'" : null
    case 'pointsman.cluster':
      return context.clusters.includes(text) ? null : context.clusters.join(', ')
    case 'pointsman.sticky_writes':
      return parseSwitch(text) === null ? 'on or off' : null
    default:
      return null
  }
}

/** As a server says it that has the language loaded. */
function reserved({ name, value }: SettingChange): RefusePlan | null {
  const language = value === null ? null : reservedFor(name)
  if (language === null) return null
  const message = `invalid configuration parameter name "${name}"`
  return refuse('setting', { message, hint: `"${language}" is a reserved prefix.`, error: 'invalid_setting_name' })
}

function unknownSetting(name: string): RefusePlan {
  return refuse('hint', {
    message: `unrecognized setting "${name}"`,
    hint: `Pointsman knows ${[...shown.keys()].join(', ')} (last_route can only be shown).`,
    error: 'undefined_setting',
  })
}
