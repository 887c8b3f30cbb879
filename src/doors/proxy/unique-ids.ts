// doors/proxy/unique-ids.ts — a simple query that calls pointsman.unique_id() → the text that is sent in its place (sql/unique-ids.ts).
import { uniqueIdCalls, withUniqueIds } from '../../sql/unique-ids.js'
import type { Conversation } from './conversation.js'

/** null: it stands where it may be called more than once. Rejects where there are no ids. */
export async function giveUniqueIds({ uniqueIds }: Conversation, text: string): Promise<string | null> {
  const calls = uniqueIdCalls(text)
  if (calls === null || calls.length === 0) return null
  const ids: Readonly<Record<64 | 53, Iterator<bigint>>> = {
    64: (await uniqueIds.take(calls.filter((bits) => bits === 64).length, 64)).values(),
    53: (await take53(uniqueIds, calls)).values(),
  }
  return withUniqueIds(
    text,
    calls.map((bits) => ids[bits].next().value as bigint),
  )
}

async function take53(uniqueIds: Conversation['uniqueIds'], calls: readonly (64 | 53)[]): Promise<readonly bigint[]> {
  const count = calls.filter((bits) => bits === 53).length
  return count === 0 ? [] : uniqueIds.take(count, 53)
}
