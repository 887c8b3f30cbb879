// embedded/demo.ts — what `npm start` shows: seven servers behind one database. `main` holds users, with two replicas; `media`
// holds images, with one; comments are sharded by image over two clusters; countries are everywhere.
import { commentsSeed, countriesSeed, imagesSeed, usersSeed } from './demo-seed.js'
import type { TopologyDescription } from './description.js'
import type { RunningTopology } from './topology.js'

/** Logical shards of the demo's comments, and which of them each cluster holds. */
const shards = 64
const shardRanges: Readonly<Record<string, readonly [first: number, last: number]>> = { comments_0: [0, 31], comments_1: [32, 63] }

/** The demo's servers. Database, user and password are all `app`. */
export function demoTopology(): TopologyDescription {
  const comments = Object.entries(shardRanges).map(([id, [first, last]]) => [
    id,
    { seed: [countriesSeed, commentsSeed(shards, first, last)] },
  ])
  return {
    clusters: {
      main: { replicas: 2, seed: [countriesSeed, usersSeed] },
      media: { replicas: 1, seed: [countriesSeed, imagesSeed] },
      ...(Object.fromEntries(comments) as TopologyDescription['clusters']),
    },
  }
}

/** Where the proxy of the demo listens. Port 0: any. */
export interface DemoPorts {
  readonly listen: number
  /** null: no admin port. */
  readonly admin: number | null
}

/** The configuration, as YAML, of a Pointsman in front of running demo servers. */
export function demoConfig(running: RunningTopology, ports: DemoPorts = { listen: 6432, admin: 6480 }): string {
  const user = JSON.stringify(running.user)
  const password = JSON.stringify(running.password)
  const clusters = [...running.clusters.values()].map((cluster) => {
    const nodes = cluster.nodes.map((node) => JSON.stringify(node.address)).join(', ')
    return `  ${cluster.id}: { dbname: ${cluster.dbname}, user: ${user}, password: ${password}, nodes: [${nodes}] }`
  })
  const map = Object.entries(shardRanges).map(([id, [first, last]]) => `${id}: [${String(first)}-${String(last)}]`)
  return `version: 1
listen: { host: 127.0.0.1, port: ${String(ports.listen)} }
${ports.admin === null ? '' : `admin: { host: 127.0.0.1, port: ${String(ports.admin)} }\n`}auth:
  method: scram-sha-256
  users:
    - { name: ${user}, password: ${password} }
  admins: [${user}]
clusters:
${clusters.join('\n')}
databases:
  app:
    default: main
    owner: core-team
    partitions:
      media: { cluster: media, owner: media-team, tables: [images] }
    sharded:
      comments:
        clusters: [${Object.keys(shardRanges).join(', ')}]
        shards: ${String(shards)}
        map: { ${map.join(', ')} }
        by: hash
        key_type: bigint
        owner: comments-team
        tables: { comments: image_id }
    reference: [countries]
    reads:
      default: { consistency: session, max_staleness: 5s, on_unmet: [wait 30ms, primary] }
`
}
