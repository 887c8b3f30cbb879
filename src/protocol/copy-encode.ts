// protocol/copy-encode.ts — rows → what COPY … TO STDOUT gives for them, one CopyData for each row, as copyto.c writes it.
import type { CopyForm } from './copy-form.js'
import { encodeCopyData } from './query.js'

type Row = readonly (Uint8Array | null)[]

/** What comes before the first row; null: nothing. */
export function copyHead(form: CopyForm, names: readonly string[]): Uint8Array | null {
  if (form.format === 'binary') return encodeCopyData(binaryHead)
  if (!form.header) return null
  const row = names.map((name) => Buffer.from(name))
  const write = form.format === 'csv' ? csvField(form, false, row.length === 1) : textField(form)
  return encodeCopyData(joined(row, form, (name) => (name === null ? new Uint8Array(0) : write(name))))
}

const binaryHead = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)])

/** What comes after the last row; null: nothing. */
export function copyTail(form: CopyForm): Uint8Array | null {
  return form.format === 'binary' ? encodeCopyData(Uint8Array.of(0xff, 0xff)) : null
}

/** Writes rows; `names`: of their columns. */
export function copyWriter(form: CopyForm, names: readonly string[]): (rows: readonly Row[]) => Uint8Array {
  if (form.format === 'binary') return (rows) => Buffer.concat(rows.map(binaryRow))
  const nothing = Buffer.from(form.nullText)
  const text = textField(form)
  const fields = names.map((name) =>
    form.format === 'text' ? text : csvField(form, form.quoted === 'all' || form.quoted.includes(name), names.length === 1),
  )
  return (rows) =>
    Buffer.concat(
      rows.map((row) => encodeCopyData(joined(row, form, (value, column) => (value === null ? nothing : (fields[column] ?? text)(value))))),
    )
}

type Write = (value: Uint8Array) => Uint8Array

function joined(row: Row, form: CopyForm, write: (value: Uint8Array | null, column: number) => Uint8Array): Uint8Array {
  const pieces: Uint8Array[] = []
  for (const [column, value] of row.entries()) {
    if (column > 0) pieces.push(Uint8Array.of(form.delimiter))
    pieces.push(write(value, column))
  }
  pieces.push(lineEnd)
  return Buffer.concat(pieces)
}

const lineEnd = Uint8Array.of(0x0a)

function binaryRow(row: Row): Uint8Array {
  const size = row.reduce((sum, value) => sum + 4 + (value?.length ?? 0), 2)
  const made = Buffer.allocUnsafe(size)
  let at = made.writeInt16BE(row.length, 0)
  for (const value of row) {
    at = made.writeInt32BE(value?.length ?? -1, at)
    if (value !== null) made.set(value, at)
    at += value?.length ?? 0
  }
  return encodeCopyData(made)
}

const named: Readonly<Record<number, string>> = { 8: 'b', 9: 't', 10: 'n', 11: 'v', 12: 'f', 13: 'r' }

function textField({ delimiter }: CopyForm): Write {
  return (value) => {
    if (!value.some((byte) => byte === 0x5c || byte === delimiter || (byte >= 8 && byte <= 13))) return value
    const made: number[] = []
    for (const byte of value) {
      const letter = named[byte]
      if (letter !== undefined) made.push(0x5c, letter.charCodeAt(0))
      else if (byte === 0x5c || byte === delimiter) made.push(0x5c, byte)
      else made.push(byte)
    }
    return Uint8Array.from(made)
  }
}

function csvField({ delimiter, quote, escape, nullText }: CopyForm, always: boolean, alone: boolean): Write {
  const nothing = Buffer.from(nullText)
  return (value) => {
    const special = (byte: number): boolean => byte === delimiter || byte === quote || byte === 10 || byte === 13
    const endMark = alone && value.length === 2 && value[0] === 0x5c && value[1] === 0x2e
    if (!always && !endMark && !nothing.equals(value) && !value.some(special)) return value
    const made: number[] = [quote]
    for (const byte of value) {
      if (byte === quote || byte === escape) made.push(escape)
      made.push(byte)
    }
    made.push(quote)
    return Uint8Array.from(made)
  }
}
