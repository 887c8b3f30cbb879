// doors/proxy/told.ts — status parameters, as this client was last told them. Each server connection has its own values; the
// client hears of a difference when it comes to a connection that has one, and always sees the primary's hot-standby state.
import { encodeParameterStatus } from '../../protocol/backend-messages.js'
import type { LaneOf } from '../../pool/lane-request.js'
import { laneReadOnly } from '../../session/lane-key.js'
import type { Settings } from '../../session/settings.js'
import type { ClientState } from './client-state.js'
import type { Generations } from './generations.js'
import type { Hold } from './hold.js'
import { databaseOf } from './login.js'

/** Fixed for a server's life or told as the primary's: never passed on from whichever server answers. */
const fixedParameters: ReadonlySet<string> = new Set(['server_version', 'server_encoding', 'integer_datetimes', 'in_hot_standby'])
const roleParameters: ReadonlySet<string> = new Set(['is_superuser', 'session_authorization'])

/** Everything that decides which of a connection's parameters a client is told. */
interface Source {
  readonly key: string
  readonly cluster: string
  readonly role: 'primary' | 'replica'
  readonly values: Settings
}

export class Told {
  readonly #state: ClientState
  readonly #generations: Generations
  readonly #values: Map<string, string>
  /** As a server reports them with the client's startup settings. */
  readonly #greeted: ReadonlyMap<string, string>
  /** What the client was last told parameters from; telling them again would tell nothing. */
  #from: Source | null = null

  constructor(state: ClientState, generations: Generations, greeted: ReadonlyMap<string, string>) {
    this.#state = state
    this.#generations = generations
    this.#values = new Map(greeted)
    this.#greeted = greeted
  }

  /** As the client was last told it. */
  get(name: string): string | undefined {
    return this.#values.get(name)
  }

  all(): Iterable<readonly [name: string, value: string]> {
    return this.#values
  }

  /** The client comes to this connection: it hears of what is different there. */
  comesTo(hold: Hold): void {
    const { parametersKey } = hold.connection
    const { role } = hold.route
    const { values } = this.#state.session.settings
    const last = this.#from
    if (last?.key === parametersKey && last.cluster === hold.cluster && last.role === role && last.values === values) return
    for (const [name, value] of hold.connection.parameters) this.changed(hold, name, value)
    this.#from = { key: parametersKey, cluster: hold.cluster, role, values }
  }

  /** Its reply comes from this lane, on which its settings stand. That every lane only reads is our doing, and not told. */
  comesToLane({ parameters, parametersKey }: LaneOf['connection'], cluster: string, role: Source['role']): void {
    const { values } = this.#state.session.settings
    const last = this.#from
    if (last?.key === parametersKey && last.cluster === cluster && last.role === role && last.values === values) return
    for (const [name, value] of parameters) {
      if (name === laneReadOnly || this.#values.get(name) === value || !this.#tellable(cluster, role, name)) continue
      this.#values.set(name, value)
      this.#state.output.write(encodeParameterStatus(name, value))
    }
    this.#from = { key: parametersKey, cluster, role, values }
  }

  /** A ParameterStatus of the client's connection. */
  changed(hold: Hold, name: string, reported: string): void {
    const value = this.#resetTo(hold, name) ?? reported
    if (this.#values.get(name) === value || !this.#tellable(hold.cluster, hold.route.role, name)) return
    this.#values.set(name, value)
    this.#from = null
    this.#state.output.write(encodeParameterStatus(name, value))
  }

  /**
   * RESET goes to what the client said at its startup, while the connection, which was opened without it, goes to its own default:
   * what will stand there before the client's next statement is told now, as PostgreSQL would. null: it stands there.
   */
  #resetTo(hold: Hold, name: string): string | null {
    const { defaults, values, locals } = this.#state.session.settings
    if (defaults.size === 0) return null
    const setting = name.toLowerCase()
    const startup = defaults.get(setting)
    if (startup === undefined || values.get(setting) !== startup || locals.has(setting)) return null
    return hold.settings.values.get(setting) === startup ? null : (this.#greeted.get(name) ?? null)
  }

  #tellable(cluster: string, role: Source['role'], name: string): boolean {
    const { session } = this.#state
    if (fixedParameters.has(name)) return false
    if (name === 'default_transaction_read_only') return role === 'primary' || session.settings.values.has(name)
    if (!roleParameters.has(name)) return true
    return cluster === databaseOf(this.#generations.current.config, session.database)?.default
  }
}
