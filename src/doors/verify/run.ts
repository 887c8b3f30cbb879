// doors/verify/run.ts — one whole run: opens both doors on the same servers, lets sessions work while faults come and go,
// reads what survived, and checks the history (CONSISTENCY §2.11).
//
//   sessions ─▶ library ─▶ servers ◀─ faults (embedded servers only)
//            ─▶ proxy ───▶
//   every operation ─▶ history ─▶ file, and check()
import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import type { Config } from '../../config/config.js'
import type { EmbeddedCluster } from '../../embedded/cluster.js'
import { createObserver } from '../../observe/observer.js'
import { seededRandom } from '../../runtime/seeded-random.js'
import type { ClusterSnapshot, Topology } from '../../topology/topology.js'
import { openDoors, type Doors } from '../cli/doors.js'
import { createRouter } from '../library/create-router.js'
import type { RoutedPool, RouterOptions } from '../library/public.js'
import { check, type Verdict } from './check.js'
import { libraryClient, processClient, proxyClient, type OpenClient } from './client.js'
import { injectFaults, type FaultKind } from './faults.js'
import type { Door, Operation } from './history.js'
import { Tables } from './tables.js'
import { hopKinds, runSession, sessionKinds, type SessionKind } from './workload.js'

export interface RunParts {
  /** The module of that name; its clients are what both doors are used through. */
  readonly pg: typeof pg
  /** Of the proxy: where it listens is replaced. */
  readonly config: Config
  /** The same for the library. */
  readonly router: Pick<RouterOptions, 'config' | 'file' | 'env'>
  readonly login: { readonly user: string; readonly password: string }
  /** Databases to work in; each one's default cluster holds its tables. */
  readonly databases: readonly string[]
  /** Servers that may be broken, and how; null: none. */
  readonly faults: { readonly cluster: EmbeddedCluster; readonly kinds: readonly FaultKind[] } | null
  readonly forMs: number
  readonly seed: number
  /** Replication is synchronous: a lost acknowledged write is a violation. */
  readonly durable: boolean
  /** Every operation, as it ends. */
  readonly record: (operation: Operation) => void
  readonly say: (text: string) => void
  /** Ends the run early; what was done until then is checked. */
  readonly stop: AbortSignal
}

export interface RunResult {
  readonly history: readonly Operation[]
  readonly verdict: Verdict
  readonly faults: ReadonlyMap<FaultKind, number>
}

/**
 * The tables are made before the proxy starts, so that its first look at the servers finds them.
 * @throws SetupError
 */
export async function run(parts: RunParts): Promise<RunResult> {
  const { pg, router, login, databases, config, say } = parts
  const routers = new Map(databases.map((database) => [database, createRouter({ pg, ...router, database, ...login })]))
  const homes = new Map(databases.map((database) => [database, config.databases.get(database)?.default ?? '']))
  const tables = new Tables(routers, homes, say)
  try {
    await tables.make(kinds.length)
    const doors = await openDoors(ownDoors(config), createObserver())
    try {
      return await new Run(parts, doors, routers, tables).run()
    } finally {
      await doors.close(0)
    }
  } finally {
    await tables.drop()
    await Promise.all([...routers.values()].map((one) => one.end()))
  }
}

/** On a free port of this machine, whatever the config says of listening; the rest is as it is. */
function ownDoors(config: Config): Config {
  const { listen } = config
  return { ...config, listen: { ...listen, host: '127.0.0.1', port: 0, unix: null, tls: null, clientLifetimeMs: null }, admin: null }
}

/** One register each, in this order. */
const kinds: readonly { readonly kind: SessionKind; readonly door: Door }[] = (['library', 'proxy'] as const)
  .flatMap((door) => [...sessionKinds, ...hopKinds].map((kind) => ({ kind, door })))
  .filter(({ kind, door }) => door === 'library' || kind.process !== true)
  .flatMap((one) => Array.from({ length: one.kind.sessions }, () => one))

class Run {
  readonly #parts: RunParts
  readonly #doors: Doors
  readonly #routers: ReadonlyMap<string, RoutedPool>
  readonly #tables: Tables
  readonly #history: Operation[] = []
  readonly #ending = new AbortController()
  #ids = 0
  #fault: FaultKind | null = null
  #whole = false

