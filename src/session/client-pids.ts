// session/client-pids.ts — process numbers as clients of the proxy know them. A client is given a number that no process has:
// what it asks about itself, and what it does to a number of that kind, is meant for the proxy. Numbers of servers
// (pg_stat_activity, pg_locks) stay what they are, and whatever is done to those is the server's business.
//
//   SELECT pg_backend_pid()           ─▶  SELECT 1409286273 AS "pg_backend_pid"
//   SELECT pg_cancel_backend(1409…)   ─▶  done here, then  SELECT true AS "pg_cancel_backend"
//   SELECT pg_terminate_backend(pg_backend_pid())  ─▶  the client is told 57P01 and closed
//   SELECT pg_cancel_backend($1)      ─▶  SELECT CASE WHEN $1 > … THEN true ELSE pg_cancel_backend($1) END   done at its Execute
import { literalText } from '../sql/literal-text.js'
import type { Operand, OwnCall, Understood } from '../sql/statement.js'
import type { ParameterText } from './settings.js'

/** A process number of a server is at most this: Linux's own limit, and no other system's is higher. */
export const greatestServerPid: number = 4_194_304

export interface Signal {
  readonly kind: 'cancel' | 'terminate'
  readonly pid: number
}

/** What stands in a text in the place of one about a client's number. */
export interface OwnText {
  readonly text: string
  /** To be done when it is run. */
  readonly signal: Signal | { readonly kind: Signal['kind']; readonly parameter: number } | null
}

/** The call that the text is, if it is one; null for nearly all. */
export function ownCallOf({ shape }: Understood): OwnCall | null {
  const { statements } = shape
  if (statements?.length !== 1) return null
  const detail = statements[0]?.detail
  return detail?.kind === 'select' ? (detail.own ?? null) : null
}

/** null: it is about a server's number, so it is sent as it is. `own`: the client's. */
export function ownText(call: OwnCall, understood: Understood, own: number): OwnText | null {
  const as = `AS "${call.column.replaceAll('"', '""')}"`
  if (call.kind === 'pid') return { text: `SELECT ${String(own)} ${as}`, signal: null }
  const { kind, pid } = call
  const timeout = call.timeout === null ? '' : timeoutText(call.timeout, understood)
  if (timeout === null) return null
  if (pid.kind === 'self') return { text: answered(call, true), signal: { kind, pid: own } }
  if (pid.kind === 'param') {
    const parameter = `$${String(pid.number)}`
    const sent = `pg_catalog.pg_${kind}_backend(${parameter}::pg_catalog.int4${timeout})`
    const text = `SELECT CASE WHEN ${parameter}::pg_catalog.int4 > ${String(greatestServerPid)} THEN true ELSE ${sent} END ${as}`
    return pid.number === 1 && !pid.array ? { text, signal: { kind, parameter: 1 } } : null
  }
  const literal = pid.kind === 'literal' && !pid.negated ? understood.literals[pid.index] : undefined
  const number = literal === undefined ? null : numberOf(literalText(understood.text, literal))
  return number === null ? null : { text: answered(call, true), signal: { kind, pid: number } }
}

/** The argument as it is sent. null: the server has something to say about it, or it is known with the parameters only. */
function timeoutText(timeout: Operand, { literals, text }: Understood): string | null {
  const literal = timeout.kind === 'literal' && !timeout.negated ? literals[timeout.index] : undefined
  const ms = literal === undefined ? null : literalText(text, literal)
  return ms !== null && /^\d{1,9}$/.test(ms) ? `, ${ms}` : null
}

/** The statement that gives the answer to a signal. */
export function answered({ column }: OwnCall, done: boolean): string {
  return `SELECT ${String(done)} AS "${column.replaceAll('"', '""')}"`
}

/** The signal that a text is about to send; null: none, or one for a server's process. */
export function signalOf({ signal }: OwnText, parameter: ParameterText): Signal | null {
  if (signal === null || 'pid' in signal) return signal
  const pid = numberOf(parameter(signal.parameter) ?? null)
  return pid === null ? null : { kind: signal.kind, pid }
}

/** A number that only a client can have. */
function numberOf(text: string | null): number | null {
  const number = text !== null && /^\s*\d{1,10}\s*$/.test(text) ? Number(text) : 0
  return number > greatestServerPid && number < 2 ** 31 ? number : null
}
