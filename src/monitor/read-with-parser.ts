// monitor/read-with-parser.ts — the texts of views, policies and checks are understood by the same parser as statements.
import { loadSql } from '../sql/parser.js'
import { createUnderstanding } from '../sql/understand.js'
import type { ReadText } from './read-body.js'

/** Longer definitions are not read, and count as unknown. */
const MAX_BYTES = 1024 * 1024

/** Each text is read once per load: nothing is worth keeping. */
export async function readWithParser(): Promise<ReadText> {
  await loadSql()
  const understanding = createUnderstanding({ maxParseBytes: MAX_BYTES, shapeCacheBytes: 1 })
  return (text) => understanding.understand(text).shape.statements
}
