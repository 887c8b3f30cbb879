// runtime/identity.ts — which login a client of a database has on a cluster. The key names it without telling a
// secret: where two logins differ by password only, a digest under a key of this process keeps their pools apart.
import { createHmac, randomBytes } from 'node:crypto'
import type { ClusterConfig, Config } from '../config/config.js'
import type { Identity } from '../pool/contract.js'
import type { LoginKeys } from '../server/login-keys.js'
import type { ClientLogin } from './contract.js'
import type { Parties } from './parties.js'

const processKey = randomBytes(32)

export function createIdentities(config: Config, parties: Parties): (cluster: string, client: ClientLogin) => Identity {
  const known = new Map<string, Identity>()
  return (id, client) => {
    const cluster = config.clusters.get(id)
    if (cluster === undefined) throw new RangeError(`no cluster ${id} in the configuration`)
    const name = JSON.stringify([id, client.database, client.user])
    const before = known.get(name)
    if (before?.password === passwordOf(cluster, client) && before.keys === keysOf(cluster, client)) return before
    const identity = identityOf(cluster, client, parties)
    known.set(name, identity)
    return identity
  }
}

function identityOf(cluster: ClusterConfig, client: ClientLogin, parties: Parties): Identity {
  const dbname = cluster.dbname ?? client.database
  const user = cluster.user ?? client.user
  const password = passwordOf(cluster, client)
  const keys = keysOf(cluster, client)
  const mark =
    keys !== null ? keys.id : password === null ? 'none' : createHmac('sha256', processKey).update(password).digest('hex').slice(0, 16)
  const key = JSON.stringify([cluster.id, dbname, user, mark])
  return Object.freeze({ cluster: cluster.id, dbname, user, password, keys, key, party: parties.of(client.user, client.database) })
}

/** Null where the password itself is known. */
function keysOf(cluster: ClusterConfig, client: ClientLogin): LoginKeys | null {
  return cluster.user === null && client.password === null ? (client.keys ?? null) : null
}

function passwordOf(cluster: ClusterConfig, client: ClientLogin): string | null {
  return cluster.user === null ? client.password : cluster.password
}
