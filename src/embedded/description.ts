// embedded/description.ts — what somebody wants to have running, in a few words: clusters, replicas, seed.

/** Clusters by id. The id is also the name in a configuration. */
export interface TopologyDescription {
  readonly clusters: Readonly<Record<string, ClusterDescription>>
  /** Login role of the application and owner of its databases. Default `app`. */
  readonly user?: string
  /** Its password, for SCRAM over TCP. Default: the user's name. */
  readonly password?: string
}

/** One primary and its replicas. */
export interface ClusterDescription {
  /** Default 0. */
  readonly replicas?: number
  /** Default `app`. */
  readonly dbname?: string
  /** Run as the user in its database, each as one simple query, so in one transaction unless it says otherwise. */
  readonly seed?: string | readonly string[]
  /** Files with such SQL, run after `seed`. */
  readonly seedFiles?: readonly string[]
  /** Run before the seed as the superuser in the same database: roles, extensions. */
  readonly prepare?: string
  /** Added to postgresql.conf of every node. */
  readonly settings?: Readonly<Record<string, string>>
  /** Lines that come first in pg_hba.conf of every node. */
  readonly hba?: readonly string[]
  /** Files for the data directory of every node, by name: certificates, keys. */
  readonly files?: Readonly<Record<string, string>>
}
