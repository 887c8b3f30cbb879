// protocol/same-columns.ts — whether two descriptions of rows speak of the same columns, as PostgreSQL compares them when a
// prepared statement is planned anew: names, types and modifiers. Where a column comes from does not count. Between two servers
// types that are not PostgreSQL's own may have other numbers, for each server numbers them for itself.
import { Backend } from './message-types.js'
import type { DescribedColumn } from './rows.js'

const firstOwnOid = 16_384

/** It is not PostgreSQL's: each server numbers it for itself. */
export function isOwnType(oid: number): boolean {
  return oid >= firstOwnOid
}

/** Rows of two servers go together. A type of the user's own is compared by nobody, and its text goes through; its bytes may hold numbers. */
export function alikeColumns(left: readonly DescribedColumn[], right: readonly DescribedColumn[]): boolean {
  return left.length === right.length && left.every((column, index) => alike(column, right[index]))
}

function alike({ name, oid, modifier, format }: DescribedColumn, other: DescribedColumn | undefined): boolean {
  if (other?.name !== name || other.modifier !== modifier) return false
  return oid === other.oid || (format === 0 && other.format === 0 && isOwnType(oid) && isOwnType(other.oid))
}

/** What stands behind a column's name: table, attribute, type, length, modifier, format. */
const typeAt = 6
const modifierAt = 12
const rest = 18

/** Of one server, whatever their formats. Both are whole RowDescription or NoData frames, sound ones. */
export function sameColumns(left: Uint8Array, right: Uint8Array): boolean {
  const [a, b] = [bytesOf(left), bytesOf(right)]
  if (a.equals(b)) return true
  if (a[0] !== b[0] || a[0] !== Backend.RowDescription || a.length !== b.length) return false
  for (let at = 7; at < a.length;) {
    const end = a.indexOf(0, at) + 1
    if (end === 0 || end + rest > a.length || a.compare(b, at, end, at, end) !== 0) return false
    for (const field of [typeAt, modifierAt]) if (a.readInt32BE(end + field) !== b.readInt32BE(end + field)) return false
    at = end + rest
  }
  return true
}

function bytesOf(frame: Uint8Array): Buffer {
  return Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)
}
