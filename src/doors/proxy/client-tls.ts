// doors/proxy/client-tls.ts — TLS with one client, asked for (SSLRequest) or from the first byte (PostgreSQL 17's direct TLS):
// certificate, protocol versions, ALPN `postgresql`, the client's certificate where authorities for one are configured, and
// what SCRAM binds itself to. A context is made once for each listen.tls: a reload with a renewed certificate makes another.
import { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { TLSSocket, createSecureContext, type SecureContext } from 'node:tls'
import type { ListenTls } from '../../config/config.js'
import { serverEndPoint } from '../../protocol/channel-binding.js'
import type { ChannelBinding } from '../../protocol/scram-client.js'

/** A client that offers protocols by ALPN and not this one is not meant for us: the handshake fails. */
const alpn = 'postgresql'

export interface ClientTls {
  readonly context: SecureContext
  /** Of our certificate; null: RFC 5929 does not say how to bind to one of its kind. */
  readonly binding: ChannelBinding
  readonly asksCertificate: boolean
}

/** What the client showed of itself during the handshake. */
export interface ClientCertificate {
  /** Its common name; null where it has none, or several. */
  readonly commonName: string | null
  /** Why it is not valid, or null: it is signed by an authority of listen.tls.ca. */
  readonly problem: string | null
}

export interface Encrypted {
  readonly socket: TLSSocket
  /** null: it showed none, or was not asked to. */
  readonly certificate: ClientCertificate | null
  /** ALPN was spoken. */
  readonly named: boolean
}

export class ClientTlsContexts {
  #made: { readonly tls: ListenTls; readonly made: ClientTls } | null = null

  /** null: no TLS to clients. */
  of(tls: ListenTls | null): ClientTls | null {
    if (tls === null) return null
    if (this.#made?.tls === tls) return this.#made.made
    const made = {
      context: createSecureContext({
        cert: tls.cert,
        key: tls.key,
        ...(tls.ca === null ? {} : { ca: tls.ca }),
        minVersion: tls.minVersion,
        // Sessions that are resumed must be of this listener; without a name OpenSSL refuses to resume any with a certificate.
        sessionIdContext: 'pointsman',
      }),
      binding: serverEndPoint(new X509Certificate(tls.cert).raw),
      asksCertificate: tls.ca !== null,
    }
    this.#made = { tls, made }
    return made
  }
}

/** Speaks TLS on a socket that nobody reads any more. Rejects where the handshake fails; the socket is destroyed then. */
export async function encryptClient(socket: Socket, tls: ClientTls): Promise<Encrypted> {
  const secure = new TLSSocket(socket, {
    isServer: true,
    secureContext: tls.context,
    ALPNProtocols: [alpn],
    requestCert: tls.asksCertificate,
    // Whether one is needed is for the rule to say, which is known only when the client has named itself.
    rejectUnauthorized: false,
  })
  // A connection that breaks is told by its close; without a listener it would end the process.
  secure.on('error', () => undefined)
  await new Promise<void>((resolve, reject) => {
    secure.once('secure', resolve)
    secure.once('error', reject)
    secure.once('close', () => reject(new Error('closed during the TLS handshake')))
  })
  return { socket: secure, certificate: tls.asksCertificate ? certificateOf(secure) : null, named: secure.alpnProtocol === alpn }
}

function certificateOf(socket: TLSSocket): ClientCertificate | null {
  const shown = socket.getPeerX509Certificate()
  if (shown === undefined) return null
  const { CN: name } = shown.toLegacyObject().subject as { readonly CN?: unknown }
  return { commonName: typeof name === 'string' ? name : null, problem: problemOf(socket) }
}

/** A TLSSocket of its own, without a tls.Server, does not look at this itself. Where it could not be looked at, nothing is valid. */
function problemOf(socket: TLSSocket): string | null {
  const { ssl } = socket as unknown as { readonly ssl?: { verifyError?: () => (Error & { readonly code?: string }) | null | undefined } }
  if (typeof ssl?.verifyError !== 'function') return 'it could not be verified'
  const error = ssl.verifyError()
  return error === null || error === undefined ? null : (error.code ?? error.message)
}
