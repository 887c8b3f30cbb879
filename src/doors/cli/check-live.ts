// doors/cli/check-live.ts — `check --live`: asks every server of the config as the logins that will use it, and holds
// what it says against what the config says. Problems are what will not work; warnings what will surprise.
import type { ClusterConfig, Config, NodeConfig, Problem } from '../../config/config.js'
import { printPath } from '../../config/findings.js'
import type { Locator, Path } from '../../config/locator.js'
import { readFacts, readHeartbeat, readTables, withServer, type Login, type ServerFacts, type TableFacts } from './ask-server.js'
import { checkAuthQuery } from './check-auth.js'
import { checkSchemas } from './check-schemas.js'
import { checkTables, type UnownedTable } from './check-tables.js'
import { checkTwoPhaseLive } from './check-two-phase.js'
import type { Tables, Told } from './told.js'

export interface LiveReport {
  readonly problems: readonly Problem[]
  readonly warnings: readonly Problem[]
  readonly servers: readonly ServerReport[]
  /** Tables that the config gives no home or no owner. */
  readonly unowned: readonly UnownedTable[]
}

export interface ServerReport {
  readonly cluster: string
  readonly node: string
  readonly facts: ServerFacts | null
  /** Why there are no facts. */
  readonly error: string | null
}

/** Never rejects: a server that cannot be asked is a problem among others. */
export async function checkServers(config: Config, locate: Locator): Promise<LiveReport> {
  const problems: Told[] = []
  const warnings: Told[] = []
  const clusters = await Promise.all([...config.clusters.values()].map((cluster) => askCluster(config, cluster, problems, warnings)))
  tellSameServers(clusters.flat(), warnings)
  await checkAuthQuery(config, problems)
  await checkTwoPhaseLive(config, clusters.flat(), problems, warnings)
  await checkSchemas(config, clusters.flat(), (cluster) => monitorLogin(config, cluster), warnings)
  const tables = await readAllTables(config, clusters.flat(), warnings)
  const unowned = checkTables(config, tables, problems, warnings)
  const placed = (told: readonly Told[]): readonly Problem[] =>
    told.map((one) => place(one, locate)).sort((a, b) => (a.line ?? 0) - (b.line ?? 0))
  return { problems: placed(problems), warnings: placed(warnings), servers: clusters.flat(), unowned }
}

function place(told: Told, locate: Locator): Problem {
  const at = locate(told.path, 'value')
  return { ...told, line: at?.line ?? null, column: at?.column ?? null, path: printPath(told.path) }
}

async function askCluster(config: Config, cluster: ClusterConfig, problems: Told[], warnings: Told[]): Promise<readonly ServerReport[]> {
  const path = ['clusters', cluster.id]
  const reports = await Promise.all(
    cluster.nodes.map((node, index) => askNode(config, cluster, node, [...path, 'nodes', index], problems, warnings)),
  )
  tellRoles(path, reports, problems, warnings)
  tellIdentifiers(path, reports, problems)
  return reports
}

async function askNode(
  config: Config,
  cluster: ClusterConfig,
  node: NodeConfig,
  path: Path,
  problems: Told[],
  warnings: Told[],
): Promise<ServerReport> {
  const report = { cluster: cluster.id, node: node.id }
  try {
    const { told, blind } = await withServer(cluster, node, monitorLogin(config, cluster), async (connection) => ({
      told: await readFacts(connection),
      blind: await readHeartbeat(connection, cluster, node),
    }))
    if (blind !== null) tellHeartbeat(cluster, node, blind, problems)
    // A logical subscriber is a replica, whatever it says of itself, and its system is its own.
    const facts = node.subscriber ? { ...told, inRecovery: true, streaming: true, systemIdentifier: null } : told
    tellFacts(cluster, facts, path, warnings)
    await tryLogins(config, cluster, node, path, problems)
    return { ...report, facts, error: null }
  } catch (error) {
    const reason = inWords(error)
    const who = `user ${monitorLogin(config, cluster).user}`
    problems.push({
      path,
      found: node.id,
      allowed: 'a PostgreSQL server that can be reached',
      message: `${node.id} cannot be asked as ${who}: ${reason}`,
    })
    return { ...report, facts: null, error: reason }
  }
}

function monitorLogin(config: Config, cluster: ClusterConfig): Login {
  const dbname = cluster.dbname ?? databasesOn(config, cluster.id).at(0) ?? 'postgres'
  const own = { user: cluster.user ?? '', password: cluster.password, dbname }
  return cluster.monitor === null ? own : { ...own, user: cluster.monitor.user, password: cluster.monitor.password }
}

/** Names of the databases that use this cluster; what only `*` takes has no name to try. */
function databasesOn(config: Config, cluster: string): readonly string[] {
  const uses = [...config.databases.values()].filter((database) => {
    const partitions = [...database.partitions.values()].some((partition) => partition.cluster === cluster)
    return database.default === cluster || partitions || [...database.sharded.values()].some((one) => one.clusters.includes(cluster))
  })
  return uses.map((database) => database.name).filter((name) => name !== '*')
}

/** Databases of a cluster that can be entered: its own, or those that clients name. */
function dbnamesOf(config: Config, cluster: ClusterConfig): readonly string[] {
  return cluster.dbname === null ? databasesOn(config, cluster.id) : [cluster.dbname]
}

