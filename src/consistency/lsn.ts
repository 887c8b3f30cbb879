// consistency/lsn.ts — PostgreSQL's log sequence numbers as bigint. Text like '0/9' and '0/10' does not compare as
// strings; and an *insert* position read at a page boundary points behind a page header that no record can fill
// (CONSISTENCY §2.2), so it must be moved back before a replica is measured against it.

/** A position in the write-ahead log, in bytes. */
export type Lsn = bigint

/** `16/B374D848` → bigint. Throws RangeError on anything else: an unreadable position is unknown, never zero. */
export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text)
  if (match === null) throw new RangeError(`not an LSN: ${JSON.stringify(text)}`)
  return (BigInt(`0x${match[1] ?? ''}`) << 32n) | BigInt(`0x${match[2] ?? ''}`)
}

/** The inverse of parseLsn, in PostgreSQL's own spelling (upper case, no leading zeros). */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`
}

/** What normaliseInsertLsn() must know of a server, in bytes: `wal_block_size` and `wal_segment_size`. */
export interface WalSizes {
  readonly block: number
  readonly segment: number
}

/** Bytes of the header of a page, and of the first page of a segment (XLogPageHeaderData, XLogLongPageHeaderData). */
const PAGE_HEADER = 24n
const SEGMENT_HEADER = 40n

/**
 * pg_current_wal_insert_lsn() → the end of the last record. Where that record filled its page to the last byte the
 * insert position reads behind the next page's header, while flush and replay positions stay at the boundary until more
 * is written. No record can end inside or right behind a header, so moving back loses nothing.
 */
export function normaliseInsertLsn(lsn: Lsn, sizes: WalSizes): Lsn {
  const inPage = lsn % BigInt(sizes.block)
  const inSegment = lsn % BigInt(sizes.segment)
  return inPage <= PAGE_HEADER || inSegment <= SEGMENT_HEADER ? lsn - inPage : lsn
}
