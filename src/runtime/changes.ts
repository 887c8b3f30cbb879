// runtime/changes.ts — what differs between two configs, by the names of their sections. Used to tell the operator, and
// to leave everything alone where a file was only touched. Values are never shown: they may be secrets.
import type { Config } from '../config/config.js'

/** `clusters.main changed`, `databases.app added`; [] where the two are equal. */
export function changesBetween(before: Config, after: Config): readonly string[] {
  const sections = (['listen', 'admin', 'auth', 'limits', 'log'] as const).filter((name) => text(before[name]) !== text(after[name]))
  return [
    ...sections.map((name) => `${name} changed`),
    ...changedKeys('clusters', before.clusters, after.clusters),
    ...changedKeys('databases', before.databases, after.databases),
  ]
}

function changedKeys(section: string, before: ReadonlyMap<string, unknown>, after: ReadonlyMap<string, unknown>): string[] {
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((key) => {
    if (!before.has(key)) return [`${section}.${key} added`]
    if (!after.has(key)) return [`${section}.${key} removed`]
    return text(before.get(key)) === text(after.get(key)) ? [] : [`${section}.${key} changed`]
  })
}

/** The same text for equal values: Maps with their order, which carries meaning (shards are spread in order). */
function text(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => (inner instanceof Map ? { map: [...(inner as Map<unknown, unknown>)] } : inner))
}
