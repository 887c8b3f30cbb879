// doors/proxy/tokens.ts — a session's token as SQL has it: SHOW pointsman.token tells it, SET, set_config() and the startup
// packet bring one (CONSISTENCY §2.7). What is brought counts from its receipt, whatever becomes of the statement: it is kept
// in the session's floors, which no ROLLBACK, RESET or DISCARD lowers, and never among its settings.
import { maxTokenLength } from '../../consistency/token.js'
import { encodeNoticeResponse } from '../../protocol/error-fields.js'
import type { Generation } from '../../runtime/contract.js'
import { takeToken, tokenOf, tokenResolved, type TokenBearer } from '../../runtime/session-token.js'
import { tokenSetting } from '../../session/route-settings.js'
import type { ParameterText } from '../../session/settings.js'
import { tokensIn } from '../../session/tokens-in.js'
import type { Understood } from '../../sql/statement.js'
import type { ServerConnection } from '../../server/contract.js'
import type { Conversation } from './conversation.js'
import { databaseOf } from './login.js'
import type { Portal } from './messages.js'

/** A token that needs a sample waits for it no longer than this, in ms; what is open then is told as open. */
const sampleMs = 1_000
/** A Bind longer than this holds no token that could be read, so nothing of it is. */
const maxBindBytes = 64 * 1024
const oversized = ' '.repeat(maxTokenLength + 1)

/** Whether the text asks for the token and for nothing else. */
export function asksToken({ shape }: Understood): boolean {
  const [statement, another] = shape.statements ?? []
  if (statement === undefined || another !== undefined) return false
  const { detail } = statement
  return (detail.kind === 'show' && detail.name === tokenSetting) || (detail.kind === 'select' && detail.reads?.name === tokenSetting)
}

/** Resolves when the session's token can say all that one sample of its clusters tells; null: it can now. */
export function tokenSampled(conversation: Conversation): Promise<void> | null {
  const bearer = bearerOf(conversation, conversation.generation)
  return bearer === null ? null : tokenResolved(bearer, sampleMs)
}

/** What whoever shows it must see of what this session has written and seen; '' for nothing. */
export function sessionToken(conversation: Conversation): string {
  const bearer = bearerOf(conversation, conversation.generation)
  return bearer === null ? '' : tokenOf(bearer)
}

/** Takes a token in. Never an error: of one that cannot be used the client is warned, and every cluster is read anew. */
export function bringToken(conversation: Conversation, generation: Generation<ServerConnection>, text: string): void {
  const bearer = bearerOf(conversation, generation)
  const problem = bearer === null ? null : takeToken(bearer, text, conversation.now())
  if (problem !== null) conversation.output.write(encodeNoticeResponse(unusable(problem)))
}

/** Takes in what the text brings, by SET or set_config(), alone or among others. */
export function takeTokens(conversation: Conversation, understood: Understood, parameter: ParameterText): void {
  for (const text of tokensIn(understood, parameter)) bringToken(conversation, conversation.generation, text)
}

/** The parameters of a portal, as far as a token may be among them. */
export function tokenParameters(portal: Portal | null): ParameterText {
  if (portal === null) return () => undefined
  return portal.bytes > maxBindBytes ? () => oversized : portal.text
}

/** null: the database was taken out of the configuration, which ends the client soon. */
function bearerOf({ floors, session }: Conversation, generation: Generation<ServerConnection>): TokenBearer | null {
  const database = databaseOf(generation.config, session.database)
  return database === undefined ? null : { floors, database, generation }
}

function unusable(reason: string): Parameters<typeof encodeNoticeResponse>[0] {
  const message = `pointsman.token was not used: ${reason}`
  const detail = 'Reads that must see the session’s own writes go to the primary until a replica is proved to have all that is written now.'
  return { severity: 'WARNING', code: '01000', message, detail }
}
