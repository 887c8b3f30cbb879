// config/quantities.ts — sizes as people write them (`64KB`, `1GB`, or bytes as a number), and `host:port`.
// KB and its like are powers of 1024, as in PostgreSQL's own settings.

const bytes: Readonly<Record<string, number>> = { B: 1, kB: 2 ** 10, KB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30 }

export const sizePattern: RegExp = /^[0-9]{1,10}(\.[0-9]{1,3})? ?(B|kB|KB|MB|GB)$/

/** `64KB` or 65536 → bytes; null if it is neither. */
export function parseSize(value: string | number): number | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0 ? value : null
  const trimmed = value.trim()
  if (!sizePattern.test(trimmed)) return null
  const unit = /[A-Za-z]+$/.exec(trimmed)?.[0] ?? ''
  return Math.floor(Number.parseFloat(trimmed) * (bytes[unit] ?? Number.NaN))
}

/** `10.0.0.1:5432`, `db.example`, `[::1]:5432`; the port is 5432 where none is given. */
export const nodePattern: RegExp = /^(\[[0-9A-Fa-f:.%a-z]+\]|[^\s:/[\]]+)(:[0-9]{1,5})?$/

export function parseHostPort(text: string): { readonly host: string; readonly port: number } | null {
  const match = nodePattern.exec(text)
  if (match === null) return null
  const host = (match[1] ?? '').replace(/^\[|\]$/g, '')
  const port = match[2] === undefined ? 5432 : Number(match[2].slice(1))
  return port >= 1 && port <= 65535 && host !== '' ? { host, port } : null
}

/** Identity of a node: `host:port`, an IPv6 address in brackets. */
export function nodeId(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${String(port)}` : `${host}:${String(port)}`
}

/** True where only this machine can connect. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.[0-9]{1,3}){3}$/.test(host)
}
