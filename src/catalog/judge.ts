// catalog/judge.ts — does running this function, operator or type change anything? Judged by pg_proc, corrected by the
// short lists of builtins.ts and by the config's overrides. Every candidate that the call could mean must be harmless:
// which of them PostgreSQL picks depends on argument types that the text does not hold.
import type { FunctionUse, Name } from '../sql/statement.js'
import type { Catalog, FunctionInfo, HiddenCall } from './catalog.js'
import { answersServerState, harmlessVolatile, leavesNoState, notShared, operators, types, writesThoughStable } from './builtins.js'
import { callPath } from './resolve.js'

/** `read`: any server may run it. `primary`: changes nothing, but only the primary's answer counts. `write`: may change data. */
export type Effect = 'read' | 'primary' | 'write'

export interface Verdict {
  readonly effect: Effect
  /** Rule (routing/rules.ts) and particulars; null for an ordinary read. */
  readonly why: { readonly rule: VerdictRule; readonly detail: string } | null
  /** Why the connection may carry unseen state afterwards, or null. */
  readonly taints: string | null
  /** Came with the server and is quick: fit for a shared connection. */
  readonly builtin: boolean
  /** The same call on the same data may answer differently. */
  readonly varies?: boolean
}

export type VerdictRule =
  'volatile-function' | 'unknown-function' | 'writing-builtin' | 'server-state' | 'function-override' | 'operator' | 'type'

export type Overrides = ReadonlyMap<string, 'read' | 'write'>

const plainBuiltin: Verdict = { effect: 'read', why: null, taints: null, builtin: true }

/** `searchPath` null: every schema counts. */
export function judgeFunction(catalog: Catalog, overrides: Overrides, searchPath: readonly string[] | null, use: FunctionUse): Verdict {
  const found = candidates(catalog, searchPath, use)
  const overridden = override(overrides, use.name, found)
  if (overridden !== null) return overridden
  if (found.length === 0) {
    const detail = `function ${written(use.name)} is not in the catalog of ${catalog.cluster}`
    return { effect: 'write', why: { rule: 'unknown-function', detail }, taints: detail, builtin: false }
  }
  return found.map(judgeCandidate).reduce(worse)
}

/** The functions that a call could mean: by name, schema or path, and number of arguments. */
export function candidates(catalog: Catalog, searchPath: readonly string[] | null, use: FunctionUse): readonly FunctionInfo[] {
  const all = catalog.functions.get(use.name.name) ?? []
  const path = searchPath === null ? null : callPath(searchPath)
  return all.filter((info) => {
    const visible = use.name.schema !== null ? info.schema === use.name.schema : (path?.includes(info.schema) ?? true)
    return visible && (use.args === null || (use.args >= info.minArgs && use.args <= info.maxArgs))
  })
}

function override(overrides: Overrides, name: Name, found: readonly FunctionInfo[]): Verdict | null {
  if (overrides.size === 0) return null
  const bare = overrides.get(name.name)
  const said =
    found.length === 0 ? [overrides.get(written(name)) ?? bare] : found.map((info) => overrides.get(`${info.schema}.${info.name}`) ?? bare)
  const detail = `the config says that function ${written(name)}`
  if (said.includes('write')) {
    return { effect: 'write', why: { rule: 'function-override', detail: `${detail} writes` }, taints: detail, builtin: false }
  }
  if (!said.every((word) => word === 'read')) return null
  // What a function of a user reads is not known, so nobody could tell when its answer is another one.
  const varies =
    found.length === 0 || found.some((info) => info.volatility === 'volatile' || !(info.builtin || info.volatility === 'immutable'))
  return { effect: 'read', why: { rule: 'function-override', detail: `${detail} only reads` }, taints: null, builtin: false, varies }
}

function judgeCandidate(info: FunctionInfo): Verdict {
  const name = `${info.schema}.${info.name}`
  if (!info.builtin) return judgeUserFunction(info, name)
  if (writesThoughStable.has(info.name)) {
    return {
      effect: 'write',
      why: { rule: 'writing-builtin', detail: `function ${name} writes, or reads what cannot be seen` },
      taints: leftBy(info, name),
      builtin: true,
    }
  }
  if (answersServerState(info.name)) {
    return {
      effect: 'primary',
      why: { rule: 'server-state', detail: `function ${name} answers about its server` },
      taints: null,
      builtin: true,
    }
  }
  if (info.volatility !== 'volatile' || harmlessVolatile.has(info.name)) {
    const fit = notShared.has(info.name) ? { ...plainBuiltin, builtin: false } : plainBuiltin
    return info.volatility === 'volatile' ? { ...fit, varies: true } : fit
  }
  return {
    effect: 'write',
    why: { rule: 'writing-builtin', detail: `function ${name} is volatile` },
    taints: leftBy(info, name),
    builtin: true,
  }
}

