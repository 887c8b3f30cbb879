// consistency/token.ts — a session's floors as text that travels: cookie, header, job, SET pointsman.token (CONSISTENCY
// §2.7). It holds positions, never times, so the clocks of two routers need not agree. Whoever brings one is not trusted:
// what cannot be read or does not fit asks for the primary until its next sample, and nothing more (I11).
//
//   p1.<base64url of JSON [[cluster, system, timeline, lsn], …]>[.<base64url of HMAC-SHA256 over what stands before it>]
//
// The same entries make the same text, whatever their order. A cluster that is named twice is taken twice, so the higher counts.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { formatLsn, parseLsn, type Lsn } from './lsn.js'

/** What one cluster must show again to whoever brings the token. */
export interface TokenEntry {
  /** Its name in the configuration; null: every cluster that the token does not name. */
  readonly cluster: string | null
  /** systemKey() of the cluster's system identifier; '' where it was not known. */
  readonly system: string
  readonly timeline: number
  /** null: not located yet; everything up to the moment at which the token is received. */
  readonly lsn: Lsn | null
}

export type TokenReading =
  | { readonly ok: true; readonly entries: readonly TokenEntry[] }
  /** `reason` in words, without any of the token's text. */
  | { readonly ok: false; readonly reason: string }

/** No token has more entries; one that has is unreadable. */
export const maxTokenClusters = 16
/** Characters, all of them ASCII: a cookie of 4096 bytes has room for it and its attributes. A longer one is unreadable. */
export const maxTokenLength = 3_800
const version = 'p1'

/** A short stand-in for a system identifier, so that a token tells nothing that pg_monitor is needed for. */
export function systemKey(systemIdentifier: string): string {
  return createHash('sha256').update(`pointsman:${systemIdentifier}`).digest('base64url').slice(0, 8)
}

/** '' for no entries. `key`: signs it, or null. null: more than a token can carry. */
export function encodeToken(entries: readonly TokenEntry[], key: string | null): string | null {
  if (entries.length === 0) return ''
  if (entries.length > maxTokenClusters) return null
  const sorted = entries.toSorted((a, b) => ((a.cluster ?? '') < (b.cluster ?? '') ? -1 : 1))
  const rows = sorted.map(({ cluster, system, timeline, lsn }) => [cluster, system, timeline, lsn === null ? null : formatLsn(lsn)])
  const body = `${version}.${Buffer.from(JSON.stringify(rows)).toString('base64url')}`
  const token = key === null ? body : `${body}.${signature(body, key)}`
  return token.length > maxTokenLength ? null : token
}

/** Reads any text. With a `key` only what was signed by it is read. An empty text is a token without entries. */
export function decodeToken(text: string, key: string | null): TokenReading {
  if (text === '') return { ok: true, entries: [] }
  if (text.length > maxTokenLength) return unreadable('it is too long')
  const [prefix, body, signed, ...more] = text.split('.')
  if (prefix !== version || body === undefined || more.length > 0) return unreadable('it is not one of this version')
  if (key !== null && !sameText(signed ?? '', signature(`${prefix}.${body}`, key))) return unreadable('its signature is missing or wrong')
  // Node reads past whatever is not base64url; what does not come out again as it came in was not made here.
  const bytes = Buffer.from(body, 'base64url')
  if (bytes.toString('base64url') !== body) return unreadable('its content cannot be read')
  try {
    return readRows(JSON.parse(bytes.toString('utf8')) as unknown)
  } catch {
    return unreadable('its content cannot be read')
  }
}

function readRows(rows: unknown): TokenReading {
  if (!Array.isArray(rows) || rows.length > maxTokenClusters) return unreadable('its content cannot be read')
  const entries = rows.map(readRow)
  return entries.every((entry) => entry !== null) ? { ok: true, entries } : unreadable('its content cannot be read')
}

function readRow(row: unknown): TokenEntry | null {
  if (!Array.isArray(row) || row.length !== 4) return null
  const [cluster, system, timeline, lsn] = row as readonly unknown[]
  if ((typeof cluster !== 'string' && cluster !== null) || typeof system !== 'string' || !systemForm.test(system)) return null
  if (typeof timeline !== 'number' || !Number.isInteger(timeline) || timeline < 0 || timeline > 0xffffffff) return null
  if (lsn === null) return { cluster, system, timeline: timeline + 0, lsn }
  // A position is one on a timeline, and there is no timeline 0.
  if (typeof lsn !== 'string' || timeline === 0) return null
  return { cluster, system, timeline, lsn: parseLsn(lsn) }
}

const systemForm = /^(?:[A-Za-z0-9_-]{8})?$/

function unreadable(reason: string): TokenReading {
  return { ok: false, reason }
}

function signature(body: string, key: string): string {
  return createHmac('sha256', key).update(body).digest('base64url').slice(0, 22)
}

function sameText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}
