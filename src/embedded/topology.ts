// embedded/topology.ts — starts what a description describes: real PostgreSQL servers with streaming replication, for the
// demo (kept in a directory and found again), for tests and development (thrown away). Several topologies run side by side.
import { rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { ownDirectory, serverAccount } from './account.js'
import { findBinaries } from './binaries.js'
import { EmbeddedCluster, type Login } from './cluster.js'
import type { TopologyDescription } from './description.js'
import { startJanitor } from './guard.js'
import { awaitFormerServers } from './former.js'
import { fingerprint, forget, keptServersDir, readManifest, writeManifest } from './keep.js'
import { lock, type Unlock } from './lock.js'
import type { EmbeddedNode, House } from './node.js'
import { temporaryDirectory } from './temporary.js'

/** Where servers live and who hears of their making. */
export interface TopologyOptions {
  /** A directory to keep them in and to find them again. Default: thrown away. */
  readonly keep?: string
  /** Hears what takes time, in words. */
  readonly onProgress?: (text: string) => void
}

/** Servers that run until stop(), or until this process ends, however it ends. */
export class RunningTopology {
  readonly user: string
  readonly password: string
  readonly clusters: ReadonlyMap<string, EmbeddedCluster>
  readonly #end: () => Promise<void>
  #ending: Promise<void> | null = null

  constructor(login: Login, clusters: ReadonlyMap<string, EmbeddedCluster>, end: () => Promise<void>) {
    this.user = login.user
    this.password = login.password
    this.clusters = clusters
    this.#end = end
  }

  /** @throws Error when there is no such cluster */
  cluster(id: string): EmbeddedCluster {
    const found = this.clusters.get(id)
    if (found === undefined) throw new Error(`the topology has no cluster ${id}`)
    return found
  }

  /** All nodes of all clusters. */
  get nodes(): readonly EmbeddedNode[] {
    return [...this.clusters.values()].flatMap((cluster) => cluster.nodes)
  }

  /** `postgresql://…` of a node, for any client. */
  url(node: EmbeddedNode): string {
    const { dbname } = this.cluster(node.cluster)
    return `postgresql://${encodeURIComponent(this.user)}:${encodeURIComponent(this.password)}@${node.address}/${encodeURIComponent(dbname)}`
  }

  /** Stops all servers and removes what is not kept. */
  stop(): Promise<void> {
    this.#ending ??= this.#end()
    return this.#ending
  }
}

/**
 * Starts the servers of a description and returns once they take connections and all replicas have caught up.
 * @throws Error when one cannot be made or started, or the kept servers are in use by another process; nothing is left running then
 */
export async function startTopology(description: TopologyDescription, options: TopologyOptions = {}): Promise<RunningTopology> {
  const user = description.user ?? 'app'
  const login: Login = { user, password: description.password ?? user }
  const say = options.onProgress ?? (() => undefined)
  return options.keep === undefined ? startThrowAway(description, login, say) : startKept(description, login, options.keep, say)
}

type Say = (text: string) => void

async function startThrowAway(description: TopologyDescription, login: Login, say: Say): Promise<RunningTopology> {
  const account = await serverAccount()
  const binaries = await findBinaries(account)
  const directory = await temporaryDirectory(account, 'pointsman-', true)
  const house: House = { account, binaries, serversDir: directory, socketDir: join(directory, 's'), throwAway: true }
  const sweep = startJanitor(directory, [directory])
  const clusters = makeClusters(house, description)
  const end = async (): Promise<void> => {
    await Promise.all([...clusters.values()].map((cluster) => cluster.stop('immediate')))
    await rm(directory, { recursive: true, force: true })
    await sweep()
  }
  return orEnd(end, async () => {
    await ownDirectory(account, house.socketDir)
    await create(clusters, login, say)
    return new RunningTopology(login, clusters, end)
  })
}

async function startKept(description: TopologyDescription, login: Login, keep: string, say: Say): Promise<RunningTopology> {
  const account = await serverAccount()
  const binaries = await findBinaries(account)
  const serversDir = await keptServersDir(account, keep)
  const unlock = await lock(keep)
  if (unlock === null) throw new Error(`the servers in ${keep} are in use by another process: stop that one, or use another directory`)
  const socketDir = await temporaryDirectory(account, 'pointsman-', true)
  const house: House = { account, binaries, serversDir, socketDir: join(socketDir, 's'), throwAway: false }
  const sweep = startJanitor(serversDir, [socketDir])
  const made = fingerprint(description, binaries.version)
  let clusters = makeClusters(house, description)
  const end = (): Promise<void> => endKept(clusters, unlock, sweep)
  return orEnd(end, async () => {
    await ownDirectory(account, house.socketDir)
    await awaitFormerServers(serversDir)
    const reopened = await reopen(clusters, keep, made, say)
    if (!reopened) {
      await stopAll(clusters, 'immediate')
      await forget(keep, serversDir)
      clusters = makeClusters(house, description)
      await create(clusters, login, say)
    }
    await writeManifest(keep, made, ports(clusters))
    return new RunningTopology(login, clusters, end)
  })
}

async function endKept(clusters: ReadonlyMap<string, EmbeddedCluster>, unlock: Unlock, sweep: () => Promise<void>): Promise<void> {
  await stopAll(clusters, 'fast')
  await sweep()
  await unlock()
}

/** Starts the servers that were kept. False: there are none, or they cannot be used (which is said). */
async function reopen(clusters: ReadonlyMap<string, EmbeddedCluster>, keep: string, made: string, say: Say): Promise<boolean> {
  const manifest = await readManifest(keep, made)
  if (manifest === null) return false
  try {
    if (typeof manifest === 'string') throw new Error(manifest)
    say('starting the servers that were kept')
    await Promise.all([...clusters].map(([id, cluster]) => cluster.reopen(manifest.clusters[id] ?? [])))
    return true
  } catch (error) {
    say(`the servers in ${keep} cannot be used again and are made anew: ${error instanceof Error ? error.message : String(error)}`)
    return false
  }
}

/** Makes all clusters, as many at once as there are processors. */
async function create(clusters: ReadonlyMap<string, EmbeddedCluster>, login: Login, say: Say): Promise<void> {
  const waiting = [...clusters.values()]
  const worker = async (): Promise<void> => {
    for (let cluster = waiting.shift(); cluster !== undefined; cluster = waiting.shift()) {
      await cluster.create(login)
      say(`made cluster ${cluster.id}: ${cluster.replicas.length === 0 ? 'a primary' : `a primary and ${count(cluster.replicas.length)}`}`)
    }
  }
  const workers = Array.from({ length: Math.max(2, availableParallelism()) }, worker)
  const results = await Promise.allSettled(workers)
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

function count(replicas: number): string {
  return replicas === 1 ? 'a replica' : `${String(replicas)} replicas`
}

function makeClusters(house: House, description: TopologyDescription): ReadonlyMap<string, EmbeddedCluster> {
  return new Map(Object.entries(description.clusters).map(([id, cluster]) => [id, new EmbeddedCluster(house, id, cluster)]))
}

function ports(clusters: ReadonlyMap<string, EmbeddedCluster>): Record<string, number[]> {
  return Object.fromEntries([...clusters].map(([id, cluster]) => [id, cluster.nodes.map((node) => node.port)]))
}

async function stopAll(clusters: ReadonlyMap<string, EmbeddedCluster>, mode: 'fast' | 'immediate'): Promise<void> {
  await Promise.all([...clusters.values()].map((cluster) => cluster.stop(mode)))
}

/** What cannot be started is ended, so that nothing is left behind. */
async function orEnd<T>(end: () => Promise<void>, start: () => Promise<T>): Promise<T> {
  try {
    return await start()
  } catch (error) {
    await end().catch(() => undefined)
    throw error
  }
}
