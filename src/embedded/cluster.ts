// embedded/cluster.ts — a primary and its replicas. Which node is the primary is what the verbs made it, not what was
// once described: promote() changes it.
import { readFile } from 'node:fs/promises'
import type { ClusterDescription } from './description.js'
import { EmbeddedNode, type House, type NodeOptions } from './node.js'
import { readStanding } from './standing.js'
import { until } from './until.js'

/** Who logs in and what with. */
export interface Login {
  readonly user: string
  readonly password: string
}

export class EmbeddedCluster {
  readonly id: string
  readonly dbname: string
  readonly #house: House
  readonly #description: ClusterDescription
  readonly #nodes: EmbeddedNode[] = []
  #next = 0

  constructor(house: House, id: string, description: ClusterDescription) {
    this.#house = house
    this.id = id
    this.dbname = description.dbname ?? 'app'
    this.#description = description
  }

  get nodes(): readonly EmbeddedNode[] {
    return this.#nodes
  }

  /** The node that follows nobody; of several (after a promotion) the one that runs, the latest first. */
  get primary(): EmbeddedNode {
    const heads = this.#nodes.filter((node) => node.upstream === null)
    const head = heads.findLast((node) => node.running) ?? heads[0]
    if (head === undefined) throw new Error(`cluster ${this.id} has no primary`)
    return head
  }

  /** All nodes that follow another. */
  get replicas(): readonly EmbeddedNode[] {
    return this.#nodes.filter((node) => node.upstream !== null)
  }

  /** The `index`th replica, counted from 0. */
  replica(index = 0): EmbeddedNode {
    const found = this.replicas[index]
    if (found === undefined) throw new Error(`cluster ${this.id} has no replica ${String(index)}`)
    return found
  }

  /** Makes and starts everything: once in the life of a cluster. */
  async create(login: Login): Promise<void> {
    const primary = await EmbeddedNode.createPrimary(this.#house, this.#options(null))
    this.#nodes.push(primary)
    await primary.start()
    await this.#seed(primary, login).catch((cause: unknown) => {
      throw new Error(`the seed of cluster ${this.id} failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    })
    for (let made = 0; made < (this.#description.replicas ?? 0); made++) await this.addReplica()
    await this.waitCaughtUp()
  }

  /**
   * Starts servers that were made before. `ports` in the order of the nodes. After a promotion the promoted one is the primary,
   * and whoever is not its follower comes back as a copy of it.
   */
  async reopen(ports: readonly number[]): Promise<void> {
    for (const port of ports) this.#nodes.push(EmbeddedNode.known(this.#house, this.#options(port)))
    const known = await Promise.all(this.#nodes.map(async (node) => ({ node, ...(await readStanding(node.dataDir)) })))
    const [head] = known.filter(({ follows }) => !follows).sort((a, b) => b.timeline - a.timeline)
    if (head === undefined) throw new Error(`cluster ${this.id} has no primary`)
    await head.node.start()
    const others = known.filter((one) => one !== head)
    const [followers, strangers] = partition(others, ({ follows, timeline }) => follows && timeline === head.timeline)
    for (const { node } of others) node.attach(head.node)
    await Promise.all(followers.map(({ node }) => node.start()))
    for (const { node } of strangers) await node.rebuild(head.node)
  }

  /** Adds a replica to the running cluster, a fresh copy of its primary, and returns once it takes connections. */
  async addReplica(): Promise<EmbeddedNode> {
    const replica = await EmbeddedNode.createReplica(this.#house, this.#options(null), this.primary)
    this.#nodes.push(replica)
    await replica.start()
    return replica
  }

  /**
   * Returns once every running replica has applied all that the primary has written until now.
   * @throws Error when one does not: its replay is paused, or its link is cut
   */
  async waitCaughtUp(nodes: readonly EmbeddedNode[] = this.replicas.filter((node) => node.running)): Promise<void> {
    const [row] = await this.primary.sql('SELECT pg_current_wal_lsn() AS lsn')
    const lsn = row?.['lsn'] ?? '0/0'
    const applied = `SELECT 1 WHERE pg_last_wal_replay_lsn() >= '${lsn}'`
    await Promise.all(nodes.map((node) => until(`${node.id} has applied ${lsn}`, async () => (await node.sql(applied)).length > 0)))
  }

  async stop(mode: 'fast' | 'immediate'): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.stop(mode)))
  }

  #options(port: number | null): NodeOptions {
    const { settings = {}, hba = [], files = {} } = this.#description
    const id = `${this.id}-${String(this.#next++)}`
    return { id, cluster: this.id, dbname: this.dbname, settings, hba, files, port }
  }

  async #seed(primary: EmbeddedNode, { user, password }: Login): Promise<void> {
    const { seed = [], seedFiles = [], prepare } = this.#description
    // pg_monitor lets the same login serve as the monitor's: it may read whom a replica follows, and on which timeline.
    await primary.sql(`CREATE ROLE ${name(user)} LOGIN PASSWORD ${text(password)} CREATEDB; GRANT pg_monitor TO ${name(user)}`, {
      dbname: 'postgres',
    })
    await primary.sql(`CREATE DATABASE ${name(this.dbname)} OWNER ${name(user)}`, { dbname: 'postgres' })
    if (prepare !== undefined) await primary.sql(prepare)
    const scripts = [...(typeof seed === 'string' ? [seed] : seed)]
    for (const file of seedFiles) scripts.push(await readFile(file, 'utf8'))
    for (const script of scripts) await primary.sql(script, { user })
    await primary.sql('ANALYZE')
  }
}

function partition<T>(all: readonly T[], first: (one: T) => boolean): readonly [readonly T[], readonly T[]] {
  return [all.filter(first), all.filter((one) => !first(one))]
}

function name(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`
}

function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`
}
