// doors/library/unique-ids.ts — a query that calls pointsman.unique_id(): each call is a parameter behind those of the query, so that its
// text is the same each time, and may have a name (sql/unique-ids.ts).
import type { UniqueIds } from '../../runtime/unique-ids.js'
import { withIdParameters } from '../../sql/unique-ids.js'
import type { PlainQuery } from './query-arguments.js'

/** With new ids; null: it stands where it may be called more than once. Rejects where there are no ids. */
export async function withUniqueIds(query: PlainQuery, ids: Pick<UniqueIds, 'ready' | 'now'>): Promise<PlainQuery | null> {
  const made = withIdParameters(query.text, 0)
  if (made === null) return null
  const { text, bits } = made
  await ids.ready(bits.includes(53) ? 53 : 64)
  const values = [...query.values, ...ids.now(bits).map(String)]
  // Defined, not set: a query of a class of its own (sql-template-strings) may have a getter only.
  const own = { writable: true, enumerable: true, configurable: true }
  const config = Object.defineProperties(query.config, { text: { ...own, value: text }, values: { ...own, value: values } })
  return { ...query, text, values, config }
}
