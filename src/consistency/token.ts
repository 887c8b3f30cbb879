// consistency/token.ts — a session's floors as text that travels: cookie, header, job, SET pointsman.token (CONSISTENCY
// §2.7). It holds positions, never times, so the clocks of two routers need not agree. Whoever brings one is not trusted:
// what cannot be read or does not fit asks for the primary until its next sample, and nothing more (I11).
//
//   p1.<base64url of JSON [[cluster, system, timeline, lsn], …]>[.<base64url of HMAC-SHA256 over what stands before it>]
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { formatLsn, parseLsn, type Lsn } from './lsn.js'

/** What one cluster must show again to whoever brings the token. */
export interface TokenEntry {
  readonly cluster: string
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

/** No token has more; a longer one is unreadable. */
export const maxTokenClusters = 16
const maxTokenBytes = 4_096
const version = 'p1'

/** A short stand-in for a system identifier, so that a token tells nothing that pg_monitor is needed for. */
export function systemKey(systemIdentifier: string): string {
  return createHash('sha256').update(`pointsman:${systemIdentifier}`).digest('base64url').slice(0, 8)
}

/** '' for no entries. `key`: signs it, or null. More entries than a token can carry: throws RangeError. */
export function encodeToken(entries: readonly TokenEntry[], key: string | null): string {
  if (entries.length === 0) return ''
  if (entries.length > maxTokenClusters) throw new RangeError(`a token carries ${String(maxTokenClusters)} clusters at most`)
  const rows = entries.map(({ cluster, system, timeline, lsn }) => [cluster, system, timeline, lsn === null ? null : formatLsn(lsn)])
  const body = `${version}.${Buffer.from(JSON.stringify(rows)).toString('base64url')}`
  return key === null ? body : `${body}.${signature(body, key)}`
}

/** Reads any text. With a `key` only what was signed by it is read. An empty text is a token without entries. */
export function decodeToken(text: string, key: string | null): TokenReading {
  if (text === '') return { ok: true, entries: [] }
  if (text.length > maxTokenBytes) return unreadable('it is too long')
  const [prefix, body, signed, ...more] = text.split('.')
  if (prefix !== version || body === undefined || more.length > 0) return unreadable('it is not one of this version')
  if (key !== null && !sameText(signed ?? '', signature(`${prefix}.${body}`, key))) return unreadable('its signature is missing or wrong')
  try {
    return readRows(JSON.parse(Buffer.from(body, 'base64url').toString('utf8')) as unknown)
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
  if (typeof cluster !== 'string' || typeof system !== 'string' || typeof timeline !== 'number') return null
  if (!Number.isInteger(timeline) || timeline < 0 || timeline > 0xffffffff) return null
  if (lsn !== null && typeof lsn !== 'string') return null
  return { cluster, system, timeline, lsn: lsn === null ? null : parseLsn(lsn) }
}

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
