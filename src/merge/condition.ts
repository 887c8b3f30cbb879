// merge/condition.ts — HAVING over combined rows, in SQL's three values: null is unknown, and only true keeps a group.
import { columnAt, formatOf, place, type MergeColumn, type Row } from './columns.js'
import type { Comparison, Condition, NumberOperand } from './contract.js'
import { numberReader } from './numbers.js'
import { compareNumeric, numericFromLiteral, type Numeric } from './numeric.js'
import { numericParameter, type Parameters } from './parameters.js'
import { refused } from './problems.js'
import { typeName } from './types.js'

export type Truth = (row: Row) => boolean | null

const holds: Readonly<Record<Comparison, (order: number) => boolean>> = {
  '=': (order) => order === 0,
  '<>': (order) => order !== 0,
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
}

export function condition(spec: Condition, columns: readonly MergeColumn[], parameters: Parameters): Truth {
  switch (spec.kind) {
    case 'and':
      return every(spec.of.map((each) => condition(each, columns, parameters)))
    case 'or': {
      // a OR b is NOT (NOT a AND NOT b), unknown included.
      const none = every(spec.of.map((each) => negated(condition(each, columns, parameters))))
      return negated(none)
    }
    case 'not':
      return negated(condition(spec.of, columns, parameters))
    case 'isNull': {
      const at = place(spec.column, columns.length)
      return (row) => row[at] === null
    }
    case 'compare':
      return comparison(spec, columns, parameters)
  }
}

function every(all: readonly Truth[]): Truth {
  return (row) => {
    let result: boolean | null = true
    for (const each of all) {
      const truth = each(row)
      if (truth === false) return false
      if (truth === null) result = null
    }
    return result
  }
}

function negated(truth: Truth): Truth {
  return (row) => {
    const result = truth(row)
    return result === null ? null : !result
  }
}

function comparison(spec: Condition & { kind: 'compare' }, columns: readonly MergeColumn[], parameters: Parameters): Truth {
  const at = place(spec.column, columns.length)
  const column = columnAt(columns, at)
  const read = numberReader(column.oid, formatOf(column))
  if (read === null)
    throw refused(`cannot merge HAVING on column "${column.name}" of type ${typeName(column.oid)}: only exact numbers are compared`)
  const operand = operandOf(spec.value, parameters)
  if (operand === null) return () => null
  const test = holds[spec.operator]
  return (row) => {
    const value = row[at]
    return value === null || value === undefined ? null : test(compareNumeric(read(value), operand))
  }
}

function operandOf(value: NumberOperand, parameters: Parameters): Numeric | null {
  if (value.kind === 'parameter') return numericParameter(parameters, value.number)
  const number = numericFromLiteral(value.text)
  if (number === null) throw refused('cannot merge HAVING: what it compares with is not a plain number')
  return number
}
