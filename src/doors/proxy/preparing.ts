// doors/proxy/preparing.ts — brings a server connection to where its client believes to be, before the client's own frames: settings
// replayed, what LISTEN has asked for, and the BEGIN that was put off.
import type { OnePlan } from '../../routing/plan.js'
import { quoted } from '../../session/quote.js'
import { mirrored, replayChanges, replaySql } from '../../session/replay.js'
import { settle, type SettingsState } from '../../session/settings.js'
import type { Deferred } from '../../session/transaction.js'
import type { ClientState } from './client-state.js'
import type { Hold } from './hold.js'
import type { Told } from './told.js'

export class Preparing {
  readonly #state: ClientState
  readonly #told: Told
  /** What was put off has failed on it, and the connection is still there. */
  readonly #failed: (hold: Hold) => void
  /** The last on which the client's settings were refused. */
  refused: Hold | null = null

  constructor(state: ClientState, told: Told, failed: (hold: Hold) => void) {
    this.#state = state
    this.#told = told
    this.#failed = failed
  }

  /** Something of the connection's own is to be settled before `plan`, which the usual ones have not. */
  asksFirst(hold: Hold, plan: OnePlan): boolean {
    return plan.asksListening || plan.readsSequences || this.#state.sequences.mustForget(hold, plan)
  }

  /** True: prepare() would send nothing. */
  isPrepared(hold: Hold): boolean {
    const { transaction, settings } = this.#state.session
    return transaction.kind !== 'deferred' && replayChanges(settings.values, hold.settings.values).length === 0
  }

  /** prepare() where nothing of it must be waited for; false: something must, and nothing was done. */
  atOnce(hold: Hold, plan: OnePlan): boolean {
    const { transaction, settings } = this.#state.session
    if (hold.inspecting !== null || this.asksFirst(hold, plan) || hold.settings.undo.length > 0) return false
    const deferred = transaction.kind === 'deferred' ? transaction : null
    const wanted = deferred === null ? settings.values : (settings.undo[0]?.values ?? settings.values)
    if (replayChanges(wanted, hold.settings.values).length > 0) return false
    if (deferred !== null) {
      if (!deferred.waiting.every(({ plain }) => plain)) return false
      void this.#begin(hold, deferred.waiting, settings)
    }
    this.#told.comesTo(hold)
    return true
  }

  /** Sends what was deferred. */
  #begin(hold: Hold, waiting: readonly Deferred[], settings: SettingsState): Promise<void> {
    const begun = this.own(hold, waiting.map(({ text }) => text).join(';\n'))
    hold.settings = mirrored(settings)
    // A plain BEGIN cannot fail but with its connection, and then what follows it fails too: no need to wait.
    begun.catch(() => undefined)
    return begun
  }

  /** Brings the connection to where the client believes to be. */
  async prepare(hold: Hold, plan: OnePlan): Promise<void> {
    const { transaction, settings } = this.#state.session
    const { sequences } = this.#state
    if (plan.readsSequences) sequences.require(hold, plan)
    if (sequences.mustForget(hold, plan)) await this.own(hold, 'DISCARD SEQUENCES')
    if (plan.asksListening && hold.connection.transaction === 'I') await this.#listens(hold)
    const deferred = transaction.kind === 'deferred' && hold.settings.undo.length === 0 ? transaction : null
    // What was set since a BEGIN that is still deferred comes with its texts.
    const wanted = deferred === null ? settings.values : (settings.undo[0]?.values ?? settings.values)
    const changes = replayChanges(wanted, hold.settings.values)
    if (changes.length > 0) {
      this.refused = hold
      await this.own(hold, replaySql(changes))
      this.refused = null
      for (const { name, value } of changes)
        hold.settings = settle(hold.settings, { kind: 'change', change: { name, local: false, value } })
    }
    if (deferred !== null) {
      const begun = this.#begin(hold, deferred.waiting, settings)
      if (!deferred.waiting.every(({ plain }) => plain)) await this.#begun(hold, begun)
    }
    this.#told.comesTo(hold)
  }

  /** It is asked what it listens to, and must say what the client believes. */
  async #listens(hold: Hold): Promise<void> {
    const channels = this.#state.bus?.channelsOn(hold.cluster) ?? []
    if (channels.length > 0) await this.own(hold, channels.map((channel) => `LISTEN ${quoted(channel)}`).join(';'))
  }

  /** The deferred statements had their turn; if one failed, the client hears it as the error of the statement at hand. */
  async #begun(hold: Hold, begun: Promise<unknown>): Promise<void> {
    try {
      await begun
    } catch (error) {
      if (!hold.lost) this.#failed(hold)
      throw error
    }
  }

  async own(hold: Hold, sql: string): Promise<void> {
    hold.unnamed = null
    await hold.connection.query(sql)
  }
}
