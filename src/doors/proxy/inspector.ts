// doors/proxy/inspector.ts — asks a server connection what a client's session has on it, once a transaction is over that may have
// left something unseen: what it has set follows the client from there on, and what cannot follow pins.
//
//   ReadyForQuery I ─▶ asked? ─▶ one query of ours ─▶ settings adopted, pins set or lifted ─▶ kept, or given back (and scrubbed)
//
// The client has its answer by then. Only if it sends more before this one is in, it waits.
import {
  customNames,
  functionSettingsSql,
  inspectionSql,
  mentionedNames,
  readFindings,
  unseenChanges,
  type Findings,
} from '../../session/inspection.js'
import { isOwn } from '../../session/replay.js'
import { pinReasons } from '../../session/pin-reasons.js'
import { settle } from '../../session/settings.js'
import type { ClientState } from './client-state.js'
import type { Planned } from './core-contract.js'
import type { Generations } from './generations.js'
import type { Hold } from './hold.js'

/** As many names are asked for. */
const maxMentions = 64
const none: Promise<readonly string[]> = Promise.resolve([])
/** By catalog. */
const inFunctions = new WeakMap<object, Promise<readonly string[]>>()

type Pins = (hold: Hold, reason: string, stands: boolean) => void

export class Inspector {
  readonly #state: ClientState
  readonly #generations: Generations
  readonly #pins: Pins
  /** By the statements since the last inspection. */
  readonly #mentioned = new Set<string>()

  constructor(state: ClientState, generations: Generations, pins: Pins) {
    this.#state = state
    this.#generations = generations
    this.#pins = pins
  }

  /** Statements that leave what nobody sees mention what they set: in a literal, a body, a parameter. */
  mentions({ understood, parameters }: Planned): void {
    const texts = [understood.text]
    const params = (understood.shape.statements ?? []).reduce((most, statement) => Math.max(most, statement.params), 0)
    for (let number = 1; number <= Math.min(params, maxMentions); number++) {
      const value = parameters?.get(number)
      if (value !== undefined && value !== null && 'text' in value) texts.push(value.text)
    }
    for (const text of texts) for (const name of mentionedNames(text)) if (this.#mentioned.size < maxMentions) this.#mentioned.add(name)
  }

  /** Names of settings in the functions of the database, asked once for each state of its catalog. */
  #inFunctions(hold: Hold): Promise<readonly string[]> {
    const catalog = this.#generations.current.catalogs().get(hold.cluster)
    const known = catalog === undefined ? none : inFunctions.get(catalog)
    if (known !== undefined) return known
    const asked = hold.connection.query(functionSettingsSql).then(
      ({ rows }) => rows.flatMap(([name]) => name ?? []),
      () => [],
    )
    if (catalog !== undefined) inFunctions.set(catalog, asked)
    return asked
  }

  /** Never rejects. What could not be asked stays as it is taken to be: pinned, or tainted. */
  async inspect(hold: Hold): Promise<void> {
    const { session } = this.#state
    const { user } = this.#generations.identityOn(hold.cluster)
    const known = [...customNames(session.settings.values, hold.settings.values), ...this.#mentioned]
    this.#mentioned.clear()
    try {
      const custom = [...new Set([...known, ...(await this.#inFunctions(hold))])].filter((name) => !isOwn(name))
      const { rows } = await hold.connection.query(inspectionSql(custom))
      if (!hold.ended) this.#conclude(hold, readFindings(rows, user))
    } catch {
      // A lost connection tells so itself; a server that refuses to say (a statement_timeout of 1 ms) has its connection scrubbed.
    }
  }

  #conclude(hold: Hold, found: Findings): void {
    const { session } = this.#state
    for (const { name, value } of unseenChanges(found.settings, hold.settings.values)) {
      const change = { kind: 'change', change: { name, local: false, value } } as const
      hold.settings = settle(hold.settings, change)
      // To its default: the client's own, as RESET would have it on a connection that nobody shares.
      session.settings = settle(session.settings, change)
    }
    this.#pins(hold, pinReasons.settings, false)
    this.#pins(hold, pinReasons.lock, found.locks)
    this.#pins(hold, pinReasons.cursor, found.cursors)
    this.#pins(hold, pinReasons.temporary, found.temporary)
    if (found.temporary) session.temporary = found.temporaryRelations
  }
}
