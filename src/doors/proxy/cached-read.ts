// doors/proxy/cached-read.ts — a read that may use the result cache, before it takes a server: answered with a kept reply,
// with the reply of an identical read that is under way, or run with its own reply recorded.
import { boundNow } from '../../cache/admission.js'
import { joinKey, settingsKey, statementKey } from '../../cache/key.js'
import type { Fill, Found, Kept, Sought } from '../../cache/result-cache.js'
import type { Events } from '../../observe/events.js'
import { emptyMessages } from '../../protocol/backend-messages.js'
import type { OnePlan } from '../../routing/plan.js'
import type { ClientStatement } from '../../session/session.js'
import type { Understood } from '../../sql/statement.js'
import type { Conversation } from './conversation.js'
import { rememberTypes } from './messages.js'
import { Recording, type Reply } from './recording.js'
import type { Request } from './request.js'

/** One read, as its client sent it. */
export interface CachedRead {
  readonly understood: Understood
  /** Of the protocol: what decides the bytes of the reply beside the statement. */
  readonly form: readonly string[]
  /** A batch: its statement; null: a Query. */
  readonly statement: ClientStatement | null
  /** The batch begins with a Parse. */
  readonly parses: boolean
  /** What was sent before this does not fit, process-monotonic ms. */
  readonly notBefore: number
}

/** A read waits for others this often; then it is made, whoever else makes it. */
const maxWaits = 2

/** True: the client has its reply, ReadyForQuery included. False: it is to be run; request.recording, if set, records it. */
export function fromCache(conversation: Conversation, request: Request, plan: OnePlan, read: CachedRead): boolean | Promise<boolean> {
  const attempt = new Attempt(conversation, request, plan, read)
  const found = attempt.find(true)
  return found.kind === 'under-way' ? attempt.waitFor(found.fill) : attempt.take(found)
}

/** Reported by the server and part of how it writes values; a server may start with other ones than the last. */
const written = ['client_encoding', 'DateStyle', 'IntervalStyle', 'TimeZone', 'search_path'] as const

class Attempt {
  readonly #conversation: Conversation
  readonly #request: Request
  readonly #plan: OnePlan
  readonly #read: CachedRead
  readonly #key: string

  constructor(conversation: Conversation, request: Request, plan: OnePlan, read: CachedRead) {
    this.#conversation = conversation
    this.#request = request
    this.#plan = plan
    this.#read = read
    this.#key = joinKey([plan.cluster, ...this.#session(), statementKey(read.understood), ...read.form])
  }

  #session(): readonly string[] {
    const { session, told } = this.#conversation
    return [session.database, session.user, settingsKey(session.settings.values), joinKey(written.map((name) => told.get(name) ?? ''))]
  }

  find(wait: boolean): Found<Reply> {
    const { cache, generation } = this.#conversation
    const sought = this.#sought()
    return (sought === null ? null : cache.find(generation.number, sought, wait)) ?? { kind: 'none', fill: null, outcome: 'miss' }
  }

  /** null: nothing is known of its cluster yet. */
  #sought(): Sought | null {
    const { generation, floors, now } = this.#conversation
    const { cluster: id, policy, keptOn } = this.#plan
    const cluster = generation.topology().clusters.get(id)
    if (cluster === undefined || keptOn === null) return null
    const asking = { policy, floors, cluster, invokedAt: this.#request.invokedAt, now: now() }
    const catalog = generation.catalogs().get(id)
    return { key: this.#key, cluster: id, tables: keptOn, catalog, notBefore: this.#read.notBefore, asking }
  }

  take(found: Exclude<Found<Reply>, { kind: 'under-way' }>): boolean {
    if (found.kind === 'kept') return this.#give(found.kept, 'hit')
    this.#tell(found.outcome)
    const before = this.#session().join('\0')
    if (found.fill !== null) this.#request.recording = new Recording(found.fill, () => this.#session().join('\0') === before)
    return false
  }

  async waitFor(first: Fill<Reply>): Promise<boolean> {
    let fill = first
    for (let waits = 1; ; waits++) {
      const kept = await this.#ofOther(fill)
      const sought = this.#sought()
      if (kept !== null && sought !== null && this.#conversation.cache.fits(sought, kept.origin)) return this.#give(kept, 'shared')
      const found = this.find(waits < maxWaits)
      if (found.kind !== 'under-way') return this.take(found)
      fill = found.fill
    }
  }

  async #ofOther(fill: Fill<Reply>): Promise<Kept<Reply> | null> {
    const ticket = fill.join()
    try {
      return await this.#conversation.unlessCanceled(ticket.kept)
    } finally {
      ticket.leave()
    }
  }

  /** As if it had run: the client's reply, what its session has seen, and the route. */
  #give({ value, origin, read }: Kept<Reply>, outcome: 'hit' | 'shared'): true {
    const { output, floors, generation } = this.#conversation
    const { cluster: id, node, role, position } = origin
    const request = this.#request
    const cluster = generation.topology().clusters.get(id)
    const boundMs = cluster === undefined ? null : boundNow(cluster, origin, request.invokedAt)
    request.plan = this.#plan
    request.route = { cluster: id, node, role, boundMs, step: 'cache', position, why: this.#plan.why }
    floors.readEnded(id, read)
    const { statement, parses } = this.#read
    if (statement !== null && value.types !== null) rememberTypes(statement, value.types)
    if (parses) output.write(emptyMessages.parseComplete)
    output.write(value.bytes)
    this.#tell(outcome)
    return true
  }

  #tell(outcome: Events['cache.read']['outcome']): void {
    const { observer, session } = this.#conversation
    observer.emit('cache.read', { database: session.database, cluster: this.#plan.cluster, outcome })
  }
}
