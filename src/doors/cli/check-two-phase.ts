// doors/cli/check-two-phase.ts — what `two_phase` asks of the servers: slots for prepared transactions (PostgreSQL has none by
// default), a table for decisions, and that recovery may end what it finds.
import { clustersOf } from '../../config/clusters-of.js'
import type { ClusterConfig, Config, NodeConfig } from '../../config/config.js'
import { quoteLiteral } from '../../session/quote.js'
import { decisionsDdl, preparedSql, readPartName } from '../../session/decision.js'
import type { ServerConnection } from '../../server/contract.js'
import { withServer, type ServerFacts } from './ask-server.js'
import type { Told } from './told.js'

/** A server as `check --live` has found it. */
interface Asked {
  readonly cluster: string
  readonly node: string
  readonly facts: ServerFacts | null
}

const table = quoteLiteral('pointsman.decisions')
const rightsSql = `SELECT pg_catalog.to_regclass(${table}) IS NOT NULL,
 coalesce((SELECT bool_and(pg_catalog.has_table_privilege(c.oid, kind)) FROM pg_catalog.pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'DELETE']) kind
  WHERE c.oid = pg_catalog.to_regclass(${table})), false),
 pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')`

/** Tells what stands in the way of every database that says `two_phase`. Never rejects. */
export async function checkTwoPhaseLive(config: Config, servers: readonly Asked[], problems: Told[], warnings: Told[]): Promise<void> {
  for (const database of config.databases.values()) {
    if (database.twoPhase === null) continue
    for (const id of clustersOf(database)) {
      const cluster = config.clusters.get(id)
      if (cluster === undefined) continue
      const asked = servers.filter((server) => server.cluster === id)
      for (const server of asked) tellSlots(cluster, server, problems, warnings)
      const primary = asked.find(({ facts }) => facts?.inRecovery === false)
      const node = cluster.nodes.find((one) => one.id === primary?.node)
      if (node !== undefined) await tellTable(cluster, node, database.name, problems, warnings)
    }
  }
}

function tellSlots(cluster: ClusterConfig, { node, facts }: Asked, problems: Told[], warnings: Told[]): void {
  if (facts === null) return
  const told: Told = {
    path: ['clusters', cluster.id, 'nodes'],
    found: `max_prepared_transactions ${String(facts.maxPreparedTransactions)}`,
    allowed: `max_prepared_transactions = ${String(cluster.pool.max)} or more, on every server of the cluster (needs a restart)`,
    message: `two_phase: ${node} takes ${facts.maxPreparedTransactions === 0 ? 'no' : 'fewer'} prepared transactions${facts.maxPreparedTransactions === 0 ? '' : ' than pool.max'}`,
  }
  if (facts.maxPreparedTransactions === 0) problems.push(told)
  else if (facts.maxPreparedTransactions < cluster.pool.max) warnings.push(told)
}

async function tellTable(cluster: ClusterConfig, node: NodeConfig, database: string, problems: Told[], warnings: Told[]): Promise<void> {
  const path = ['databases', database, 'two_phase']
  const login = { user: cluster.user ?? '', password: cluster.password, dbname: cluster.dbname ?? database }
  const tell = (list: Told[], message: string, allowed: string): void =>
    void list.push({ path, found: cluster.id, allowed, message: `cluster ${cluster.id}: ${message}` })
  try {
    const { exists, usable, creates, foreign } = await withServer(cluster, node, login, readRights)
    const ddl = decisionsDdl.map((sql) => `${sql.replaceAll(/\s+/g, ' ')};`).join(' ')
    const grant = `GRANT USAGE ON SCHEMA pointsman TO ${login.user}; GRANT SELECT, INSERT, DELETE ON pointsman.decisions TO ${login.user};`
    if (exists && !usable) tell(problems, `user ${login.user} may not use pointsman.decisions`, grant)
    if (!exists && !creates) tell(problems, `pointsman.decisions is missing, and user ${login.user} may not make it`, `${ddl} ${grant}`)
    if (!exists && creates) tell(warnings, 'pointsman.decisions is missing; the first transaction that needs it makes it', ddl)
    for (const { gid, owner } of foreign)
      tell(problems, `user ${login.user} may not end the prepared transaction ${gid}`, `a superuser, or its owner ${owner}`)
  } catch (error) {
    tell(
      problems,
      `it cannot be asked for pointsman.decisions: ${error instanceof Error ? error.message : String(error)}`,
      'a login that works',
    )
  }
}

interface Rights {
  readonly exists: boolean
  readonly usable: boolean
  readonly creates: boolean
  /** Prepared by us, and not to be ended by this user. */
  readonly foreign: readonly { readonly gid: string; readonly owner: string }[]
}

async function readRights(connection: ServerConnection): Promise<Rights> {
  const [row = []] = (await connection.query(rightsSql)).rows
  const prepared = (await connection.query(preparedSql)).rows
  const foreign = prepared.flatMap(([gid = null, , owner, mayEnd]) =>
    gid !== null && readPartName(gid) !== null && mayEnd !== 't' ? [{ gid, owner: owner ?? '' }] : [],
  )
  return { exists: row[0] === 't', usable: row[1] === 't', creates: row[2] === 't', foreign }
}
