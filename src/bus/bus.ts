// bus/bus.ts — all lines, and who is on which. Clients come and go here; a line is made for the first and forgotten a while
// after the last.
import type { Identity } from '../pool/contract.js'
import type { BusParts, Listener } from './contract.js'
import { Line } from './line.js'
import { Owners } from './owners.js'

/** What metrics and the console read. */
export interface LineSnapshot {
  readonly cluster: string
  readonly dbname: string
  readonly connected: boolean
  readonly channels: number
  readonly listeners: number
}

export class Bus {
  readonly owners: Owners = new Owners()
  readonly #parts: BusParts
  readonly #lines = new Map<string, Line>()
  readonly #on = new Map<Listener, Set<Line>>()
  readonly #deaf: () => void
  #closed = false

  constructor(parts: BusParts) {
    this.#parts = parts
    const { observer } = parts
    const offs = [
      observer.on('primary.changed', ({ cluster }) => this.#reconsider(cluster)),
      observer.on('node.state', ({ cluster, node, state }) => {
        if (state === 'down') this.#reconsider(cluster, node)
      }),
      observer.on('config.reloaded', ({ outcome }) => {
        if (outcome === 'applied') for (const line of [...this.#lines.values()]) line.reconsider()
      }),
    ]
    this.#deaf = () => {
      for (const off of offs) off()
    }
  }

  /** Somebody listens: who a server process works for is worth knowing. */
  get active(): boolean {
    return this.#lines.size > 0
  }

  snapshot(): readonly LineSnapshot[] {
    return [...this.#lines.values()].map(({ cluster, dbname, connected, channels, listeners }) => ({
      cluster,
      dbname,
      connected,
      channels,
      listeners,
    }))
  }

  /** See Line.listen(). `login`: this client's, on that cluster. */
  async listen(listener: Listener, login: Identity, channels: readonly string[], waitMs: number): Promise<void> {
    const line = this.#lineOf(login)
    const mine = this.#on.get(listener) ?? new Set()
    this.#on.set(listener, mine.add(line))
    await line.listen(listener, login, channels, waitMs)
    // It has left while the server was asked.
    if (this.#on.get(listener)?.has(line) !== true) line.unlisten(listener, channels)
  }

  /** `cluster` null: on whichever it is listened to. `channel` null: all. */
  unlisten(listener: Listener, cluster: string | null, channel: string | null): void {
    const lines = this.#on.get(listener)
    for (const line of lines ?? []) {
      if (cluster !== null && line.cluster !== cluster) continue
      line.unlisten(listener, channel === null ? [...line.channelsOf(listener)] : [channel])
      if (line.channelsOf(listener).size === 0) lines?.delete(line)
    }
    if (lines?.size === 0) this.#on.delete(listener)
  }

  hears(listener: Listener, cluster: string, channel: string): boolean {
    for (const line of this.#on.get(listener) ?? []) if (line.cluster === cluster && line.channelsOf(listener).has(channel)) return true
    return false
  }

  /** Channels that it hears on a cluster. */
  channelsOf(listener: Listener, cluster: string): readonly string[] {
    return [...(this.#on.get(listener) ?? [])].flatMap((line) => (line.cluster === cluster ? [...line.channelsOf(listener)] : []))
  }

  listens(listener: Listener): boolean {
    return this.#on.has(listener)
  }

  /** Resolves when everything for this listener that was acknowledged to its senders before the call has been given to it. Never rejects. */
  async caughtUp(listener: Listener): Promise<void> {
    const lines = [...(this.#on.get(listener) ?? [])]
    await Promise.all(lines.map((line) => line.arrived()))
  }

  /** The same for what was sent on one cluster, whoever listens. null: nobody does. */
  arrived(cluster: string): Promise<void> | null {
    const lines = [...this.#lines.values()].filter((line) => line.cluster === cluster)
    return lines.length === 0 ? null : Promise.all(lines.map((line) => line.arrived())).then(() => undefined)
  }

  close(): void {
    this.#closed = true
    this.#deaf()
    for (const line of this.#lines.values()) line.close()
    this.#lines.clear()
    this.#on.clear()
    this.owners.clear()
  }

  #lineOf({ cluster, dbname }: Identity): Line {
    const key = keyOf(cluster, dbname)
    const known = this.#lines.get(key)
    if (known !== undefined) return known
    const line = new Line({ ...this.#parts, cluster, dbname, owners: this.owners, onClosed: () => this.#forget(key, line) })
    if (this.#closed) line.close()
    else {
      this.#lines.set(key, line)
      if (this.#lines.size === 1) this.#parts.onActive?.()
    }
    return line
  }

  #forget(key: string, line: Line): void {
    if (this.#lines.get(key) === line) this.#lines.delete(key)
    if (this.#lines.size === 0) this.owners.clear()
  }

  #reconsider(cluster: string, down: string | null = null): void {
    // After the publication that this is told in.
    queueMicrotask(() => {
      for (const line of [...this.#lines.values()]) if (line.cluster === cluster) line.reconsider(down)
    })
  }
}

function keyOf(cluster: string, dbname: string): string {
  return `${cluster}\0${dbname}`
}
