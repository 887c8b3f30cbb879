// protocol/channel-binding.ts — `tls-server-end-point` (RFC 5929 §4.1): the hash of the server's certificate, by the hash of
// its own signature; MD5 and SHA-1 are replaced by SHA-256. It binds a SCRAM login to this TLS session's server, so that a
// man in the middle with another certificate cannot relay it, even where the mode does not verify certificates.
import { createHash } from 'node:crypto'

/** Signature algorithm (object identifier, hexadecimal DER) → hash. Those with parameters (RSA-PSS) or without a hash (Ed25519) are missing. */
const hashes: ReadonlyMap<string, string> = new Map([
  ['2a864886f70d010104', 'sha256'], // md5WithRSA
  ['2a864886f70d010105', 'sha256'], // sha1WithRSA
  ['2a864886f70d01010b', 'sha256'],
  ['2a864886f70d01010c', 'sha384'],
  ['2a864886f70d01010d', 'sha512'],
  ['2a864886f70d01010e', 'sha224'],
  ['2a8648ce3d0401', 'sha256'], // ecdsaWithSHA1
  ['2a8648ce3d040301', 'sha224'],
  ['2a8648ce3d040302', 'sha256'],
  ['2a8648ce3d040303', 'sha384'],
  ['2a8648ce3d040304', 'sha512'],
])

/** Binding data for a certificate in DER, or null where RFC 5929 does not define any: then SCRAM goes without binding. */
export function serverEndPoint(certificate: Uint8Array): Uint8Array | null {
  const hash = hashes.get(signatureAlgorithm(certificate) ?? '')
  return hash === undefined ? null : createHash(hash).update(certificate).digest()
}

/** Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OBJECT IDENTIFIER, … }, … } */
function signatureAlgorithm(der: Uint8Array): string | null {
  const certificate = element(der, 0)
  const tbs = certificate === null ? null : element(der, certificate.start)
  const algorithm = tbs === null ? null : element(der, tbs.end)
  const oid = algorithm === null ? null : element(der, algorithm.start)
  if (oid?.tag !== 0x06) return null
  return Buffer.from(der.subarray(oid.start, oid.end)).toString('hex')
}

/** Tag, and where the content stands, of the DER element at `at`. */
function element(der: Uint8Array, at: number): { readonly tag: number; readonly start: number; readonly end: number } | null {
  const tag = der[at]
  const first = der[at + 1]
  if (tag === undefined || first === undefined) return null
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f
  if (lengthBytes > 4) return null
  let length = lengthBytes === 0 ? first : 0
  for (let index = 0; index < lengthBytes; index++) length = length * 256 + (der[at + 2 + index] ?? 0)
  const start = at + 2 + lengthBytes
  return start + length > der.length ? null : { tag, start, end: start + length }
}
