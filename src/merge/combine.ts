// merge/combine.ts — partial aggregates of the parts → the aggregate of all (contract.ts: Combine). Each kind is made once for
// a statement, when the types are known; a group holds one state per column. null is the state of a group without values.
import { combineList } from './combine-list.js'
import { columnAt, equalityType, formatOf, orderedType, place, type MergeColumn, type Row, type SessionForm } from './columns.js'
import type { CombineContext, Combiner } from './combiner.js'
import type { CombinedColumn, Combine, CollationOf } from './contract.js'
import { entryBytes, type Memory } from './memory.js'
import {
  intervalFromBinary,
  intervalFromText,
  intervalLeast,
  intervalMost,
  intervalToBinary,
  intervalToText,
  sameInterval,
  type Interval,
} from './moment-types.js'
import { numberReader, addWhole, wholeReader, writeInt8, writeNumeric } from './numbers.js'
import { addNumeric, averageNumeric, checkedNumeric, type Numeric } from './numeric.js'
import { readInt64, type Whole } from './plain-types.js'
import { broken, intervalOutOfRange, refused } from './problems.js'
import { Type, typeName, valueType } from './types.js'
import type { Format } from './value-type.js'

/** `format`: in which a value that is computed here is written. */
export function combiner(column: CombinedColumn, format: Format, context: CombineContext): Combiner {
  switch (column.kind) {
    case 'key':
      return anyValue(place(column.column, context.columns.length), context)
    case 'count':
      return wholeSum(integer(column.column, 'count', context), Type.int8, format, 0)
    case 'sum':
      return sum(column, format, context)
    case 'avg':
      return average(column, format, context)
    case 'min':
    case 'max':
      return extreme(column, context)
    case 'and':
    case 'or':
      return logical(column, format, context)
    case 'countDistinct':
      return distinctCount(column, format, context)
    case 'list':
      return combineList(column, format, context)
  }
}

function source(index: number, { columns }: CombineContext): { at: number; column: MergeColumn; format: Format } {
  const at = place(index, columns.length)
  const column = columnAt(columns, at)
  return { at, column, format: formatOf(column) }
}

/** The first part's value. */
function anyValue(at: number, { columns, memory }: CombineContext): Combiner<Uint8Array | null> {
  const column = columnAt(columns, at)
  return {
    oid: column.oid,
    format: formatOf(column),
    start: null,
    add: (state, row) => state ?? kept(row[at] ?? null, memory),
    finish: (state) => state,
  }
}

/** A copy: the slice would hold the whole chunk that it came with. */
function kept(value: Uint8Array | null, memory: Memory): Uint8Array | null {
  if (value === null) return null
  memory.take(entryBytes + value.length, 'groups')
  return Uint8Array.from(value)
}

interface WholeSource {
  readonly at: number
  readonly read: (bytes: Uint8Array) => Whole
}

function integer(index: number, use: string, context: CombineContext): WholeSource {
  const { at, column, format } = source(index, context)
  const read = wholeReader(column.oid, format)
  if (read === null) throw refused(`cannot merge ${use}(…): a part counts in type ${typeName(column.oid)}`)
  return { at, read }
}

function wholeSum({ at, read }: WholeSource, oid: number, format: Format, start: 0 | null): Combiner<Whole | null> {
  const type = oid === Type.money ? 'money' : 'bigint'
  return {
    oid,
    format,
    start,
    add: (state, row) => {
      const value = row[at]
      return value === null || value === undefined ? state : addWhole(state ?? 0, read(value))
    },
    finish: (state) => (state === null ? null : writeInt8(state, format, type)),
  }
}

function sum(spec: Combine & { kind: 'sum' }, format: Format, context: CombineContext): Combiner {
  const { at, column, format: from } = source(spec.column, context)
  switch (column.oid) {
    case Type.int8:
      return wholeSum(integer(at, 'sum', context), Type.int8, format, null)
    case Type.numeric:
      return numericSum(at, from, format)
    case Type.money:
      // Its text is written as the locale of the server has it.
      if (from === 0 || format === 0) throw refused('cannot merge sum(money) in text format', 'Write sum(x::numeric).')
      return wholeSum({ at, read: (bytes) => readInt64(bytes) }, Type.money, format, null)
    case Type.interval:
      return intervalSum(at, from, format, context.session)
    default:
      throw notAdded('sum', column)
  }
}

function notAdded(name: string, column: MergeColumn): Error {
  if (column.oid !== Type.float4 && column.oid !== Type.float8) return refused(`cannot merge ${name}(…) of type ${typeName(column.oid)}`)
  return refused(
    `cannot merge ${name}(…) of floats: the result would depend on which rows are on which cluster`,
    `Write ${name}(x::numeric), which is exact.`,
  )
}

function numericSum(at: number, from: Format, format: Format): Combiner<Numeric | null> {
  const add = numericAdder(at, from)
  return {
    oid: Type.numeric,
    format,
    start: null,
    add,
    finish: (state) => (state === null ? null : writeNumeric(checkedNumeric(state), format)),
  }
}

function numericAdder(at: number, from: Format, oid: number = Type.numeric): (state: Numeric | null, row: Row) => Numeric | null {
  const read = numberReader(oid, from)
  if (read === null) throw broken('a sum is no number')
  return (state, row) => {
    const value = row[at]
    if (value === null || value === undefined) return state
    return state === null ? read(value) : addNumeric(state, read(value))
  }
}

