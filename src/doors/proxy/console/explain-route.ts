// doors/proxy/console/explain-route.ts — EXPLAIN ROUTE: the plan that a statement would get now, for a client that has just
// connected. By the same plan() and the same catalogs that clients' statements are routed with; nothing is sent.
import { PointsmanError } from '../../../errors/error.js'
import type { ParameterSource } from '../../../routing/input.js'
import type { Generation, Runtime } from '../../../runtime/contract.js'
import type { ServerConnection } from '../../../server/contract.js'
import { ofProxy, Session, type Greeting } from '../../../session/session.js'
import type { Core } from '../core-contract.js'
import type { Greetings } from '../greetings.js'
import { databaseOf, poolModeOf } from '../login.js'
import { columns, type Table } from './cells.js'

export interface ExplainParts {
  readonly runtime: Runtime<ServerConnection>
  readonly core: Core
  readonly greetings: Greetings
  readonly now: () => number
}

export const routeColumns: Table['columns'] = columns('route')

/** A server that does not tell its search_path by then is not waited for. */
const greetMs = 2_000

const noParameters: ParameterSource = { get: () => undefined }

export async function explainRoute(
  { runtime, core, greetings, now }: ExplainParts,
  question: { readonly sql: string; readonly database: string | null; readonly user: string | null },
  asker: string,
): Promise<Table> {
  const generation = runtime.current()
  generation.enter()
  try {
    const { config } = generation
    const name = question.database ?? [...config.databases.keys()].find((one) => one !== '*')
    const database = name === undefined ? undefined : databaseOf(config, name)
    if (name === undefined || database === undefined) {
      throw new PointsmanError('unknown_database', {
        values: { database: name ?? '*' },
        hint: "Say which: EXPLAIN ROUTE 'sql' IN database.",
      })
    }
    const user = question.user ?? [...config.auth.users.keys()].find((one) => one !== asker) ?? asker
    const greeting = await greetingOf(generation, greetings, name, user, now, runtime.gate.open)
    const session = new Session({
      database: name,
      user,
      settings: new Map(),
      greeting,
      pooling: poolModeOf(config, name, user),
      ...ofProxy,
    })
    const understood = core.understand(question.sql)
    const catalogs = generation.catalogs()
    const plan = core.plan({ understood, parameters: noParameters, session: session.view, config, database, catalogs })
    const missing = [database.default].filter((cluster) => !catalogs.has(cluster))
    const note = missing.length === 0 ? [] : [`(the catalog of ${missing.join(', ')} is not loaded: nothing is provably read-only there)`]
    return { columns: routeColumns, rows: [...core.printRoute(plan, null).split('\n'), ...note].map((line) => [line]) }
  } finally {
    generation.leave()
  }
}

async function greetingOf(
  generation: Generation<ServerConnection>,
  greetings: Greetings,
  database: string,
  user: string,
  now: () => number,
  open: boolean,
): Promise<Greeting> {
  const unknown = { parameters: new Map(), searchPath: '"$user", public', role: user, isolation: 'read committed', readOnly: false }
  // Nothing may open a connection that a PAUSE has closed.
  if (!open) return unknown
  const password = generation.config.auth.users.get(user)?.password ?? null
  const signal = AbortSignal.timeout(greetMs)
  return greetings.get({ generation, database, user, password, keys: null, settings: new Map(), signal, now: now() }).catch(() => unknown)
}
