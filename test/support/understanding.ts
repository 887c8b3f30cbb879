// test/support/understanding.ts — understand() ready to use, with the limits of the default config.
import { loadSql } from '../../src/sql/parser.js'
import type { Understood } from '../../src/sql/statement.js'
import { createUnderstanding } from '../../src/sql/understand.js'

export async function understanding(): Promise<(text: string) => Understood> {
  await loadSql()
  const made = createUnderstanding({ maxParseBytes: 1_000_000, shapeCacheBytes: 64_000_000 })
  return (text) => made.understand(text)
}
