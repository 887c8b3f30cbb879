// doors/proxy/unique-ids.ts — simple queries that ask for ids, with the ids in their texts (sql/unique-ids.ts): those that call
// pointsman.unique_id(), and EXECUTE of what does.
import type { Understood } from '../../sql/statement.js'
import { uniqueIdCalls, withIdArguments, withUniqueIds } from '../../sql/unique-ids.js'
import type { Conversation } from './conversation.js'
import { namingOf } from './named.js'
import { onlyAlone, readyFor } from './prepared-ids.js'

/** null: it stands where it may be called more than once. Rejects where there are no ids. */
export async function giveUniqueIds({ uniqueIds }: Conversation, text: string): Promise<string | null> {
  const calls = uniqueIdCalls(text)
  if (calls === null || calls.length === 0) return null
  await readyFor(uniqueIds, calls)
  return withUniqueIds(text, uniqueIds.now(calls))
}

/** An EXECUTE alone, of what asks for ids, with ids for this time; null: it is none. Rejects where it is more than an EXECUTE. */
export function executeWithIds({ session, core, uniqueIds }: Conversation, understood: Understood): Promise<Understood> | null {
  const { statements } = understood.shape
  if (statements?.length !== 1 || statements[0]?.executes === null) return null
  const understand = (text: string): Understood => core.understand(text)
  const naming = namingOf(session, understood, understand)
  if (naming?.kind !== 'execute' || naming.definition?.ids === undefined) return null
  const { bits } = naming.definition.ids
  return readyFor(uniqueIds, bits).then(() => {
    const text = withIdArguments(understood.text, naming.span.end, uniqueIds.now(bits))
    if (text === null) throw onlyAlone()
    return understand(text)
  })
}
