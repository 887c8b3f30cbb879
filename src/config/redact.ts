// config/redact.ts — a Config that can be shown: plain objects, and every secret as `***`. Keys that hold secrets are
// listed here; a test holds the list against a config full of marked secrets.
import type { Config } from './config.js'

const secretKeys: ReadonlySet<string> = new Set(['password', 'verifier', 'token', 'key'])

/** For SHOW CONFIG and logs. Certificates are shown by their length. */
export function redact(config: Config): Readonly<Record<string, unknown>> {
  return plain(config) as Readonly<Record<string, unknown>>
}

function plain(value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries([...(value as ReadonlyMap<string, unknown>)].map(([key, one]) => [key, plain(one)]))
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === 'string' && value.includes('-----BEGIN')) return `(PEM, ${String(value.length)} characters)`
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, one]: [string, unknown]) => [
      key,
      secretKeys.has(key) && typeof one === 'string' ? '***' : plain(one),
    ]),
  )
}
