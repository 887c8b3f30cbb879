// doors/library/query-arguments.ts — every form that pg's query() takes, read once: text; text and values; a config object;
// with a callback or without; or a Submittable (pg-cursor, pg-query-stream, pg-copy-streams, pg.Query), which pg returns at once.
import type { Submittable } from 'pg'
import type { PgResult } from './pg-client.js'
import { bindToCaller } from './bind-to-caller.js'
import { watchClosing, type Closing } from './closing.js'
import type { RouteOptions } from './request-types.js'

export type Callback = (error: Error | null, result?: PgResult | PgResult[]) => void

export interface PlainQuery {
  readonly kind: 'plain'
  readonly text: string
  /** Of a prepared statement; `onlyNamed`: without a text, which runs what this client prepared under that name before. */
  readonly name: string | null
  readonly onlyNamed: boolean
  readonly values: readonly unknown[]
  /** What pg's own query() is given, values included. */
  readonly config: object
  readonly route: RouteOptions
  readonly scope?: RouteOptions | undefined
  readonly callback: Callback | null
}

export interface SubmittedQuery {
  readonly kind: 'submittable'
  readonly text: string
  readonly values: readonly unknown[]
  readonly submittable: Submittable & { handleError(error: Error, connection?: unknown): void }
  readonly route: RouteOptions
  readonly scope?: RouteOptions | undefined
  readonly closing: Closing
  /** Passed on to pg as they came. */
  readonly rest: readonly unknown[]
}

/** `route`: what this query asks of its route; `scope`: what is asked around it, where it does not say itself. */
export type Query = PlainQuery | SubmittedQuery

/** Throws TypeError where pg does: no query at all, a callback that is no function. */
export function readQuery(first: unknown, second?: unknown, third?: unknown): Query {
  if (first === null || first === undefined) throw new TypeError('Client was passed a null or undefined query')
  if (isSubmittable(first))
    return submitted(
      first,
      [second, third].filter((argument) => argument !== undefined),
    )
  const config = typeof first === 'string' ? { text: first } : copyOf(first)
  const callback = third ?? (typeof second === 'function' ? second : undefined) ?? config['callback'] ?? null
  if (callback !== null && typeof callback !== 'function') throw new TypeError('callback is not a function')
  if ('callback' in config) delete config['callback']
  if (second !== undefined && second !== null && typeof second !== 'function') config['values'] = second
  return {
    kind: 'plain',
    name: typeof config['name'] === 'string' ? config['name'] : null,
    onlyNamed: typeof config['text'] !== 'string',
    text: typeof config['text'] === 'string' ? config['text'] : '',
    values: Array.isArray(config['values']) ? config['values'] : [],
    config,
    route: config,
    callback: callback as Callback | null,
  }
}

/** Keeps the prototype and getters, as pg's own copy does; what is a plain object, as nearly all are, has its getters read now. */
function copyOf(config: unknown): Record<string, unknown> & RouteOptions {
  const source = Object(config) as object
  if (Object.getPrototypeOf(source) === Object.prototype) return { ...source }
  return Object.defineProperties(
    Object.create(Object.getPrototypeOf(source) as object | null),
    Object.getOwnPropertyDescriptors(source),
  ) as Record<string, unknown>
}

function isSubmittable(value: unknown): value is SubmittedQuery['submittable'] {
  return typeof value === 'object' && value !== null && typeof (value as { submit?: unknown }).submit === 'function'
}

/** pg-query-stream keeps its text in `.cursor`, pg-cursor in `.text`, prepared values in `.values`. */
function submitted(submittable: SubmittedQuery['submittable'], rest: readonly unknown[]): SubmittedQuery {
  const outer = submittable as {
    readonly text?: unknown
    readonly values?: unknown
    readonly cursor?: { readonly text?: unknown; readonly values?: unknown }
  }
  const holder = typeof outer.text === 'string' ? outer : (outer.cursor ?? outer)
  bindToCaller(submittable, holder)
  return {
    kind: 'submittable',
    text: typeof holder.text === 'string' ? holder.text : '',
    values: Array.isArray(holder.values) ? holder.values : [],
    submittable,
    route: submittable as RouteOptions,
    closing: watchClosing(submittable, holder),
    rest,
  }
}
