// protocol/copy-split.ts — the data of COPY FROM STDIN → its rows, each with the bytes as they came and the fields that are asked for.
// Lines end, quotes open and fields are read as PostgreSQL's own copyfromparse.c does; what it would refuse of the form is refused
// here with its words, since no server sees all lines. Only the row at hand is held.
import { PointsmanError } from '../errors/error.js'
import type { CopyForm } from './copy-form.js'

export interface CopyRow {
  /** With what ends it; good until more is given. */
  readonly bytes: Uint8Array
  /** The asked fields, unescaped; null: NULL; undefined: the row has not so many. Binary: the field as it came. */
  readonly fields: readonly (Uint8Array | null | undefined)[]
  /** The line on which it ends, from 1, as PostgreSQL counts them. */
  readonly line: number
  /** How many lines it takes. */
  readonly lines: number
}

export interface CopySplit {
  give(data: Uint8Array): void
  /** All has been given. */
  finish(): void
  /** null: there is no whole row. Throws what PostgreSQL would say of the form, and 54000 for a row beyond the limit. */
  next(): CopyRow | null
  /** What every part begins with; known when the first row is. */
  readonly head: Uint8Array | null
  /** What every part ends with. */
  readonly tail: Uint8Array | null
}

/** `wanted`: positions of the fields that are asked for. `limit`: bytes that one row may have. */
export function copySplit(form: CopyForm, wanted: readonly number[], limit: number): CopySplit {
  return form.format === 'binary' ? new BinarySplit(wanted, limit) : new LineSplit(form, wanted, limit)
}

const newline = 0x0a
const carriageReturn = 0x0d
const backslash = 0x5c
const dot = 0x2e

/** What has come and is not a row yet. */
class Pending {
  bytes: Buffer = Buffer.alloc(0)
  start = 0
  end = 0
  readonly #limit: number

  constructor(limit: number) {
    this.#limit = limit
  }

  add(data: Uint8Array): void {
    const left = this.end - this.start
    if (this.end + data.length > this.bytes.length) {
      const grown = left + data.length > this.bytes.length / 2 ? Buffer.allocUnsafe(2 * (left + data.length)) : this.bytes
      this.bytes.copy(grown, 0, this.start, this.end)
      this.bytes = grown
      this.start = 0
      this.end = left
    }
    this.bytes.set(data, this.end)
    this.end += data.length
  }

