// session/session.ts — one client's life as far as routing must know it: settings, transaction, prepared names, pins.
// Holds values and makes the SessionView that plan() reads; it sends nothing and waits for nothing.
import type { SettingChange, Statement, Understood } from '../sql/statement.js'
import type { WithIdParameters } from '../sql/unique-ids.js'
import type { OwnText } from './client-pids.js'
import { decoderFor, plainlyOn, safeEncoding } from './lexing.js'
import { routeOverrides, tokenSetting } from './route-settings.js'
import { resolveSearchPath } from './search-path.js'
import {
  effective,
  resolveChange,
  settle,
  startSettings,
  type Change,
  type ParameterText,
  type Settings,
  type SettingsState,
} from './settings.js'
import { idle, transactionView, type TransactionState } from './transaction.js'
import type { Pooling, SessionView, TransactionView } from './view.js'

/** What a server connection reports before a client has set anything beyond its startup settings. */
export interface Greeting {
  /** ParameterStatus, by the server's own names. */
  readonly parameters: ReadonlyMap<string, string>
  /** search_path as SHOW prints it; null: not known. */
  readonly searchPath: string | null
  readonly role: string | null
  readonly isolation: string
  readonly readOnly: boolean
}

/** A statement a client has prepared, under its own name for it ('' is the unnamed one), by Parse or by PREPARE. */
export interface ClientStatement {
  readonly name: string
  /** Of a PREPARE: all of it. */
  readonly text: string
  /** Parameter type oids as given in Parse. */
  readonly types: readonly number[]
  /** Text and oids: what a server connection knows it by. */
  readonly key: string
  /** The Parse frame as it came; of a PREPARE one that would prepare it. */
  readonly frame: Uint8Array
  /** Of a PREPARE: the statement in it. */
  readonly understood: Understood
  /** What is sent in the place of a text about the client's own process number. */
  readonly own?: OwnText
  /** Its calls of pointsman.unique_id(), and the parameters that stand for them in `text` and `types`. */
  readonly ids?: WithIdParameters
  /** Where a PREPARE's text has the name; null: it came as a Parse. */
  readonly named: { readonly start: number; readonly end: number } | null
  /** How much had been defined when it was prepared: what stands on a server since before that has other types, maybe. */
  readonly since: number
}

export interface SessionStart {
  readonly database: string
  readonly user: string
  readonly settings: Settings
  readonly greeting: Greeting
  /** Default: transaction. */
  readonly pooling?: Pooling
  /** See SessionView. Default: false. */
  readonly bus?: boolean
  /** The door can take a transaction to several clusters (TransactionView.joined). Default: false. */
  readonly joins?: boolean
  /** See SessionView. Default: false. */
  readonly spreads?: boolean
}

/** What clients of the proxy are: whoever explains or audits plans as for these. */
export const ofProxy: Required<Pick<SessionStart, 'bus' | 'joins' | 'spreads'>> = { bus: true, joins: true, spreads: true }

/** A view, and what of the settings it was made from. `start`: as they stood when the transaction began. */
interface Seen {
  readonly state: { readonly values: Settings; readonly locals: Settings; readonly start: Settings }
  readonly view: SessionView
}

const maxSeen = 6

/** What search_path comes to depends on these. */
const pathSettings = ['search_path', 'role', 'session_authorization'] as const

export class Session {
  readonly database: string
  readonly user: string
  readonly pooling: Pooling
  readonly #bus: boolean
  readonly #joins: boolean
  readonly #spreads: boolean
  /** By the client's own name. */
  readonly prepared: Map<string, ClientStatement> = new Map()
  /** Something that it has prepared, by whatever protocol, asks for ids of ours. */
  asksIds = false
  /** The process number that the client was given; 0: none. */
  pid = 0
  #greeting: Greeting
  #settings: SettingsState
  #transaction: TransactionState = idle
  #temporary: ReadonlySet<string> = new Set()
  #pins: ReadonlyMap<string, string> = new Map()
  #view: SessionView | null = null
  /** Views made before: a session goes through the same few states of a transaction over and over. */
  #seen: Seen[] = []
  #decoder: { readonly values: Settings; readonly locals: Settings; readonly decoder: 'utf8' | 'latin1' } | null = null

