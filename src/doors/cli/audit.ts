// doors/cli/audit.ts — `pointsman audit`: what crosses partitions and shards, before anything is split. From the catalog always;
// from a running proxy, pg_stat_statements and logs where they are named. With a baseline: exit 1 on what is new or overdue.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parse, stringify } from 'yaml'
import { compare, holds, isDay, nextBaseline, readBaseline, type Accepted } from '../../audit/baseline.js'
import { AuditBook } from '../../audit/book.js'
import { auditCatalog } from '../../audit/catalog-findings.js'
import type { AuditSource } from '../../audit/contract.js'
import { htmlReport } from '../../audit/html.js'
import { loggedStatements } from '../../audit/log-lines.js'
import { printReport, type AuditReport } from '../../audit/report.js'
import { StatementAudit } from '../../audit/statements.js'
import type { Config, DatabaseConfig } from '../../config/config.js'
import { clustersOf } from '../../config/clusters-of.js'
import { loadSql } from '../../sql/parser.js'
import { createUnderstanding } from '../../sql/understand.js'
import { withServer } from './ask-server.js'
import { liveBook } from './audit-live.js'
import { anyConfig, goodConfig } from './config-file.js'
import { CommandError, exit, type ExitCode, type Io } from './io.js'
import { databaseOf, look, nothingSeen } from './look.js'
import { withProgress } from './progress.js'

export interface AuditOptions {
  readonly config?: string
  readonly database?: string
  readonly user?: string
  readonly live?: boolean
  readonly log?: readonly string[]
  readonly statements?: boolean
  /** False: do not look at the catalog's own crossings. */
  readonly catalog?: boolean
  readonly baseline?: string
  readonly writeBaseline?: string
  readonly issue?: string
  readonly expires?: string
  readonly json?: boolean
  readonly html?: string
}

export async function audit(options: AuditOptions, io: Io, now: () => Date = () => new Date()): Promise<ExitCode> {
  const { config } = await goodConfig(anyConfig(options.config, io), io)
  const { name, database } = databaseOf(config, options.database)
  const baseline = options.baseline === undefined ? null : baselineFrom(options.baseline, io)
  checkDay(options.expires)
  const looked = sourcesOf(options)
  if (looked.size === 0) throw new CommandError(exit.usage, 'nothing to look at: --no-catalog needs --live, --statements or --log')
  const report = await withProgress(io, 'asking the servers', () => makeReport(config, name, { ...database, name }, options, io))
  const today = now().toISOString().slice(0, 10)
  const comparison = baseline === null ? null : compare(report.findings, baseline, today, looked)
  const whole = { ...report, baseline: comparison }
  if (options.writeBaseline !== undefined) {
    writeBaseline(options.writeBaseline, whole, looked, { issue: options.issue ?? '', expires: options.expires ?? '' }, io)
  }
  if (options.html !== undefined) write(options.html, htmlReport(whole, now().toISOString()), io)
  io.out(options.json === true ? JSON.stringify(whole, null, 2) : printReport(whole))
  return comparison === null || holds(comparison) ? exit.done : exit.no
}

function sourcesOf({ live, log, statements, catalog }: AuditOptions): ReadonlySet<AuditSource> {
  const looked: AuditSource[] = []
  if (catalog !== false) looked.push('catalog')
  if (live === true) looked.push('traffic')
  if (statements === true) looked.push('statements')
  if ((log ?? []).length > 0) looked.push('log')
  return new Set(looked)
}

async function makeReport(
  config: Config,
  name: string,
  database: DatabaseConfig,
  options: AuditOptions,
  io: Io,
): Promise<Omit<AuditReport, 'baseline'>> {
  const user = options.user ?? [...config.auth.users.keys()].at(0) ?? config.clusters.get(database.default)?.user ?? 'postgres'
  await loadSql()
  const seen = await look(config, database, name, user)
  const missing = clustersOf(database).filter((cluster) => !seen.catalogs.has(cluster))
  if (missing.length > 0)
    throw new CommandError(exit.no, `the catalog of ${missing.join(', ')} could not be read: nothing can be said of it`)
  const understanding = createUnderstanding(config.limits)
  const searchPath = seen === nothingSeen ? nothingSeen.searchPath : seen.searchPath
  const ground = {
    config,
    database,
    catalogs: seen.catalogs,
    understand: (text: string) => understanding.understand(text),
    user,
    searchPath,
  }
  const book = new AuditBook()
  const statements = new StatementAudit(ground, book)
  const looked: string[] = []
  let unread: readonly string[] = []
  if (options.catalog !== false) {
    unread = auditCatalog(ground, book)
    looked.push('catalog')
  }
  if (options.live === true) {
    book.add(await liveBook(config, name))
    looked.push('live traffic')
  }
  if (options.statements === true) {
    await addStatistics(config, name, database, statements, io)
    looked.push('pg_stat_statements')
  }
  for (const file of options.log ?? []) {
    addLog(file, new Set([name, ...clustersOf(database).flatMap((id) => config.clusters.get(id)?.dbname ?? [])]), statements, io)
    looked.push(`log ${file}`)
  }
  return { ...book.data(), database: name, looked, unread, statements: { seen: statements.seen, notUnderstood: statements.unread } }
}

