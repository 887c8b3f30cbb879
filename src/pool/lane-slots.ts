// pool/lane-slots.ts — the requests that stand on a lane, in their order: a queue whose places are used again.
import type { LaneRequest, LaneSlot } from './lane-request.js'

const compactAt = 256

export class LaneSlots {
  #slots: LaneSlot[] = []
  #first = 0
  readonly #spare: LaneSlot[] = []

  get size(): number {
    return this.#slots.length - this.#first
  }

  get head(): LaneSlot | undefined {
    return this.#slots[this.#first]
  }

  /** One more, at the end; nobody's yet. */
  add(now: number): LaneSlot {
    const slot = this.#spare.pop() ?? newSlot()
    slot.sentAt = now
    this.#slots.push(slot)
    return slot
  }

  of(request: LaneRequest): LaneSlot | undefined {
    for (let at = this.#first; at < this.#slots.length; at++) if (this.#slots[at]?.request === request) return this.#slots[at]
    return undefined
  }

  all(): readonly LaneSlot[] {
    return this.#slots.slice(this.#first)
  }

  behindHead(): readonly LaneSlot[] {
    return this.#slots.slice(this.#first + 1)
  }

  /** The head and all behind it, up to the one that has the Sync. */
  together(): readonly LaneSlot[] {
    let end = this.#first
    while (this.#slots[end]?.joined === true) end += 1
    return this.#slots.slice(this.#first, end + 1)
  }

  /** Takes the head off, which is used for another request from now on. */
  shift(): void {
    const head = this.#slots[this.#first]
    if (head === undefined) return
    this.#first += 1
    if (this.#first === this.#slots.length) {
      this.#slots.length = 0
      this.#first = 0
    } else if (this.#first >= compactAt) {
      this.#slots = this.#slots.slice(this.#first)
      this.#first = 0
    }
    this.#spare.push(cleared(head))
  }

  /** Takes off so many of those right behind the head. */
  dropBehindHead(count: number): void {
    for (const slot of this.#slots.splice(this.#first + 1, count)) this.#spare.push(cleared(slot))
  }

  /** All of them, of which none stands here any more. */
  drain(): readonly LaneSlot[] {
    const left = this.all()
    this.#slots = []
    this.#first = 0
    return left
  }
}

function newSlot(): LaneSlot {
  return {
    request: null,
    record: null,
    sentAt: 0,
    skip: 0,
    prepares: null,
    parsed: false,
    slow: false,
    long: false,
    moved: false,
    batch: false,
    joined: false,
    canceled: false,
    given: 0,
    barrier: false,
  }
}

function cleared(slot: LaneSlot): LaneSlot {
  slot.request = null
  slot.record = null
  slot.skip = 0
  slot.prepares = null
  slot.parsed = false
  slot.slow = false
  slot.long = false
  slot.moved = false
  slot.batch = false
  slot.joined = false
  slot.canceled = false
  slot.given = 0
  slot.barrier = false
  return slot
}
