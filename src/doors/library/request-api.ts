// doors/library/request-api.ts — what a router offers beyond a pg.Pool: sessions and scopes, transactions, middleware, lag.
// Each is made here from its own file, and becomes a member of the pool.
import { clustersOf } from '../../config/clusters-of.js'
import type { ClusterLag } from '../../topology/lag.js'
import type { Core } from './core.js'
import { expressMiddleware, fastifyPlugin, koaMiddleware } from './middleware.js'
import { LiveSession } from './live-session.js'
import type { RequestApi, RequestSession, RouteOptions, RouterSessions } from './request-types.js'
import { lagOf, throttle } from './throttle.js'
import { transact, type TransactionClient } from './transact.js'
import { withToken } from './with-token.js'

/** Of a router's own making: another's has floors of other clusters. */
function own(core: Core, session: RequestSession): LiveSession {
  if (session instanceof LiveSession && session.belongsTo(core)) return session
  throw new TypeError('run() needs a session of this router: router.session.create() or router.session.fromToken(text)')
}

/** `checkOut`: a client whose statements all carry these options. */
export function requestApi<Client extends TransactionClient>(
  core: Core,
  checkOut: (options: RouteOptions) => Promise<Client>,
): RequestApi<Client> {
  const { context } = core
  const fromToken = (token: string | null | undefined): LiveSession => {
    const made = new LiveSession(core)
    made.import(token)
    return made
  }
  const session: RouterSessions = {
    create: () => new LiveSession(core),
    fromToken,
    current: () => context.current().session,
  }
  const transaction: RequestApi<Client>['transaction'] = (...given: readonly unknown[]) => {
    const [options, work] = given.length === 1 ? [{}, given[0]] : given
    return transact(core, checkOut, options as never, work as never)
  }
  return {
    session,
    run: (given, work) => context.run(own(core, given), work),
    exportToken: async () => {
      const { session: current } = context.current()
      if (current === null) throw new Error('exportToken() was called outside router.run(): there is no session to export')
      return current.token()
    },
    withToken: (token, work, options) => withToken(core, fromToken(token), work, options),
    usePrimary: (work) => context.within({ consistency: 'strong' }, work),
    useReplicas: (work) => context.within({ consistency: 'any' }, work),
    withoutStickyWrites: (work) => context.within({ stickyWrites: false }, work),
    transaction,
    readOnlyTransaction: (work, options = {}) => transact(core, checkOut, { ...options, readOnly: true }, work),
    express: (options) => expressMiddleware(core, options),
    koa: (options) => koaMiddleware(core, options),
    fastify: (options) => fastifyPlugin(core, options),
    throttle: (options) => throttle(core, options),
    lag: (cluster) => lag(core, cluster),
    switches: async () => (await core.ready()).runtime.switches,
  }
}

async function lag(core: Core, cluster?: string): Promise<ClusterLag> {
  const { runtime } = await core.ready()
  const id = cluster ?? clustersOf(core.home().database)[0] ?? ''
  return lagOf(runtime, id)
}
