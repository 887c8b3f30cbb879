// merge/array-form.ts — arrays on the wire, both formats: taken apart into their elements, and one-dimensional ones written.
// An element stays as the server wrote it: in text with its quotes, so that writing it again needs no rule of quoting.
import { viewOf, type Format } from './value-type.js'
import { cannotRead } from './problems.js'

/** The elements in the order in which they are stored; `dimensions` and `lower` (bounds) are empty for an empty array. */
export interface ArrayForm {
  readonly elements: readonly (Uint8Array | null)[]
  readonly dimensions: readonly number[]
  readonly lower: readonly number[]
}

const none: ArrayForm = { elements: [], dimensions: [], lower: [] }
const [open, close, comma, quote, backslash] = [0x7b, 0x7d, 0x2c, 0x22, 0x5c]

export function readArray(bytes: Uint8Array, format: Format, elementOid: number): ArrayForm {
  return format === 1 ? readBinary(bytes, elementOid) : readText(bytes)
}

function readBinary(bytes: Uint8Array, elementOid: number): ArrayForm {
  const view = viewOf(bytes)
  if (bytes.length < 12 || view.getUint32(8) !== elementOid) throw cannotRead('array')
  const count = view.getInt32(0)
  if (count === 0) return none
  const dimensions: number[] = []
  const lower: number[] = []
  for (let index = 0; index < count; index++) {
    dimensions.push(view.getInt32(12 + 8 * index))
    lower.push(view.getInt32(16 + 8 * index))
  }
  const elements: (Uint8Array | null)[] = []
  for (let at = 12 + 8 * count; at < bytes.length;) {
    const length = view.getInt32(at)
    elements.push(length < 0 ? null : bytes.subarray(at + 4, at + 4 + length))
    at += 4 + Math.max(length, 0)
  }
  return { elements, dimensions, lower }
}

function readText(bytes: Uint8Array): ArrayForm {
  const start = bytes.indexOf(open)
  if (start < 0 || bytes[bytes.length - 1] !== close) throw cannotRead('array')
  const found = new TextArray(bytes, start)
  if (found.elements.length === 0) return none
  const lower = start === 0 ? found.dimensions.map(() => 1) : bounds(bytes.subarray(0, start))
  if (lower.length !== found.dimensions.length) throw cannotRead('array')
  return { elements: found.elements, dimensions: found.dimensions, lower }
}

/** `[0:2][5:6]=`, which stands before an array whose bounds do not begin at 1. */
function bounds(prefix: Uint8Array): number[] {
  const text = Buffer.from(prefix).toString('latin1')
  if (!/^(?:\[-?[0-9]+:-?[0-9]+\])+=$/.test(text)) throw cannotRead('array')
  return Array.from(text.matchAll(/\[(-?[0-9]+):/g), (match) => Number(match[1]))
}

/** Reads `{…}` as array_out writes it: no blanks, equal lengths on every level. */
class TextArray {
  readonly elements: (Uint8Array | null)[] = []
  readonly dimensions: number[] = []
  readonly #bytes: Uint8Array
  #at: number

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes
    this.#at = at
    this.#level(0)
    if (this.#at !== bytes.length) throw cannotRead('array')
  }

  #level(depth: number): void {
    let count = 0
    do {
      this.#at++ // the brace, or the comma
      if (this.#bytes[this.#at] === open) this.#level(depth + 1)
      else if (this.#bytes[this.#at] !== close || count > 0) this.elements.push(this.#element())
      else break
      count++
    } while (this.#bytes[this.#at] === comma)
    if (this.#bytes[this.#at] !== close) throw cannotRead('array')
    this.#at++
    this.dimensions[depth] ??= count
  }

  #element(): Uint8Array | null {
    const from = this.#at
    if (this.#bytes[from] === quote) this.#at = this.#quoted(from + 1)
    else while (this.#at < this.#bytes.length && this.#bytes[this.#at] !== comma && this.#bytes[this.#at] !== close) this.#at++
    const element = this.#bytes.subarray(from, this.#at)
    return isNull(element) ? null : element
  }

  /** Where the text goes on behind the closing quote. */
  #quoted(from: number): number {
    for (let at = from; at < this.#bytes.length; at++) {
      if (this.#bytes[at] === quote) return at + 1
      if (this.#bytes[at] === backslash) at++
    }
    throw cannotRead('array')
  }
}

/** NULL without quotes; array_out quotes a text that says so. */
function isNull(element: Uint8Array): boolean {
  return element.length === 4 && element[0] === 0x4e && element[1] === 0x55 && element[2] === 0x4c && element[3] === 0x4c
}

/** The value of an element as its own type writes it: in text without quotes and backslashes. */
export function plainElement(element: Uint8Array, format: Format): Uint8Array {
  if (format === 1 || element[0] !== quote) return element
  const plain = new Uint8Array(element.length)
  let length = 0
  for (let at = 1; at < element.length - 1; at++) {
    if (element[at] === backslash) at++
    plain[length++] = element[at] as number
  }
  return plain.subarray(0, length)
}

/** A one-dimensional array of at least one element; elements as readArray() gives them. */
export function writeArray(elements: readonly (Uint8Array | null)[], format: Format, elementOid: number): Uint8Array {
  return format === 1 ? writeBinary(elements, elementOid) : writeText(elements)
}

function writeBinary(elements: readonly (Uint8Array | null)[], elementOid: number): Uint8Array {
  const size = elements.reduce((sum, element) => sum + 4 + (element?.length ?? 0), 20)
  const bytes = new Uint8Array(size)
  const view = viewOf(bytes)
  view.setInt32(0, 1)
  view.setInt32(4, elements.includes(null) ? 1 : 0)
  view.setUint32(8, elementOid)
  view.setInt32(12, elements.length)
  view.setInt32(16, 1)
  let at = 20
  for (const element of elements) {
    view.setInt32(at, element?.length ?? -1)
    if (element !== null) bytes.set(element, at + 4)
    at += 4 + (element?.length ?? 0)
  }
  return bytes
}

const nullText: Uint8Array = Buffer.from('NULL')

function writeText(elements: readonly (Uint8Array | null)[]): Uint8Array {
  const size = elements.reduce((sum, element) => sum + 1 + (element ?? nullText).length, 1)
  const bytes = new Uint8Array(size)
  let at = 0
  for (const element of elements) {
    bytes[at] = at === 0 ? open : comma
    bytes.set(element ?? nullText, at + 1)
    at += 1 + (element ?? nullText).length
  }
  bytes[at] = close
  return bytes
}
