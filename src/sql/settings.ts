// sql/settings.ts — changes of session settings: SET, RESET and those set_config() calls that can be followed.
import type { LiteralIndex } from './literal-index.js'
import type { SettingChange, SettingValue } from './statement.js'
import { type Fields, as, fields, integer, list, nameOf, stringConstant, text } from './tree.js'

/** SET and RESET, but for the transaction forms; null: a value that cannot be written down (some SET TIME ZONE INTERVAL). */
export function setChange(set: Fields): SettingChange | null {
  const scope = set['is_local'] === true ? 'local' : 'session'
  const name = (text(set['name']) ?? '').toLowerCase()
  switch (set['kind']) {
    case 'VAR_RESET_ALL':
      return { name: 'all', scope, value: null, viaFunction: false }
    case 'VAR_SET_VALUE': {
      const values = list(set['args']).map(settingValue)
      return values.includes(null) ? null : { name, scope, value: values as SettingValue[], viaFunction: false }
    }
    case 'VAR_SET_DEFAULT':
    case 'VAR_RESET':
      return { name, scope, value: null, viaFunction: false }
    default:
      return null
  }
}

function settingValue(arg: unknown): SettingValue | null {
  const cast = as('TypeCast', arg)
  if (cast !== null) return intervalValue(cast)
  const constant = as('A_Const', arg)
  if (constant === null) return null
  const string = fields(constant['sval'])
  if (string !== null) return { kind: 'text', text: text(string['sval']) ?? '' }
  const whole = fields(constant['ival'])
  if (whole !== null) return { kind: 'text', text: String(integer(whole['ival'])) }
  const number = text(fields(constant['fval'])?.['fval'])
  return number === null ? null : { kind: 'text', text: number }
}

/** SET TIME ZONE INTERVAL '…': the setting takes `INTERVAL '…'` as text, but not the fields HOUR and MINUTE. */
function intervalValue(cast: Fields): SettingValue | null {
  const constant = stringConstant(cast['arg'])
  const type = fields(cast['typeName'])
  if (constant === null || type === null) return null
  const plain = list(type['typmods']).length === 0 || /^[+-]?\d{1,2}:\d{2}$/.test(constant.text)
  return plain && !constant.text.includes("'") ? { kind: 'text', text: `INTERVAL '${constant.text}'` } : null
}

/** What a SELECT may have besides its target list if its calls of set_config() are to be followed. */
const harmlessFields: ReadonlySet<string> = new Set(['targetList', 'limitOption', 'op'])

/**
 * The set_config() calls of a SELECT that is nothing but a target list, so that each runs exactly once; null where one of
 * the statement's `calls` calls is elsewhere, or is given anything but literals (a value may be a parameter, too).
 */
export function selectSettings(select: Fields, calls: number, literals: LiteralIndex): readonly SettingChange[] | null {
  if (calls === 0) return []
  if (Object.keys(select).some((name) => !harmlessFields.has(name)) || select['op'] !== 'SETOP_NONE') return null
  const changes = list(select['targetList']).flatMap((target) => configCall(target, literals) ?? [])
  return changes.length === calls ? changes : null
}

function configCall(target: unknown, literals: LiteralIndex): SettingChange | null {
  const call = as('FuncCall', as('ResTarget', target)?.['val'])
  const name = call === null ? null : nameOf(call['funcname'])
  if (call === null || name?.name !== 'set_config' || (name.schema !== null && name.schema !== 'pg_catalog')) return null
  if (Object.keys(call).some((field) => !['funcname', 'args', 'funcformat', 'location'].includes(field))) return null
  const [setting, value, local] = list(call['args'])
  const settingName = wholeText(setting, literals)
  const newValue = configValue(value, literals)
  const isLocal = wholeBoolean(local, literals)
  if (settingName === null || newValue === undefined || isLocal === null || list(call['args']).length !== 3) return null
  return { name: settingName.toLowerCase(), scope: isLocal ? 'local' : 'session', value: newValue, viaFunction: true }
}

/** undefined: computed. null: NULL, which sets the default. */
function configValue(node: unknown, literals: LiteralIndex): readonly SettingValue[] | null | undefined {
  const inner = textCast(node)
  if (as('A_Const', inner)?.['isnull'] === true) return null
  const param = as('ParamRef', inner)
  if (param !== null) return [{ kind: 'param', number: integer(param['number']) }]
  const value = wholeText(inner, literals)
  return value === null ? undefined : [{ kind: 'text', text: value }]
}

/** `x::text` → x. */
function textCast(node: unknown): unknown {
  const cast = as('TypeCast', node)
  const type = fields(cast?.['typeName'])
  const name = type === null ? null : nameOf(type['names'])
  return name?.name === 'text' && list(type?.['arrayBounds']).length === 0 ? cast?.['arg'] : node
}

function wholeText(node: unknown, literals: LiteralIndex): string | null {
  const constant = stringConstant(textCast(node))
  return constant !== null && literals.isWhole(constant.location) ? constant.text : null
}

function wholeBoolean(node: unknown, literals: LiteralIndex): boolean | null {
  const constant = as('A_Const', node)
  const bool = constant === null ? null : fields(constant['boolval'])
  if (constant === null || bool === null || !literals.isWhole(integer(constant['location']))) return null
  return bool['boolval'] === true
}

/** `SELECT current_setting('x')` alone: the setting, and the name of the answer's column. */
export function settingRead(select: Fields, literals: LiteralIndex): { readonly name: string; readonly column: string } | null {
  if (Object.keys(select).some((name) => !harmlessFields.has(name)) || select['op'] !== 'SETOP_NONE') return null
  const targets = list(select['targetList'])
  const target = as('ResTarget', targets[0])
  const call = as('FuncCall', target?.['val'])
  const name = call === null ? null : nameOf(call['funcname'])
  if (targets.length !== 1 || name?.name !== 'current_setting' || (name.schema !== null && name.schema !== 'pg_catalog')) return null
  const args = list(call?.['args'])
  const setting = wholeText(args[0], literals)
  if (setting === null || args.length > 2 || (args.length === 2 && wholeBoolean(args[1], literals) === null)) return null
  return { name: setting.toLowerCase(), column: text(target?.['name']) ?? 'current_setting' }
}
