// config/home-for.ts — the home that the config gives a table: by its name, else by the first pattern that fits it. Patterns
// stand in DatabaseConfig in the order in which they count: those that name tables before whole schemas.
import type { DatabaseConfig, TableHome } from './config.js'
import { fits } from './glob.js'

/** `key` is `schema.table`. undefined: the config has no line for it, so it lives in `default`. */
export function homeFor({ homes, patterns }: Pick<DatabaseConfig, 'homes' | 'patterns'>, key: string): TableHome | undefined {
  const own = homes.get(key)
  if (own !== undefined || patterns.length === 0) return own
  const dot = key.indexOf('.')
  const schema = key.slice(0, dot)
  const name = key.slice(dot + 1)
  return patterns.find((pattern) => fits(pattern.schema, schema) && fits(pattern.name, name))?.home
}

/** Whether a table of this bare name may have a home that the config gives it, in whatever schema, and that counts. */
export function mayHaveHome(
  { homes, patterns }: Pick<DatabaseConfig, 'homes' | 'patterns'>,
  bare: string,
  counts: (home: TableHome) => boolean,
): boolean {
  for (const [key, home] of homes) if (key.endsWith(`.${bare}`) && counts(home)) return true
  return patterns.some((pattern) => fits(pattern.name, bare) && counts(pattern.home))
}
