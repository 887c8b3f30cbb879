// routing/scatter/derived-collation.ts — the collation of an expression that is made of columns: PostgreSQL passes it on from what goes
// into a function or operator to what comes out, and a column's own beats the default of literals and parameters. Only where every
// column that goes in sorts by its bytes is that told here.
import { as, fields, list, strings, unwrap, type Fields } from '../../sql/tree.js'
import { functionsOf, type World } from './world.js'

/** Whether text of the expression sorts by its bytes for sure. `ofLeaf`: of a column, and of what says COLLATE. */
export function sortsByBytes(expression: unknown, world: World, ofLeaf: (leaf: unknown) => boolean): boolean {
  return new Derivation(world, ofLeaf).of(expression) === 'bytes'
}

/** `neutral`: a literal, which takes what stands beside it. */
type Derived = 'bytes' | 'neutral' | 'unknown'

class Derivation {
  readonly #world: World
  readonly #ofLeaf: (leaf: unknown) => boolean

  constructor(world: World, ofLeaf: (leaf: unknown) => boolean) {
    this.#world = world
    this.#ofLeaf = ofLeaf
  }

  of(expression: unknown): Derived {
    const node = unwrap(expression)
    if (node === null) return 'unknown'
    const { tag, fields: inner } = node
    switch (tag) {
      case 'ColumnRef':
      case 'CollateClause':
        return this.#ofLeaf(expression) ? 'bytes' : 'unknown'
      case 'A_Const':
      case 'ParamRef':
        return 'neutral'
      case 'TypeCast':
        return isText(inner['typeName']) ? this.of(inner['arg']) : 'unknown'
      case 'CoalesceExpr':
      case 'MinMaxExpr':
        return this.#together(list(inner['args']))
      case 'CaseExpr':
        return this.#together(resultsOf(inner))
      case 'A_Expr':
        return this.#operator(inner)
      case 'FuncCall':
        return this.#call(inner)
      default:
        return 'unknown'
    }
  }

  #together(expressions: readonly unknown[]): Derived {
    const found = expressions.map((one) => this.of(one))
    if (found.includes('unknown')) return 'unknown'
    return found.includes('bytes') ? 'bytes' : 'neutral'
  }

  #operator(expression: Fields): Derived {
    const both = [expression['lexpr'], expression['rexpr']]
    if (expression['kind'] === 'AEXPR_NULLIF') return this.#together(both)
    const concatenates = expression['kind'] === 'AEXPR_OP' && strings(expression['name'])?.at(-1) === '||'
    return concatenates ? this.#together(both) : 'unknown'
  }

  #call(call: Fields): Derived {
    const found = functionsOf(this.#world, call)
    const known = found.length > 0 && found.every((info) => info.builtin && info.kind === 'function' && textual.has(info.name))
    if (!known || call['over'] !== undefined) return 'unknown'
    return this.#together(list(call['args']))
  }
}

function resultsOf(expression: Fields): readonly unknown[] {
  const whens = list(expression['args']).map((when) => as('CaseWhen', when)?.['result'])
  return expression['defresult'] === undefined ? whens : [...whens, expression['defresult']]
}

/** Text in, text out. */
const textual: ReadonlySet<string> = new Set(
  'lower upper initcap btrim ltrim rtrim substr substring left right replace translate lpad rpad repeat reverse split_part'.split(' '),
)

function isText(type: unknown): boolean {
  const name = strings(fields(type)?.['names'])
  if (name === null || (name.length !== 1 && name[0] !== 'pg_catalog')) return false
  return textTypes.has(name.at(-1) ?? '') && list(fields(type)?.['arrayBounds']).length === 0
}

const textTypes: ReadonlySet<string> = new Set(['text', 'varchar', 'bpchar'])
