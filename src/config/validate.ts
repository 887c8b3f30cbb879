// config/validate.ts — the one way to a Config, for YAML and for the library's options alike. All problems are told at
// once, by line; a Config that comes out is frozen and complete.
import { build } from './build.js'
import { checkForm } from './check-form.js'
import type { Config, Problem } from './config.js'
import { expand } from './expand.js'
import { Findings, valueAt } from './findings.js'
import { nowhere, type Locator } from './locator.js'
import { mayHoldSecret } from './notes.js'
import { configSchema } from './schema.js'
import type { Surroundings } from './surroundings.js'

export type Result =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[]; readonly warnings: readonly Problem[] }

/**
 * A plain object (ConfigInput, or anything) → a frozen Config, or everything that is wrong with it. Never throws.
 * `locate` finds lines and columns; `first`: problems known already (of the YAML itself).
 */
export function validateConfig(input: unknown, surroundings: Surroundings, locate: Locator = nowhere): Result {
  const findings = new Findings(input, locate, (path) => mayHoldSecret(configSchema, path))
  const { value, spoiled } = expand(input, findings, surroundings.env)
  const checked = checkForm(value, spoiled, findings)
  const config = checked === null ? null : build({ findings, surroundings }, checked, clusterNames(value))
  const problems = findings.problems()
  const warnings = findings.warnings()
  return config === null || problems.length > 0 ? { ok: false, problems, warnings } : { ok: true, config: frozen(config), warnings }
}

function clusterNames(value: unknown): ReadonlySet<string> {
  const clusters = valueAt(value, ['clusters'])
  return new Set(typeof clusters === 'object' && clusters !== null && !Array.isArray(clusters) ? Object.keys(clusters) : [])
}

function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  if (value instanceof Map) for (const one of value.values()) frozen(one)
  else for (const one of Object.values(value)) frozen(one)
  return Object.freeze(value)
}
