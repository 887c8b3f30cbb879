// monitor/connect-node.ts — the monitor's connections are ordinary server connections that only ask simple queries.
import { connectServer } from '../server/connect-server.js'
import type { ConnectMonitor } from './connection.js'

/** `now`: process-monotonic ms. `background`: they do not keep the process alive. */
export function connectNode(now: () => number, background = false): ConnectMonitor {
  return async (node, cluster, login, signal) => {
    const identity = { cluster: cluster.id, ...login, key: 'monitor' }
    const startup = { application_name: 'pointsman monitor' }
    const connection = await connectServer(
      node,
      cluster.tls,
      identity,
      { now, startup, maxStatements: 0, answerMs: Infinity, background, positions: cluster },
      signal,
    )
    return {
      query: async (sql) => (await connection.query(sql)).rows,
      close: () => connection.close(),
      onClosed: (listener) => connection.onClosed(listener),
    }
  }
}