// Who will send statements: the cluster's user, or every client whose password is known here.
async function tryLogins(config: Config, cluster: ClusterConfig, node: NodeConfig, path: Path, problems: Told[]): Promise<void> {
  const clients = [...config.auth.users.values()].filter((user) => user.password !== null)
  const users =
    cluster.user === null
      ? clients.map(({ name, password }) => ({ user: name, password }))
      : [{ user: cluster.user, password: cluster.password }]
  for (const dbname of dbnamesOf(config, cluster)) {
    for (const login of users) {
      await withServer(cluster, node, { ...login, dbname }, () => Promise.resolve()).catch((error: unknown) => {
        const message = `user ${login.user} cannot enter database ${dbname} on ${node.id}: ${inWords(error)}`
        problems.push({ path, found: node.id, allowed: 'a login that works', message })
      })
    }
  }
}

function tellFacts(cluster: ClusterConfig, facts: ServerFacts, path: Path, warnings: Told[]): void {
  const warn = (found: string, allowed: string, message: string): void => void warnings.push({ path, found, allowed, message })
  if (facts.version < 140_000) warn(String(facts.version), 'PostgreSQL 14 or later', 'this version of PostgreSQL is not tested')
  if (facts.inRecovery && facts.timeline === null) {
    warn(
      'no timeline',
      'GRANT pg_monitor TO the monitoring user, and a replica that is streaming',
      'the timeline of this replica is not visible, so it answers only reads with consistency any',
    )
  }
  if (!facts.canMonitor) warn('no membership', 'GRANT pg_monitor TO the monitoring user', 'the monitoring user is no member of pg_monitor')
  if (facts.inRecovery && !facts.streaming) warn('no walreceiver', 'a replica that is streaming', 'this replica does not receive WAL now')
  if (cluster.pool.max > facts.maxConnections) {
    warn(
      `max_connections ${String(facts.maxConnections)}`,
      'pool.max below max_connections',
      `pool.max is ${String(cluster.pool.max)}: more than the server takes`,
    )
  }
}

function tellHeartbeat(cluster: ClusterConfig, node: NodeConfig, blind: string, problems: Told[]): void {
  problems.push({
    path: ['clusters', cluster.id, 'position'],
    found: node.id,
    allowed: 'a heartbeat table with one row that the monitoring user may read, and update on the primary',
    message: `replicas will answer only reads with consistency any: on ${node.id} ${blind}`,
  })
}

function tellRoles(path: Path, reports: readonly ServerReport[], problems: Told[], warnings: Told[]): void {
  const known = reports.filter((report) => report.facts !== null)
  const primaries = known.filter((report) => report.facts?.inRecovery === false)
  if (primaries.length > 1) {
    const names = primaries.map((report) => report.node).join(', ')
    problems.push({
      path: [...path, 'nodes'],
      found: names,
      allowed: 'one primary and its replicas',
      message: 'several nodes of this cluster are primaries',
    })
  }
  if (primaries.length === 0 && known.length > 0) {
    warnings.push({
      path: [...path, 'nodes'],
      found: 'only replicas',
      allowed: 'one primary',
      message: 'no node of this cluster is a primary: nothing can be written',
    })
  }
}

function tellIdentifiers(path: Path, reports: readonly ServerReport[], problems: Told[]): void {
  const [first, ...others] = reports.filter((report) => typeof report.facts?.systemIdentifier === 'string')
  for (const other of others) {
    if (other.facts?.systemIdentifier === first?.facts?.systemIdentifier) continue
    problems.push({
      path: [...path, 'nodes', reports.indexOf(other)],
      found: `system identifier ${other.facts?.systemIdentifier ?? ''}`,
      allowed: `system identifier ${first?.facts?.systemIdentifier ?? ''}, as ${first?.node ?? ''}`,
      message: `${other.node} does not replicate from the same system as ${first?.node ?? ''}`,
    })
  }
}

// Allowed (partitions may be virtual), but then they share connections, load and fate.
function tellSameServers(reports: readonly ServerReport[], warnings: Told[]): void {
  const seen = new Map<string, ServerReport>()
  for (const report of reports) {
    if (report.facts === null) continue
    const first = seen.get(report.facts.incarnation)
    seen.set(report.facts.incarnation, first ?? report)
    if (first === undefined) continue
    const [allowed, message] =
      first.cluster === report.cluster
        ? ['each server once', `${report.node} is the same server as ${first.node}`]
        : ['servers of its own, unless that is meant', `${report.node} is the same server as ${first.node} of cluster ${first.cluster}`]
    warnings.push({ path: ['clusters', report.cluster, 'nodes'], found: report.node, allowed, message })
  }
}

async function readAllTables(config: Config, reports: readonly ServerReport[], warnings: Told[]): Promise<Tables> {
  const all = new Map<string, ReadonlyMap<string, TableFacts>>()
  const work = [...config.clusters.values()].flatMap((cluster) => {
    const report = best(reports.filter((one) => one.cluster === cluster.id))
    const node = cluster.nodes.find((one) => one.id === report?.node)
    return node === undefined ? [] : dbnamesOf(config, cluster).map((dbname) => ({ cluster, node, dbname }))
  })
  await Promise.all(
    work.map(async ({ cluster, node, dbname }) => {
      try {
        all.set(`${cluster.id}/${dbname}`, await withServer(cluster, node, { ...monitorLogin(config, cluster), dbname }, readTables))
      } catch (error) {
        const path = ['clusters', cluster.id]
        warnings.push({
          path,
          found: dbname,
          allowed: 'a database that can be read',
          message: `the tables of ${dbname} cannot be read: ${inWords(error)}`,
        })
      }
    }),
  )
  return all
}

// The primary knows best; a replica nearly so.
function best(reports: readonly ServerReport[]): ServerReport | undefined {
  return reports.find((report) => report.facts?.inRecovery === false) ?? reports.find((report) => report.facts !== null)
}

function inWords(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
