// server/ledger.ts — the queue of replies a server still owes, in the order its messages were sent. It knows the rules by
// which the server itself skips messages, and nothing of bytes:
//  - after an error in the extended protocol everything up to the next Sync is skipped;
//  - in copy-in mode every Sync (and Flush) before CopyDone or CopyFail is ignored, and owed no ReadyForQuery.
import type { Expect, ExpectReply } from './contract.js'
import type { Collector } from './collector.js'

/** A reply to one of our own messages: its frames go to a collector, never to a sink. */
export interface Collected {
  readonly act: 'collect'
  readonly reply: 'query' | 'sync' | 'login'
  readonly collector: Collector
}

export type Entry = Expect | Collected
/** An entry that a message was sent for. */
export type Owed = ExpectReply | Collected

const COMPACT_AT = 1024

export class Ledger {
  #entries: Entry[] = []
  #head = 0
  #executes = 0
  /** An error was read whose Sync has not been sent: what is sent before it is skipped. */
  #skipping = false
  /** The head is a COPY FROM STDIN that reads data; its CopyDone or CopyFail has not been sent. */
  #copyIn = false
  #ignoredSync: ExpectReply | null = null
  #uncertain = false
  /** Messages of the extended protocol were sent after the last Sync. */
  #groupOpen = false
  readonly #skipped: (entry: ExpectReply) => void

  /** `skipped` is told every entry that the server skips. */
  constructor(skipped: (entry: ExpectReply) => void) {
    this.#skipped = skipped
  }

  get size(): number {
    return this.#entries.length - this.#head
  }

  /** Executes not begun: acknowledgements before them may be held. */
  get executes(): number {
    return this.#executes
  }

  /** A Query of our own would be skipped, or would answer a COPY: the extended messages sent have no Sync yet. */
  get groupOpen(): boolean {
    return this.#groupOpen || this.#skipping || this.#copyIn
  }

  /** An error ended a copy-in after Syncs had been ignored: whether the server saw them before or after cannot be known. */
  get uncertain(): boolean {
    return this.#uncertain
  }

  head(): Entry | undefined {
    return this.#entries[this.#head]
  }

  append(entry: Entry): void {
    const { act } = entry
    if (act !== 'synthesize') this.#track(entry)
    if (this.#skipping) {
      if (act === 'synthesize' || entry.reply !== 'sync') {
        this.#skip(entry)
        return
      }
      this.#skipping = false
    }
    if (this.#copyIn && this.size === 1 && this.#swallowedByCopy(entry)) return
    if (act !== 'synthesize' && entry.reply === 'execute') this.#executes++
    this.#entries.push(entry)
  }

  /** Takes the head off: its reply is complete. */
  shift(): void {
    const entry = this.#entries[this.#head]
    if (entry === undefined) return
    if (isExecute(entry)) this.#executes--
    this.#copyIn = false
    this.#head++
    // A pipeline that never runs dry must not keep what it has done.
    if (this.#head === this.#entries.length || this.#head > COMPACT_AT) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
  }

  /** The head's COPY FROM STDIN has begun: the server now reads what was sent behind it as copy data. */
  copyInStarted(): void {
    this.#copyIn = true
    // Counted first, removed at once: the server ignores Syncs up to the end of the data or a message that is an error here.
    let ignored = 0
    for (const entry of this.#entries.slice(this.#head + 1)) {
      if (!this.#swallowedByCopy(entry)) break
      ignored++
      if (entry.act !== 'synthesize' && entry.reply === 'copy-end') break
    }
    this.#entries.splice(this.#head + 1, ignored)
  }

  /** The head failed: it and everything up to the next Sync is skipped. Not for queries, which end with their own ReadyForQuery. */
  fail(): void {
    this.copyEnded()
    for (let entry = this.head(); entry !== undefined; entry = this.head()) {
      if (entry.act !== 'synthesize' && entry.reply === 'sync') return
      this.#skip(entry)
      this.shift()
    }
    this.#skipping = true
  }

  /** The head's copy-in ended by an error. */
  copyEnded(): void {
    if (this.#ignoredSync !== null) this.#uncertain = true
    this.#copyIn = false
  }

  /** A ReadyForQuery came that no entry is owed; the Sync it may belong to, or null: the protocol state is lost. */
  strayReady(): ExpectReply | null {
    if (!this.#uncertain || this.#ignoredSync === null) return null
    const sync = this.#ignoredSync
    this.#ignoredSync = null
    this.#skipping = false
    return sync
  }

  /** A group ended with nothing owed. */
  settle(): void {
    if (!this.#uncertain) this.#ignoredSync = null
  }

  /** Everything still owed, for whoever must be told that it will not come. */
  drain(): readonly Entry[] {
    const left = this.#entries.slice(this.#head)
    this.#entries = []
    this.#head = 0
    this.#executes = 0
    return left
  }

  /** True: the server, in copy-in mode, reads this message without owing a reply for it. */
  #swallowedByCopy(entry: Entry): boolean {
    if (entry.act === 'synthesize') return false
    if (entry.reply === 'copy-end') {
      this.#copyIn = false
      return true
    }
    if (entry.reply !== 'sync' || entry.act === 'collect') return false
    this.#ignoredSync = entry
    return true
  }

  #track(entry: Owed): void {
    if (endsGroup(entry)) this.#groupOpen = false
    else if (entry.reply !== 'copy-end') this.#groupOpen = true
  }

  #skip(entry: Entry): void {
    if (entry.act === 'forward' || entry.act === 'swallow') this.#skipped(entry)
  }
}

/** Its reply ends with a ReadyForQuery. */
export function endsGroup(entry: Owed): boolean {
  return entry.reply === 'sync' || entry.reply === 'query' || entry.reply === 'function-call' || entry.reply === 'login'
}

function isExecute(entry: Entry): boolean {
  return entry.act !== 'synthesize' && entry.reply === 'execute'
}
