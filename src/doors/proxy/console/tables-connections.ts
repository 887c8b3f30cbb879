// doors/proxy/console/tables-connections.ts — clients, server connections, and pools: PgBouncer's columns first, ours after them.
import type { ClientReport } from '../client-report.js'
import { poolModeOf } from '../login.js'
import { columns, type Cell, type TableColumn } from './cells.js'
import { databaseOfPool, serverUser } from './names.js'
import type { ClientTally, PoolReport, ServerReport } from './reports.js'
import { grouped, secondsAndMicros, sum, timestamp, told, yes, type Shown, type TableSpec } from './shown.js'

const socketColumns = `type user database replication state addr port:int4 local_addr local_port:int4 connect_time request_time
  wait:int4 wait_us:int4 close_needed:int4 ptr link remote_pid:int4 tls application_name prepared_statements:int4 id:int4`

/** What PgBouncer tells of its buffers; there are none like them here. */
const bufferColumns = 'recv_pos:int4 pkt_pos:int4 pkt_remain:int4 send_pos:int4 send_remain:int4 pkt_avail:int4 send_avail:int4'

// ---- pools

const poolColumns = columns(`database user cl_active:int4 cl_waiting:int4 cl_active_cancel_req:int4 cl_waiting_cancel_req:int4
  sv_active:int4 sv_active_cancel:int4 sv_being_canceled:int4 sv_idle:int4 sv_used:int4 sv_tested:int4 sv_login:int4
  maxwait:int4 maxwait_us:int4 pool_mode load_balance_hosts pool_size:int4 paused`)

/** By database and login on the server: each pair once, as exporters need it. */
export const pools: TableSpec = {
  columns: poolColumns,
  parts: ['tally', 'pools'],
  rows: (shown) => {
    const clients = grouped(
      told(shown, 'tally').map(([, tally]) => tally),
      ({ database, user }) => JSON.stringify([database, serverUser(shown.config, database, user)]),
    )
    const servers = grouped(
      told(shown, 'pools').map(([, pool]) => pool),
      (pool) => JSON.stringify([databaseOfPool(shown.config, pool), pool.user]),
    )
    return [...new Set([...clients.keys(), ...servers.keys()])].map((key) => {
      const [database = '', user = ''] = JSON.parse(key) as readonly string[]
      return poolRow(shown, database, user, clients.get(key) ?? [], servers.get(key) ?? [])
    })
  },
}

function poolRow(
  shown: Shown,
  database: string,
  user: string,
  clients: readonly ClientTally[],
  servers: readonly PoolReport[],
): readonly Cell[] {
  const longest = Math.max(0, ...clients.map(({ maxWaitMs }) => maxWaitMs), ...servers.map(({ longestWaitMs }) => longestWaitMs))
  return [
    database,
    user,
    sum(clients.map(({ idle, active }) => idle + active)),
    sum(clients.map(({ waiting }) => waiting)),
    0,
    0,
    sum(servers.map(({ busy }) => busy)),
    0,
    0,
    sum(servers.map(({ idle }) => idle)),
    0,
    0,
    sum(servers.map(({ opening }) => opening)),
    ...secondsAndMicros(longest),
    poolModeOf(shown.config, database, user),
    null,
    bound(servers),
    yes(shown.gate.isPaused({ kind: 'all', name: '' }) || shown.gate.isPaused({ kind: 'database', name: database })),
  ]
}

/** `pool.max` bounds a server's connections over all workers, each of which tells it. */
function bound(servers: readonly PoolReport[]): number {
  const byNode = grouped(servers, ({ cluster, node, dbname, user }) => JSON.stringify([cluster, node, dbname, user]))
  return sum([...byNode.values()].map((same) => Math.max(...same.map(({ max }) => max))))
}

/** By server and login, as the process has them. */
export const nodePools: TableSpec = {
  columns: columns(`cluster node database user sv_active:int4 sv_idle:int4 sv_login:int4 cl_waiting:int4 maxwait:int4 maxwait_us:int4
    pool_size:int4 draining worker:int4`),
  parts: ['pools'],
  rows: (shown) =>
    told(shown, 'pools').map(([worker, pool]) => [
      pool.cluster,
      pool.node,
      pool.dbname,
      pool.user,
      pool.busy,
      pool.idle,
      pool.opening,
      pool.waiting,
      ...secondsAndMicros(pool.longestWaitMs),
      pool.max,
      yes(pool.draining),
      worker,
    ]),
}

// ---- clients

const clientColumns = columns(`${socketColumns} transaction pins route paused worker:int4`)

