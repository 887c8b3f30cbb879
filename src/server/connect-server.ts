// server/connect-server.ts — opens one connection whole: socket, TLS, login, and the evidence that it gives of its server.
import type { ClusterConfig, NodeConfig } from '../config/config.js'
import { positionProvider, type PositionProvider, type PositionSource } from '../consistency/position-provider.js'
import { PointsmanError } from '../errors/error.js'
import type { Connect, Evidence, Identity } from '../pool/contract.js'
import { serverEndPoint } from '../protocol/channel-binding.js'
import { encodeStartupMessage } from '../protocol/startup.js'
import type { Address, ClusterTls } from './address.js'
import { askPosition, evidence } from './ask-position.js'
import { Connection, DEFAULT_MAX_STATEMENTS } from './connection.js'
import type { ServerConnection } from './contract.js'
import { dial } from './dial.js'
import { unreachable } from './unreachable.js'

export interface ServerOptions {
  /** Process-monotonic milliseconds. Default: performance.now(). */
  readonly now?: () => number
  /** For socket, TLS and login together. Default: 10 s. */
  readonly timeoutMs?: number
  /** Further startup parameters; user, database and client_encoding are set here. A pool's have no application_name: it is its clients' to say. */
  readonly startup?: Readonly<Record<string, string>>
  /** Asked for: 3.`minor`. A server may answer with an older one. Default: 0. */
  readonly minor?: number
  /** Prepared statements kept on the server per connection. */
  readonly maxStatements?: number
  /** What the server has for an answer to a question of ours; Infinity: whoever asks sees to that. A minute by default. */
  readonly answerMs?: number
  /** The socket does not keep the process alive. */
  readonly background?: boolean
  /** How the cluster's positions are measured. Default: by WAL. */
  readonly positions?: PositionSource
}

const TIMEOUT_MS = 10_000
const byWal: PositionSource = { position: { kind: 'wal' }, dbname: null }

/**
 * Rejects with the server's own error (ServerError), with node_unreachable, authentication_failed or connection_lost
 * (PointsmanError), or with `signal.reason`. Nothing is left open then.
 */
export async function connectServer(
  node: NodeConfig,
  tls: ClusterTls,
  identity: Identity,
  options: ServerOptions,
  signal: AbortSignal,
): Promise<ServerConnection> {
  const address: Address = { cluster: identity.cluster, node, tls }
  // By hand, since AbortSignal.any() would hang one more listener for ever on a signal that lives as long as its pool.
  const stop = new AbortController()
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS
  const timer = setTimeout(() => stop.abort(new Error(`no answer within ${String(timeoutMs)} ms`)), timeoutMs)
  if (options.background === true) timer.unref()
  const giveUp = (): void => stop.abort(signal.reason)
  signal.addEventListener('abort', giveUp, { once: true })
  try {
    signal.throwIfAborted()
    return await open(address, identity, options, stop.signal)
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw unreachable(address, stop.signal.aborted ? stop.signal.reason : error)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', giveUp)
  }
}

/** For the pools: TLS by the identity's cluster. `clusterOf` may follow a reload; an unknown cluster is an error. */
export function createConnect(
  clusterOf: (id: string) => ClusterConfig | undefined,
  options: ServerOptions = {},
): Connect<ServerConnection> {
  return async (node, identity, signal) => {
    const cluster = clusterOf(identity.cluster)
    if (cluster === undefined) {
      throw new PointsmanError('cluster_unreachable', { values: { cluster: identity.cluster, why: 'the configuration does not have it' } })
    }
    const minor = cluster.protocol === '3.2' ? 2 : 0
    return connectServer(node, cluster.tls, identity, { ...options, minor, positions: cluster }, signal)
  }
}

async function open(address: Address, identity: Identity, options: ServerOptions, signal: AbortSignal): Promise<ServerConnection> {
  const { node } = address
  const dialled = await dial(address, signal, options.background)
  const connection = new Connection(address, dialled, options.maxStatements ?? DEFAULT_MAX_STATEMENTS, options.answerMs)
  const abort = (): void => connection.close()
  signal.addEventListener('abort', abort, { once: true })
  try {
    signal.throwIfAborted()
    const certificate = dialled.tls?.getPeerX509Certificate()
    const binding = certificate === undefined ? null : serverEndPoint(certificate.raw)
    await connection.login(startupMessage(node, identity, options), {
      user: identity.user,
      password: identity.password,
      keys: identity.keys ?? null,
      binding,
    })
    const provider = positionProvider(options.positions ?? byWal, node)
    connection.proved(await evidenceOf(connection, provider, options.now ?? (() => performance.now())))
    return connection
  } catch (error) {
    connection.close()
    throw error
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

function startupMessage(node: NodeConfig, identity: Identity, options: ServerOptions): Uint8Array {
  return encodeStartupMessage(
    Object.entries({
      // A logical subscriber would take a write that a standby refuses.
      ...(node.subscriber ? { default_transaction_read_only: 'on' } : {}),
      ...options.startup,
      user: identity.user,
      database: identity.dbname,
      client_encoding: 'UTF8',
    }),
    options.minor ?? 0,
  )
}

/** The time is taken before the query is sent: what the server shows later is at least as new. */
async function evidenceOf(connection: Connection, provider: PositionProvider, now: () => number): Promise<Evidence> {
  const openedAt = now()
  const said = await askPosition(async (sql) => (await connection.query(sql)).rows, provider, provider.look)
  return evidence(connection.node.id, openedAt, said)
}
