// doors/proxy/console/tables.ts — every table that SHOW knows. Where PgBouncer has one of that name its columns come first, with
// its names and types, so that what reads one reads the other; ours stand after them.
import { columns, type Cell, type Table } from './cells.js'
import { commandForms, type ConsoleTable } from './command.js'
import type { Shown, TableSpec } from './shown.js'
import { audit, auditData, auditTables, ownedTables } from './tables-audit.js'
import { config, databases, users } from './tables-config.js'
import { activeSockets, clients, nodePools, pools, servers, sockets } from './tables-connections.js'
import { lanes, lists, mem, shapes, stats, statsAverages, statsTotals, totalsOfAll } from './tables-stats.js'
import { clusters, inDoubt, nodes, state, switches } from './tables-topology.js'

function of(spec: string, rows: (shown: Shown) => readonly (readonly Cell[])[]): TableSpec {
  return { columns: columns(spec), parts: [], rows }
}

export const tableSpecs: Readonly<Record<ConsoleTable, TableSpec>> = {
  help: of('command does', () => commandForms),
  pools,
  node_pools: nodePools,
  clients,
  servers,
  sockets,
  active_sockets: activeSockets,
  nodes,
  clusters,
  databases,
  users,
  stats,
  stats_totals: statsTotals,
  stats_averages: statsAverages,
  totals: totalsOfAll,
  lists,
  lanes,
  shapes,
  tables: ownedTables,
  audit,
  audit_tables: auditTables,
  audit_data: auditData,
  in_doubt: inDoubt,
  switches,
  state,
  config,
  mem,
  peers: of('peer_id:int4 host port:int4 pool_size:int4', () => []),
  peer_pools: of('peer_id:int4 cl_active_cancel_req:int4 cl_waiting_cancel_req:int4 sv_active_cancel:int4 sv_login:int4', () => []),
  version: of('version', ({ version }) => [[`Pointsman ${version}`]]),
}

export function consoleTable(table: ConsoleTable, shown: Shown): Table {
  const { columns: all, rows } = tableSpecs[table]
  return { columns: all, rows: rows(shown) }
}
