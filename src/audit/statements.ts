// audit/statements.ts — statements that ran elsewhere, planned as if everything were split as configured: the same plan() that
// both doors use, with the rules of all virtual homes live. Follows the transactions of the sessions that it is told of.
import type { Catalog } from '../catalog/catalog.js'
import type { Config, DatabaseConfig } from '../config/config.js'
import type { Crossing } from '../observe/crossing.js'
import { crossingOf } from '../routing/crossing.js'
import type { ParameterSource } from '../routing/input.js'
import type { Plan } from '../routing/plan.js'
import { plan } from '../routing/planner.js'
import { ofProxy, Session } from '../session/session.js'
import type { SessionView, TransactionView } from '../session/view.js'
import type { Statement, Understood } from '../sql/statement.js'
import type { AuditBook } from './book.js'
import type { AuditSource } from './contract.js'

export interface AuditGround {
  readonly config: Config
  readonly database: DatabaseConfig
  readonly catalogs: ReadonlyMap<string, Catalog>
  readonly understand: (text: string) => Understood
  readonly user: string
  /** As SHOW search_path tells it. */
  readonly searchPath: string
}

const unknownParameters: ParameterSource = { get: () => undefined }

/** The database with every rule live. */
export function asSplit(database: DatabaseConfig): DatabaseConfig {
  const virtual = [...database.virtual].map(([label, one]) => [label, { ...one, mode: 'refuse', rollout: 100 }] as const)
  return { ...database, virtual: new Map(virtual) }
}

interface Followed {
  open: boolean
  home: TransactionView['home']
}

export class StatementAudit {
  readonly #ground: AuditGround
  readonly #database: DatabaseConfig
  readonly #book: AuditBook
  readonly #idle: SessionView
  readonly #sessions = new Map<string, Followed>()
  /** Texts that were not understood. */
  unread = 0
  seen = 0

  constructor(ground: AuditGround, book: AuditBook) {
    const { database, user, searchPath } = ground
    this.#ground = ground
    this.#book = book
    this.#database = asSplit(database)
    const greeting = { parameters: new Map<string, string>(), searchPath, role: user, isolation: 'read committed', readOnly: false }
    this.#idle = new Session({ database: database.name, user, settings: new Map(), greeting, ...ofProxy }).view
  }

  /** `session` null: one of no session, or of one that nobody knows, which ran by itself. */
  add(text: string, times: number, source: AuditSource, session: string | null): void {
    const understood = this.#ground.understand(text)
    const { statements } = understood.shape
    this.seen += times
    if (statements === null) this.unread += times
    const [only] = statements ?? []
    if (only === undefined) return
    const followed = session === null ? null : this.#of(session)
    if (statements?.length === 1 && followed !== null && follows(followed, only)) return
    if (concernsNobody(only)) return
    const planned = plan({ ...this.#input(understood), session: this.#view(followed) })
    const crossing = planned.kind === 'refuse' ? crossingOf(planned, this.#database) : null
    this.#count(understood, planned, crossing, times, source)
    if (followed?.open === true) this.#enter(followed, understood, planned)
  }

  #count(understood: Understood, planned: Plan, crossing: Crossing | null, times: number, source: AuditSource): void {
    const { name } = this.#database
    // What a directory would have been asked for runs once it has answered.
    this.#book.statement(name, planned.tables, planned.kind !== 'refuse' || planned.lookup !== undefined, times)
    if (crossing !== null) this.#book.crossing(name, crossing, understood.shape.key, source, times)
  }

  #input(understood: Understood): Omit<Parameters<typeof plan>[0], 'session'> {
    const { config, catalogs } = this.#ground
    return { understood, parameters: unknownParameters, config, database: this.#database, catalogs }
  }

  /** A transaction is where its first statement is, even if that one has crossed. */
  #enter(followed: Followed, understood: Understood, planned: Plan): void {
    const alone = planned.kind === 'one' ? planned : plan({ ...this.#input(understood), session: this.#idle })
    if (alone.kind !== 'one' || alone.tables.length === 0) return
    const { cluster, place } = alone
    followed.home ??= { cluster, node: '', role: 'primary', place }
  }

  #of(session: string): Followed {
    const known = this.#sessions.get(session)
    if (known !== undefined) return known
    const made: Followed = { open: false, home: null }
    this.#sessions.set(session, made)
    return made
  }

  #view(followed: Followed | null): SessionView {
    if (followed?.open !== true) return this.#idle
    return { ...this.#idle, transaction: { ...this.#idle.transaction, status: 'open', home: followed.home } }
  }
}

/** What begins and ends transactions; true: it was that. */
function follows(followed: Followed, { detail }: Statement): boolean {
  if (detail.kind !== 'transaction') return false
  const { op, chain } = detail.transaction
  if (op === 'begin') followed.open = true
  if (op === 'commit' || op === 'rollback' || op === 'prepare-transaction') {
    followed.open = chain
    followed.home = null
  }
  return true
}

const ofSessions: ReadonlySet<Statement['detail']['kind']> = new Set([
  'transaction',
  'set',
  'show',
  'deallocate',
  'discard',
  'listen',
  'unlisten',
  'notify',
  'fetch',
  'close',
  'execute',
])

function concernsNobody({ detail }: Statement): boolean {
  return ofSessions.has(detail.kind)
}