function average(spec: Combine & { kind: 'avg' }, format: Format, context: CombineContext): Combiner {
  const { at, column, format: from } = source(spec.sum, context)
  if (column.oid !== Type.int8 && column.oid !== Type.numeric) throw notAdded('avg', column)
  const add = numericAdder(at, from, column.oid)
  const count = wholeSum(integer(spec.count, 'avg', context), Type.int8, format, 0)
  const combined: Combiner<{ sum: Numeric | null; count: Whole | null }> = {
    oid: Type.numeric,
    format,
    start: { sum: null, count: 0 },
    add: (state, row) => ({ sum: add(state.sum, row), count: count.add(state.count, row) }),
    finish: ({ sum: total, count: values }) => {
      if (total === null || values === null || values <= 0) return null
      return writeNumeric(averageNumeric(total, BigInt(values)), format)
    },
  }
  return combined
}

/** Field by field, as interval_pl. Infinite ones swallow finite ones; two of opposite sign are an error, as in PostgreSQL. */
function addInterval(a: Interval, b: Interval): Interval {
  const [ends, other] = isEndless(a) ? [a, b] : [b, a]
  if (isEndless(ends)) {
    if (isEndless(other) && !sameInterval(ends, other)) throw intervalOutOfRange()
    return ends
  }
  const total = { months: a.months + b.months, days: a.days + b.days, micros: a.micros + b.micros }
  const fits = total.months === (total.months | 0) && total.days === (total.days | 0) && BigInt.asIntN(64, total.micros) === total.micros
  if (!fits || isEndless(total)) throw intervalOutOfRange()
  return total
}

function isEndless(value: Interval): boolean {
  return sameInterval(value, intervalMost) || sameInterval(value, intervalLeast)
}

function intervalSum(at: number, from: Format, format: Format, session: SessionForm): Combiner<Interval | null> {
  if (format === 0 && session.intervalStyle !== 'postgres') {
    throw refused('cannot merge sum(interval) in this IntervalStyle', 'Set IntervalStyle to postgres, or ask for the binary format.')
  }
  const read = from === 1 ? intervalFromBinary : intervalFromText
  return {
    oid: Type.interval,
    format,
    start: null,
    add: (state, row) => {
      const value = row[at]
      if (value === null || value === undefined) return state
      return state === null ? read(value) : addInterval(state, read(value))
    },
    finish: (state) => {
      if (state === null) return null
      return format === 1 ? intervalToBinary(state) : Buffer.from(intervalToText(state))
    },
  }
}

interface Extreme {
  readonly bytes: Uint8Array
  readonly value: unknown
}

function extreme(spec: Combine & { kind: 'min' | 'max' }, context: CombineContext): Combiner<Extreme | null> {
  const { at, column, format } = source(spec.column, context)
  const type = orderedType(column, spec.collation, context.session, `${spec.kind}(…) in`)
  const sign = spec.kind === 'min' ? -1 : 1
  return {
    oid: column.oid,
    format,
    start: null,
    add: (state, row) => {
      const value = row[at]
      if (value === null || value === undefined) return state
      if (state !== null && type.compare(type.read(value), state.value) * sign <= 0) return state
      if (state !== null) context.memory.take(-entryBytes - state.bytes.length, 'groups')
      const bytes = kept(value, context.memory) as Uint8Array
      return { bytes, value: type.read(bytes) }
    },
    finish: (state) => state?.bytes ?? null,
  }
}

function logical(spec: Combine & { kind: 'and' | 'or' }, format: Format, context: CombineContext): Combiner<boolean | null> {
  const { at, column, format: from } = source(spec.column, context)
  const type = column.oid === Type.bool ? valueType(Type.bool, from) : null
  if (type === null) throw refused(`cannot merge bool_${spec.kind}(…) of type ${typeName(column.oid)}`)
  const and = spec.kind === 'and'
  return {
    oid: Type.bool,
    format,
    start: null,
    add: (state, row) => {
      const value = row[at]
      if (value === null || value === undefined) return state
      const truth = type.read(value) === 1
      return state === null ? truth : and ? state && truth : state || truth
    },
    finish: (state) => (state === null ? null : writeBool(state, format)),
  }
}

function writeBool(value: boolean, format: Format): Uint8Array {
  return Uint8Array.of(format === 1 ? Number(value) : value ? 0x74 : 0x66)
}

interface WithCollation {
  readonly column: number
  readonly collation: CollationOf
}

function distinctCount(spec: WithCollation, format: Format, context: CombineContext): Combiner<Set<string> | null> {
  const { at, column } = source(spec.column, context)
  const type = equalityType(column, spec.collation, 'count(DISTINCT …) in')
  return {
    oid: Type.int8,
    format,
    start: null,
    add: (state, row) => {
      const value = row[at]
      if (value === null || value === undefined) return state
      const values = state ?? new Set<string>()
      const key = type.key(type.read(value))
      if (values.has(key)) return values
      context.memory.take(entryBytes + key.length, 'values of count(DISTINCT …)')
      return values.add(key)
    },
    finish: (state) => writeInt8(state?.size ?? 0, format, 'bigint'),
  }
}
