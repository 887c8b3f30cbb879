// cache/uses-cache.ts — whether a configuration keeps results anywhere. Where it does not, writes need not be told.
import type { Config } from '../config/config.js'
import type { PolicyOverride } from '../consistency/policy.js'

export function usesCache({ databases }: Config): boolean {
  return [...databases.values()].some(({ reads }) => [reads.default, ...reads.users.values(), ...reads.tables.values()].some(keeps))
}

function keeps({ cacheMs }: PolicyOverride): boolean {
  return cacheMs !== undefined && cacheMs > 0
}
