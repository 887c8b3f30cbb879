// doors/verify/history.ts — what was done and what came of it, as values: one operation per line of the history file. All
// times are of one clock, the process's own (performance.now, ms): taken before the operation was sent and after its last
// reply was read, so that "acknowledged before" and "invoked after" are facts and not guesses.
//
// The data are registers: each is raised by one session only, to values that only grow, and stands in several numbered rows
// that one statement changes together. A read takes all rows of all registers, so each read tells how far every writer's
// work was visible, and whether its rows are those of one moment.
import type { Consistency } from '../../consistency/policy.js'

export type Door = 'library' | 'proxy'

/** What was promised to a read. */
export interface Promised {
  readonly consistency: Consistency
  readonly maxStalenessMs: number | null
}

export interface Operation {
  readonly id: number
  /** One line of promises: what `session` guarantees holds among operations of equal `session`, across doors. */
  readonly session: string
  readonly database: string
  readonly door: Door
  /** Name of the workload, for the report. */
  readonly policy: string
  readonly promised: Promised
  readonly kind: 'read' | 'write' | 'transaction'
  readonly invoked: number
  readonly returned: number
  /** `error`: certainly without effect; `unknown`: a write that may have happened. */
  readonly outcome: 'ok' | 'error' | 'unknown'
  /** SQLSTATE, or a system's code. */
  readonly error: string | null
  /** What a write raised, and to what; null for reads. */
  readonly register: number | null
  readonly value: number | null
  /** The value of each register as a read showed it; of a transaction: its first read. */
  readonly seen: readonly number[] | null
  /** What is wrong with the rows as they came (missing, twice, of two moments), or null. */
  readonly torn: string | null
  readonly node: string | null
  readonly role: 'primary' | 'replica' | null
  /** Rung of the ladder that gave the server. */
  readonly step: string | null
  /** The staleness that the router said was proved, ms; null: none. */
  readonly boundMs: number | null
  /** No fault stood, and both doors knew all replicas as usable, from before it was sent until after it came back. */
  readonly healthy: boolean
  /** Of a transaction: what each statement said of its server. */
  readonly servers: readonly string[]
  /** Of a transaction: what its later reads showed. */
  readonly later: readonly (readonly number[])[]
  /** Of a transaction: all its reads are of one moment (REPEATABLE READ). */
  readonly snapshot: boolean
}

/** One row of the registers. */
export interface RegisterRow {
  readonly register: number
  readonly n: number
  readonly value: number
}

/** Rows that every register has. */
export const registerRows = 4

/** What the rows of one read show; `torn`: why they cannot be the rows of one moment, delivered once. */
export function readRegisters(
  rows: readonly RegisterRow[],
  registers: number,
): { readonly seen: readonly number[]; readonly torn: string | null } {
  const seen: number[] = Array<number>(registers).fill(0)
  const expected = registers * registerRows
  let torn = rows.length === expected ? null : `${String(rows.length)} rows instead of ${String(expected)}`
  rows.forEach(({ register, n, value }, index) => {
    const place = index === register * registerRows + n
    if (!place) torn ??= `row ${String(n)} of register ${String(register)} came as row ${String(index)} of the result`
    if (n === 0) seen[register] = value
    else if (seen[register] !== value) {
      torn ??= `register ${String(register)} shows ${String(seen[register])} and ${String(value)} in one result`
    }
  })
  return { seen, torn }
}
