// config/address-range.ts — addresses as rules name them: one address, or a range in CIDR form, of either family. As in
// pg_hba.conf an IPv4 range means IPv4 clients; one that comes mapped into IPv6 (`::ffff:10.0.0.1`) is an IPv4 client.

export interface AddressRange {
  /** As written. */
  readonly text: string
  /** 4 or 16 of them. */
  readonly bytes: readonly number[]
  /** How many leading bits count. */
  readonly bits: number
}

/** `10.0.0.0/8`, `2001:db8::/32`, `192.168.1.7`; null if it is none, or has bits set behind its prefix. */
export function parseRange(text: string): AddressRange | null {
  const [address = '', prefix, ...more] = text.split('/')
  const bytes = parseAddress(address)
  if (bytes === null || more.length > 0) return null
  if (prefix !== undefined && !/^[0-9]{1,3}$/.test(prefix)) return null
  const bits = prefix === undefined ? bytes.length * 8 : Number(prefix)
  if (bits > bytes.length * 8) return null
  // 10.1.2.3/8 is either a slip of the address or of the prefix: nobody should have to guess which.
  return bytes.every((byte, index) => (byte & ~mask(bits, index) & 0xff) === 0) ? { text, bytes, bits } : null
}

/** 4 bytes for IPv4 and for IPv4 within IPv6, else 16; null if it is no address. A zone (`%eth0`) is left out. */
export function parseAddress(text: string): readonly number[] | null {
  const [bare = ''] = text.split('%')
  if (!bare.includes(':')) return parseV4(bare)
  const bytes = parseV6(bare)
  if (bytes === null) return null
  const mapped = bytes.slice(0, 12).every((byte, index) => byte === (index < 10 ? 0 : 0xff))
  return mapped ? bytes.slice(12) : bytes
}

export function inRange(range: AddressRange, address: readonly number[]): boolean {
  if (address.length !== range.bytes.length) return false
  return range.bytes.every((byte, index) => byte === ((address[index] ?? 0) & mask(range.bits, index)))
}

/** Only this machine is in it. */
export function isLoopbackRange({ bytes, bits }: AddressRange): boolean {
  if (bytes.length === 4) return bits >= 8 && bytes[0] === 127
  return bits === 128 && bytes.every((byte, index) => byte === (index === 15 ? 1 : 0))
}

function mask(bits: number, index: number): number {
  const here = Math.min(8, Math.max(0, bits - index * 8))
  return (0xff << (8 - here)) & 0xff
}

function parseV4(text: string): readonly number[] | null {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part))) return null
  const bytes = parts.map(Number)
  return bytes.every((byte) => byte <= 255) ? bytes : null
}

function parseV6(text: string): readonly number[] | null {
  const halves = text.split('::')
  if (halves.length > 2) return null
  const [head, tail] = [groups(halves[0] ?? '', halves.length === 1), groups(halves[1] ?? '', true)]
  if (head === null || tail === null) return null
  const missing = 16 - head.length - tail.length
  if (halves.length === 1 ? missing !== 0 : missing < 2) return null
  return [...head, ...Array.from({ length: missing }, () => 0), ...tail]
}

/** `1:2:…`; where they are the end of the address the last one perhaps as IPv4. */
function groups(text: string, end: boolean): readonly number[] | null {
  if (text === '') return []
  const parts = text.split(':')
  const bytes: number[] = []
  for (const [index, part] of parts.entries()) {
    const v4 = end && part.includes('.') && index === parts.length - 1 ? parseV4(part) : null
    if (v4 !== null) bytes.push(...v4)
    else if (/^[0-9A-Fa-f]{1,4}$/.test(part)) bytes.push(Number.parseInt(part, 16) >> 8, Number.parseInt(part, 16) & 0xff)
    else return null
  }
  return bytes.length > 16 ? null : bytes
}
