// test/support/certificates.ts — a certificate authority for tests, in DER by hand (RFC 5280): Node can check certificates but
// not make them. ECDSA P-256 with SHA-256; valid for years around now.
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { isIPv4 } from 'node:net'

/** PEM texts. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

export interface Authority extends Certificate {
  /** A certificate signed by this authority; `names`: DNS names and IPv4 addresses it holds for. */
  issue(commonName: string, names?: readonly string[]): Certificate
}

export function makeAuthority(commonName = 'test authority'): Authority {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const issue = (subject: string, publicKey: KeyObject, extensions: readonly Buffer[]): string =>
    pem('CERTIFICATE', certificate(commonName, subject, publicKey, keys.privateKey, extensions))
  return {
    cert: issue(commonName, keys.publicKey, [extension('551d13', true, sequence(boolean(true)))]),
    key: keyPem(keys.privateKey),
    issue(subject, names = []) {
      const own = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const extensions = names.length === 0 ? [] : [extension('551d11', false, sequence(...names.map(alternativeName)))]
      return { cert: issue(subject, own.publicKey, extensions), key: keyPem(own.privateKey) }
    },
  }
}

let serial = 1

function certificate(issuer: string, subject: string, publicKey: KeyObject, signer: KeyObject, extensions: readonly Buffer[]): Buffer {
  const algorithm = sequence(oid('2a8648ce3d040302'))
  const validity = sequence(tag(0x17, Buffer.from('200101000000Z')), tag(0x17, Buffer.from('491231235959Z')))
  const body = sequence(
    tag(0xa0, tag(0x02, Buffer.from([2]))),
    tag(0x02, Buffer.from([0x01, (serial >> 8) & 0xff, serial++ & 0xff])),
    algorithm,
    name(issuer),
    validity,
    name(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    ...(extensions.length === 0 ? [] : [tag(0xa3, sequence(...extensions))]),
  )
  return sequence(body, algorithm, tag(0x03, Buffer.concat([Buffer.from([0]), sign('sha256', body, signer)])))
}

function name(commonName: string): Buffer {
  return sequence(tag(0x31, sequence(oid('550403'), tag(0x0c, Buffer.from(commonName)))))
}

function alternativeName(value: string): Buffer {
  return isIPv4(value) ? tag(0x87, Buffer.from(value.split('.').map(Number))) : tag(0x82, Buffer.from(value))
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), tag(0x04, value))
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tag(0x30, Buffer.concat(parts))
}

function boolean(value: boolean): Buffer {
  return tag(0x01, Buffer.from([value ? 0xff : 0]))
}

function oid(hex: string): Buffer {
  return tag(0x06, Buffer.from(hex, 'hex'))
}

function tag(type: number, content: Buffer): Buffer {
  const size = content.length
  const length = size < 0x80 ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff]
  return Buffer.concat([Buffer.from([type, ...length]), content])
}

function keyPem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}

function pem(label: string, der: Buffer): string {
  return `-----BEGIN ${label}-----\n${der.toString('base64').replace(/.{64}/g, '$&\n').trimEnd()}\n-----END ${label}-----\n`
}
