// doors/library/open-connection.ts — opens a pg.Client for our pools and asks the server, once, who it is (Evidence) and
// what a session there starts with (Greeting).
import type { ClusterConfig, NodeConfig } from '../../config/config.js'
import { positionProvider } from '../../consistency/position-provider.js'
import type { Connect, Identity } from '../../pool/contract.js'
import { askPosition, evidence } from '../../server/ask-position.js'
import { tlsOptions } from '../../server/dial.js'
import type { Greeting } from '../../session/session.js'
import type { PgClient, PgResult } from './pg-client.js'
import { PgConnection } from './pg-connection.js'
import type { PgModule } from './public.js'

export interface OpenParts {
  readonly pg: PgModule
  /** Options of the user for every client. */
  readonly client: Readonly<Record<string, unknown>>
  readonly now: () => number
  /** The client is connected; what a listener sends now runs before anything else. Also after DISCARD ALL. */
  readonly onConnect: (client: PgClient) => void
  readonly onRemove: (client: PgClient) => void
  /** It broke while it was idle. */
  readonly onIdleError: (error: Error, client: PgClient) => void
}

const greetingQuery =
  "SELECT pg_catalog.current_setting('search_path'), current_user::text, " +
  "pg_catalog.current_setting('default_transaction_isolation'), pg_catalog.current_setting('default_transaction_read_only')"

/** How connections to the nodes of `cluster` are opened. */
export function openConnections(parts: OpenParts, cluster: ClusterConfig): Connect<PgConnection> {
  return async (node, identity, signal) => {
    const { mode } = cluster.tls
    if (mode !== 'prefer') return open(parts, cluster, node, identity, signal, mode === 'disable' ? false : sslOf(cluster, node))
    try {
      return await open(parts, cluster, node, identity, signal, sslOf(cluster, node))
    } catch (error) {
      if (!refusesTls(error)) throw error
      return open(parts, cluster, node, identity, signal, false)
    }
  }
}

function sslOf(cluster: ClusterConfig, node: NodeConfig): object | false {
  return node.host.startsWith('/') ? false : tlsOptions(cluster.tls, node.host)
}

/** pg's own words: the protocol's answer `N` has no code. */
function refusesTls(error: unknown): boolean {
  return error instanceof Error && error.message === 'The server does not support SSL connections'
}

async function open(
  parts: OpenParts,
  cluster: ClusterConfig,
  node: NodeConfig,
  identity: Identity,
  signal: AbortSignal,
  ssl: object | false,
): Promise<PgConnection> {
  signal.throwIfAborted()
  const client = new parts.pg.Client({
    keepAlive: true,
    ...parts.client,
    host: node.host,
    port: node.port,
    user: identity.user,
    database: identity.dbname,
    // Never from pgpass or PGPASSWORD: the configuration decides.
    password: identity.password ?? '',
    ssl,
    ...(ssl !== false && cluster.tls.negotiation === 'direct' ? { sslnegotiation: 'direct' } : {}),
    pipeline: false,
    ...(node.subscriber ? { options: readOnlyOptions(parts.client['options']) } : {}),
  }) as PgClient
  const connection = new PgConnection(client)
  const abort = (): void => {
    client.connection.stream.destroy(signal.reason instanceof Error ? signal.reason : undefined)
  }
  signal.addEventListener('abort', abort, { once: true })
  try {
    await client.connect()
    parts.onConnect(client)
    await introduce(parts, connection, cluster, node)
    connection.onScrubbed = () => parts.onConnect(client)
    connection.onIdleError = (error) => parts.onIdleError(error, client)
    connection.onClosed(() => parts.onRemove(client))
    return connection
  } catch (error) {
    connection.close()
    throw error
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

async function introduce(parts: OpenParts, connection: PgConnection, cluster: ClusterConfig, node: NodeConfig): Promise<void> {
  const raw = { getTypeParser: () => (value: unknown) => value }
  const provider = positionProvider(cluster, node)
  let greeting: readonly (string | null)[] | undefined
  // One round trip: the position, which must not be older than `openedAt`, and the greeting.
  const ask = async (sql: string): Promise<readonly (readonly (string | null)[])[]> => {
    const answer = await connection.client.query({ text: `${sql}; ${greetingQuery}`, rowMode: 'array', types: raw })
    const [position, greeted] = answer as PgResult[]
    greeting = greeted?.rows[0] as (string | null)[] | undefined
    return (position?.rows ?? []) as (string | null)[][]
  }
  const openedAt = parts.now()
  const said = await askPosition(ask, provider, provider.look)
  connection.opened(evidence(node.id, openedAt, said), greetingOf(connection, node, greeting))
}

/** A logical subscriber would take a write that a standby refuses. */
function readOnlyOptions(given: unknown): string {
  return `${typeof given === 'string' ? given : ''} -c default_transaction_read_only=on`.trim()
}

function greetingOf(connection: PgConnection, { subscriber }: NodeConfig, row: readonly (string | null)[] = []): Greeting {
  const [searchPath = null, role = null, isolation = null, readOnly = null] = row
  // That connections to a subscriber only read is our doing, not the client's default.
  const readsOnly = readOnly !== 'off' && !subscriber
  return { parameters: connection.parameters, searchPath, role, isolation: isolation ?? 'serializable', readOnly: readsOnly }
}
