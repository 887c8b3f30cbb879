// routing/scatter/grouped.ts — the outermost SELECT whose groups reach over several clusters: each part makes its part of every
// group, with partial aggregates; the merger makes whole groups of them, and does HAVING, ORDER BY and LIMIT.
import type { CollationOf, CombinedColumn, Comparison, Condition, KeyColumn, NumberOperand, SortKey } from '../../merge/contract.js'
import { as, fields, integer, list, nameOf, stringConstant, strings, text, type Fields } from '../../sql/tree.js'
import { checkComparable, checkSortable, Columns, direction, hiddenTarget } from './columns.js'
import { countsOf, unlimited } from './counts.js'
import type { Level } from './level.js'
import type { Merged } from './plain.js'
import { groupExpressions, isDistinctOn } from './query.js'
import { collationOf, isStar } from './targets.js'
import { callsIn, conjuncts, walkExpression } from './tree-walk.js'
import { Unmergeable } from './unmergeable.js'
import { functionsOf, isAggregate, ownAggregate } from './world.js'

export function grouped(level: Level): Merged {
  return new Grouping(level).merged()
}

const wayOut = 'Select the aggregates as they are and compute with them in the application, or GROUP BY the whole shard key as well.'

class Grouping {
  readonly #level: Level
  readonly #columns: Columns
  /** Expressions of the part's select list: those of the client's, aggregates replaced, then the hidden ones. */
  readonly #part: unknown[]
  readonly #combined: CombinedColumn[] = []
  readonly #sorts: CollationOf[] = []
  /** Expression → combined column. */
  readonly #known = new Map<string, number>()
  readonly #groupKeys: readonly string[]
  /** GROUP BY of the part besides the client's: arguments of count(DISTINCT …). */
  readonly #finer: unknown[] = []
  /** The parts write zero where there is nothing to add. */
  #zeros = false

  constructor(level: Level) {
    this.#level = level
    const { select } = level
    if (callsIn([select['targetList'], select['sortClause']], (call) => call['over'] !== undefined).length > 0)
      throw new Unmergeable('a window over groups reaches over several of them', 'GROUP BY the whole shard key as well.')
    this.#columns = new Columns(level)
    const targets = list(select['targetList']).map((item) => as('ResTarget', item)?.['val'])
    if (targets.some(isStar)) throw new Unmergeable('a star with GROUP BY is not merged', 'Name the columns.')
    this.#part = [...targets]
    this.#groupKeys = groupExpressions(level).map((each) => this.#columns.keyOf(each))
    targets.forEach((expression, at) => {
      this.#target(expression, at)
    })
  }

