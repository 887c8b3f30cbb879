// merge/network-types.ts — inet and cidr, compared as network_cmp does: IPv4 before IPv6, then the bits that both networks
// have, then the shorter network, then the whole address.
import { latin1, type ValueType } from './value-type.js'
import { cannotRead } from './problems.js'

interface Network {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array
  readonly bits: number
}

/** Compares the first `bits` bits. */
function compareBits(a: Uint8Array, b: Uint8Array, bits: number): number {
  const whole = bits >> 3
  const result = Buffer.compare(a.subarray(0, whole), b.subarray(0, whole))
  if (result !== 0 || (bits & 7) === 0) return result
  const mask = (0xff00 >> (bits & 7)) & 0xff
  return ((a[whole] as number) & mask) - ((b[whole] as number) & mask)
}

function networkType(read: (bytes: Uint8Array) => Network): ValueType<Network> {
  return {
    read,
    compare: (a, b) =>
      a.address.length - b.address.length ||
      compareBits(a.address, b.address, Math.min(a.bits, b.bits)) ||
      a.bits - b.bits ||
      compareBits(a.address, b.address, a.address.length * 8),
    key: ({ address, bits }) => `${bits}:${latin1(address)}`,
  }
}

/** Family, bits, whether it is a cidr, length, address (network_send). */
export const networkBinary: ValueType<Network> = networkType((bytes) => {
  const length = bytes[3]
  if ((length !== 4 && length !== 16) || bytes.length !== 4 + length) throw cannotRead('inet')
  return { bits: bytes[1] as number, address: bytes.subarray(4) }
})

export const networkText: ValueType<Network> = networkType((bytes) => {
  const [host = '', bits] = latin1(bytes).split('/')
  const address = host.includes(':') ? readV6(host) : readV4(host)
  return { address, bits: bits === undefined ? address.length * 8 : Number(bits) }
})

function readV4(text: string): Uint8Array {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^[0-9]{1,3}$/.test(part))) throw cannotRead('inet')
  return Uint8Array.from(parts, Number)
}

/** Groups of hexadecimal digits, `::` for as many zeros as are missing, the last two groups perhaps as an IPv4 address. */
function readV6(text: string): Uint8Array {
  const [left = '', right] = text.split('::')
  const head = groups(left)
  const tail = right === undefined ? [] : groups(right)
  const missing = 16 - head.length - tail.length
  if (missing < 0 || (right === undefined && missing > 0)) throw cannotRead('inet')
  return Uint8Array.from([...head, ...new Array<number>(missing).fill(0), ...tail])
}

function groups(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return [...readV4(group)]
    if (!/^[0-9a-f]{1,4}$/.test(group)) throw cannotRead('inet')
    const value = Number.parseInt(group, 16)
    return [value >> 8, value & 0xff]
  })
}
