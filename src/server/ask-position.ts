// server/ask-position.ts — asks one connection where its server stands, by the provider of its cluster. Where the server
// refuses the question (no heartbeat table, no right to read it) its role is asked for alone: what cannot be measured can
// still be written to.
import type { PositionProvider } from '../consistency/position-provider.js'
import type { ServerPosition } from '../consistency/position-query.js'
import type { Evidence } from '../pool/contract.js'

/** One simple query; rows of text or null. */
export type AskServer = (sql: string) => Promise<readonly (readonly (string | null)[])[]>

/** `question`: the provider's `look` or `sample`. Rejects where the connection is lost or the answer cannot be read. */
export async function askPosition(ask: AskServer, provider: PositionProvider, question: string): Promise<ServerPosition> {
  if (provider.plain === null) return provider.read(await ask(question), null)
  let refusal: string
  try {
    const rows = await ask(question)
    if (rows.length > 0) return provider.read(rows, null)
    refusal = 'the heartbeat table has no row'
  } catch (error) {
    if (!saidByServer(error)) throw error
    refusal = `the heartbeat failed: ${error.message}`
  }
  return provider.read(await ask(provider.plain), refusal)
}

/** What a connection that was asked at `openedAt`, when it was opened, proves. */
export function evidence(node: string, openedAt: number, said: ServerPosition): Evidence {
  const { inRecovery, lsn, postmasterStart, timeline, commits } = said
  return { node, openedAt, inRecovery, position: lsn, postmasterStart, timeline, asynchronous: commits?.asynchronous ?? false }
}

/** An error of the server's own (ours and pg's alike), after which the connection can go on. */
function saidByServer(error: unknown): error is Error {
  if (!(error instanceof Error)) return false
  const { code, severity } = error as { readonly code?: unknown; readonly severity?: unknown }
  return typeof code === 'string' && severity === 'ERROR'
}
