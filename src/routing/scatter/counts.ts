// routing/scatter/counts.ts — LIMIT and OFFSET: what the merger counts, and what each part has to send at most.
import type { Count } from '../../merge/contract.js'
import { as, fields, integer, list, strings, text, type Fields } from '../../sql/tree.js'
import { withTies } from './query.js'
import { Unmergeable } from './unmergeable.js'

export interface Counts {
  readonly limit: Count
  readonly offset: Count
}

export function countsOf(select: Fields): Counts {
  if (select['limitOption'] === 'LIMIT_OPTION_WITH_TIES') throw withTies()
  return { limit: count(select['limitCount']), offset: count(select['limitOffset']) }
}

const none: Count = Object.freeze({ kind: 'none' })

function count(node: unknown): Count {
  if (node === undefined) return none
  const cast = as('TypeCast', node)
  if (cast !== null) {
    const type = fields(cast['typeName'])
    const name = strings(type?.['names'])?.at(-1) ?? ''
    if (!integers.has(name) || list(type?.['arrayBounds']).length > 0) throw expression()
    return count(cast['arg'])
  }
  const param = as('ParamRef', node)
  if (param !== null) return { kind: 'parameter', number: integer(param['number']) }
  const constant = as('A_Const', node)
  if (constant?.['isnull'] === true) return none
  const whole = fields(constant?.['ival'])
  const large = text(fields(constant?.['fval'])?.['fval'])
  if (whole !== null) return { kind: 'value', value: BigInt(integer(whole['ival'])) }
  if (large !== null && /^[0-9]{1,18}$/.test(large)) return { kind: 'value', value: BigInt(large) }
  throw expression()
}

const integers: ReadonlySet<string> = new Set(['int2', 'int4', 'int8'])

function expression(): Unmergeable {
  return new Unmergeable('LIMIT or OFFSET is an expression', 'Give it as a number or a parameter.')
}

/** The SELECT with what one part has to send: the first offset + limit rows. */
export function limited(select: Fields, counts: Counts): Fields {
  const { limit, offset } = counts
  return limit.kind === 'none' ? unlimited(select, counts) : withLimit(select, sum(limit, offset))
}

/** The SELECT without LIMIT and OFFSET. Their parameters stay: x or else NULL where it is x. */
export function unlimited(select: Fields, { limit, offset }: Counts): Fields {
  const parameters = [limit, offset].filter((one) => one.kind === 'parameter').map(bigint)
  const [first, second] = parameters
  return first === undefined ? withLimit(select, null) : withLimit(select, nullIf(first, second ?? first, second !== undefined))
}

function withLimit(select: Fields, count: unknown): Fields {
  const { limitCount: _count, limitOffset: _offset, ...rest } = select
  return count === null
    ? { ...rest, limitOption: 'LIMIT_OPTION_DEFAULT' }
    : { ...rest, limitCount: count, limitOption: 'LIMIT_OPTION_COUNT' }
}

/** NULL, whatever the parameters are. */
function nullIf(one: unknown, other: unknown, two: boolean): unknown {
  const same = (value: unknown): unknown => ({
    A_Expr: { kind: 'AEXPR_NULLIF', name: [{ String: { sval: '=' } }], lexpr: value, rexpr: value },
  })
  return two ? { CoalesceExpr: { args: [same(one), same(other)] } } : same(one)
}

function sum(limit: Count, offset: Count): unknown {
  if (limit.kind === 'value' && offset.kind !== 'parameter') {
    const value = limit.value + (offset.kind === 'value' ? offset.value : 0n)
    // Below zero is an error whose words are the merger's.
    return limit.value < 0n || (offset.kind === 'value' && offset.value < 0n) ? number(0n) : number(value)
  }
  if (offset.kind === 'none') return bigint(limit)
  // NULL is no limit and no offset. In numeric, so that nothing overflows: least() leaves NULL out.
  const total = operator('+', cast(bigint(limit), 'numeric'), { CoalesceExpr: { args: [bigint(offset), number(0n)] } })
  const most = cast(string(String(2n ** 63n - 1n)), 'numeric')
  return cast({ MinMaxExpr: { op: 'IS_LEAST', args: [total, most] } }, 'int8')
}

function number(value: bigint): unknown {
  if (value === 0n) return { A_Const: { ival: {} } }
  return value < 2n ** 31n ? { A_Const: { ival: { ival: Number(value) } } } : { A_Const: { fval: { fval: String(value) } } }
}

function string(value: string): unknown {
  return { A_Const: { sval: { sval: value } } }
}

function bigint(one: Count): unknown {
  return one.kind === 'parameter' ? cast({ ParamRef: { number: one.number } }, 'int8') : number(one.kind === 'value' ? one.value : 0n)
}

function cast(arg: unknown, type: string): unknown {
  const names = [{ String: { sval: 'pg_catalog' } }, { String: { sval: type } }]
  return { TypeCast: { arg, typeName: { names, typemod: -1 } } }
}

function operator(name: string, lexpr: unknown, rexpr: unknown): unknown {
  const path = [{ String: { sval: 'pg_catalog' } }, { String: { sval: name } }]
  return { A_Expr: { kind: 'AEXPR_OP', name: path, lexpr, rexpr } }
}
