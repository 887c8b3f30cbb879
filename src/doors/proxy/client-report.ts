// doors/proxy/client-report.ts — one client as the console tells it, in plain data that can be passed between processes. Read
// when somebody asks; a client keeps nothing for it but a few numbers.
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import { effective } from '../../session/settings.js'
import type { ClientState } from './client-state.js'
import type { Holds } from './holds.js'
import type { Login } from './login.js'

// Types, not interfaces: only those are known to be plain data.
// eslint-disable-next-line @typescript-eslint/consistent-type-definitions
export type ClientReport = {
  /** The process id that the client was told. */
  readonly id: number
  readonly user: string
  readonly database: string
  readonly replication: 'none' | 'logical' | 'physical'
  /** `active`: it has a server connection. `waiting`: for one. */
  readonly state: 'active' | 'idle' | 'waiting'
  /** It has a request under way or a server connection, and waits for no end of a PAUSE. */
  readonly engaged: boolean
  readonly transaction: 'none' | 'begun' | 'open' | 'failed'
  /** Why it keeps a server connection: `cluster: reason`. */
  readonly pins: readonly string[]
  readonly paused: boolean
  readonly waitMs: number
  /** Unix time, ms. */
  readonly connectedAt: number
  readonly requestedAt: number
  readonly addr: string
  readonly port: number
  readonly localAddr: string
  readonly localPort: number
  readonly tls: string
  readonly application: string
  readonly prepared: number
  readonly links: readonly ClientLink[]
  readonly received: number
  readonly sent: number
}

/** A server connection that the client has. */
// eslint-disable-next-line @typescript-eslint/consistent-type-definitions
export type ClientLink = {
  readonly cluster: string
  readonly node: string
  readonly pid: number
  readonly role: 'primary' | 'replica'
}

export interface ReportedClient {
  readonly pid: number
  readonly socket: Duplex
  /** Process-monotonic ms. */
  readonly since: number
}

/** `monotonic` and `unix`: the present, on both clocks. */
export function clientReport(
  { pid, socket, since }: ReportedClient,
  state: ClientState,
  holds: Holds,
  clock: { readonly monotonic: number; readonly unix: number },
): ClientReport {
  const { session, waitingSince, request, paused } = state
  const linked = [...holds.all()]
  const unix = (monotonic: number): number => clock.unix - (clock.monotonic - monotonic)
  return {
    id: pid,
    user: session.user,
    database: session.database,
    replication: 'none',
    state: waitingSince !== null ? 'waiting' : linked.length > 0 ? 'active' : 'idle',
    engaged: linked.length > 0 || (request !== null && !paused),
    transaction: transactionOf(state),
    pins: linked.flatMap(({ cluster, pins }) => [...pins].map((reason) => `${cluster}: ${reason}`)),
    paused,
    waitMs: waitingSince === null ? 0 : clock.monotonic - waitingSince,
    connectedAt: unix(since),
    requestedAt: unix(Math.max(since, state.requestedAt)),
    ...addressesOf(socket),
    tls: tlsOf(socket),
    application: effective(session.settings, 'application_name') ?? '',
    prepared: session.prepared.size,
    links: linked.map(({ cluster, connection, route }) => ({
      cluster,
      node: connection.node.id,
      pid: connection.backend.pid,
      role: route.role,
    })),
    ...bytesOf(socket),
  }
}

/** A replication connection: nothing of it is understood here, and nobody waits for its end. */
export function replicationReport(
  { pid, socket, since }: ReportedClient,
  { user, database, replication, settings }: Login,
  link: ClientLink,
  clock: { readonly monotonic: number; readonly unix: number },
): ClientReport {
  const connectedAt = clock.unix - (clock.monotonic - since)
  return {
    id: pid,
    user,
    database,
    replication: replication === 'database' ? 'logical' : 'physical',
    state: 'active',
    engaged: false,
    transaction: 'none',
    pins: [],
    paused: false,
    waitMs: 0,
    connectedAt,
    requestedAt: connectedAt,
    ...addressesOf(socket),
    tls: tlsOf(socket),
    application: settings.get('application_name') ?? '',
    prepared: 0,
    links: [link],
    ...bytesOf(socket),
  }
}

function transactionOf({ session: { transaction } }: ClientState): ClientReport['transaction'] {
  switch (transaction.kind) {
    case 'idle':
      return 'none'
    case 'open':
      return transaction.status === 'E' ? 'failed' : 'open'
    case 'deferred':
      return transaction.failed ? 'failed' : 'begun'
  }
}

/** What a socket tells of itself; one that speaks TLS tells it of the socket below. */
type Wire = Duplex & Partial<Pick<Socket, 'remoteAddress' | 'remotePort' | 'localAddress' | 'localPort' | 'bytesRead' | 'bytesWritten'>>

function addressesOf(socket: Duplex): Pick<ClientReport, 'addr' | 'port' | 'localAddr' | 'localPort'> {
  const { remoteAddress, remotePort, localAddress, localPort } = socket as Wire
  return { addr: remoteAddress ?? 'unix', port: remotePort ?? 0, localAddr: localAddress ?? 'unix', localPort: localPort ?? 0 }
}

function tlsOf(socket: Duplex): string {
  if (!(socket instanceof TLSSocket)) return ''
  return `${socket.getProtocol() ?? ''}/${socket.getCipher().standardName}`
}

/** What went over the wire, as the socket has counted it. */
export function bytesOf(socket: Duplex): { readonly received: number; readonly sent: number } {
  const { bytesRead = 0, bytesWritten = 0 } = socket as Wire
  return { received: bytesRead, sent: bytesWritten }
}