  merged(): Merged {
    const { select } = this.#level
    if (isDistinctOn(list(select['distinctClause']))) throw new Unmergeable('DISTINCT ON over groups is not merged', wayOut)
    const output = list(select['targetList']).map((_, i) => i)
    const keys = groupExpressions(this.#level).map((expression): KeyColumn => ({
      column: this.#keyColumn(expression),
      collation: collationOf(expression, this.#level),
    }))
    const { having, pushed } = this.#having(select['havingClause'], keys.length > 0)
    const order = list(select['sortClause']).map((item) => this.#sort(as('SortBy', item) ?? {}))
    this.#checkFiner(output.length)
    const counts = countsOf(select)
    const { sortClause: _s, distinctClause: _d, havingClause: _h, ...rest } = unlimited(select, counts)
    const group = [...list(select['groupClause']), ...this.#finer]
    const names = list(select['targetList']).map((item) => as('ResTarget', item)?.['name'])
    return {
      select: {
        ...rest,
        targetList: this.#part.map((val, i) =>
          i < output.length
            ? { ResTarget: { ...(names[i] === undefined ? {} : { name: names[i] }), val } }
            : hiddenTarget(val, i - output.length),
        ),
        ...(group.length === 0 ? {} : { groupClause: group }),
        ...(pushed === null ? {} : { havingClause: pushed }),
      },
      merge: {
        hidden: this.#part.length - output.length,
        group: { keys, columns: this.#combined },
        having,
        order,
        partsSorted: false,
        distinct:
          list(select['distinctClause']).length === 0 ? null : { keys: null, collation: this.#level.world.collation, adjacent: false },
        ...counts,
        output,
        described: 'original',
      },
    }
  }

  // ---- columns

  #target(expression: unknown, at: number): void {
    const call = this.#aggregate(expression)
    if (call === null) this.#checkKey(expression)
    const column = call === null ? ({ kind: 'key', column: at } as const) : this.#combine(expression, call, at)
    this.#combined.push(column)
    this.#sorts.push(this.#collation(expression, call))
    const key = this.#columns.keyOf(expression)
    if (!this.#known.has(key)) this.#known.set(key, at)
  }

  #collation(expression: unknown, call: Fields | null): CollationOf {
    return collationOf(call === null ? expression : list(call['args'])[0], this.#level)
  }

  /** The combined column of an expression of ORDER BY or HAVING. */
  #column(expression: unknown): number {
    const key = this.#columns.keyOf(expression)
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const call = this.#aggregate(expression)
    if (call === null) this.#checkKey(expression)
    this.#combined.push(call === null ? { kind: 'key', column: this.#add(expression) } : this.#combine(expression, call, null))
    this.#sorts.push(this.#collation(expression, call))
    this.#known.set(key, this.#combined.length - 1)
    return this.#combined.length - 1
  }

  /** Adds a hidden column to the part. */
  #add(expression: unknown): number {
    this.#part.push(expression)
    return this.#part.length - 1
  }

  #keyColumn(expression: unknown): number {
    checkComparable(this.#level, expression)
    const key = this.#columns.keyOf(expression)
    const at = this.#part.findIndex((one) => this.#columns.keyOf(one) === key)
    return at === -1 ? this.#add(expression) : at
  }

