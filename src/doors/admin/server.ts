// doors/admin/server.ts — the HTTP side: /metrics, /check, /healthz, /readyz. Read-only. With a token, /metrics and /check
// ask for it; /healthz and /readyz stay open, since the probes that ask for them carry none.
import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Server as NetServer } from 'node:net'
import type { ClusterLag } from '../../topology/lag.js'
import { check } from './check.js'
import type { Readiness } from './readiness.js'

export interface AdminOptions {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  /** Asked anew for every request, so that a reload can change it. null: open. */
  readonly token: () => string | null
  readonly metrics: { readonly contentType: string; readonly text: () => Promise<string> }
  readonly readiness: () => Readiness | Promise<Readiness>
  /** How far the replicas of a cluster are behind; null: there is no such cluster. */
  readonly lag: (cluster: string) => ClusterLag | null | Promise<ClusterLag | null>
  /** A socket that listens already, of the process before. */
  readonly handed?: NetServer | null
}

export interface AdminServer {
  readonly host: string
  readonly port: number
  /** To be handed to another process. */
  readonly server: NetServer
  /** Answers what is under way, then closes; resolves when the port is free. */
  close(): Promise<void>
}

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

type Handler = (options: AdminOptions, query: URLSearchParams) => Answer | Promise<Answer>

interface Route {
  readonly guarded: boolean
  readonly handle: Handler
}

const routes: ReadonlyMap<string, Route> = new Map([
  ['/', { guarded: false, handle: () => plain(200, 'Pointsman\n/metrics\n/check\n/healthz\n/readyz\n') }],
  ['/healthz', { guarded: false, handle: () => plain(200, 'ok\n') }],
  ['/readyz', { guarded: false, handle: ready }],
  ['/metrics', { guarded: true, handle: metrics }],
  ['/check', { guarded: true, handle: checked }],
])

/** Listens; rejects with the system's error (EADDRINUSE, …). */
export async function startAdminServer(options: AdminOptions): Promise<AdminServer> {
  const server = createServer(
    { requestTimeout: 10_000, headersTimeout: 5000, keepAliveTimeout: 5000, maxHeaderSize: 8192 },
    (request, response) => {
      void respond(options, request, response)
    },
  )
  server.maxConnections = 256
  await listening(server, options)
  const { address, port } = server.address() as AddressInfo
  return { host: address, port, server, close: () => closed(server) }
}

async function respond(options: AdminOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const answer = await answerTo(options, request).catch(() => plain(500, 'the answer could not be made\n'))
  const bytes = Buffer.from(answer.body)
  // A body is never read: whoever sends one is answered and let go.
  const hasBody = request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined
  response.writeHead(answer.status, {
    'content-type': answer.type,
    'content-length': bytes.length,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(hasBody ? { connection: 'close' } : {}),
    ...answer.headers,
  })
  response.end(request.method === 'HEAD' ? undefined : bytes)
}

async function answerTo(options: AdminOptions, request: IncomingMessage): Promise<Answer> {
  const [path = '/', query = ''] = (request.url ?? '/').split('?', 2)
  const route = routes.get(path)
  if (route === undefined) return plain(404, 'not found\n')
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return { ...plain(405, 'method not allowed\n'), headers: { allow: 'GET, HEAD' } }
  if (route.guarded && !mayEnter(options.token(), request.headers.authorization)) {
    return { ...plain(401, 'a bearer token is needed\n'), headers: { 'www-authenticate': 'Bearer' } }
  }
  return route.handle(options, new URLSearchParams(query))
}

// Compared by digest, so that neither length nor prefix shows in the time it takes.
function mayEnter(token: string | null, header: string | undefined): boolean {
  if (token === null) return true
  const given = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1]
  return given !== undefined && timingSafeEqual(digest(given), digest(token))
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

async function ready(options: AdminOptions): Promise<Answer> {
  const { ready: isReady, missing } = await options.readiness()
  return isReady ? plain(200, 'ready\n') : plain(503, `${missing.join('\n')}\n`)
}

async function metrics(options: AdminOptions): Promise<Answer> {
  return { status: 200, type: options.metrics.contentType, body: await options.metrics.text() }
}

async function checked(options: AdminOptions, query: URLSearchParams): Promise<Answer> {
  const { status, body } = await check(query, options.lag)
  return { status, type: 'application/json; charset=utf-8', body: `${JSON.stringify(body)}\n` }
}

function plain(status: number, body: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body }
}

function listening(server: Server, options: AdminOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    // Within this call: a socket that was handed over accepts already.
    server.listen(options.handed ?? { host: options.host, port: options.port }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeIdleConnections()
  })
}
