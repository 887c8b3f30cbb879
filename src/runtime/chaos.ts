// runtime/chaos.ts — failures on purpose, at random moments (`chaos` in the config): what handles failures is then in use
// every day. It breaks what a network or a machine would break, and only from outside: sockets are destroyed, answers of
// the monitor come late, a replica is left unused. So nothing it does may ever make an answer wrong.
//
// A late answer is sound: the time of a sample is taken before its question is sent (CONSISTENCY §2.5), so it only says less.
import { isDeepStrictEqual } from 'node:util'
import type { ChaosConfig } from '../config/config.js'
import type { ConnectMonitor, MonitorConnection } from '../monitor/connection.js'
import type { Monitor } from '../monitor/contract.js'
import type { Observer } from '../observe/events.js'
import type { Connect, PooledConnection } from '../pool/contract.js'
import { usableReplicas } from '../topology/topology.js'
import { Held } from './held.js'
import { seededRandom } from './seeded-random.js'

export interface ChaosParts {
  readonly observer: Observer
  /** In [0, 1); taken where the config names no seed. */
  readonly random: () => number
  readonly monitor: () => Pick<Monitor, 'current' | 'setAside'>
}

interface Victim {
  readonly connection: PooledConnection
  readonly cluster: string
  readonly node: string
}

interface Paused {
  readonly cluster: string
  readonly node: string
  readonly timer: NodeJS.Timeout
}

const reason = 'paused by chaos'

/** One for the process; it does nothing until configure() is given something to do. */
export class Chaos {
  readonly #parts: ChaosParts
  readonly #victims = new Set<Victim>()
  readonly #held = new Held()
  readonly #paused = new Set<Paused>()
  #config: ChaosConfig | null = null
  #random: () => number
  #killing: NodeJS.Timeout | undefined
  #pausing: NodeJS.Timeout | undefined

  constructor(parts: ChaosParts) {
    this.#parts = parts
    this.#random = parts.random
  }

  /** Takes what the config says; null ends everything at once, pauses and held answers too. */
  configure(config: ChaosConfig | null): void {
    const before = this.#config
    if (isDeepStrictEqual(config, before)) return
    this.#stop()
    this.#config = config
    if (config !== null) this.#start(config)
    const message =
      config === null ? 'chaos is off' : 'CHAOS IS ON: connections are broken, answers delayed and replicas left unused on purpose'
    this.#parts.observer.emit('log', { level: config === null ? 'info' : 'warn', message, fields: { ...(config ?? {}) } })
  }

  close(): void {
    this.#stop()
    this.#config = null
  }

  /** The same, and what it opens may be broken from now on. */
  connecting<C extends PooledConnection>(cluster: string, connect: Connect<C>): Connect<C> {
    return async (node, identity, signal) => {
      const connection = await connect(node, identity, signal)
      const victim = { connection, cluster, node: node.id }
      this.#victims.add(victim)
      connection.onClosed(() => this.#victims.delete(victim))
      return connection
    }
  }

  /** The same, and some of its answers come late. */
  measuring(connect: ConnectMonitor): ConnectMonitor {
    return async (node, cluster, login, signal) => {
      const connection = await connect(node, cluster, login, signal)
      return this.#late(connection, cluster.id, node.id)
    }
  }

  #late(connection: MonitorConnection, cluster: string, node: string): MonitorConnection {
    return {
      query: async (sql) => {
        const rows = await connection.query(sql)
        const { delayShare, delayMs } = this.#config ?? { delayShare: 0, delayMs: 0 }
        if (this.#random() >= delayShare) return rows
        this.#tell('delay', cluster, node)
        await this.#held.hold(delayMs * (0.5 + this.#random()))
        return rows
      },
      close: () => connection.close(),
      onClosed: (listener) => connection.onClosed(listener),
    }
  }

  #start({ seed, killEveryMs, pauseEveryMs }: ChaosConfig): void {
    this.#random = seed === null ? this.#parts.random : seededRandom(seed)
    if (killEveryMs !== null) this.#killNext(killEveryMs)
    if (pauseEveryMs !== null) this.#pauseNext(pauseEveryMs)
  }

  #stop(): void {
    clearTimeout(this.#killing)
    clearTimeout(this.#pausing)
    this.#held.release()
    for (const paused of [...this.#paused]) this.#resume(paused)
  }

  #killNext(meanMs: number): void {
    this.#killing = setTimeout(() => {
      this.#kill()
      this.#killNext(meanMs)
    }, this.#interval(meanMs)).unref()
  }

  #pauseNext(meanMs: number): void {
    this.#pausing = setTimeout(() => {
      this.#pause()
      this.#pauseNext(meanMs)
    }, this.#interval(meanMs)).unref()
  }

  #kill(): void {
    const victim = this.#oneOf([...this.#victims])
    if (victim === undefined) return
    this.#victims.delete(victim)
    this.#tell('kill', victim.cluster, victim.node)
    victim.connection.sever()
  }

  #pause(): void {
    const replicas = [...this.#parts.monitor().current().clusters.values()].flatMap(usableReplicas)
    const replica = this.#oneOf(replicas)
    if (replica === undefined) return
    const { cluster, id: node } = replica
    const timer = setTimeout(() => this.#resume(paused), this.#config?.pauseMs ?? 0).unref()
    const paused: Paused = { cluster, node, timer }
    this.#paused.add(paused)
    this.#tell('pause', cluster, node)
    this.#parts.monitor().setAside(cluster, node, reason)
  }

  #resume(paused: Paused): void {
    clearTimeout(paused.timer)
    this.#paused.delete(paused)
    this.#parts.monitor().setAside(paused.cluster, paused.node, null)
  }

  /** Exponential: at each moment as likely as at any other. */
  #interval(meanMs: number): number {
    return Math.min(2 ** 31 - 1, -Math.log(1 - this.#random()) * meanMs)
  }

  #oneOf<T>(all: readonly T[]): T | undefined {
    return all[Math.floor(this.#random() * all.length)]
  }

  #tell(what: 'kill' | 'delay' | 'pause', cluster: string, node: string): void {
    this.#parts.observer.emit('chaos', { what, cluster, node })
  }
}
