// doors/library/middleware.ts — a session per HTTP request: opened with what the request brings, and given back with the
// response, where the request wrote. A request that only reads sets nothing, so what may be cached stays so.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { beforeHeaders } from './before-headers.js'
import type { Core } from './core.js'
import { LiveSession } from './live-session.js'
import type {
  ExpressMiddleware,
  FastifyLike,
  FastifyPlugin,
  FastifyReplyLike,
  FastifyRequestLike,
  KoaMiddleware,
  MiddlewareOptions,
} from './request-types.js'
import { give, readCarrier, receive, type Carrier } from './token-carrier.js'

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** It came over TLS, as far as the framework knows. */
  readonly secure: () => boolean
}

export function expressMiddleware(core: Core, options?: MiddlewareOptions): ExpressMiddleware {
  const carrier = readCarrier(options)
  return (request, response, next) => {
    // Express knows about trusted proxies.
    const secure = (): boolean => (request as { readonly secure?: boolean }).secure ?? encrypted(request)
    core.context.run(open(core, carrier, { request, response, secure }), () => next())
  }
}

export function koaMiddleware(core: Core, options?: MiddlewareOptions): KoaMiddleware {
  const carrier = readCarrier(options)
  return (context, next) => {
    const { req, res } = context
    const secure = (): boolean => (context as { readonly secure?: boolean }).secure ?? encrypted(req)
    return core.context.run(open(core, carrier, { request: req, response: res, secure }), next)
  }
}

/**
 * Fastify loses the context of hooks before the body was read (fastify#3570): the session is opened with the request, kept on
 * it, and entered right before the handler.
 */
export function fastifyPlugin(core: Core, options?: MiddlewareOptions): FastifyPlugin {
  const carrier = readCarrier(options)
  const plugin: FastifyPlugin = (instance: FastifyLike, _options, done) => {
    instance.decorateRequest('dbSession', null)
    instance.addHook('onRequest', (request, reply, next) => {
      sessions.set(request, openFastify(request, reply))
      next()
    })
    instance.addHook('preHandler', (request, reply, next) => {
      core.context.run(sessions.get(request) ?? openFastify(request, reply), next)
    })
    done()
  }
  const sessions = new WeakMap<FastifyRequestLike, LiveSession>()
  const openFastify = (request: FastifyRequestLike, reply: FastifyReplyLike): LiveSession => {
    const secure = (): boolean => (request as { readonly protocol?: string }).protocol === 'https'
    const session = open(core, carrier, { request: request.raw, response: reply.raw, secure })
    Object.assign(request, { dbSession: session })
    return session
  }
  // For the whole application, not only for what is registered inside this plugin.
  return Object.assign(plugin, { [Symbol.for('skip-override')]: true, [Symbol.for('fastify.display-name')]: 'pointsman' })
}

function open(core: Core, carrier: Carrier, { request, response, secure }: Exchange): LiveSession {
  const session = new LiveSession(core)
  const received = receive(carrier, request)
  for (const text of received.tokens) session.import(text)
  let told = false
  const prepare = async (): Promise<() => void> => {
    told = true
    const text = await session.token().catch(() => '')
    return () => {
      if (text === '' || give(carrier, text, received, { response, method: request.method ?? 'GET', secure: secure() })) return
      core.warnings.once('a request wrote, and its response may be kept by shared caches: it carries no token', {})
    }
  }
  beforeHeaders(response, { needed: () => session.wrote || (carrier.monotonic && session.moved), prepare })
  response.once('close', () => {
    if (session.wrote && !told) core.warnings.once('a request wrote after its response had begun: no token could be sent with it', {})
  })
  return session
}

function encrypted({ socket }: IncomingMessage): boolean {
  return (socket as { readonly encrypted?: boolean }).encrypted === true
}
