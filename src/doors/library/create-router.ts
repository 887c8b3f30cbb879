// doors/library/create-router.ts — createRouter(): options → a checked configuration → a pool. It returns at once, like
// `new Pool()`: a bad configuration throws here, servers that are down do not. Statements wait for the first look at the
// servers by themselves.
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { Config, Problem } from '../../config/config.js'
import type { ConfigInput } from '../../config/input.js'
import { validateConfig, type Result } from '../../config/validate.js'
import { parseConfigText } from '../../config/yaml.js'
import { PointsmanError } from '../../errors/error.js'
import { createObserver } from '../../observe/observer.js'
import { createRuntime } from '../../runtime/create-runtime.js'
import type { ReloadResult } from '../../runtime/contract.js'
import { Core } from './core.js'
import { LibraryLanes } from './library-lanes.js'
import { openConnections } from './open-connection.js'
import { loadPlanner } from './planner.js'
import type { PgModule, RoutedPool, RouterOptions } from './public.js'
import { RequestContext } from './request-context.js'
import { createRoutedPool } from './routed-pool.js'

/**
 * A pool that is a `pg.Pool` for its users and sends every statement where it belongs.
 *
 * Throws PointsmanError `config_invalid` with every problem of the configuration, `unknown_database`, and TypeError for
 * options that are none.
 */
export function createRouter(options: RouterOptions): RoutedPool {
  const { pg } = options
  if (typeof (pg as PgModule | undefined)?.Pool !== 'function')
    throw new TypeError("createRouter needs the application's own pg: createRouter({ pg, … })")
  const config = checked(readConfig(options, options.config))
  const database = databaseOf(config, options)
  const now = (): number => performance.now()
  const observer = createObserver()
  const context = new RequestContext()
  const events: { pool: RoutedPool | null } = { pool: null }
  const runtime = createRuntime({
    config,
    observer,
    now,
    random: Math.random,
    background: true,
    connect: (cluster) => {
      const open = openConnections(
        {
          pg,
          client: options.client ?? {},
          now,
          onConnect: (client) => events.pool?.emit('connect', client),
          onRemove: (client) => events.pool?.emit('remove', client),
          // As pg's pool, but a program that does not listen goes on: the connection is replaced anyway.
          onIdleError: (error, client) => (events.pool?.listenerCount('error') ?? 0) > 0 && events.pool?.emit('error', error, client),
        },
        cluster,
      )
      // Many requests will share the socket: it is not to be the one's that opens it.
      return (node, identity, signal) => context.outside(() => open(node, identity, signal))
    },
  })
  // Nobody can listen to its events yet.
  if (config.chaos !== null) process.emitWarning('chaos is on: connections are broken on purpose', { code: 'POINTSMAN_CHAOS' })
  const planner = loadPlanner(config)
  // Whoever asks first hears of it; until then it must not end the process.
  planner.catch(() => undefined)
  const login = { database, user: userOf(config, database, options), password: options.password ?? null }
  const core = new Core({ pg, planner, runtime, observer, now, login, config, context })
  const lanes = new LibraryLanes(core, config.lanes)
  runtime.then(
    (it) => it.countShared((node) => lanes.inFlight(node)),
    () => undefined,
  )
  events.pool = createRoutedPool(pg, {
    core,
    lanes,
    options: { max: poolSize(config), database, user: login.user },
    makeTypes: () => overridesOf(pg, options.client?.['types']),
    reload: (input) => reload(core, options, input),
  })
  return events.pool
}

async function reload(core: Core, options: RouterOptions, input: ConfigInput | undefined): Promise<ReloadResult> {
  const { runtime } = await core.ready()
  const problems = (result: Result): readonly Problem[] =>
    result.ok ? missingDatabase(result.config, core.login.database) : result.problems
  const result = readAgain(options, input)
  const found = problems(result)
  return result.ok && found.length === 0 ? runtime.reload(result.config) : runtime.refuse(found)
}

/** A file that cannot be read any more is a bad one: it changes nothing, and says why. */
function readAgain(options: RouterOptions, input: ConfigInput | undefined): Result {
  try {
    return readConfig(options, input ?? options.config)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return { ok: false, warnings: [], problems: [problem(message, options.file ?? '', 'a file that can be read')] }
  }
}

function missingDatabase({ databases }: Config, name: string): readonly Problem[] {
  if (databases.has(name) || databases.has('*')) return []
  return [problem(`database ${name}, which this router is for, is missing`, name, 'its entry under databases', 'databases')]
}

function problem(message: string, found: string, allowed: string, path = ''): Problem {
  return { line: null, column: null, path, found, allowed, message }
}

function readConfig(options: RouterOptions, input: ConfigInput | undefined): Result {
  const env = options.env ?? process.env
  if (input !== undefined) return validateConfig(input, { env, readFile: (path) => readFileSync(path, 'utf8') })
  const { file } = options
  if (file === undefined) throw new TypeError('createRouter needs a configuration: { config } or { file }')
  // Paths in a file are relative to the file.
  const readFile = (path: string): string => readFileSync(resolve(dirname(file), path), 'utf8')
  return parseConfigText(readFileSync(file, 'utf8'), { env, readFile })
}

function checked(result: Result): Config {
  if (result.ok) return result.config
  throw new PointsmanError('config_invalid', { values: { what: result.problems.map(told).join('\n') } })
}

function told({ line, column, path, message }: Problem): string {
  const place = line === null ? '' : `${String(line)}:${String(column ?? 1)} `
  return `${place}${path}: ${message}`
}

function databaseOf(config: Config, { database }: RouterOptions): string {
  const names = [...config.databases.keys()]
  if (database !== undefined) {
    if (config.databases.has(database) || config.databases.has('*')) return database
    throw new PointsmanError('unknown_database', { values: { database }, hint: `The configuration has: ${names.join(', ')}.` })
  }
  const [only, ...others] = names
  if (only !== undefined && others.length === 0 && only !== '*') return only
  throw new TypeError(`createRouter needs { database }: one of ${names.join(', ')}`)
}

function userOf(config: Config, database: string, { user }: RouterOptions): string {
  if (user !== undefined) return user
  const home = config.databases.get(database) ?? config.databases.get('*')
  const own = home === undefined ? null : (config.clusters.get(home.default)?.user ?? null)
  if (own !== null) return own
  throw new TypeError('createRouter needs { user, password }: the default cluster has no login of its own')
}

/** For whoever reads pool.options.max: the connections that one node may get. */
function poolSize(config: Config): number {
  return Math.max(1, ...[...config.clusters.values()].map(({ pool }) => pool.max))
}

interface Overrides {
  setTypeParser(...args: readonly unknown[]): void
  getTypeParser(...args: readonly unknown[]): unknown
}

function overridesOf(pg: PgModule, types: unknown): Overrides {
  const { TypeOverrides } = pg as { readonly TypeOverrides?: new (types?: unknown) => Overrides }
  if (TypeOverrides === undefined) throw new TypeError('this version of pg has no TypeOverrides')
  return new TypeOverrides(types)
}
