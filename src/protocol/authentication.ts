// protocol/authentication.ts — Authentication* requests of a server and the password family of a client.
import { BodyReader } from './body-reader.js'
import { FrameWriter } from './frame-writer.js'
import { Backend, Frontend } from './message-types.js'

/** What a server asks. `data` is the SASL payload; `other` a method that is not spoken here (Kerberos, GSSAPI, SSPI). */
export type AuthenticationRequest =
  | { readonly kind: 'ok' }
  | { readonly kind: 'cleartext' }
  | { readonly kind: 'md5'; readonly salt: Uint8Array }
  | { readonly kind: 'sasl'; readonly mechanisms: readonly string[] }
  | { readonly kind: 'sasl-continue'; readonly data: string }
  | { readonly kind: 'sasl-final'; readonly data: string }
  | { readonly kind: 'other'; readonly code: number }

export function decodeAuthentication(frame: Uint8Array): AuthenticationRequest {
  const body = new BodyReader(frame, 'Authentication')
  const code = body.int32()
  switch (code) {
    case 0:
      return { kind: 'ok' }
    case 3:
      return { kind: 'cleartext' }
    case 5:
      return { kind: 'md5', salt: body.bytes(4) }
    case 10:
      return { kind: 'sasl', mechanisms: readMechanisms(body) }
    case 11:
      return { kind: 'sasl-continue', data: text(body.rest()) }
    case 12:
      return { kind: 'sasl-final', data: text(body.rest()) }
    default:
      return { kind: 'other', code }
  }
}

export function encodeAuthentication(request: AuthenticationRequest): Buffer {
  const frame = new FrameWriter(Backend.Authentication)
  switch (request.kind) {
    case 'ok':
      return frame.int32(0).end()
    case 'cleartext':
      return frame.int32(3).end()
    case 'md5':
      return frame.int32(5).bytes(request.salt).end()
    case 'sasl':
      frame.int32(10)
      for (const mechanism of request.mechanisms) frame.cstring(mechanism)
      return frame.byte(0).end()
    case 'sasl-continue':
      return frame.int32(11).text(request.data).end()
    case 'sasl-final':
      return frame.int32(12).text(request.data).end()
    case 'other':
      return frame.int32(request.code).end()
  }
}

/** The answer to `cleartext` and (hashed) to `md5`. */
export function encodePassword(password: string): Buffer {
  return new FrameWriter(Frontend.Password).cstring(password).end()
}

/** Reads a PasswordMessage. */
export function decodePassword(frame: Uint8Array): string {
  const body = new BodyReader(frame, 'PasswordMessage')
  const password = body.cstring()
  body.end()
  return password
}

export interface SaslInitialResponse {
  readonly mechanism: string
  /** null: the client sent no initial response. */
  readonly data: string | null
}

export function encodeSaslInitialResponse(mechanism: string, data: string): Buffer {
  return new FrameWriter(Frontend.Password).cstring(mechanism).value(data).end()
}

export function decodeSaslInitialResponse(frame: Uint8Array): SaslInitialResponse {
  const body = new BodyReader(frame, 'SASLInitialResponse')
  const mechanism = body.cstring()
  const data = body.value()
  body.end()
  return { mechanism, data: data === null ? null : text(data) }
}

export function encodeSaslResponse(data: string): Buffer {
  return new FrameWriter(Frontend.Password).text(data).end()
}

export function decodeSaslResponse(frame: Uint8Array): string {
  return text(new BodyReader(frame, 'SASLResponse').rest())
}

function readMechanisms(body: BodyReader): readonly string[] {
  const mechanisms: string[] = []
  for (let name = body.cstring(); name !== ''; name = body.cstring()) mechanisms.push(name)
  return mechanisms
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8')
}