export const clients: TableSpec = {
  columns: clientColumns,
  parts: ['clients'],
  rows: (shown) =>
    told(shown, 'clients').map(([worker, client]) => [
      ...clientCells(worker, client, client.state),
      client.transaction,
      client.pins.length === 0 ? null : client.pins.join('; '),
      client.links.length === 0 ? null : client.links.map(({ role, cluster, node }) => `${role} ${cluster}/${node}`).join('; '),
      yes(client.paused),
      worker,
    ]),
}

function clientCells(worker: number, client: ClientReport, state: string): readonly Cell[] {
  const { addr, port, localAddr, localPort, links } = client
  return [
    'C',
    client.user,
    client.database,
    client.replication,
    state,
    addr,
    port,
    localAddr,
    localPort,
    timestamp(client.connectedAt),
    timestamp(client.requestedAt),
    ...secondsAndMicros(client.waitMs),
    0,
    clientKey(worker, client.id),
    links.map(({ node, pid }) => serverKey(worker, node, pid)).join(' '),
    0,
    client.tls,
    client.application,
    client.prepared,
    client.id,
  ]
}

function clientKey(worker: number, id: number): string {
  return `client:${String(worker)}:${String(id)}`
}

function serverKey(worker: number, node: string, pid: number): string {
  return `server:${String(worker)}:${node}:${String(pid)}`
}

// ---- server connections

const serverColumns = columns(`${socketColumns} cluster node role kind age:int8 idle_for:int8 worker:int4`)

interface LinkedServer {
  readonly worker: number
  readonly server: ServerReport
  readonly client: ClientReport | null
}

export const servers: TableSpec = {
  columns: serverColumns,
  parts: ['servers', 'clients'],
  rows: (shown) => {
    const unix = Date.now()
    return linkedServers(shown).map((linked) => {
      const { server, worker } = linked
      return [
        ...serverCells(shown, linked, server.state),
        server.cluster,
        server.node,
        server.role,
        kindOf(linked),
        Math.round((unix - server.connectedAt) / 1_000),
        server.state === 'idle' ? Math.round((unix - server.since) / 1_000) : null,
        worker,
      ]
    })
  },
}

function linkedServers(shown: Shown): readonly LinkedServer[] {
  const holders = new Map<string, ClientReport>()
  for (const [worker, client] of told(shown, 'clients')) {
    for (const { node, pid } of client.links) holders.set(serverKey(worker, node, pid), client)
  }
  return told(shown, 'servers').map(([worker, server]) => ({
    worker,
    server,
    client: server.state === 'active' ? (holders.get(serverKey(worker, server.node, server.pid)) ?? null) : null,
  }))
}

function kindOf({ server: { state, lane }, client }: LinkedServer): 'lease' | 'lane' | 'internal' | 'pool' {
  if (client !== null) return 'lease'
  if (state !== 'active') return 'pool'
  return lane ? 'lane' : 'internal'
}

function serverCells({ config }: Shown, { worker, server, client }: LinkedServer, state: string): readonly Cell[] {
  const at = server.node.lastIndexOf(':')
  return [
    'S',
    server.user,
    databaseOfPool(config, server),
    'none',
    state,
    server.node.slice(0, at),
    Number(server.node.slice(at + 1)),
    '',
    0,
    timestamp(server.connectedAt),
    timestamp(client?.requestedAt ?? server.since),
    0,
    0,
    server.closeNeeded ? 1 : 0,
    serverKey(worker, server.node, server.pid),
    client === null ? '' : clientKey(worker, client.id),
    server.pid,
    server.tls ? 'TLS' : '',
    client?.application ?? '',
    server.prepared,
    server.pid,
  ]
}

// ---- both

const bothColumns: readonly TableColumn[] = columns(`${socketColumns} ${bufferColumns} worker:int4`)
const noBuffers: readonly Cell[] = [0, 0, 0, 0, 0, 0, 0]

export const sockets: TableSpec = { columns: bothColumns, parts: ['servers', 'clients'], rows: (shown) => both(shown, () => true) }

export const activeSockets: TableSpec = {
  columns: bothColumns,
  parts: ['servers', 'clients'],
  rows: (shown) => both(shown, (state) => state !== 'idle'),
}

function both(shown: Shown, wanted: (state: string) => boolean): readonly (readonly Cell[])[] {
  const ofClients = told(shown, 'clients')
    .filter(([, { state }]) => wanted(state))
    .map(([worker, client]) => [
      ...clientCells(worker, client, client.state === 'waiting' ? 'cl_waiting' : 'cl_active'),
      ...noBuffers,
      worker,
    ])
  const ofServers = linkedServers(shown)
    .filter(({ server }) => wanted(server.state))
    .map((linked) => [...serverCells(shown, linked, `sv_${linked.server.state}`), ...noBuffers, linked.worker])
  return [...ofClients, ...ofServers]
}
