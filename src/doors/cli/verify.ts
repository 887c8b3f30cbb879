// doors/cli/verify.ts — `pointsman verify`: the consistency proof. Servers from npm (or those of -c), both doors, a history
// in a file, a table, and exit 1 where a promise was broken.
import { createWriteStream } from 'node:fs'
import { resolve } from 'node:path'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { finished } from 'node:stream/promises'
import type pg from 'pg'
import type { Config, UserConfig } from '../../config/config.js'
import { validateConfig } from '../../config/validate.js'
import { parseDuration } from '../../consistency/duration.js'
import { faultKinds, type FaultKind } from '../verify/faults.js'
import type { Operation } from '../verify/history.js'
import { makeReport, printReport } from '../verify/report.js'
import { run, type RunParts } from '../verify/run.js'
import { startServers } from '../verify/servers.js'
import { SetupError } from '../verify/tables.js'
import { goodConfig, namedConfig } from './config-file.js'
import { CommandError, exit, type ExitCode, type Io } from './io.js'
import { withProgress } from './progress.js'
import { untilSignal } from './signals.js'

export interface VerifyOptions {
  readonly config?: string
  readonly for: string
  readonly out?: string
  readonly seed?: string
  readonly faults: string
  readonly json?: true
}

type Target = Pick<RunParts, 'config' | 'router' | 'login' | 'databases' | 'faults' | 'durable'> & {
  /** For the head of the report. */
  readonly notes: readonly string[]
  readonly end: () => Promise<void>
}

export async function verify(options: VerifyOptions, io: Io): Promise<ExitCode> {
  const forMs = parseDuration(options.for)
  if (forMs === null || forMs <= 0) throw usage(`--for ${options.for}: a duration such as 60s is needed`)
  const kinds = readKinds(options.faults)
  const seed = readSeed(options.seed)
  const pgModule = await loadPg()
  const signals = untilSignal()
  try {
    return await withProgress(io, 'starting', async (say) => {
      const named = namedConfig(options.config, io)
      const target = named === null ? await embedded(kinds, say) : await configured(named, options, io)
      try {
        return await verifyTarget(target, { forMs, seed, pg: pgModule, say, stop: signals.aborted }, options, io)
      } finally {
        await target.end()
      }
    })
  } finally {
    signals.close()
  }
}

type Settings = Pick<RunParts, 'forMs' | 'seed' | 'pg' | 'say' | 'stop'>

async function verifyTarget(target: Target, settings: Settings, options: VerifyOptions, io: Io): Promise<ExitCode> {
  const path = resolve(io.cwd, options.out ?? `pointsman-verify-${stamp()}.ndjson`)
  const file = createWriteStream(path)
  // Told where it is opened, and where it is ended.
  file.on('error', () => undefined)
  const record = (operation: Operation): void => void file.write(`${JSON.stringify(operation)}\n`)
  await once(file, 'open').catch((error: unknown) => {
    throw usage(`cannot write ${path}: ${codeOf(error)}`)
  })
  const result = await run({ ...target, ...settings, record }).catch((error: unknown) => {
    throw error instanceof SetupError ? new CommandError(exit.no, error.message) : error
  })
  file.end()
  const failure: unknown = await finished(file).catch((error: unknown) => error)
  const report = makeReport(result.history, result.verdict, result.faults)
  const notes = [...target.notes, `seed: ${String(settings.seed)}`, `history: ${path}`]
  io.out(
    options.json === true ? JSON.stringify({ ...report, notes, history: path, seed: settings.seed }, null, 2) : printReport(report, notes),
  )
  if (failure !== undefined) throw new CommandError(exit.no, `the history is not whole: cannot write ${path}: ${codeOf(failure)}`)
  return report.violations.length === 0 ? exit.done : exit.no
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error)
}

// ---- servers

