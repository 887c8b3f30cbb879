// doors/cli/check.ts — `pointsman check`: every problem of a config, and with --live what the servers themselves say.
import type { Config } from '../../config/config.js'
import { checkServers, type LiveReport } from './check-live.js'
import { anyConfig, count, locate, problemLines, readConfigFile, type ConfigFile } from './config-file.js'
import { exit, type ExitCode, type Io } from './io.js'
import { printLive } from './print-live.js'
import { withProgress } from './progress.js'

export interface CheckOptions {
  readonly config?: string
  readonly json?: boolean
  readonly live?: boolean
}

export async function check(options: CheckOptions, io: Io): Promise<ExitCode> {
  const file = await readConfigFile(anyConfig(options.config, io), io)
  const { result } = file
  const live = result.ok && options.live === true ? await askServers(file, result.config, io) : null
  if (options.json === true) printJson(file, live, io)
  else printText(file, live, io)
  return result.ok && (live === null || live.problems.length === 0) ? exit.done : exit.no
}

function askServers(file: ConfigFile, config: Config, io: Io): Promise<LiveReport> {
  return withProgress(io, 'asking the servers', () => checkServers(config, locate(file)))
}

function printJson({ shown, result }: ConfigFile, live: LiveReport | null, io: Io): void {
  const problems = [...(result.ok ? [] : result.problems), ...(live?.problems ?? [])]
  const warnings = [...result.warnings, ...(live?.warnings ?? [])]
  const servers = live === null ? {} : { servers: live.servers, unowned: live.unowned }
  io.out(JSON.stringify({ file: shown, ok: problems.length === 0, problems, warnings, ...servers }, null, 2))
}

function printText({ shown, result }: ConfigFile, live: LiveReport | null, io: Io): void {
  const problems = [...(result.ok ? [] : result.problems), ...(live?.problems ?? [])]
  const warnings = [...result.warnings, ...(live?.warnings ?? [])]
  for (const line of problemLines(shown, problems)) io.err(line)
  for (const line of problemLines(shown, warnings, 'warning: ')) io.err(line)
  if (live !== null) io.out(printLive(live))
  if (result.ok && problems.length === 0) io.out(`${shown}: ok, ${summary(result.config)}`)
  else io.err(`${shown}: ${count(problems.length, 'problem')}`)
}

function summary(config: Config): string {
  const nodes = [...config.clusters.values()].flatMap((cluster) => cluster.nodes)
  return [count(config.clusters.size, 'cluster'), count(nodes.length, 'node'), count(config.databases.size, 'database')].join(', ')
}
