// index.ts — the library's public names, nothing else.
export { createRouter } from './doors/library/create-router.js'
export type {
  PgModule,
  Routed,
  RoutedArrayResult,
  RoutedClient,
  RoutedPool,
  RoutedQuery,
  RoutedQueryArrayConfig,
  RoutedQueryConfig,
  RoutedResult,
  RouterOptions,
} from './doors/library/public.js'
export type {
  ExpressMiddleware,
  FastifyPlugin,
  Isolation,
  KoaMiddleware,
  MiddlewareOptions,
  ReadOnlyOptions,
  RequestApi,
  RequestSession,
  RouteOptions,
  RouterSessions,
  ThrottleOptions,
  TokenOptions,
  TransactionOptions,
} from './doors/library/request-types.js'
export { PointsmanError } from './errors/error.js'
export type { ReadUnmet } from './errors/error.js'
export type { ErrorKey, Retry } from './errors/catalogue.js'
export type { ConfigInput } from './config/input.js'
export type { Problem } from './config/config.js'
export type { Consistency } from './consistency/policy.js'
export type { LaneSnapshot, LanesReport, RouteTaken } from './doors/library/public.js'
export type { AnswerPlan, OnePlan, Plan, RefusePlan, Why } from './routing/plan.js'
export type { ReloadResult, RuntimeSnapshot } from './runtime/contract.js'
export type { Events, Observer } from './observe/events.js'
export type { ClusterLag, NodeLag } from './topology/lag.js'
export type { AllowStale, ReadOnly, Switches, SwitchesSnapshot } from './execute/switches.js'
