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
