// doors/proxy/replication.ts — a replication connection (pg_receivewal, pg_recvlogical, pg_basebackup): one server connection of
// its own, outside the pools, for as long as the client stays. What the client sends goes on message by message, what the
// server sends as it comes; nothing of it is understood, repeated or kept here.
import { clustersOf } from '../../config/clusters-of.js'
import type { ClusterConfig, Config, NodeConfig } from '../../config/config.js'
import { PointsmanError } from '../../errors/error.js'
import { encodeErrorResponse } from '../../protocol/error-fields.js'
import type { ClusterSnapshot } from '../../topology/topology.js'
import type { Generation } from '../../runtime/contract.js'
import type { ServerConnection } from '../../server/contract.js'
import { openRaw, type RawConnection } from '../../server/raw-connection.js'
import { listenTo } from '../../server/shared-reads.js'
import { isOwn } from '../../session/replay.js'
import type { Settings } from '../../session/settings.js'
import type { ClientLink } from './client-report.js'
import { errorFields } from './error-reply.js'
import { databaseOf, type Login } from './login.js'

const connectMs = 10_000
const finWaitMs = 2_000

/** Where it goes, and as whom. */
interface Target {
  readonly cluster: ClusterConfig
  readonly node: NodeConfig
  readonly role: 'primary' | 'replica'
  /** The client's database, for the login where the cluster has none of its own. */
  readonly database: string
}

export class ReplicationClient {
  /** Where it went. */
  readonly link: ClientLink
  readonly #login: Login
  readonly #server: RawConnection
  #closed: ((reason: string) => void) | null = null
  #pumping = false

  private constructor(login: Login, server: RawConnection, link: ClientLink) {
    this.link = link
    this.#login = login
    this.#server = server
  }

  /** Connects to the server that the client means. Rejects with what the client is to be told. */
  static async open(login: Login, generation: Generation<ServerConnection>): Promise<ReplicationClient> {
    const { user, password, keys, replication } = login
    const { cluster, node, role, database } = targetOf(login, generation)
    const identity = generation.identityFor(cluster.id, { database, user, password, keys })
    const parameters: [string, string][] = [['replication', replication ?? 'true']]
    for (const [name, value] of login.settings) if (!isOwn(name)) parameters.push([name, value])
    const address = { cluster: cluster.id, node, tls: cluster.tls }
    const server = await openRaw(address, identity, parameters, AbortSignal.timeout(connectMs))
    return new ReplicationClient(login, server, { cluster: cluster.id, node: node.id, pid: server.pid, role })
  }

  get parameters(): ReadonlyMap<string, string> {
    return this.#server.parameters
  }

  /** Passes on both ways until one side ends; resolves with the reason. */
  run(): Promise<string> {
    const { input, output } = this.#login
    const { socket } = this.#server
    return new Promise((resolve) => {
      this.#closed = resolve
      listenTo(socket, (chunk) => {
        if (!output.write(chunk)) socket.pause()
      })
      output.onDrain = () => socket.resume()
      socket.on('close', () => this.#end('the server closed the connection'))
      socket.on('drain', () => this.#pump())
      input.onInput = () => this.#pump()
      input.onGone = () => this.#end('the client closed the connection')
      socket.resume()
      this.#pump()
    })
  }

  cancel(): void {
    this.#server.cancel().catch(() => undefined)
  }

  /** Ends it whatever runs. What the server sends cannot be told from the outside, so there is no place for an error. */
  close(reason: string): void {
    this.#end(reason)
  }

  #pump(): void {
    if (this.#pumping || this.#closed === null) return
    this.#pumping = true
    const { input } = this.#login
    const { socket } = this.#server
    try {
      while (!socket.writableNeedDrain) {
        const frame = input.shift()
        if (frame === undefined) break
        socket.write(frame.bytes)
      }
      // The server may still have something to say.
      if (input.ended && !socket.writableNeedDrain) socket.end()
    } catch (error) {
      this.#login.output.write(encodeErrorResponse(errorFields(error, 'FATAL')))
      this.#end('the client broke the protocol')
    }
    this.#pumping = false
  }

  #end(reason: string): void {
    const closed = this.#closed
    if (closed === null) return
    this.#closed = null
    const { socket } = this.#server
    socket.end()
    setTimeout(() => socket.destroy(), finWaitMs).unref()
    closed(reason)
  }
}

function targetOf(login: Login, generation: Generation<ServerConnection>): Target {
  const { config } = generation
  const { settings } = login
  const { clusters, database } = homesOf(config, login)
  const named = settings.get('pointsman.cluster')
  const id = named ?? clusters[0]
  const cluster = id === undefined || !clusters.includes(id) ? undefined : config.clusters.get(id)
  if (cluster === undefined) {
    throw new PointsmanError('invalid_parameter_value', {
      values: { what: `pointsman.cluster names no cluster of the database: its clusters are ${clusters.join(', ')}` },
    })
  }
  const snapshot = generation.topology().clusters.get(cluster.id)
  const node = nodeOf(cluster, snapshot, settings)
  if (node !== null) return { cluster, node, role: node.id === snapshot?.primary?.id ? 'primary' : 'replica', database }
  throw new PointsmanError('cluster_unreachable', { values: { cluster: cluster.id, why: 'it has no server for a replication connection' } })
}

/**
 * Clusters that may be meant, the first by default. Physical replication is of no database: libpq's tools then name one that
 * need not exist ("replication").
 */
function homesOf(config: Config, { database: name, replication, settings }: Login): { clusters: readonly string[]; database: string } {
  const known = databaseOf(config, name)
  if (known !== undefined) return { clusters: clustersOf(known), database: name }
  const [first] = config.databases.keys()
  if (replication === 'database' || first === undefined) throw new PointsmanError('unknown_database', { values: { database: name } })
  const defaults = new Set([...config.databases.values()].map((database) => database.default))
  if (defaults.size > 1 && !settings.has('pointsman.cluster')) {
    throw new PointsmanError('unknown_database', {
      values: { database: name },
      hint: "Name a database, or a cluster: options='-c pointsman.cluster=…'.",
    })
  }
  return { clusters: [...new Set([...defaults, ...config.clusters.keys()])], database: first }
}

/** `pointsman.consistency=any`: a replica, if one is up. */
function nodeOf(cluster: ClusterConfig, snapshot: ClusterSnapshot | undefined, settings: Settings): NodeConfig | null {
  const replica = snapshot?.nodes.find(({ role, health, unfit }) => role === 'replica' && health === 'up' && unfit === null)
  const wanted = settings.get('pointsman.consistency') === 'any' ? (replica ?? snapshot?.primary) : snapshot?.primary
  return cluster.nodes.find(({ id }) => id === wanted?.id) ?? null
}
