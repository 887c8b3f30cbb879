// routing/inner-statement.ts — the statement within another one (DECLARE, COPY), understood as if it had been sent by itself.
import type { Hints, Understood } from '../sql/statement.js'
import { createUnderstanding, type Understanding } from '../sql/understand.js'

let understanding: Understanding | null = null

/** `hints`: those of the whole text. */
export function understandInner(text: string, hints: Hints | null): Understood {
  understanding ??= createUnderstanding({ maxParseBytes: 1024 * 1024, shapeCacheBytes: 256 * 1024 })
  return { ...understanding.understand(text), hints }
}
