// doors/library/answers.ts — results that no server gave: deferred BEGIN and what follows it, settings of Pointsman, plans.
import { PointsmanError } from '../../errors/error.js'
import type { RouteTaken as Taken } from '../../execute/contract.js'
import type { PgResult } from './pg-client.js'
import type { PgModule, RouteTaken } from './public.js'

interface Raw extends PgResult {
  _parsers?: unknown
}

/** As pg gives it for a command without rows. An empty query has no command. */
export function commandResult(pg: PgModule, command: string | null): PgResult {
  return Object.assign(empty(pg), { command })
}

/** One text column. With `rowMode: 'array'` rows are arrays, as pg's are. */
export function textResult(pg: PgModule, config: object, column: string, values: readonly (string | null)[], command: string): PgResult {
  const asArray = 'rowMode' in config && config.rowMode === 'array'
  const field = { name: column, tableID: 0, columnID: 0, dataTypeID: 25, dataTypeSize: -1, dataTypeModifier: -1, format: 'text' }
  return Object.assign(empty(pg), {
    command,
    rowCount: values.length,
    fields: [field],
    rows: values.map((value) => (asArray ? [value] : { [column]: value })),
  })
}

/** An instance of pg's own Result where this pg shows the class. */
function empty(pg: PgModule): Raw {
  if (typeof pg.Result === 'function') return new (pg.Result as new () => Raw)()
  return { command: null, rowCount: null, oid: null, rows: [], fields: [] }
}

/** Attaches where it ran, without changing how the result compares or prints. */
export function withRoute<T extends PgResult | PgResult[]>(result: T, taken: Taken | null): T {
  const route = shown(taken)
  attach(result, route)
  if (Array.isArray(result)) for (const one of result as readonly PgResult[]) attach(one, route)
  return result
}

/** One for all: it is read within the call. */
const routed: { value: RouteTaken | null; enumerable: boolean; configurable: boolean; writable: boolean } = {
  value: null,
  enumerable: false,
  configurable: true,
  writable: true,
}

function attach(target: object, route: RouteTaken | null): void {
  routed.value = route
  Object.defineProperty(target, 'routed', routed)
  routed.value = null
}

/** What a program may see of it: the position is a bigint, which JSON cannot hold, and means nothing outside. */
function shown(taken: Taken | null): RouteTaken | null {
  if (taken === null) return null
  const { cluster, node, role, boundMs, step, why } = taken
  return { cluster, node, role, boundMs, step, why }
}

/** A statement that answers itself cannot fill a cursor or a stream. */
export function onlyAsText(): PointsmanError {
  return new PointsmanError('feature_not_supported', {
    values: { what: 'this statement is answered by Pointsman itself and has no server-side result to stream' },
    hint: 'Send it as text, with query(text).',
  })
}

/** Rows of several clusters are merged into one result. */
export function notAsStream(): PointsmanError {
  return new PointsmanError('feature_not_supported', {
    values: { what: 'a cursor, a stream or COPY over several clusters is not supported in the library' },
    hint: 'Send it as text, with query(text), and LIMIT; or give the shard key.',
  })
}