  constructor(start: SessionStart) {
    this.database = start.database
    this.user = start.user
    this.pooling = start.pooling ?? 'transaction'
    this.#bus = start.bus ?? false
    this.#joins = start.joins ?? false
    this.#spreads = start.spreads ?? false
    this.#greeting = start.greeting
    this.#settings = startSettings(start.settings)
  }

  get settings(): SettingsState {
    return this.#settings
  }

  set settings(state: SettingsState) {
    if (state === this.#settings) return
    // Undo points alone do not change what a view shows.
    if (state.values !== this.#settings.values || state.locals !== this.#settings.locals) this.#view = null
    this.#settings = state
  }

  get transaction(): TransactionState {
    return this.#transaction
  }

  set transaction(state: TransactionState) {
    if (state === this.#transaction) return
    this.#transaction = state
    this.#view = null
  }

  /** Cluster → reason, of every cluster whose server connection this session keeps. */
  get pins(): ReadonlyMap<string, string> {
    return this.#pins
  }

  set pins(pins: ReadonlyMap<string, string>) {
    if (pins.size === 0 && this.#pins.size === 0) return
    this.#pins = pins
    // Temporary tables live and die with a pinned connection.
    if (pins.size === 0) this.#temporary = new Set()
    this.#view = null
  }

  /** All that there are. */
  set temporary(names: readonly string[]) {
    this.#temporary = new Set(names)
    this.#view = null
  }

  addTemporary(names: readonly string[]): void {
    if (names.every((name) => this.#temporary.has(name))) return
    this.#temporary = new Set([...this.#temporary, ...names])
    this.#view = null
  }

  /** How the bytes of this client's statements become text. */
  get decoder(): 'utf8' | 'latin1' {
    const { values, locals } = this.#settings
    const known = this.#decoder
    if (known?.values === values && known.locals === locals) return known.decoder
    const decoder = decoderFor(this.#setting('client_encoding', 'client_encoding', 'UTF8'))
    this.#decoder = { values, locals, decoder }
    return decoder
  }

  /** Tells apart the same characters that stand for other text; '' in UTF-8. */
  get encodingKey(): string {
    return this.decoder === 'utf8' ? '' : `${this.#setting('client_encoding', 'client_encoding', 'UTF8')}\0`
  }

  /** What plan() reads; the same object until something in it changes. */
  get view(): SessionView {
    this.#view ??= this.#seenView()
    return this.#view
  }

  #seenView(): SessionView {
    const transaction = transactionView(this.#transaction, {
      readOnly: this.#flag('default_transaction_read_only', this.#greeting.readOnly),
      isolation: (effective(this.#settings, 'default_transaction_isolation') ?? this.#greeting.isolation).toLowerCase(),
      joins: this.#joins,
    })
    const { values, locals, undo } = this.#settings
    const start = undo[0]?.values ?? values
    for (const { state, view } of this.#seen) {
      const same = state.values === values && state.locals === locals && state.start === start
      if (same && view.temporary === this.#temporary && view.pins === this.#pins && sameTransaction(view.transaction, transaction))
        return view
    }
    const view = this.#makeView(transaction)
    if (this.#seen.length >= maxSeen) this.#seen = []
    this.#seen.push({ state: { values, locals, start }, view })
    return view
  }

  #makeView(transaction: TransactionView): SessionView {
    return {
      database: this.database,
      user: this.user,
      pooling: this.pooling,
      bus: this.#bus,
      spreads: this.#spreads,
      transaction,
      searchPath: resolveSearchPath(effective(this.#settings, 'search_path') ?? this.#greeting.searchPath, this.role),
      searchPathSettled: this.#searchPathSettled(),
      understood:
        plainlyOn(this.#setting('standard_conforming_strings', 'standard_conforming_strings', 'on')) &&
        safeEncoding(this.#setting('client_encoding', 'client_encoding', 'UTF8')),
      unicode: this.decoder === 'utf8',
      startup: this.#settings.defaults,
      local: routeOverrides(this.#settings.locals),
      session: routeOverrides(this.#settings.values),
      temporary: this.#temporary,
      pins: this.#pins,
    }
  }

  #searchPathSettled(): boolean {
    const [start] = this.#settings.undo
    return start === undefined || pathSettings.every((name) => effective(this.#settings, name) === start.values.get(name))
  }

  /** As whom the session acts at the moment; null: not known. */
  get role(): string | null {
    const role = effective(this.#settings, 'role')
    if (role !== undefined && role !== 'none' && role !== '') return role
    return effective(this.#settings, 'session_authorization') ?? this.#greeting.role
  }

  #setting(name: string, reported: string, otherwise: string): string {
    return effective(this.#settings, name) ?? this.#greeting.parameters.get(reported) ?? otherwise
  }

  #flag(name: string, otherwise: boolean): boolean {
    const value = effective(this.#settings, name)
    return value === undefined || value === '' ? otherwise : plainlyOn(value)
  }
}

function sameTransaction(left: TransactionView, right: TransactionView): boolean {
  if (left.status !== right.status || left.readOnly !== right.readOnly || left.needsPrimary !== right.needsPrimary) return false
  if (left.overrides !== right.overrides || left.isolated !== right.isolated || left.joined !== right.joined) return false
  if (left.constraints !== right.constraints) return false
  if (left.home === null || right.home === null) return left.home === right.home
  if ((left.home.place ?? null) !== (right.home.place ?? null)) return false
  return left.home.cluster === right.home.cluster && left.home.node === right.home.node && left.home.role === right.home.role
}

/** What a statement that has ended with `tag` does to the settings of a session, or of the connection it ran on. */
export function settleStatement(state: SettingsState, statement: Statement, tag: string, parameter: ParameterText): SettingsState {
  const { detail } = statement
  switch (detail.kind) {
    case 'set':
      return changeAll(state, [detail.change], parameter)
    case 'select':
      return detail.settings === null || detail.settings.length === 0 ? state : changeAll(state, detail.settings, parameter)
    case 'discard':
      return detail.what === 'all' ? settle(state, { kind: 'discard' }) : state
    case 'transaction':
      return settleTransaction(state, detail.transaction, tag)
    default:
      return state
  }
}

function changeAll(state: SettingsState, changes: readonly SettingChange[], parameter: ParameterText): SettingsState {
  let next = state
  for (const each of changes) {
    const change = each.name === tokenSetting ? unkept(each.scope) : resolveChange(each, parameter)
    if (change !== null) next = settle(next, { kind: 'change', change })
  }
  return next
}

/** That a token was set is all that a connection must know, to be rid of it; it may be long. */
function unkept(scope: SettingChange['scope']): Change {
  return { name: tokenSetting, local: scope === 'local', value: '' }
}

function settleTransaction(
  state: SettingsState,
  facts: Extract<Statement['detail'], { kind: 'transaction' }>['transaction'],
  tag: string,
): SettingsState {
  switch (facts.op) {
    case 'begin':
      return settle(state, { kind: 'begin' })
    case 'savepoint':
      return settle(state, { kind: 'savepoint', name: facts.name ?? '' })
    case 'release':
      return settle(state, { kind: 'release', name: facts.name ?? '' })
    case 'rollback-to':
      return settle(state, { kind: 'rollback-to', name: facts.name ?? '' })
    case 'commit':
    case 'rollback':
      // A COMMIT of a failed transaction is told as ROLLBACK.
      return settle(state, { kind: tag === 'ROLLBACK' ? 'rollback' : 'commit' })
    case 'prepare-transaction':
      return settle(state, { kind: tag === 'ROLLBACK' ? 'rollback' : 'commit' })
    case 'set-characteristics':
      return setCharacteristics(state, facts)
    default:
      return state
  }
}

/** SET SESSION CHARACTERISTICS is SET of the default_transaction_* settings. */
function setCharacteristics(
  state: SettingsState,
  facts: { readonly readOnly: boolean | null; readonly isolation: string | null; readonly deferrable: boolean | null },
): SettingsState {
  const said: [string, string][] = []
  if (facts.readOnly !== null) said.push(['default_transaction_read_only', facts.readOnly ? 'on' : 'off'])
  if (facts.isolation !== null) said.push(['default_transaction_isolation', facts.isolation])
  if (facts.deferrable !== null) said.push(['default_transaction_deferrable', facts.deferrable ? 'on' : 'off'])
  let next = state
  for (const [name, value] of said) next = settle(next, { kind: 'change', change: { name, local: false, value } })
  return next
}
