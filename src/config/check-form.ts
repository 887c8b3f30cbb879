// config/check-form.ts — runs the schema, turns every issue into a problem in our words, and gives what is left when the
// bad places are taken out. So one wrong port does not hide a wrong cluster name.
import type { z } from 'zod'
import { valueAt, type Findings } from './findings.js'
import type { ConfigInput, Partly } from './input.js'
import type { Path } from './locator.js'
import { keysAt, noteAt } from './notes.js'
import { configSchema } from './schema.js'
import { didYouMean } from './suggest.js'

const notYet = 'is not supported by this version'

/** `value`: the expanded input; `spoiled`: places already complained about. null: nothing is left to check. */
export function checkForm(value: unknown, spoiled: ReadonlySet<string>, findings: Findings): Partly<ConfigInput> | null {
  const bad = new Set(spoiled)
  const result = configSchema.safeParse(value)
  for (const issue of result.error?.issues ?? []) {
    for (const { path, one } of leaves(issue, [], value)) {
      if (!spoiled.has(JSON.stringify(path))) tell(one, path, value, findings)
      if (one.code === 'unrecognized_keys') for (const key of one.keys) bad.add(JSON.stringify([...path, key]))
      else bad.add(JSON.stringify(path))
    }
  }
  return (without(value, [], bad) as Partly<ConfigInput> | undefined) ?? null
}

interface Leaf {
  readonly path: Path
  readonly one: z.core.$ZodIssue
}

// A union's issue is told by the arm that fits the kind of value found; the others would only confuse.
function leaves(issue: z.core.$ZodIssue, above: Path, input: unknown): readonly Leaf[] {
  const path = [...above, ...issue.path.map((key) => (typeof key === 'number' ? key : String(key)))]
  if (issue.code !== 'invalid_union') return [{ path, one: issue }]
  const arm = issue.errors.find((errors) => !errors.some((error) => error.path.length === 0 && error.code === 'invalid_type'))
  if (!arm?.some((error) => error.path.length > 0 || error.code === 'unrecognized_keys')) return [{ path, one: issue }]
  return arm.flatMap((error) => leaves(error, path, input))
}

function tell(issue: z.core.$ZodIssue, path: Path, input: unknown, findings: Findings): void {
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) unknownKey(key, path, findings)
    return
  }
  const name = path.length === 0 ? 'the configuration' : quote(path.at(-1) ?? '')
  const note = noteAt(configSchema, path)
  const allowed = note.allowed ?? 'another value'
  const value = valueAt(input, path)
  if (value === undefined) findings.problem({ path, allowed, message: `${name} is missing`, at: 'key' })
  else if (note.later?.(value) === true)
    findings.problem({ path, allowed, message: `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)} ${notYet}` })
  else findings.problem({ path, allowed, message: `${name} must be ${allowed}` })
}

function unknownKey(key: string, path: Path, findings: Findings): void {
  const keys = keysAt(configSchema, path)
  const later = noteAt(configSchema, path).laterKeys?.includes(key) === true
  const message = later ? `${quote(key)} ${notYet}` : `unknown key ${quote(key)}${didYouMean(key, keys)}`
  findings.problem({ path: [...path, key], allowed: keys.join(', '), found: key, message, at: 'key' })
}

function quote(key: string | number): string {
  return typeof key === 'number' ? `item ${String(key + 1)}` : JSON.stringify(key)
}

function without(value: unknown, path: Path, bad: ReadonlySet<string>): unknown {
  if (bad.has(JSON.stringify(path))) return undefined
  if (Array.isArray(value)) return value.map((item: unknown, index) => without(item, [...path, index], bad))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, without(item, [...path, key], bad)]))
}
