// runtime/unique-ids.ts — ids that are unique among all processes that make them, in the order of time: moment, node, place, number.
//
//   64 bits: 0 | 41 milliseconds since 2024 | 10 node | 5 place | 7 number        53 bits: 34 tenths of a second | 6 node | 5 place | 8 number
//
// `identity.node` tells hosts apart. On a host every living process has a place of its own: whoever listens on the place's abstract
// socket has it, and the kernel gives it free with the process, however that ends. Within a process numbers do it. A moment
// never goes back in a process, and runs ahead of the clock by at most one second; whoever takes a place over gives
// no id for longer than that, so that it begins after all that its last holder can have given.
import { createServer, type Server } from 'node:net'
import { PointsmanError } from '../errors/error.js'
import type { IdBits } from '../sql/unique-ids.js'

interface Form {
  readonly tickMs: number
  readonly nodes: number
  readonly placeBits: number
  readonly numberBits: number
  /** Of node, place and number. */
  readonly below: number
}

const places = 32
const placeBits = 5
const forms: Readonly<Record<IdBits, Form>> = {
  64: { tickMs: 1, nodes: 1024, placeBits, numberBits: 7, below: 22 },
  53: { tickMs: 100, nodes: 64, placeBits, numberBits: 8, below: 19 },
}
/** 2024-01-01T00:00:00Z */
const epochMs = 1_704_067_200_000
const aheadMs = 1_000
const settleMs = 1_200

export interface UniqueIdsParts {
  /** `identity.node` */
  readonly node: () => number | null
  /** Wall clock, ms since 1970. */
  readonly wall: () => number
  /** Names the places; other than of this host's processes only in tests. */
  readonly scope?: string
}

export class UniqueIds {
  readonly #parts: UniqueIdsParts
  readonly #last: Record<IdBits, { tick: number; number: number }> = { 64: { tick: 0, number: 0 }, 53: { tick: 0, number: 0 } }
  #claimed: Promise<number> | null = null
  /** What has come of that. */
  #place: number | null = null
  #node: number | null = null
  #server: Server | null = null
  #closed = false

  constructor(parts: UniqueIdsParts) {
    this.#parts = parts
  }

  /** `count` of them, ascending. Waits the first time, for more than a second. */
  async take(count: number, bits: IdBits): Promise<readonly bigint[]> {
    await this.ready(bits)
    return this.now(new Array<IdBits>(count).fill(bits))
  }

  /** Resolves when now() gives. Rejects where it never will. */
  async ready(bits: IdBits): Promise<void> {
    const node = this.#nodeFor(bits)
    this.#claimed ??= this.#claim(node).catch((error: unknown) => {
      this.#claimed = null
      throw error
    })
    this.#place = await this.#claimed
  }

  get isReady(): boolean {
    return this.#place !== null
  }

  /** One for each of `bits`, those of the same form ascending. Throws 55000 before ready(), 54000 where they are too many. */
  now(bits: readonly IdBits[]): readonly bigint[] {
    // The place may be another process's by now.
    if (this.#closed) throw new PointsmanError('shutting_down')
    const place = this.#place
    if (place === null) {
      // Which may never come.
      for (const form of bits) this.#nodeFor(form)
      throw new PointsmanError('unique_id_unready', { values: { why: 'this process has no place yet' } })
    }
    return bits.map((form) => this.#next(form, this.#nodeFor(form), place))
  }

  #nodeFor(bits: IdBits): number {
    // What it once was it stays: its place is on that node.
    const node = this.#node ?? this.#parts.node()
    if (node === null) throw new PointsmanError('unique_id_unready', { values: { why: 'identity.node is not set' } })
    if (node < forms[bits].nodes) return node
    throw new PointsmanError('unique_id_unready', {
      values: { why: `identity.node is ${String(node)}, and ids of 53 bits are only for nodes below ${String(forms[53].nodes)}` },
    })
  }

  #next(bits: IdBits, node: number, place: number): bigint {
    const { tickMs, numberBits, below } = forms[bits]
    const last = this.#last[bits]
    const now = Math.floor((this.#parts.wall() - epochMs) / tickMs)
    if (now > last.tick) {
      last.tick = now
      last.number = 0
    } else if (last.number === 2 ** numberBits) {
      if ((last.tick + 1 - now) * tickMs > aheadMs) throw new PointsmanError('unique_id_exhausted')
      last.tick += 1
      last.number = 0
    } else if ((last.tick - now) * tickMs > aheadMs) throw new PointsmanError('unique_id_exhausted')
    const low = node * 2 ** (placeBits + numberBits) + place * 2 ** numberBits + last.number
    last.number += 1
    return (BigInt(last.tick) << BigInt(below)) | BigInt(low)
  }

  /** The first place of this host that no living process has. */
  async #claim(node: number): Promise<number> {
    if (process.platform !== 'linux')
      throw new PointsmanError('unique_id_unready', { values: { why: 'processes of one host can only be told apart on Linux' } })
    for (let place = 0; place < places; place++) {
      const server = await listen(`\0pointsman/${this.#parts.scope ?? 'unique-id'}/${String(node)}/${String(place)}`)
      if (server === null) continue
      if (this.#closed) server.close()
      this.#server = server
      this.#node = node
      await new Promise((resolve) => setTimeout(resolve, settleMs))
      return place
    }
    throw new PointsmanError('unique_id_unready', { values: { why: `all ${String(places)} places of this host are taken` } })
  }

  close(): void {
    this.#closed = true
    this.#server?.close()
  }
}

/** null: somebody else does. */
function listen(path: string): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve(null) : reject(error)))
    server.listen({ path, exclusive: true }, () => {
      server.unref()
      resolve(server)
    })
  })
}
