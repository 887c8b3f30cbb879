// doors/cli/explain.ts — `pointsman explain`: the plan that a statement would get, by the same plan() that both doors use,
// without running it. What decides is the servers' own catalog, so it is asked for; where no server answers in time the
// plan is made without, and that is said: then nothing is provably read-only.
import type { Config, DatabaseConfig } from '../../config/config.js'
import type { ParameterSource } from '../../routing/input.js'
import type { Plan } from '../../routing/plan.js'
import { plan } from '../../routing/planner.js'
import { describePlan, printPlan } from '../../routing/print.js'
import { routeSettingProblem } from '../../session/route-settings.js'
import { ofProxy, Session } from '../../session/session.js'
import { loadSql } from '../../sql/parser.js'
import { createUnderstanding } from '../../sql/understand.js'
import { poolModeOf } from '../proxy/login.js'
import { anyConfig, goodConfig } from './config-file.js'
import { CommandError, exit, type ExitCode, type Io } from './io.js'
import { databaseOf, look, nothingSeen, type Seen } from './look.js'
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

export async function explain(sql: string, options: ExplainOptions, io: Io): Promise<ExitCode> {
  const { config } = await goodConfig(anyConfig(options.config, io), io)
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
  const session = new Session({ database: name, user, settings, greeting, pooling: poolModeOf(config, name, user), ...ofProxy })
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
  const parts = 'parts' in planned ? planned.parts : planned.kind === 'one' ? [planned] : []
  const needed = new Set([database.default, ...parts.map(({ cluster }) => cluster)])
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
