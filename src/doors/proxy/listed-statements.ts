// doors/proxy/listed-statements.ts — pg_prepared_statements as the client is to see it: its own statements by its own names, and nobody
// else's. It is what the server has under our names, which the connection is given before the query runs (named-query.ts).
//
//   … FROM pg_prepared_statements  ──▶  … FROM (SELECT … FROM unnest(…) JOIN pg_prepared_statements …) AS pg_prepared_statements
import type { ClientStatement } from '../../session/session.js'
import { quoteLiteral } from '../../session/quote.js'

/** So many are brought to the connection; what it lacks of others is null in their rows. */
export const mostListed = 100

/** `own`: what the statement is called on the connection. */
interface Row {
  readonly its: ClientStatement
  readonly own: string
}

/** What stands in the place of the view. `version`: server_version. */
export function listing(rows: readonly Row[], version: string, aliased: boolean): string {
  const major = Number.parseInt(version, 10)
  const results = major >= 16 ? 'p.result_types, ' : ''
  const plans = major >= 14 ? ', p.generic_plans, p.custom_plans' : ''
  const columns = `v.name, v.statement, p.prepare_time, p.parameter_types, ${results}v.from_sql${plans}`
  const arrays = [
    texts(rows.map(({ own }) => own)),
    texts(rows.map(({ its }) => its.name)),
    texts(rows.map(({ its }) => its.text)),
    `ARRAY[${rows.map(({ its }) => String(its.named !== null)).join(', ')}]::pg_catalog.bool[]`,
  ]
  const own = `ROWS FROM (${arrays.map((array) => `pg_catalog.unnest(${array})`).join(', ')}) AS v (own, name, statement, from_sql)`
  const joined = `${own} LEFT JOIN pg_catalog.pg_prepared_statements AS p ON p.name OPERATOR(pg_catalog.=) v.own`
  return `(SELECT ${columns} FROM ${joined})${aliased ? '' : ' AS pg_prepared_statements'}`
}

function texts(values: readonly string[]): string {
  return `ARRAY[${values.map(quoteLiteral).join(', ')}]::pg_catalog.text[]`
}
