// doors/proxy/greetings.ts — what a server reports to somebody who logs in to it with these startup settings. A client is
// told the same, though it gets no server connection of its own; asked once per database, user and settings, and then
// remembered for a while (ALTER ROLE … SET may change it).
import { LRUCache } from 'lru-cache'
import { createFloors } from '../../consistency/floors.js'
import { one } from '../../routing/make.js'
import { why } from '../../routing/rules.js'
import type { OnePlan } from '../../routing/plan.js'
import type { Generation } from '../../runtime/contract.js'
import type { ServerConnection } from '../../server/contract.js'
import type { LoginKeys } from '../../server/login-keys.js'
import { fit, replayChanges, replaySql } from '../../session/replay.js'
import type { Greeting } from '../../session/session.js'
import type { Settings } from '../../session/settings.js'
import { databaseOf } from './login.js'

export interface GreetingRequest {
  readonly generation: Generation<ServerConnection>
  readonly database: string
  readonly user: string
  readonly password: string | null
  readonly keys: LoginKeys | null
  readonly settings: Settings
  readonly signal: AbortSignal
  readonly now: number
}

const rememberMs = 60_000

export class Greetings {
  readonly #known = new LRUCache<string, Promise<Greeting>>({ max: 500, ttl: rememberMs })

  /** Rejects with the server's own error where it does not take the settings, or with what acquire() rejects with. */
  async get(request: GreetingRequest): Promise<Greeting> {
    const { generation, database, user, settings } = request
    const key = JSON.stringify([generation.number, database, user, [...settings]])
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const asked = ask(request)
    // Only answers are remembered. One who leaves while asking must not spoil it for others, so each asks for himself.
    const greeting = await asked
    this.#known.set(key, asked)
    return greeting
  }
}

const question =
  "SELECT current_setting('search_path'), current_user, current_setting('default_transaction_isolation'), current_setting('default_transaction_read_only')"

async function ask(request: GreetingRequest): Promise<Greeting> {
  const { generation, settings, signal, now } = request
  const database = databaseOf(generation.config, request.database)
  const cluster = database?.default ?? ''
  const { lease } = await generation.executor.acquire({
    plan: anyServerOf(generation, cluster),
    identity: generation.identityFor(cluster, {
      database: request.database,
      user: request.user,
      password: request.password,
      keys: request.keys,
    }),
    floors: createFloors(),
    invokedAt: now,
    prefer: (connection) => fit(settings, connection.settings),
    signal,
  })
  const { connection } = lease
  try {
    const changes = replayChanges(settings, connection.settings)
    if (changes.length > 0) await connection.query(replaySql(changes))
    for (const { name, value } of changes) {
      if (value === null) connection.settings.delete(name)
      else connection.settings.set(name, value)
    }
    const { rows } = await connection.query(question)
    const [searchPath = null, role = null, isolation = null, readOnly = null] = rows[0] ?? []
    const parameters = new Map(connection.parameters).set('in_hot_standby', 'off')
    // That connections to a subscriber only read is our doing, not the client's default.
    const readsOnly = readOnly !== 'off' && !connection.node.subscriber
    if (connection.node.subscriber) parameters.set('default_transaction_read_only', 'off')
    return { parameters, searchPath, role, isolation: isolation ?? 'read committed', readOnly: readsOnly }
  } finally {
    lease.release(null)
  }
}

/** The primary's word where there is one; logging in must also work while a cluster has none. */
function anyServerOf(generation: Generation<ServerConnection>, cluster: string): OnePlan {
  const primary = generation.topology().clusters.get(cluster)?.primary ?? null
  return one({ cluster, role: primary === null ? 'replica' : 'primary', why: [why('setting', 'what the server reports at login')] })
}
