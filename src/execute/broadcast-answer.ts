// execute/broadcast-answer.ts — what the clusters of a write on several have answered, as one answer: numbers are added up, rows put
// together; copies must have done the same. Both doors make theirs of it.
import { PointsmanError } from '../errors/error.js'
import type { BroadcastPlan, InsertPart } from '../routing/plan.js'

/** What one cluster has answered. */
export interface PartAnswer<Row> {
  readonly cluster: string
  readonly rows: readonly Row[]
  readonly tag: string
  /** How its texts are written, see formsOf(). */
  readonly forms: string
}

interface Comparing<Row, Answer> {
  readonly sameColumns: (left: Answer, right: Answer) => boolean
  /** Two rows of one form are the same where these are. */
  readonly textOf: (row: Row) => string
}

/** The parameters of a connection that say how times are written. */
export function formsOf(parameters: Pick<ReadonlyMap<string, string>, 'get'>): string {
  return ['TimeZone', 'DateStyle', 'IntervalStyle'].map((name) => parameters.get(name)).join()
}

/** Throws where they do not go together. `answers`: in the order of the parts, two or more. */
export function requireAlike<Row, Answer extends PartAnswer<Row>>(
  { combine, of }: Pick<BroadcastPlan, 'combine' | 'of'>,
  [first, ...others]: readonly Answer[],
  { sameColumns, textOf }: Comparing<Row, Answer>,
): void {
  if (first === undefined) throw new Error('a write on several clusters has no parts')
  for (const other of others) {
    if (!sameColumns(first, other)) throw differ(of, `cluster ${other.cluster} returns other columns than cluster ${first.cluster}`)
    if (first.rows.length + other.rows.length > 0 && first.forms !== other.forms)
      throw differ(
        of,
        `cluster ${other.cluster} writes times in another way (TimeZone, DateStyle, IntervalStyle) than cluster ${first.cluster}`,
      )
    if (combine === 'same' && (other.tag !== first.tag || !sameRows(first.rows.map(textOf), other.rows.map(textOf))))
      throw differ(of, `on cluster ${first.cluster} it was ${first.tag}, on cluster ${other.cluster} ${other.tag}`)
  }
}

function sameRows(left: readonly string[], right: readonly string[]): boolean {
  if (left.length !== right.length) return false
  const others = [...right].sort()
  return [...left].sort().every((row, index) => row === others[index])
}

/** `UPDATE 3` and `UPDATE 4` are `UPDATE 7`. */
export function summed(answers: readonly { readonly tag: string }[], combine: BroadcastPlan['combine']): string {
  const tag = answers[0]?.tag ?? ''
  const counted = /^(.* )(\d+)$/.exec(tag)
  if (combine === 'same' || counted === null) return tag
  const total = answers.reduce((sum, answer) => sum + BigInt(/\d+$/.exec(answer.tag)?.[0] ?? '0'), 0n)
  return `${counted[1] ?? ''}${String(total)}`
}

/** The rows of an INSERT as its client has given them, where each has given one; else only those of one cluster are in order. */
export function asGiven<Row>(parts: readonly InsertPart[], answers: readonly { readonly rows: readonly Row[] }[]): readonly Row[] {
  if (answers.some(({ rows }, part) => rows.length !== parts[part]?.rows.length)) return answers.flatMap(({ rows }) => rows)
  const all: Row[] = []
  for (const [part, { rows }] of answers.entries()) {
    for (const [index, row] of rows.entries()) all[parts[part]?.rows[index] ?? 0] = row
  }
  return all
}

function differ(of: string, what: string): PointsmanError {
  return new PointsmanError('copies_differ', { values: { of, what } })
}