  constructor(parts: RunParts, doors: Doors, routers: ReadonlyMap<string, RoutedPool>, tables: Tables) {
    this.#parts = parts
    this.#doors = doors
    this.#routers = routers
    this.#tables = tables
    // Every session listens.
    setMaxListeners(0, this.#ending.signal)
  }

  async run(): Promise<RunResult> {
    const { durable, say } = this.#parts
    const faults = await this.#work()
    say('reading what survived')
    const survivors = await this.#tables.survivors()
    say('checking the history')
    return { history: this.#history, verdict: check(this.#history, survivors, { durable }), faults }
  }

  #router(database: string): RoutedPool {
    const found = this.#routers.get(database)
    if (found === undefined) throw new Error(`no router for ${database}`)
    return found
  }

  // ---- work

  async #work(): Promise<ReadonlyMap<FaultKind, number>> {
    const { forMs, stop, say } = this.#parts
    const over = new AbortController()
    const timer = setTimeout(() => over.abort(), forMs)
    const end = (): void => over.abort()
    stop.addEventListener('abort', end, { once: true })
    await this.#recovered()
    const watching = this.#watchHealth()
    const sessions = this.#sessions()
    try {
      say('clients read and write')
      const faults = await this.#faults(over.signal)
      await untilAborted(over.signal)
      return faults
    } finally {
      clearTimeout(timer)
      stop.removeEventListener('abort', end)
      this.#ending.abort()
      await Promise.all(sessions)
      await watching
    }
  }

  async #faults(over: AbortSignal): Promise<ReadonlyMap<FaultKind, number>> {
    const { faults, forMs, seed, say } = this.#parts
    if (faults === null || faults.kinds.length === 0) return new Map()
    const most = Math.min(3_000, Math.max(400, forMs / 40))
    const { injected } = await injectFaults({
      ...faults,
      random: seededRandom(seed),
      hold: [most / 2, most],
      rest: [most / 2, most],
      stop: over,
      recovered: () => this.#recovered(),
      standing: (fault) => {
        this.#fault = fault
        if (fault !== null) this.#whole = false
        if (fault !== null) say(`fault: ${fault}`)
      },
    })
    return injected
  }

  #sessions(): readonly Promise<void>[] {
    const { databases, seed, record } = this.#parts
    return databases.flatMap((database) =>
      kinds.map(({ kind, door }, register) =>
        runSession({
          name: `${database} ${door} ${kind.policy} ${String(register)}`,
          kind,
          database,
          door,
          register,
          registers: kinds.length,
          open: this.#open(database, kind),
          now: () => performance.now(),
          random: seededRandom(seed + register + 1),
          nextId: () => ++this.#ids,
          healthy: () => this.#whole,
          record: (operation) => {
            this.#history.push(operation)
            record(operation)
          },
          stop: this.#ending.signal,
        }),
      ),
    )
  }

  #open(database: string, kind?: SessionKind): Readonly<Record<Door, OpenClient>> {
    return {
      library: () => (kind?.process === true ? processClient : libraryClient)(this.#router(database)),
      proxy: async () => {
        const [address] = this.#doors.listening
        const { user, password } = this.#parts.login
        const client = new this.#parts.pg.Client({ host: address?.host ?? '', port: address?.port ?? 0, user, password, database })
        client.on('error', () => undefined)
        await client.connect()
        return proxyClient(client)
      },
    }
  }

  // ---- health

  /** What both doors know of the servers, often enough for a share that is told in percents. */
  async #watchHealth(): Promise<void> {
    const { signal } = this.#ending
    while (!signal.aborted) {
      this.#whole = this.#fault === null && this.#isWhole()
      await sleep(20, undefined, { signal }).catch(() => undefined)
    }
    this.#whole = false
  }

  async #recovered(): Promise<void> {
    const { stop } = this.#parts
    for (const deadline = performance.now() + 60_000; !this.#isWhole();) {
      if (performance.now() > deadline || stop.aborted) return
      await sleep(20)
    }
  }

  #isWhole(): boolean {
    const seen: readonly (Topology | null)[] = [
      this.#doors.topology(),
      ...[...this.#routers.values()].map((router) => router.snapshot()?.topology ?? null),
    ]
    return seen.every((topology) => topology !== null && this.#homes().every((id) => isWhole(topology.clusters.get(id))))
  }

  #homes(): readonly string[] {
    return this.#parts.databases.map((name) => this.#parts.config.databases.get(name)?.default ?? '')
  }
}

/** A proved primary, and every other node a replica that is proved to follow it. */
function isWhole(cluster: ClusterSnapshot | undefined): boolean {
  if (cluster === undefined || cluster.primary === null) return false
  return cluster.nodes.every(
    (node) =>
      node.health === 'up' &&
      node.unfit === null &&
      node.limited === null &&
      (node.id === cluster.primary?.id || (node.role === 'replica' && node.receiving === true)),
  )
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