  /** What is left is the beginning of one row. */
  requireLimit(): void {
    if (this.end - this.start > this.#limit)
      throw new PointsmanError('merge_memory', { values: { limit: this.#limit, what: 'one row of the COPY' } })
  }
}

class LineSplit implements CopySplit {
  head: Uint8Array | null = null
  readonly tail = null
  readonly #form: CopyForm
  readonly #wanted: readonly number[]
  readonly #last: number
  readonly #null: Buffer
  readonly #pending: Pending
  /** Scanned up to here, from the start of the row. */
  #scanned = 0
  #ends: 'unknown' | 'nl' | 'cr' | 'crnl' = 'unknown'
  #inQuote = false
  #escaped = false
  #finished = false
  #over = false
  #header: boolean
  #line = 0
  #lines = 1

  constructor(form: CopyForm, wanted: readonly number[], limit: number) {
    this.#form = form
    this.#wanted = wanted
    this.#last = Math.max(...wanted)
    this.#null = Buffer.from(form.nullText)
    this.#header = form.header
    this.#pending = new Pending(limit)
  }

  give(data: Uint8Array): void {
    // What follows the end that the data itself tells is not looked at.
    if (!this.#over) this.#pending.add(data)
  }

  finish(): void {
    this.#finished = true
  }

  next(): CopyRow | null {
    for (;;) {
      const pending = this.#pending
      if (this.#over) return null
      const csv = this.#form.format === 'csv'
      const content = csv ? this.#csvLine() : this.#textLine()
      if (content === null) return this.#lacks()
      const { start } = pending
      const end = start + this.#scanned
      pending.start = end
      this.#scanned = 0
      const lines = this.#lines
      this.#lines = 1
      this.#line += lines
      const bytes = pending.bytes.subarray(start, end)
      if (this.#header) {
        this.#header = false
        this.head = Uint8Array.from(bytes)
        continue
      }
      const fields = csv ? this.#csvFields(start, start + content) : this.#textFields(start, start + content)
      return { bytes, fields, line: this.#line, lines }
    }
  }

  #lacks(): null {
    if (!this.#over) this.#pending.requireLimit()
    return null
  }

  // ---- lines: bytes of the content, without what ends it; null: it has not ended

  #textLine(): number | null {
    const { bytes, start, end } = this.#pending
    let at = start + this.#scanned
    while (at < end) {
      const byte = bytes[at]
      if (byte === newline || byte === carriageReturn) {
        const content = this.#ended(at)
        if (content !== undefined) return content
        return null
      }
      if (byte !== backslash) at += 1
      else {
        if (at + 1 >= end && !this.#finished) break
        if (bytes[at + 1] === dot) {
          if (this.#marker(at)) return null
          this.#scanned = at - start
          return null
        }
        at = Math.min(at + 2, end)
      }
    }
    this.#scanned = at - start
    return this.#lastLine()
  }

  /** `\.` by itself ends the data. True: it does. */
  #marker(at: number): boolean {
    const { bytes, start, end } = this.#pending
    if (at !== start) throw malformed('end-of-copy marker is not alone on its line', this.#line + 1)
    if (at + 2 >= end && !this.#finished) return false
    const after = bytes[at + 2]
    if (at + 2 < end && after !== newline && after !== carriageReturn)
      throw malformed('end-of-copy marker is not alone on its line', this.#line + 1)
    this.#over = true
    return true
  }

  #csvLine(): number | null {
    const { bytes, start, end } = this.#pending
    const { quote } = this.#form
    const escape = this.#form.escape === quote ? -1 : this.#form.escape
    let at = start + this.#scanned
    while (at < end) {
      const byte = bytes[at] as number
      if (!this.#inQuote && (byte === newline || byte === carriageReturn)) {
        const content = this.#ended(at)
        if (content === undefined) return null
        if (content === 2 && bytes[start] === backslash && bytes[start + 1] === dot) throw marker(this.#line + 1)
        return content
      }
      if (this.#inQuote && byte === escape) this.#escaped = !this.#escaped
      if (byte === quote && !this.#escaped) this.#inQuote = !this.#inQuote
      if (byte !== escape) this.#escaped = false
      if (this.#inQuote && byte === (this.#ends === 'nl' ? newline : carriageReturn)) this.#lines += 1
      at += 1
    }
    this.#scanned = at - start
    const content = this.#lastLine()
    if (content === 2 && bytes[start] === backslash && bytes[start + 1] === dot) throw marker(this.#line + 1)
    return content
  }

  /** The line ends at `at`; undefined: what comes next must be known first. */
  #ended(at: number): number | undefined {
    const { bytes, start, end } = this.#pending
    const literal = this.#form.format === 'csv' ? 'unquoted' : 'literal'
    this.#scanned = at - start
    if (bytes[at] === newline) {
      if (this.#ends === 'cr' || this.#ends === 'crnl') throw malformed(`${literal} newline found in data`, this.#line + 1)
      this.#ends = 'nl'
      this.#scanned += 1
      return at - start
    }
    if (this.#ends === 'nl') throw malformed(`${literal} carriage return found in data`, this.#line + 1)
    if (this.#ends !== 'cr') {
      if (at + 1 >= end && !this.#finished) return undefined
      if (at + 1 < end && bytes[at + 1] === newline) {
        this.#ends = 'crnl'
        this.#scanned += 2
        return at - start
      }
      if (this.#ends === 'crnl') throw malformed(`${literal} carriage return found in data`, this.#line + 1)
      this.#ends = 'cr'
    }
    this.#scanned += 1
    return at - start
  }

  /** What is left when all has come need not end with a newline. */
  #lastLine(): number | null {
    if (!this.#finished || this.#scanned === 0) return null
    this.#over = true
    return this.#scanned
  }

  // ---- fields

  #textFields(start: number, end: number): readonly (Uint8Array | null | undefined)[] {
    const { bytes } = this.#pending
    const { delimiter } = this.#form
    const found: { from: number; to: number; escaped: boolean }[] = []
    let from = start
    let escaped = false
    for (let at = start; found.length <= this.#last; at++) {
      if (at >= end) {
        found.push({ from, to: end, escaped })
        break
      }
      const byte = bytes[at]
      if (byte === delimiter) {
        found.push({ from, to: at, escaped })
        from = at + 1
        escaped = false
      } else if (byte === backslash) {
        escaped = true
        at += 1
      }
    }
    return this.#wanted.map((position) => {
      const field = found[position]
      if (field === undefined) return undefined
      const raw = bytes.subarray(field.from, field.to)
      if (raw.equals(this.#null)) return null
      return field.escaped ? unescaped(raw) : raw
    })
  }

  #csvFields(start: number, end: number): readonly (Uint8Array | null | undefined)[] {
    const { bytes } = this.#pending
    const { delimiter, quote, escape } = this.#form
    const found: (Uint8Array | null)[] = []
    const made: number[] = []
    let at = start
    while (found.length <= this.#last) {
      const from = at
      let sawQuote = false
      let quoted = false
      made.length = 0
      for (; at < end; at++) {
        const byte = bytes[at] as number
        if (!quoted) {
          if (byte === delimiter) break
          if (byte === quote) {
            sawQuote = true
            quoted = true
          } else made.push(byte)
          continue
        }
        const next = at + 1 < end ? bytes[at + 1] : undefined
        if (byte === escape && (next === escape || next === quote)) {
          made.push(next)
          at += 1
        } else if (byte === quote) quoted = false
        else made.push(byte)
      }
      if (quoted) throw malformed('unterminated CSV quoted field', this.#line)
      const plain = !sawQuote && bytes.subarray(from, at).equals(this.#null)
      found.push(plain ? null : sawQuote ? Uint8Array.from(made) : bytes.subarray(from, at))
      if (at >= end) break
      at += 1
      if (at === end && found.length <= this.#last) {
        found.push(this.#null.length === 0 ? null : new Uint8Array(0))
        break
      }
    }
    return this.#wanted.map((position) => found[position])
  }
}

const letters: Readonly<Record<number, number>> = { 0x62: 8, 0x66: 12, 0x6e: 10, 0x72: 13, 0x74: 9, 0x76: 11 }

function unescaped(raw: Uint8Array): Uint8Array {
  const made = Buffer.allocUnsafe(raw.length)
  let length = 0
  for (let at = 0; at < raw.length; at++) {
    const byte = raw[at] as number
    if (byte !== backslash || at + 1 >= raw.length) {
      made[length++] = byte
      continue
    }
    at += 1
    const next = raw[at] as number
    const digits = next === 0x78 ? /^[0-9A-Fa-f]{1,2}/ : /^[0-7]{1,3}/
    const begins = next === 0x78 ? at + 1 : at
    const [text] = digits.exec(Buffer.from(raw.subarray(begins, begins + 3)).toString('latin1')) ?? ['']
    if (text === '') made[length++] = letters[next] ?? next
    else {
      made[length++] = Number.parseInt(text, next === 0x78 ? 16 : 8) & 0xff
      at = begins + text.length - 1
    }
  }
  return made.subarray(0, length)
}

const signature = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')

class BinarySplit implements CopySplit {
  head: Uint8Array | null = null
  readonly tail: Uint8Array = Uint8Array.of(0xff, 0xff)
  readonly #wanted: readonly number[]
  readonly #pending: Pending
  #finished = false
  #over = false
  #line = 0

  constructor(wanted: readonly number[], limit: number) {
    this.#wanted = wanted
    this.#pending = new Pending(limit)
  }

  give(data: Uint8Array): void {
    if (this.#over && data.length > 0) throw malformed('received copy data after EOF marker', this.#line)
    this.#pending.add(data)
  }

  finish(): void {
    this.#finished = true
  }

  next(): CopyRow | null {
    if (this.#over || (this.head === null && !this.#takeHead())) return null
    const { bytes, start, end } = this.#pending
    if (end - start < 2) return this.#lacks(end > start)
    const count = bytes.readInt16BE(start)
    if (count === -1) {
      this.#over = true
      this.#pending.start += 2
      if (end > start + 2) throw malformed('received copy data after EOF marker', this.#line)
      return null
    }
    const found: (Uint8Array | null)[] = []
    let at = start + 2
    for (let field = 0; field < count; field++) {
      if (end - at < 4) return this.#lacks(true)
      const length = bytes.readInt32BE(at)
      if (length < -1) throw malformed('invalid field size', this.#line + 1)
      at += 4
      if (length > end - at) return this.#lacks(true)
      found.push(length === -1 ? null : bytes.subarray(at, at + length))
      at += Math.max(length, 0)
    }
    this.#pending.start = at
    this.#line += 1
    return { bytes: bytes.subarray(start, at), fields: this.#wanted.map((position) => found[position]), line: this.#line, lines: 1 }
  }

  #takeHead(): boolean {
    const { bytes, start, end } = this.#pending
    const fixed = signature.length + 8
    if (end - start < fixed) {
      if (this.#finished) throw malformed('COPY file signature not recognized', 0)
      return false
    }
    if (!bytes.subarray(start, start + signature.length).equals(signature)) throw malformed('COPY file signature not recognized', 0)
    const extension = bytes.readInt32BE(start + signature.length + 4)
    if (extension < 0) throw malformed('invalid COPY file header (missing length)', 0)
    if (end - start < fixed + extension) {
      this.#lacks(true)
      return false
    }
    this.head = Uint8Array.from(bytes.subarray(start, start + fixed + extension))
    this.#pending.start += fixed + extension
    return true
  }

  #lacks(begun: boolean): null {
    if (this.#finished && begun) throw malformed('unexpected EOF in COPY data', this.#line + 1)
    this.#pending.requireLimit()
    return null
  }
}

function malformed(what: string, line: number): PointsmanError {
  return new PointsmanError('copy_malformed', {
    values: { what },
    ...(line === 0 ? {} : { detail: `In line ${String(line)} of the data.` }),
  })
}

/** What it means is another thing from one version of PostgreSQL to the next. */
function marker(line: number): PointsmanError {
  return new PointsmanError('feature_not_supported', {
    values: { what: 'a line of CSV that is \\. and nothing else is not supported where rows are split by shard' },
    hint: 'Write it in quotes, or end the data without it.',
    detail: `In line ${String(line)} of the data.`,
  })
}
