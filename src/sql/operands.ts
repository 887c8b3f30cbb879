// sql/operands.ts — the values that a statement compares with or inserts: literals and parameters of the text, with their cast.
// Whatever is computed, truncated by a type modifier or cast twice is `other`: nobody knows its value before the server does.
import type { LiteralIndex } from './literal-index.js'
import type { Operand } from './statement.js'
import { type Fields, as, fields, integer, list, strings } from './tree.js'

const other: Operand = Object.freeze({ kind: 'other' })
const nullOperand: Operand = Object.freeze({ kind: 'null' })
const defaultOperand: Operand = Object.freeze({ kind: 'default' })

/** One value: `7`, `-7`, `'x'`, `$1`, `NULL`, `DEFAULT`, each with or without one cast. */
export function operand(node: unknown, literals: LiteralIndex): Operand {
  const cast = as('TypeCast', node)
  if (cast === null) return as('SetToDefault', node) === null ? bare(node, null, literals) : defaultOperand
  const type = castType(cast)
  return type === null || type.endsWith('[]') ? other : bare(cast['arg'], type, literals)
}

function bare(node: unknown, cast: string | null, literals: LiteralIndex): Operand {
  const param = as('ParamRef', node)
  if (param !== null) return Object.freeze({ kind: 'param', number: integer(param['number']), array: false, cast })
  const constant = as('A_Const', node)
  if (constant === null) return other
  if (constant['isnull'] === true) return nullOperand
  const at = literals.at(integer(constant['location']))
  return at === null ? other : Object.freeze({ kind: 'literal', index: at.index, negated: at.negated, cast })
}

/** What stands in `= ANY(…)`: an array parameter, an array literal, or ARRAY[…]. null: anything else. */
export function arrayOperands(node: unknown, literals: LiteralIndex): readonly Operand[] | null {
  const cast = as('TypeCast', node)
  if (cast === null) return arrayOf(node, null, literals)
  const type = castType(cast)
  return type?.endsWith('[]') === true ? arrayOf(cast['arg'], type, literals) : null
}

function arrayOf(node: unknown, cast: string | null, literals: LiteralIndex): readonly Operand[] | null {
  const param = as('ParamRef', node)
  if (param !== null) return [Object.freeze({ kind: 'param', number: integer(param['number']), array: true, cast })]
  const elements = as('A_ArrayExpr', node)
  if (elements !== null) return list(elements['elements']).map((element) => elementOperand(element, cast, literals))
  const constant = as('A_Const', node)
  if (constant?.['sval'] === undefined) return null
  const at = literals.at(integer(constant['location']))
  return at === null ? null : [Object.freeze({ kind: 'arrayLiteral', index: at.index, cast })]
}

/** ARRAY[…]::t[] casts each element once more; only elements without a cast of their own take it. */
function elementOperand(element: unknown, cast: string | null, literals: LiteralIndex): Operand {
  if (cast === null) return operand(element, literals)
  return as('TypeCast', element) === null ? bare(element, cast.slice(0, -2), literals) : other
}

/** `int8`, `text`, `schema.type`, `int8[]`; null where a modifier or a set changes the value in ways of its own. */
export function castType(cast: Fields): string | null {
  const type = fields(cast['typeName'])
  const names = type === null ? null : strings(type['names'])
  if (type === null || names === null || names.length === 0) return null
  if (type['setof'] === true || type['pct_type'] === true || list(type['typmods']).length > 0) return null
  const name = names[0] === 'pg_catalog' ? names.slice(1).join('.') : names.join('.')
  const dimensions = list(type['arrayBounds']).length
  return dimensions > 1 ? null : dimensions === 1 ? `${name}[]` : name
}
