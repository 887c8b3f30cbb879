// doors/proxy/tokens.ts — a session's token as SQL has it: SHOW pointsman.token tells it, SET, set_config() and the startup
// packet bring one (CONSISTENCY §2.7). What is brought counts from its receipt, whatever becomes of the statement: it is kept
// in the session's floors, which no ROLLBACK, RESET or DISCARD lowers, and never among its settings.
import { exportToken, importToken } from '../../consistency/token-exchange.js'
import { maxTokenLength } from '../../consistency/token.js'
import { clustersOf } from '../../config/clusters-of.js'
import { resolveFloors } from '../../execute/resolve-floors.js'
import { encodeNoticeResponse } from '../../protocol/error-fields.js'
import type { Generation } from '../../runtime/contract.js'
import { tokenSetting } from '../../session/route-settings.js'
import { resolveChange, type ParameterText } from '../../session/settings.js'
import type { SettingChange, Understood } from '../../sql/statement.js'
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
export function tokenResolved({ floors, generation, session }: Conversation): Promise<void> | null {
  const clusters = clustersAt(generation, session.database)
  const known = generation.topology().clusters
  const open = clusters.filter((id) => {
    const view = known.get(id)
    return view !== undefined && floors.unresolved(view)
  })
  return open.length === 0 ? null : resolveFloors(generation, floors, open, sampleMs)
}

/** What whoever shows it must see of what this session has written and seen; '' for nothing. */
export function sessionToken({ floors, generation, session }: Conversation): string {
  const known = generation.topology().clusters
  const views = clustersAt(generation, session.database).flatMap((id) => known.get(id) ?? [])
  return exportToken(floors, views, generation.config.tokens.key)
}

/** Takes a token in. Never an error: of one that cannot be used the client is warned, and every cluster is read anew. */
export function takeToken(conversation: Conversation, generation: Generation<ServerConnection>, text: string): void {
  const { config } = generation
  const known = generation.topology().clusters
  const reading = importToken(conversation.floors, text, {
    clusters: clustersAt(generation, conversation.session.database),
    key: config.tokens.key,
    now: conversation.now(),
    known: config.clusters,
    system: (cluster) => known.get(cluster)?.system ?? null,
  })
  if (!reading.ok) conversation.output.write(encodeNoticeResponse(unusable(reading.reason)))
}

/** Takes in the tokens that a text for a server sets: it has other statements, or calls set_config(). */
export function takeTokens(conversation: Conversation, { shape }: Understood, parameter: ParameterText): void {
  for (const { detail } of shape.statements ?? []) {
    const changes = detail.kind === 'set' ? [detail.change] : detail.kind === 'select' ? (detail.settings ?? []) : []
    for (const change of changes) takeChange(conversation, change, parameter)
  }
}

/** True: `said` was about the token, and has had its effect. */
export function takeChange(conversation: Conversation, said: SettingChange, parameter: ParameterText): boolean {
  if (said.name !== tokenSetting) return false
  const text = resolveChange(said, parameter)?.value ?? null
  // NULL and DEFAULT take nothing back: a floor is only ever raised.
  if (text !== null) takeToken(conversation, conversation.generation, text)
  return true
}

/** The parameters of a portal, as far as a token may be among them. */
export function tokenParameters(portal: Portal | null): ParameterText {
  if (portal === null) return () => undefined
  return portal.bytes > maxBindBytes ? () => oversized : portal.text
}

function clustersAt({ config }: Generation<ServerConnection>, name: string): readonly string[] {
  const database = databaseOf(config, name)
  return database === undefined ? [] : clustersOf(database)
}

function unusable(reason: string): Parameters<typeof encodeNoticeResponse>[0] {
  const message = `pointsman.token was not used: ${reason}`
  const detail = 'Reads that must see the session’s own writes go to the primary until a replica is proved to have all that is written now.'
  return { severity: 'WARNING', code: '01000', message, detail }
}
