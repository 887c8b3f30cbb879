// doors/cli/explain.ts — `pointsman explain`: the plan that a statement would get, by the same plan() that both doors use,
// without running it. What decides is the servers' own catalog, so it is asked for; where no server answers in time the
// plan is made without, and that is said: then nothing is provably read-only.
import type { Config, DatabaseConfig } from '../../config/config.js'
import { createMonitor } from '../../monitor/create-monitor.js'
import { createObserver } from '../../observe/observer.js'
import type { Catalog } from '../../catalog/catalog.js'
import type { ParameterSource } from '../../routing/input.js'
import type { Plan } from '../../routing/plan.js'
import { plan } from '../../routing/planner.js'
import { describePlan, printPlan } from '../../routing/print.js'
import { routeSettingProblem } from '../../session/route-settings.js'
import { Session } from '../../session/session.js'
import { loadSql } from '../../sql/parser.js'
import { createUnderstanding } from '../../sql/understand.js'
import { withServer } from './ask-server.js'
import { anyConfig, goodConfig } from './config-file.js'
import { CommandError, exit, type ExitCode, type Io } from './io.js'
import { withProgress } from './progress.js'

export interface ExplainOptions {
  readonly config?: string
  readonly database?: string
  readonly user?: string
  readonly param?: readonly string[]
  readonly set?: readonly string[]
  readonly json?: boolean
  /** False: do not ask any server. */
  readonly catalog?: boolean
}

/** How long servers may take to show themselves and their catalogs. */
const readyMs = 5000

export async function explain(sql: string, options: ExplainOptions, io: Io): Promise<ExitCode> {
  const { config } = goodConfig(anyConfig(options.config, io), io)
  const { name, database } = databaseOf(config, options.database)
  const user = options.user ?? [...config.auth.users.keys()].at(0) ?? config.clusters.get(database.default)?.user ?? 'postgres'
  const settings = settingsFrom(options.set ?? [])
  await loadSql()
  const understanding = createUnderstanding(config.limits)
  const seen =
    options.catalog === false
      ? nothingSeen
      : await withProgress(io, 'asking the servers for their catalogs', () => look(config, database, name, user))
  const role = config.clusters.get(database.default)?.user ?? user
  const greeting = {
    parameters: new Map<string, string>(),
    searchPath: seen.searchPath,
    role,
    isolation: 'read committed',
    readOnly: false,
  }
  const session = new Session({ database: name, user, settings, greeting })
  const understood = understanding.understand(sql)
  const planned = plan({
    understood,
    parameters: parametersFrom(options.param),
    session: session.view,
    config,
    database,
    catalogs: seen.catalogs,
  })
  print(planned, missingCatalogs(config, planned, database, seen), options.json === true, io)
  return planned.kind === 'refuse' ? exit.no : exit.done
}

interface Seen {
  readonly catalogs: ReadonlyMap<string, Catalog>
  readonly searchPath: string
}

const defaultPath = '"$user", public'
const nothingSeen: Seen = { catalogs: new Map(), searchPath: defaultPath }

async function look(config: Config, database: DatabaseConfig, name: string, user: string): Promise<Seen> {
  const monitor = createMonitor({ config, observer: createObserver(), now: () => performance.now(), random: Math.random })
  try {
    const [searchPath] = await Promise.all([searchPathOf(config, database, name, user), monitor.ready(readyMs)])
    return { catalogs: monitor.catalogs(), searchPath }
  } finally {
    await monitor.close()
  }
}

// As a client of this login would find it; roles and databases may have one of their own.
async function searchPathOf(config: Config, database: DatabaseConfig, name: string, user: string): Promise<string> {
  const cluster = config.clusters.get(database.default)
  if (cluster === undefined) return defaultPath
  const own = { user, password: config.auth.users.get(user)?.password ?? null }
  const login = { ...(cluster.user === null ? own : { user: cluster.user, password: cluster.password }), dbname: cluster.dbname ?? name }
  for (const node of cluster.nodes) {
    const found = await withServer(
      cluster,
      node,
      login,
      async (connection) => (await connection.query('SHOW search_path')).rows[0]?.[0],
    ).catch(() => null)
    if (typeof found === 'string') return found
  }
  return defaultPath
}

function databaseOf(config: Config, wanted: string | undefined): { readonly name: string; readonly database: DatabaseConfig } {
  const names = [...config.databases.keys()]
  const name = wanted ?? (names.length === 1 ? names[0] : undefined)
  if (name === undefined || (name === '*' && wanted === undefined)) {
    throw new CommandError(exit.usage, `say which database: --database ${names.map((one) => (one === '*' ? 'NAME' : one)).join(' or ')}`)
  }
  const database = config.databases.get(name) ?? config.databases.get('*')
  if (database === undefined) throw new CommandError(exit.usage, `the config has no database ${name}; there is: ${names.join(', ')}`)
  return { name, database }
}

function settingsFrom(texts: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    texts.map((text) => {
      const [name = '', ...value] = text.split('=')
      const key = name.trim().toLowerCase()
      if (key === '' || value.length === 0) throw new CommandError(exit.usage, `--set ${text}: write name=value`)
      const problem = key.startsWith('pointsman.') ? routeSettingProblem(key, value.join('=')) : null
      if (problem !== null) throw new CommandError(exit.usage, problem)
      return [key, value.join('=')]
    }),
  )
}

// `\N` is NULL, as in COPY. Without any --param nothing is known of `$n`.
function parametersFrom(texts: readonly string[] = []): ParameterSource {
  return {
    get: (n) => {
      const text = texts[n - 1]
      return text === undefined ? undefined : text === '\\N' ? null : { text }
    },
  }
}

function missingCatalogs(config: Config, planned: Plan, database: DatabaseConfig, seen: Seen): readonly string[] {
  const needed = new Set([database.default, ...(planned.kind === 'one' ? [planned.cluster] : [])])
  return [...config.clusters.keys()].filter((id) => needed.has(id) && !seen.catalogs.has(id))
}

function print(planned: Plan, missing: readonly string[], json: boolean, io: Io): void {
  if (json) {
    io.out(JSON.stringify({ ...describePlan(planned), withoutCatalogOf: missing }, null, 2))
    return
  }
  io.out(printPlan(planned))
  if (missing.length === 0) return
  io.out(`\nnote: no catalog of ${missing.join(', ')} was at hand, so no statement is provably read-only there and views are not expanded`)
}
