// doors/library/parameters.ts — JavaScript values as pg sends them, for the planner to read a shard key from. pg's own
// prepareValue decides where the application's pg has it; nothing is converted that the planner does not ask for.
import { PointsmanError } from '../../errors/error.js'
import type { ParameterSource, ParameterValue } from '../../routing/input.js'
import type { PgModule } from './public.js'

/** What pg sends: text, bytes or NULL. */
type PrepareValue = (value: unknown) => string | Uint8Array | null | undefined

export function parameterSource(pg: PgModule, values: readonly unknown[]): ParameterSource {
  return new Values(pg, values)
}

class Values implements ParameterSource {
  readonly #pg: PgModule
  readonly #values: readonly unknown[]

  constructor(pg: PgModule, values: readonly unknown[]) {
    this.#pg = pg
    this.#values = values
  }

  /** pg sends exactly these: a number beyond them is the server's own error, and for the planner a NULL would be a lie. */
  get(n: number): ParameterValue | null | undefined {
    return n > this.#values.length ? undefined : valueOf(this.#pg, this.#values[n - 1])
  }
}

/** The values as pg would send them; null: one of them cannot be, and pg is to say so. */
export function laneValues(pg: PgModule, values: readonly unknown[]): readonly unknown[] | null {
  const sent: unknown[] = []
  try {
    for (const value of values) sent.push(typeof value === 'object' && value !== null ? prepareWith(pg)(value) : value)
  } catch {
    return null
  }
  return sent
}

/** The values as pg sends them. */
export function sentValues(pg: PgModule, values: readonly unknown[]): readonly (string | Uint8Array | null)[] {
  const prepare = prepareWith(pg)
  return values.map((value) => prepare(value) ?? null)
}

function valueOf(pg: PgModule, value: unknown): ParameterValue | null {
  const prepared = prepareWith(pg)(value)
  if (prepared === null || prepared === undefined) return null
  if (prepared instanceof Uint8Array) return { binary: prepared, oid: 0 }
  return { text: prepared }
}

function prepareWith(pg: PgModule): PrepareValue {
  const { utils } = pg
  if (typeof utils === 'object' && utils !== null && 'prepareValue' in utils && typeof utils.prepareValue === 'function') {
    return utils.prepareValue as PrepareValue
  }
  return prepareScalar
}

/** Versions of pg that do not show theirs: what has one obvious text. */
function prepareScalar(value: unknown): ReturnType<PrepareValue> {
  if (value === null || value === undefined || value instanceof Uint8Array) return value
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  throw new PointsmanError('feature_not_supported', {
    values: { what: 'with this version of pg a shard key must be a string, a number, a bigint or a boolean' },
    hint: 'Pass the key as text, or use pg 8.13 or later.',
  })
}
