// doors/proxy/client-state.ts — what all parts of one client's conversation share: values, and who else is there. Each part
// (generations, told, holds, settling, departure) keeps its own state to itself; what two of them need stands here.
import type { ResultCache } from '../../cache/result-cache.js'
import { createFloors, type SessionFloors } from '../../consistency/floors.js'
import type { PolicyOverride } from '../../consistency/policy.js'
import type { Observer } from '../../observe/events.js'
import { encodeErrorResponse, type ErrorFields } from '../../protocol/error-fields.js'
import type { ClientLogin, Runtime } from '../../runtime/contract.js'
import type { ServerConnection } from '../../server/contract.js'
import { Session, type Greeting } from '../../session/session.js'
import type { TransactionMode } from '../../session/transaction.js'
import type { ClientInput } from './client-input.js'
import type { ClientOutput } from './client-output.js'
import type { Core } from './core-contract.js'
import { errorFields } from './error-reply.js'
import type { Login } from './login.js'
import type { ProvedStatements } from './proved-statements.js'
import type { Reply } from './recording.js'
import type { Request } from './request.js'

export interface ConversationParts {
  readonly login: Login
  readonly password: string | null
  readonly greeting: Greeting
  readonly runtime: Runtime<ServerConnection>
  readonly observer: Observer
  readonly core: Core
  /** Of all clients. */
  readonly proved: ProvedStatements
  /** Of all clients. */
  readonly cache: ResultCache<Reply>
  readonly now: () => number
}

export class ClientState {
  readonly login: ClientLogin
  readonly runtime: Runtime<ServerConnection>
  readonly session: Session
  readonly input: ClientInput
  readonly output: ClientOutput
  readonly proved: ProvedStatements
  readonly cache: ResultCache<Reply>
  readonly observer: Observer
  readonly now: () => number
  readonly floors: SessionFloors = createFloors()
  /** The request at hand. */
  request: Request | null = null
  /** Of the transaction as the statement at hand finds it. */
  mode: TransactionMode | null = null
  overrides: PolicyOverride = {}
  /** Set once: the client is told and closed when the request at hand returns. */
  ending: ErrorFields | null = null

  constructor(parts: ConversationParts) {
    const { login, greeting } = parts
    this.login = { database: login.database, user: login.user, password: parts.password }
    this.runtime = parts.runtime
    this.input = login.input
    this.output = login.output
    this.proved = parts.proved
    this.cache = parts.cache
    this.observer = parts.observer
    this.now = parts.now
    this.session = new Session({ database: login.database, user: login.user, settings: login.settings, greeting })
  }

  /** The client is told `error` and closed when the present request returns. */
  endWith(error: unknown): void {
    this.ending ??= errorFields(error, 'FATAL')
  }

  tell(fields: ErrorFields): void {
    this.output.write(encodeErrorResponse(fields))
  }
}
