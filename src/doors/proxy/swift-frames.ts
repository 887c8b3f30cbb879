// doors/proxy/swift-frames.ts — a whole batch as its bytes stand in memory, not cut into messages: the one form that drivers send
// most (swift-batch.ts), told by its headers alone.
//
//   [ Parse of '' ] [ Bind of '' ] [ Describe of portal '' ]? [ Execute of '', all rows ] [ Sync ]
import { encodeDescribe, encodeExecute, encodeSync } from '../../protocol/extended.js'
import { Frontend } from '../../protocol/message-types.js'

/** Longer ones are read message by message: there the reading is not what takes time. */
export const longestSwift: number = 16 * 1024

/** In a Parse, Bind: the byte after the header, where the first name begins. */
const firstName = 5
const secondName = firstName + 1
/** Up to here a loop copies faster than a call does. */
const loopUpTo = 96

const withDescribe = Buffer.concat([encodeDescribe({ of: 'portal', name: '' }), encodeExecute(), encodeSync()])
const withoutDescribe = Buffer.concat([encodeExecute(), encodeSync()])
const nothing = Buffer.alloc(0)

/** One batch at a time; the fields are what read() has found. */
export class SwiftFrames {
  bytes: Buffer = nothing
  /** Where the Bind begins: behind the Parse, or 0 where there is none. */
  bind = 0
  /** The end of the statement's name in the Bind. */
  nameEnd = 0
  described = false

  /** False: these bytes are something else, or more, or not all of it. */
  read(bytes: Buffer): boolean {
    if (bytes.length > longestSwift) return false
    let bind = 0
    if (bytes[0] === Frontend.Parse) {
      bind = frameEnd(bytes, 0)
      if (bytes[firstName] !== 0) return false
    }
    if (bind < 0 || bytes[bind] !== Frontend.Bind || bytes[bind + firstName] !== 0) return false
    const end = frameEnd(bytes, bind)
    if (end < 0) return false
    const described = bytes.length - end === withDescribe.length
    if (!isTail(bytes, end, described ? withDescribe : withoutDescribe)) return false
    const name = bind + secondName
    let nameEnd = name
    while (nameEnd < end && bytes[nameEnd] !== 0) nameEnd += 1
    // What is parsed here is what is bound.
    if (nameEnd >= end || (bind > 0 && nameEnd > name)) return false
    this.bytes = bytes
    this.bind = bind
    this.nameEnd = nameEnd
    this.described = described
    return true
  }

  /** Whether the Bind is of a statement with this name, given in UTF-8. */
  names(name: Uint8Array): boolean {
    const { bytes, bind, nameEnd } = this
    const start = bind + secondName
    if (nameEnd - start !== name.length) return false
    for (let at = 0; at < name.length; at++) if (bytes[start + at] !== name[at]) return false
    return true
  }

  /** The statement's name in the Bind, copied. */
  name(): Buffer {
    return Buffer.from(this.bytes.subarray(this.bind + secondName, this.nameEnd))
  }

  bindFrame(): Buffer {
    return this.bytes.subarray(this.bind, frameEnd(this.bytes, this.bind))
  }

  /** All from the Bind on, with another statement's name, of ASCII. */
  renamed(name: string): Buffer {
    const { bytes, bind, nameEnd } = this
    const before = bind + secondName
    const rest = secondName + name.length
    const length = frameLength(bytes, bind) + name.length - (nameEnd - before)
    const made = Buffer.allocUnsafe(rest + bytes.length - nameEnd)
    made[0] = Frontend.Bind
    made[1] = length >>> 24
    made[2] = length >>> 16
    made[3] = length >>> 8
    made[4] = length
    made[firstName] = 0
    for (let at = 0; at < name.length; at++) made[secondName + at] = name.charCodeAt(at)
    if (bytes.length - nameEnd > loopUpTo) bytes.copy(made, rest, nameEnd)
    else for (let to = rest, at = nameEnd; at < bytes.length; at++) made[to++] = bytes[at] ?? 0
    return made
  }

  /** Its messages one by one, without the Sync. */
  cut(): readonly Buffer[] {
    const { bytes } = this
    const frames: Buffer[] = []
    for (let at = 0; bytes[at] !== Frontend.Sync;) {
      const end = frameEnd(bytes, at)
      frames.push(bytes.subarray(at, end))
      at = end
    }
    return frames
  }

  /** Keeps nothing of it. */
  clear(): void {
    this.bytes = nothing
  }
}

/** The length word of the frame at `at`. */
function frameLength(bytes: Uint8Array, at: number): number {
  return ((bytes[at + 1] ?? 0) << 24) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0)
}

/** Behind the frame at `at`; -1: it ends beyond these bytes, or its length cannot be one. */
function frameEnd(bytes: Uint8Array, at: number): number {
  const end = at + 1 + frameLength(bytes, at)
  return end < at + firstName || end > bytes.length ? -1 : end
}

function isTail(bytes: Uint8Array, from: number, tail: Uint8Array): boolean {
  if (bytes.length - from !== tail.length) return false
  for (let at = 0; at < tail.length; at++) if (bytes[from + at] !== tail[at]) return false
  return true
}
