// doors/proxy/console-tables.ts — what SHOW tells, as rows of text. Where PgBouncer has a column of that meaning it has
// PgBouncer's name, so that what reads one reads the other. Durations are in the unit of the column's name.
import { formatDuration } from '../../consistency/duration.js'
import { formatLsn } from '../../consistency/lsn.js'
import type { Config } from '../../config/config.js'
import type { SwitchesSnapshot } from '../../execute/switches.js'
import type { PoolSnapshot, RuntimeSnapshot } from '../../runtime/contract.js'
import { lagOf } from '../../topology/lag.js'
import { usableReplicas, type ClusterSnapshot } from '../../topology/topology.js'
import { commandForms, type ConsoleTable } from './console-command.js'

export interface Table {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly (string | null)[])[]
}

/** Everything there is to be shown. `now`: process-monotonic ms. */
export interface Shown {
  readonly config: Config
  readonly runtime: RuntimeSnapshot
  readonly switches: SwitchesSnapshot
  readonly version: string
  readonly now: number
}

export function consoleTable(table: ConsoleTable, shown: Shown): Table {
  switch (table) {
    case 'help':
      return { columns: ['command', 'does'], rows: commandForms }
    case 'version':
      return { columns: ['version'], rows: [[`Pointsman ${shown.version}`]] }
    case 'nodes':
      return nodes(shown)
    case 'clusters':
      return clusters(shown)
    case 'pools':
      return pools(shown.runtime.pools)
    case 'switches':
      return switches(shown)
  }
}

function measured({ config, runtime }: Shown): readonly ClusterSnapshot[] {
  return [...config.clusters.keys()].flatMap((id) => runtime.topology.clusters.get(id) ?? [])
}

function nodes(shown: Shown): Table {
  const rows = measured(shown).flatMap((cluster) => {
    const lags = lagOf(cluster, shown.now).nodes
    return cluster.nodes.map((node, index) => {
      const lag = lags[index]?.ms ?? null
      const { position } = node
      return [
        cluster.id,
        node.id,
        node.role ?? 'unknown',
        node.health,
        lag === null ? null : String(Math.round(lag)),
        position === null ? null : formatLsn(position.lsn),
        position?.timeline === undefined || position.timeline === null ? null : String(position.timeline),
        node.receiving === null ? null : yes(node.receiving),
        String(shown.runtime.inFlight.get(node.id) ?? 0),
        node.unfit ?? node.limited,
      ]
    })
  })
  return { columns: ['cluster', 'node', 'role', 'state', 'lag_ms', 'position', 'timeline', 'receiving', 'in_flight', 'reason'], rows }
}

function clusters(shown: Shown): Table {
  const rows = measured(shown).map((cluster) => {
    const { id, primary, timeline, headlessSince } = cluster
    const stale = shown.switches.allowStale.get(id)
    return [
      id,
      primary?.id ?? null,
      timeline === null ? null : String(timeline),
      headlessSince === null ? null : String(Math.round(shown.now - headlessSince)),
      String(usableReplicas(cluster).length),
      String(cluster.nodes.length),
      shown.switches.readOnly.get(id)?.message ?? shown.config.clusters.get(id)?.readOnly ?? null,
      stale === undefined ? null : formatDuration(stale.maxMs),
    ]
  })
  return { columns: ['cluster', 'primary', 'timeline', 'headless_ms', 'replicas', 'nodes', 'read_only', 'allow_stale'], rows }
}

function pools(all: readonly PoolSnapshot[]): Table {
  const rows = all.map((pool) => [
    pool.dbname,
    pool.user,
    pool.cluster,
    pool.node,
    String(pool.waiting),
    String(pool.busy),
    String(pool.idle),
    String(pool.opening),
    String(Math.floor(pool.longestWaitMs / 1_000)),
    String(Math.round((pool.longestWaitMs % 1_000) * 1_000)),
    String(pool.max),
    yes(pool.draining),
  ])
  const columns = ['database', 'user', 'cluster', 'node', 'cl_waiting', 'sv_active', 'sv_idle', 'sv_login', 'maxwait', 'maxwait_us']
  return { columns: [...columns, 'pool_size', 'draining'], rows }
}

function switches({ config, switches: { readOnly, allowStale }, now }: Shown): Table {
  const rows: (readonly (string | null)[])[] = []
  for (const [id, { message, by }] of readOnly) rows.push([id, 'read_only', message, by, null])
  for (const { id, readOnly: message } of config.clusters.values()) {
    if (message !== null) rows.push([id, 'read_only', message, 'the configuration', null])
  }
  for (const [id, { maxMs, until, by }] of allowStale) {
    rows.push([id, 'allow_stale', formatDuration(maxMs), by, String(Math.max(0, Math.ceil((until - now) / 1_000)))])
  }
  return { columns: ['cluster', 'switch', 'value', 'by', 'ends_in_s'], rows }
}

function yes(value: boolean): string {
  return value ? 'yes' : 'no'
}
