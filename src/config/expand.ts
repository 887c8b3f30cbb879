// config/expand.ts — a plain copy of the input with `${VAR}` replaced in every text. `$${` is a literal `${`. Keys are
// left alone. The copy is by depth and own keys only, so no input, however odd, can make it run on.
import type { Findings } from './findings.js'
import type { Path } from './locator.js'
import type { Surroundings } from './surroundings.js'

const deepest = 16

export interface Expanded {
  readonly value: unknown
  /** Places (as printed by JSON.stringify(path)) whose value is not known; nothing else is to be said of them. */
  readonly spoiled: ReadonlySet<string>
}

export function expand(input: unknown, findings: Findings, env: Surroundings['env']): Expanded {
  const spoiled = new Set<string>()
  const spoil = (path: Path, allowed: string, message: string): null => {
    spoiled.add(JSON.stringify(path))
    findings.problem({ path, allowed, message })
    return null
  }

  function text(value: string, path: Path): string | null {
    const unset: string[] = []
    const whole = value.replace(/\$\$\{|\$\{([^}]*)\}/g, (match, name: string | undefined) => {
      if (name === undefined) return '${'
      const found = Object.hasOwn(env, name) ? env[name] : undefined
      if (found === undefined || found === '') unset.push(name)
      return found ?? match
    })
    const [first] = unset
    if (first === undefined) return whole
    return spoil(
      path,
      'a variable that is set and not empty ("$${" writes a literal "${")',
      `the environment variable ${JSON.stringify(first)} is not set`,
    )
  }

  function copy(value: unknown, path: Path): unknown {
    if (typeof value === 'string') return text(value, path) ?? value
    if (typeof value !== 'object' || value === null) return value
    if (path.length > deepest) return spoil(path, `at most ${String(deepest)} levels`, 'the configuration is nested too deeply')
    if (Array.isArray(value)) return value.map((item: unknown, index) => copy(item, [...path, index]))
    if (!isPlain(value)) return value
    const entries = Object.entries(value).filter(([key]) => key !== '__proto__')
    if (Object.hasOwn(value, '__proto__')) spoil([...path, '__proto__'], 'another name', 'this key is not allowed')
    return Object.fromEntries(entries.map(([key, item]) => [key, copy(item, [...path, key])]))
  }

  return { value: copy(input, []), spoiled }
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}
