// monitor/connection.ts — the little that the monitor asks of a server connection. server/connect.ts gives the real one.
import type { ClusterConfig, NodeConfig } from '../config/config.js'

export interface MonitorConnection {
  /** One simple query; rows of text or null. Rejects with the server's error, or when the connection is lost. */
  query(sql: string): Promise<readonly (readonly (string | null)[])[]>
  close(): void
  /** Called once when the connection closes for whatever reason, close() included. */
  onClosed(listener: (reason: string) => void): void
}

/** Opens a connection to `login.dbname` of a node. Rejects with `signal.reason` if that fires first. */
export type ConnectMonitor = (
  node: NodeConfig,
  cluster: ClusterConfig,
  login: MonitorLogin,
  signal: AbortSignal,
) => Promise<MonitorConnection>

export interface MonitorLogin {
  readonly user: string
  readonly password: string | null
  readonly dbname: string
}

/** Whom the monitor logs in as; null where the config names nobody. A cluster of many databases is watched from `postgres`. */
export function monitorLogin(cluster: ClusterConfig): MonitorLogin | null {
  const user = cluster.monitor?.user ?? cluster.user
  if (user === null) return null
  const password = cluster.monitor === null ? cluster.password : cluster.monitor.password
  return { user, password, dbname: cluster.dbname ?? 'postgres' }
}