  /** null: no aggregate in it. */
  #aggregate(expression: unknown): Fields | null {
    const call = as('FuncCall', orZero(expression))
    if (call !== null && isAggregate(this.#level.world, call)) return call
    if (callsIn(expression, (one) => isAggregate(this.#level.world, one)).length === 0) return null
    throw new Unmergeable('an expression computes with aggregates over several of them', wayOut)
  }

  /** What is no aggregate must be one value for a group: no function that gives several rows. */
  #checkKey(expression: unknown): void {
    if (this.#groupKeys.includes(this.#columns.keyOf(expression))) return
    const sets = callsIn(expression, (call) => {
      const name = nameOf(call['funcname'])?.name ?? ''
      return setReturning.has(name) || !functionsOf(this.#level.world, call).every((info) => info.builtin)
    })
    if (sets.length > 0) throw new Unmergeable('a function beside aggregates may give several rows', 'GROUP BY it.')
  }

  /** `whole`: the call, or the call with zero for NULL. `at`: the place of the call in the part's select list; null: it has none yet. */
  #combine(whole: unknown, call: Fields, at: number | null): CombinedColumn {
    const { world } = this.#level
    const name = ownAggregate(world, call)
    const [argument] = list(call['args'])
    const zero = orZero(whole) !== whole
    const put = (expression: unknown): number => {
      const value = zero ? { CoalesceExpr: { args: [expression, zeroConstant] } } : expression
      if (at === null) return this.#add(value)
      this.#part[at] = value
      return at
    }
    this.#zeros ||= zero
    if (zero && ((name !== 'sum' && name !== 'count') || call['agg_distinct'] === true))
      throw new Unmergeable('an expression computes with aggregates over several of them', wayOut)
    if (name === null) throw notMerged(nameOf(call['funcname'])?.name ?? 'an aggregate')
    if (call['agg_distinct'] === true) return this.#distinct(name, call, put)
    if (call['agg_within_group'] === true || call['func_variadic'] === true) throw notMerged(name)
    switch (name) {
      case 'count':
      case 'sum':
        return { kind: name, column: put({ FuncCall: withoutOrder(call) }) }
      case 'min':
      case 'max':
        checkSortable(this.#level, argument)
        return { kind: name, column: put({ FuncCall: withoutOrder(call) }), collation: collationOf(argument, this.#level) }
      case 'bool_and':
      case 'every':
        return { kind: 'and', column: put({ FuncCall: withoutOrder(call) }) }
      case 'bool_or':
        return { kind: 'or', column: put({ FuncCall: withoutOrder(call) }) }
      case 'avg':
        return { kind: 'avg', sum: put(renamed(call, 'sum')), count: this.#add(renamed(call, 'count')) }
      case 'string_agg':
      case 'array_agg':
        return this.#list(name, call, put)
      default:
        throw notMerged(name)
    }
  }

  #distinct(name: string, call: Fields, put: (expression: unknown) => number): CombinedColumn {
    const [argument, another] = list(call['args'])
    if (
      (name === 'min' || name === 'max' || name === 'bool_and' || name === 'bool_or' || name === 'every') &&
      call['agg_order'] === undefined
    ) {
      const { agg_distinct: _, ...rest } = call
      // DISTINCT makes no difference to them.
      if (name === 'min' || name === 'max') checkSortable(this.#level, argument)
      const column = put({ FuncCall: rest })
      if (name === 'min' || name === 'max') return { kind: name, column, collation: collationOf(argument, this.#level) }
      return { kind: name === 'bool_or' ? 'or' : 'and', column }
    }
    const constant = as('A_Const', argument) !== null
    if (name !== 'count' || another !== undefined || call['agg_filter'] !== undefined || call['agg_order'] !== undefined || constant)
      throw new Unmergeable(
        `${name}(DISTINCT …) is merged for count of one expression without FILTER only`,
        'Select the distinct values and count them in the application, or GROUP BY the whole shard key as well.',
      )
    checkComparable(this.#level, argument)
    this.#finer.push(argument)
    return { kind: 'countDistinct', column: put(argument), collation: collationOf(argument, this.#level) }
  }

  #list(name: string, call: Fields, put: (expression: unknown) => number): CombinedColumn {
    const [argument, second] = list(call['args'])
    const items = list(call['agg_order'])
    if (items.length === 0)
      throw new Unmergeable(`${name} without ORDER BY has no order that could be merged`, `Write ${name}(… ORDER BY …).`)
    const separator = name === 'string_agg' ? stringConstant(second) : null
    if (name === 'string_agg' && separator === null)
      throw new Unmergeable('the separator of string_agg is no literal', 'Write it as a literal.')
    const arrayOf = (expression: unknown): unknown => {
      const { args: _, ...rest } = call
      const type = as('TypeCast', expression) === null && as('A_Const', expression) !== null ? null : expression
      if (type === null) throw new Unmergeable(`${name} of a constant is not merged`, wayOut)
      return { FuncCall: { ...rest, funcname: systemName('array_agg'), args: [expression] } }
    }
    const column = put(arrayOf(argument))
    const order = items.map((item): SortKey => {
      const sort = as('SortBy', item) ?? {}
      const expression = sort['node']
      checkSortable(this.#level, expression)
      const same = this.#columns.keyOf(expression) === this.#columns.keyOf(argument)
      return { column: same ? column : this.#add(arrayOf(expression)), collation: collationOf(expression, this.#level), ...direction(sort) }
    })
    return { kind: 'list', column, order, separator: separator?.text ?? null }
  }

  /** Where count(DISTINCT …) makes finer groups, a part without rows sends none. */
  #checkFiner(targets: number): void {
    if (this.#finer.length === 0 || this.#groupKeys.length > 0) return
    if (this.#zeros)
      throw new Unmergeable(
        'coalesce(sum(…), 0) beside count(DISTINCT …) is not merged',
        'Select sum(…) as it is, or count the distinct values apart.',
      )
    if (this.#combined.slice(0, targets).some((column) => column.kind === 'key'))
      throw new Unmergeable('a constant beside count(DISTINCT …) is not merged', 'Select count(DISTINCT …) without it.')
  }

  // ---- ORDER BY

  #sort(sort: Fields): SortKey {
    const { place, expression } = this.#columns.output(sort['node'], true)
    const column = place.at === 'result' ? place.index : this.#column(expression)
    if (this.#aggregate(expression) === null) checkSortable(this.#level, expression)
    return { column, collation: this.#sorts[column] ?? 'unknown', ...direction(sort) }
  }

  // ---- HAVING

  #having(clause: unknown, hasKeys: boolean): { readonly having: Condition | null; readonly pushed: unknown } {
    const all = conjuncts(clause)
    const merged = all.filter((each) => this.#hasAggregate(each))
    const pushed = all.filter((each) => !this.#hasAggregate(each))
    if (pushed.length > 0 && !hasKeys) throw new Unmergeable('HAVING without aggregates and without GROUP BY is not merged', 'Use WHERE.')
    const conditions = merged.map((each) => this.#condition(each))
    // Parameters stay where they get their types from, in what is always true.
    const stays = merged
      .filter((each) => hasNode(each, 'ParamRef'))
      .map((each) => ({ BoolExpr: { boolop: 'OR_EXPR', args: [each, always] } }))
    const kept = [...pushed, ...stays]
    return {
      having: conditions.length === 0 ? null : conditions.length === 1 ? (conditions[0] ?? null) : { kind: 'and', of: conditions },
      pushed: kept.length === 0 ? null : kept.length === 1 ? kept[0] : { BoolExpr: { boolop: 'AND_EXPR', args: kept } },
    }
  }

  #hasAggregate(expression: unknown): boolean {
    const found = callsIn(expression, (call) => isAggregate(this.#level.world, call)).length > 0
    if (found && hasNode(expression, 'SubLink')) throw notHaving()
    return found
  }

  #condition(node: unknown): Condition {
    const bool = as('BoolExpr', node)
    if (bool !== null) {
      const of = list(bool['args']).map((each) => this.#condition(each))
      const [first] = of
      if (bool['boolop'] === 'NOT_EXPR' && first !== undefined) return { kind: 'not', of: first }
      return { kind: bool['boolop'] === 'OR_EXPR' ? 'or' : 'and', of }
    }
    const test = as('NullTest', node)
    if (test !== null) {
      const isNull: Condition = { kind: 'isNull', column: this.#aggregateColumn(test['arg']) }
      return test['nulltesttype'] === 'IS_NOT_NULL' ? { kind: 'not', of: isNull } : isNull
    }
    const expression = as('A_Expr', node)
    if (expression === null) throw notHaving()
    if (expression['kind'] === 'AEXPR_BETWEEN') return this.#between(expression)
    return this.#comparison(expression)
  }

  #comparison(expression: Fields): Condition {
    const name = strings(expression['name'])
    const written = name?.at(-1) ?? ''
    const operator = comparisons.get(written)
    if (expression['kind'] !== 'AEXPR_OP' || operator === undefined || (name?.length !== 1 && name?.[0] !== 'pg_catalog')) throw notHaving()
    const right = numberOperand(expression['rexpr'])
    if (right !== null) return { kind: 'compare', column: this.#aggregateColumn(expression['lexpr']), operator, value: right }
    const left = numberOperand(expression['lexpr'])
    if (left === null) throw notHaving()
    return { kind: 'compare', column: this.#aggregateColumn(expression['rexpr']), operator: turned[operator], value: left }
  }

  #between(expression: Fields): Condition {
    const [low, high] = list(as('List', expression['rexpr'])?.['items']).map(numberOperand)
    if (low === null || low === undefined || high === null || high === undefined) throw notHaving()
    const column = this.#aggregateColumn(expression['lexpr'])
    return {
      kind: 'and',
      of: [
        { kind: 'compare', column, operator: '>=', value: low },
        { kind: 'compare', column, operator: '<=', value: high },
      ],
    }
  }

  #aggregateColumn(expression: unknown): number {
    if (this.#aggregate(expression) === null) throw notHaving()
    return this.#column(expression)
  }
}

const zeroConstant = { A_Const: { ival: {} } }

/** `coalesce(sum(x), 0)`: the sum of the parts' own is the same. */
function orZero(expression: unknown): unknown {
  const [value, otherwise, another] = list(as('CoalesceExpr', expression)?.['args'])
  const constant = as('A_Const', otherwise)
  const isZero = another === undefined && fields(constant?.['ival']) !== null && integer(fields(constant?.['ival'])?.['ival']) === 0
  return isZero ? value : expression
}

const always = { A_Const: { boolval: { boolval: true } } }

function hasNode(expression: unknown, tag: string): boolean {
  const found: string[] = []
  walkExpression(expression, {
    node: (node) => {
      found.push(node.tag)
      return undefined
    },
  })
  return found.includes(tag)
}

function notMerged(name: string): Unmergeable {
  return new Unmergeable(
    `${name}() is not an aggregate that can be merged`,
    'Merged are count, sum, avg, min, max, bool_and, bool_or, every, and string_agg and array_agg with ORDER BY. Or GROUP BY the whole shard key as well.',
  )
}

function notHaving(): Unmergeable {
  return new Unmergeable(
    'HAVING does more than compare aggregates with numbers',
    'Compare an aggregate with a number or a parameter, or filter the groups in the application.',
  )
}

const comparisons: ReadonlyMap<string, Comparison> = new Map([
  ['=', '='],
  ['<>', '<>'],
  ['!=', '<>'],
  ['<', '<'],
  ['<=', '<='],
  ['>', '>'],
  ['>=', '>='],
])

const turned: Readonly<Record<Comparison, Comparison>> = { '=': '=', '<>': '<>', '<': '>', '<=': '>=', '>': '<', '>=': '<=' }

function numberOperand(node: unknown): NumberOperand | null {
  const param = as('ParamRef', node)
  if (param !== null) return { kind: 'parameter', number: integer(param['number']) }
  const negative = as('A_Expr', node)
  if (negative !== null) {
    const inner = negative['lexpr'] === undefined && strings(negative['name'])?.join('.') === '-' ? numberOperand(negative['rexpr']) : null
    return inner?.kind === 'literal' && !inner.text.startsWith('-') ? { kind: 'literal', text: `-${inner.text}` } : null
  }
  const constant = as('A_Const', node)
  const whole = fields(constant?.['ival'])
  if (whole !== null) return { kind: 'literal', text: String(integer(whole['ival'])) }
  const decimal = text(fields(constant?.['fval'])?.['fval'])
  return decimal !== null && /^-?[0-9]*\.?[0-9]+$/.test(decimal) ? { kind: 'literal', text: decimal } : null
}

function systemName(name: string): readonly unknown[] {
  return [{ String: { sval: 'pg_catalog' } }, { String: { sval: name } }]
}

/** Order makes no difference to these. */
function withoutOrder(call: Fields): Fields {
  const { agg_order: _, ...rest } = call
  return rest
}

function renamed(call: Fields, name: string): unknown {
  return { FuncCall: { ...withoutOrder(call), funcname: systemName(name) } }
}

/** PostgreSQL's own functions that give several rows. */
const setReturning: ReadonlySet<string> = new Set(
  (
    'unnest generate_series generate_subscripts regexp_matches regexp_split_to_table string_to_table json_array_elements ' +
    'json_array_elements_text jsonb_array_elements jsonb_array_elements_text json_each json_each_text jsonb_each jsonb_each_text ' +
    'json_object_keys jsonb_object_keys jsonb_path_query jsonb_path_query_tz json_populate_recordset jsonb_populate_recordset ' +
    'json_to_recordset jsonb_to_recordset aclexplode ts_debug ts_parse ts_token_type ts_stat _pg_expandarray'
  ).split(' '),
)
