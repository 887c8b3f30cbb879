// server/address.ts — where a server is, and how to speak to it. A host that begins with a slash is the directory of a
// Unix socket, as in libpq.
import type { ClusterConfig, NodeConfig } from '../config/config.js'

export type ClusterTls = ClusterConfig['tls']

export interface Address {
  readonly cluster: string
  readonly node: NodeConfig
  readonly tls: ClusterTls
}

export function isUnix(node: NodeConfig): boolean {
  return node.host.startsWith('/')
}

export function socketPath(node: NodeConfig): string {
  return `${node.host}/.s.PGSQL.${String(node.port)}`
}