const extensionQuery = `SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'`

/** What stands in place of the text of another user. */
const unseen = '<insufficient privilege>'

/** Of every cluster of the database, from the first server of it that answers as a primary. */
async function addStatistics(config: Config, name: string, database: DatabaseConfig, audited: StatementAudit, io: Io): Promise<void> {
  let found = false
  for (const id of clustersOf(database)) {
    const cluster = config.clusters.get(id)
    if (cluster === undefined) continue
    const login = { user: cluster.user ?? '', password: cluster.password, dbname: cluster.dbname ?? name }
    const own = cluster.monitor === null ? login : { ...login, user: cluster.monitor.user, password: cluster.monitor.password }
    for (const node of cluster.nodes) {
      const rows = await withServer(cluster, node, own, async (connection) => {
        const [schema] = (await connection.query(extensionQuery)).rows
        if (typeof schema?.[0] !== 'string') return null
        const query = `SELECT query, pg_catalog.sum(calls)::text FROM ${schema[0]}.pg_stat_statements(true) s
 JOIN pg_catalog.pg_database d ON d.oid = s.dbid WHERE d.datname = pg_catalog.current_database() AND s.toplevel GROUP BY 1`
        return (await connection.query(query)).rows
      })
      if (rows === null) continue
      found = true
      for (const [text, calls] of rows) {
        if (text === unseen)
          io.err(`pointsman: ${calls ?? ''} statements of others on cluster ${id} are not seen: GRANT pg_read_all_stats TO ${own.user}`)
        else if (typeof text === 'string') audited.add(text, Number(calls), 'statements', null)
      }
    }
  }
  if (!found) throw new CommandError(exit.no, 'no server has the extension pg_stat_statements in this database')
}

/** `names`: of the database, for clients and on its servers. */
function addLog(file: string, names: ReadonlySet<string>, audited: StatementAudit, io: Io): void {
  let text: string
  try {
    text = readFileSync(resolve(io.cwd, file), 'utf8')
  } catch (error) {
    throw new CommandError(exit.usage, `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
  const found = loggedStatements(text)
  if (found.length === 0) {
    const form = 'csvlog, jsonlog, or text with the process in log_line_prefix, all with log_statement = all'
    throw new CommandError(exit.no, `no statement was found in ${file}: it is to be ${form}`)
  }
  const own = found.filter(({ database }) => database === null || names.has(database))
  if (own.length === 0) {
    const others = [...new Set(found.map(({ database }) => database))].join(', ')
    throw new CommandError(exit.no, `no statement in ${file} is of database ${[...names].join(' or ')}: they are of ${others}`)
  }
  for (const { text: statement, session } of own) audited.add(statement, 1, 'log', session)
}

function checkDay(day: string | undefined): void {
  if (day !== undefined && !isDay(day)) throw new CommandError(exit.usage, `--expires ${day}: write a day such as 2027-01-31`)
}

function baselineFrom(file: string, io: Io): readonly Accepted[] {
  const path = resolve(io.cwd, file)
  if (!existsSync(path)) throw new CommandError(exit.usage, `there is no baseline ${file}; --write-baseline makes one`)
  let value: unknown
  try {
    value = parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new CommandError(exit.usage, `${file} is not readable: ${error instanceof Error ? error.message : String(error)}`)
  }
  const read = readBaseline(value)
  if (typeof read === 'string') throw new CommandError(exit.usage, `${file}: ${read}`)
  return read
}

function writeBaseline(
  file: string,
  { findings }: AuditReport,
  looked: ReadonlySet<AuditSource>,
  said: { readonly issue: string; readonly expires: string },
  io: Io,
): void {
  const path = resolve(io.cwd, file)
  const before = existsSync(path) ? baselineFrom(file, io) : []
  const accepted = nextBaseline(findings, before, looked, said)
  const lacking = accepted.filter(({ issue, expires }) => issue === '' || expires === '').length
  const whole = { version: 1, accepted }
  const head =
    '# Crossings that are accepted for now (pointsman audit --baseline). Each needs its issue and its last day; the list only shrinks.\n'
  write(file, file.endsWith('.json') ? `${JSON.stringify(whole, null, 2)}\n` : head + stringify(whole, { lineWidth: 0 }), io)
  if (lacking > 0) io.err(`pointsman: ${String(lacking)} of ${String(accepted.length)} entries in ${file} lack their issue or their day`)
}

function write(file: string, text: string, io: Io): void {
  try {
    writeFileSync(resolve(io.cwd, file), text)
  } catch (error) {
    throw new CommandError(exit.usage, `${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`)
  }
}
