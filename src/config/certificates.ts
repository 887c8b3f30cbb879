// config/certificates.ts — whether PEM texts are what they are said to be: a certificate, and the key that belongs to it.
// Seen when the configuration is read, so that a renewed pair of which only one half has been written is refused and the
// old one stays.
import { X509Certificate, createPrivateKey, type KeyObject } from 'node:crypto'
import type { Context } from './context.js'
import type { Path } from './locator.js'

/** Tells what is wrong with `tls.cert`, `tls.key` and `tls.ca` at `path`; null: not given, or told already. */
export function checkCertificates(
  context: Context,
  path: Path,
  { cert, key, ca }: { readonly cert: string | null; readonly key: string | null; readonly ca: string | null },
): void {
  const tell = (name: string, allowed: string, message: string): void =>
    context.findings.problem({ path: [...path, name], allowed, message })
  if (ca !== null && readCertificate(ca) === null) tell('ca', 'certificates in PEM', 'no certificate can be read from this')
  const certificate = cert === null ? null : readCertificate(cert)
  if (cert !== null && certificate === null)
    tell('cert', 'a certificate chain in PEM, its own certificate first', 'no certificate can be read from this')
  const privateKey = key === null ? null : readKey(key)
  if (key !== null && privateKey === null) tell('key', 'a private key in PEM, without a passphrase', 'no private key can be read from this')
  if (certificate === null || privateKey === null || certificate.checkPrivateKey(privateKey)) return
  tell('key', 'the key that the certificate was made for', 'the key does not belong to the certificate')
}

function readCertificate(pem: string): X509Certificate | null {
  try {
    return new X509Certificate(pem)
  } catch {
    return null
  }
}

function readKey(pem: string): KeyObject | null {
  try {
    return createPrivateKey(pem)
  } catch {
    return null
  }
}