async function embedded(kinds: readonly FaultKind[], say: (text: string) => void): Promise<Target> {
  const { running, cluster, config } = await startServers(say)
  const router = { config }
  const result = validateConfig(config, { env: {}, readFile: () => '' })
  if (!result.ok) {
    await running.stop()
    throw new Error(`the config of the embedded servers is not valid: ${JSON.stringify(result.problems)}`)
  }
  return {
    config: result.config,
    router,
    login: { user: running.user, password: running.password },
    databases: [cluster.dbname],
    faults: { cluster, kinds },
    durable: true,
    notes: ['servers: embedded, one primary, two replicas, commits wait for one of them'],
    end: () => running.stop(),
  }
}

async function configured(path: string, options: VerifyOptions, io: Io): Promise<Target> {
  if (options.faults !== 'all' && options.faults !== 'none')
    throw usage('--faults: servers of a config are not broken; leave it out, or write none')
  const { config } = await goodConfig(path, io)
  const { login, auth } = loginOf(config)
  const databases = distinct(config)
  const where = databases.map((name) => `${name} (cluster ${config.databases.get(name)?.default ?? ''})`)
  return {
    config: { ...config, auth },
    router: { file: path, env: io.env },
    login,
    databases,
    faults: null,
    durable: false,
    notes: [`servers: those of ${path}, in ${where.join(', ')}; nothing is broken there`],
    end: () => Promise.resolve(),
  }
}

/** One database per place: two that share their default cluster's database would share the tables. */
function distinct({ databases, clusters }: Config): readonly string[] {
  const places = new Map<string, string>()
  for (const { name, default: home } of databases.values()) {
    if (name === '*') continue
    const place = `${home} ${clusters.get(home)?.dbname ?? name}`
    if (!places.has(place)) places.set(place, name)
  }
  if (places.size === 0) throw new CommandError(exit.no, 'the config names no database: one besides "*" is needed')
  return [...places.values()]
}

/** A user that can log in to the proxy, and through it to the servers; a password only this run knows where none is in the config. */
function loginOf(config: Config): { readonly login: RunParts['login']; readonly auth: Config['auth'] } {
  const users = [...config.auth.users.values()]
  const known = users.find(({ password }) => password !== null)
  if (known?.password !== undefined && known.password !== null)
    return { login: { user: known.name, password: known.password }, auth: config.auth }
  const own = [...config.clusters.values()].find(({ user }) => user !== null)
  const name = users[0]?.name ?? own?.user ?? null
  if (name === null) throw new CommandError(exit.no, 'no user to work as: auth.users needs one with a password, or a cluster its own user')
  const password = randomBytes(16).toString('hex')
  const user: UserConfig = { name, password, verifier: null, poolMode: null, limits: config.auth.defaultLimits }
  return { login: { user: name, password }, auth: { ...config.auth, method: 'scram-sha-256', users: new Map([[name, user]]) } }
}

// ---- options

function readKinds(text: string): readonly FaultKind[] {
  if (text === 'all') return faultKinds
  if (text === 'none') return []
  return text.split(',').map((name) => {
    const kind = faultKinds.find((one) => one === name.trim())
    if (kind === undefined) throw usage(`--faults ${name}: all, none, or a list of ${faultKinds.join(', ')}`)
    return kind
  })
}

function readSeed(text: string | undefined): number {
  if (text === undefined) return randomBytes(4).readUInt32LE()
  const seed = Number(text)
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) throw usage(`--seed ${text}: a whole number up to 4294967295 is needed`)
  return seed
}

async function loadPg(): Promise<typeof pg> {
  try {
    return (await import('pg')).default
  } catch {
    throw new CommandError(exit.no, 'verify works through the package pg, which is not installed: npm install pg')
  }
}

function usage(message: string): CommandError {
  return new CommandError(exit.usage, message)
}

/** The time of the start, for a file's name. */
function stamp(): string {
  return new Date()
    .toISOString()
    .replace(/\.\d+Z$/, '')
    .replaceAll(/[-:]/g, '')
}