function leftBy(info: FunctionInfo, name: string): string | null {
  return leavesNoState.has(info.name) ? null : `function ${name}`
}

function judgeUserFunction(info: FunctionInfo, name: string): Verdict {
  if (info.volatility === 'volatile' || info.kind === 'procedure') {
    const detail = `function ${name} is volatile`
    return { effect: 'write', why: { rule: 'volatile-function', detail }, taints: detail, builtin: false }
  }
  // A stable function may still call set_config(): only what is immutable and not procedural surely leaves nothing behind.
  const clean = info.volatility === 'immutable' && (info.language === 'sql' || info.language === 'c' || info.language === 'internal')
  return { effect: 'read', why: null, taints: clean ? null : `user-defined function ${name}`, builtin: false }
}

const weight: Readonly<Record<Effect, number>> = { read: 0, primary: 1, write: 2 }

/** The more restrictive of two verdicts; taints and foreignness of both are kept. */
export function worse(a: Verdict, b: Verdict): Verdict {
  const heavier = weight[b.effect] > weight[a.effect] ? b : a
  const same = weight[a.effect] === weight[b.effect]
  return {
    effect: heavier.effect,
    why: same ? (a.why ?? b.why) : heavier.why,
    taints: a.taints ?? b.taints,
    builtin: a.builtin && b.builtin,
    varies: a.varies === true || b.varies === true,
  }
}

/** A name behind a dot, which is a column or else a function of one argument: `('s'::regclass).nextval` runs nextval. */
export function judgeAttribute(catalog: Catalog, overrides: Overrides, name: string): Verdict {
  const found = (catalog.functions.get(name) ?? []).filter((info) => info.minArgs <= 1 && info.maxArgs >= 1)
  if (found.length === 0) return plainBuiltin
  return override(overrides, { schema: null, name }, found) ?? found.map(judgeCandidate).reduce(worse)
}

/** An operator: user-defined ones by the function behind them, built-in ones are all immutable or stable. */
export function judgeOperator(catalog: Catalog, searchPath: readonly string[] | null, name: Name): Verdict {
  const hidden = visibleCalls(catalog.operators.get(name.name), searchPath, name)
  if (hidden.length > 0) return judgeHidden(hidden, 'operator', 'operator')
  if (operators.has(name.name) && (name.schema === null || name.schema === 'pg_catalog')) return plainBuiltin
  const detail = `operator ${written(name)} is not in the catalog of ${catalog.cluster}`
  return { effect: 'write', why: { rule: 'operator', detail }, taints: detail, builtin: false }
}

/** A type: casting to it runs its input function, a domain's checks, or a cast function. Row types of relations are known by `isRelation`. */
export function judgeType(catalog: Catalog, searchPath: readonly string[] | null, name: Name, isRelation: () => boolean): Verdict {
  const element = name.name.startsWith('_') ? name.name.slice(1) : name.name
  const hidden = visibleCalls(catalog.types.get(name.name) ?? catalog.types.get(element), searchPath, name)
  if (hidden.length > 0) return judgeHidden(hidden, 'type', 'type')
  if (types.has(element) && (name.schema === null || name.schema === 'pg_catalog' || name.schema === 'information_schema'))
    return plainBuiltin
  if (isRelation()) return { ...plainBuiltin, builtin: false }
  const detail = `type ${written(name)} is not in the catalog of ${catalog.cluster}`
  return { effect: 'write', why: { rule: 'type', detail }, taints: detail, builtin: false }
}

function visibleCalls(calls: readonly HiddenCall[] | undefined, searchPath: readonly string[] | null, name: Name): readonly HiddenCall[] {
  if (calls === undefined) return []
  if (name.schema !== null) return calls.filter((call) => call.schema === name.schema)
  return searchPath === null ? calls : calls.filter((call) => callPath(searchPath).includes(call.schema))
}

function judgeHidden(calls: readonly HiddenCall[], rule: 'operator' | 'type', noun: string): Verdict {
  const volatile = calls.find((call) => call.volatility === 'volatile')
  if (volatile === undefined) {
    const stable = calls.find((call) => call.volatility === 'stable')
    return {
      effect: 'read',
      why: null,
      taints: stable === undefined ? null : `user-defined ${noun} ${stable.schema}.${stable.name}`,
      builtin: false,
    }
  }
  const detail = `${noun} ${volatile.schema}.${volatile.name} runs a volatile function`
  return { effect: 'write', why: { rule, detail }, taints: detail, builtin: false }
}

/** A name as it would be written. */
export function written(name: Name): string {
  return name.schema === null ? name.name : `${name.schema}.${name.name}`
}
