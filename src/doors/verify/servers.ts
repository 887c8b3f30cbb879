// doors/verify/servers.ts — the servers and the config of a run without -c: one primary and two replicas, thrown away at the
// end. Commits wait for one replica, so that what was acknowledged survives the loss of the primary.
import type { ConfigInput } from '../../config/input.js'
import type { EmbeddedCluster } from '../../embedded/cluster.js'
import { startTopology, type RunningTopology } from '../../embedded/topology.js'
import { schema } from './workload.js'

const id = 'main'

export interface VerifyServers {
  readonly running: RunningTopology
  readonly cluster: EmbeddedCluster
  readonly config: ConfigInput
}

export async function startServers(say: (text: string) => void): Promise<VerifyServers> {
  const running = await startTopology({ clusters: { [id]: { replicas: 2 } } }, { onProgress: say })
  const cluster = running.cluster(id)
  try {
    for (const node of cluster.nodes) await synchronous(node)
    return { running, cluster, config: configOf(running, cluster) }
  } catch (error) {
    await running.stop()
    throw error
  }
}

/** Whichever replica has it first; copies of a data directory take the setting with them. */
async function synchronous(node: EmbeddedCluster['primary']): Promise<void> {
  await node.sql("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'")
  await node.sql('SELECT pg_reload_conf()')
}

function configOf({ user, password }: RunningTopology, { dbname, nodes }: EmbeddedCluster): ConfigInput {
  return {
    version: 1,
    listen: { host: '127.0.0.1', port: 0 },
    auth: { method: 'scram-sha-256', users: [{ name: user, password }] },
    clusters: {
      [id]: {
        dbname,
        user,
        password,
        tls: { mode: 'disable' },
        nodes: nodes.map(({ address }) => address),
        pool: { max: 40, wait: '10s' },
        failover: { wait: '15s' },
      },
    },
    databases: {
      [dbname]: {
        default: id,
        owner: schema,
        reads: {
          default: { consistency: 'session', on_unmet: ['wait 30ms', 'primary'] },
          tables: { [`${schema}.cached`]: { cache: '2s' } },
        },
      },
    },
  }
}
