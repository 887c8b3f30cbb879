// sharding/hash.ts — PostgreSQL's extended hash functions (common/hashfn.c: Jenkins lookup3) and the way PARTITION BY
// HASH combines those of the key's columns (partitioning/partbounds.c: compute_partition_hash_value). Two 32-bit halves
// instead of BigInt: the whole of it is integer arithmetic that V8 keeps in registers.

/** A 64-bit hash as two unsigned halves. */
export interface Hash64 {
  readonly high: number
  readonly low: number
}

/** HASH_PARTITION_SEED, 0x7A5B22367996DCFD. */
const seedHigh = 0x7a5b2236
const seedLow = 0x7996dcfd
/** What hash_combine64 adds to the hash of the first column, 0x49a0f4dd15e5a8e3. */
const combineHigh = 0x49a0f4dd
const combineLow = 0x15e5a8e3

/** The three words of lookup3, mixed in place. */
class State {
  a = 0
  b = 0
  c = 0

  start(length: number): void {
    this.a = this.b = this.c = (0x9e3779b9 + length + 3923095) | 0
    this.a = (this.a + seedHigh) | 0
    this.b = (this.b + seedLow) | 0
    this.mix()
  }

  mix(): void {
    let { a, b, c } = this
    a = (a - c) ^ rotate(c, 4)
    c = (c + b) | 0
    b = (b - a) ^ rotate(a, 6)
    a = (a + c) | 0
    c = (c - b) ^ rotate(b, 8)
    b = (b + a) | 0
    a = (a - c) ^ rotate(c, 16)
    c = (c + b) | 0
    b = (b - a) ^ rotate(a, 19)
    a = (a + c) | 0
    c = (c - b) ^ rotate(b, 4)
    b = (b + a) | 0
    this.a = a
    this.b = b
    this.c = c
  }

  finish(): Hash64 {
    let { a, b, c } = this
    c = ((c ^ b) - rotate(b, 14)) | 0
    a = ((a ^ c) - rotate(c, 11)) | 0
    b = ((b ^ a) - rotate(a, 25)) | 0
    c = ((c ^ b) - rotate(b, 16)) | 0
    a = ((a ^ c) - rotate(c, 4)) | 0
    b = ((b ^ a) - rotate(a, 14)) | 0
    c = ((c ^ b) - rotate(b, 24)) | 0
    return { high: b >>> 0, low: c >>> 0 }
  }
}

function rotate(x: number, bits: number): number {
  return (x << bits) | (x >>> (32 - bits))
}

// One state for the process: these functions are synchronous and do not call each other.
const state = new State()

/** hashint8extended; int2 and int4 hash alike, since their sign extension folds away. `high` and `low` are the int8's halves. */
export function hashInteger(high: number, low: number): Hash64 {
  state.start(4)
  state.a = (state.a + (low ^ (high >= 0 ? high : ~high))) | 0
  return state.finish()
}

/** hash_bytes_extended as a little-endian server computes it: text, varchar (deterministic collation) and uuid. */
export function hashBytes(bytes: Uint8Array): Hash64 {
  state.start(bytes.length)
  let at = 0
  for (; bytes.length - at >= 12; at += 12) {
    state.a = (state.a + word(bytes, at)) | 0
    state.b = (state.b + word(bytes, at + 4)) | 0
    state.c = (state.c + word(bytes, at + 8)) | 0
    state.mix()
  }
  // The lowest byte of c is kept for the length, so what is left over for c starts one byte higher.
  state.a = (state.a + word(bytes, at)) | 0
  state.b = (state.b + word(bytes, at + 4)) | 0
  state.c = (state.c + (word(bytes, at + 8) << 8)) | 0
  return state.finish()
}

/** Four bytes from `at`; what lies behind the end counts as zero. */
function word(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)
}

/** hash_combine64(0, hash): the row's hash after its first column. */
export function rowHash(hash: Hash64): Hash64 {
  return sum(hash.high + combineHigh, hash.low + combineLow)
}

/** hash_combine64(row, hash): row ^ (hash + constant + (row << 54) + (row >> 7)). */
export function combined(row: Hash64, hash: Hash64): Hash64 {
  const { high, low } = sum(
    hash.high + combineHigh + ((row.low << 22) >>> 0) + (row.high >>> 7),
    hash.low + combineLow + (((row.low >>> 7) | (row.high << 25)) >>> 0),
  )
  return { high: (row.high ^ high) >>> 0, low: (row.low ^ low) >>> 0 }
}

/** Halves that may have grown beyond 32 bits, modulo 2⁶⁴. */
function sum(high: number, low: number): Hash64 {
  return { high: (high + Math.floor(low / 0x100000000)) % 0x100000000, low: low % 0x100000000 }
}

/** The remainder that PARTITION BY HASH compares with: `row % modulus`. `modulus` must be below 2²⁶. */
export function partitionRemainder(row: Hash64, modulus: number): number {
  return ((row.high % modulus) * (0x100000000 % modulus) + row.low) % modulus
}
