// routing/scatter/targets.ts — the columns of a SELECT list: their names as PostgreSQL gives them, what a star stands for, and how
// text in them compares.
import type { CollationOf } from '../../merge/contract.js'
import { as, fields, list, nameOf, stringNode, strings, text, unwrap, type Fields } from '../../sql/tree.js'
import { sortsByBytes } from './derived-collation.js'
import type { Level } from './level.js'
import { isText, resolve } from './scope.js'

export interface Target {
  /** null: PostgreSQL's name of it is not known here. */
  readonly name: string | null
  readonly expression: unknown
}

/** `*`, `t.*` */
export function isColumnStar(node: unknown): boolean {
  return as('A_Star', list(as('ColumnRef', node)?.['fields']).at(-1)) !== null
}

/** Stars taken apart; null where that cannot be known. */
export function targetsOf(level: Level): readonly Target[] | null {
  const found: Target[] = []
  for (const item of list(level.select['targetList'])) {
    const target = as('ResTarget', item) ?? {}
    if (!isStar(target['val'])) found.push({ name: targetName(target), expression: target['val'] })
    else {
      const columns = isColumnStar(target['val']) ? starColumns(level, target['val']) : null
      if (columns === null) return null
      found.push(...columns)
    }
  }
  return found
}

/** A star of any kind: `(row).*` too. */
export function isStar(node: unknown): boolean {
  return isColumnStar(node) || as('A_Star', list(as('A_Indirection', node)?.['indirection']).at(-1)) !== null
}

function starColumns(level: Level, star: unknown): readonly Target[] | null {
  const path = list(as('ColumnRef', star)?.['fields']).slice(0, -1).map(stringNode)
  const { entries, merged } = level.scope
  // `*` over USING puts the merged columns first, once.
  if (path.length === 0 && merged.size > 0) return null
  const wanted = path.length === 0 ? entries : entries.filter((entry) => entry.alias === path.at(-1))
  if (wanted.length === 0 || wanted.some((entry) => entry.columns === null)) return null
  return wanted.flatMap((entry) =>
    (entry.columns ?? []).map((column) => ({
      name: column,
      expression: { ColumnRef: { fields: [{ String: { sval: entry.alias } }, { String: { sval: column } }] } },
    })),
  )
}

/** The name of a ResTarget as PostgreSQL makes it (FigureColname); null: not worked out here. */
export function targetName(target: Fields): string | null {
  const said = text(target['name'])
  if (said !== null) return said
  const figured = figure(target['val'])
  return figured === null ? null : figured.name
}

/** `strength` 2: a name that CASE and casts keep. */
interface Figured {
  readonly name: string
  readonly strength: 0 | 1 | 2
}

const nameless: Figured = { name: '?column?', strength: 0 }

function strong(name: string | null): Figured | null {
  return name === null ? null : { name, strength: 2 }
}

function figure(value: unknown): Figured | null {
  const node = unwrap(value)
  if (node === null) return nameless
  const { tag, fields: inner } = node
  const fixed = fixedNames.get(tag)
  if (fixed !== undefined) return strong(fixed)
  switch (tag) {
    case 'ColumnRef':
      return strong(stringNode(list(inner['fields']).at(-1)))
    case 'FuncCall':
      return strong(nameOf(inner['funcname'])?.name ?? null)
    case 'A_Indirection':
      return strong(stringNode(list(inner['indirection']).at(-1))) ?? figure(inner['arg'])
    case 'TypeCast': {
      const arg = figure(inner['arg'])
      if (arg === null || arg.strength > 1) return arg
      const type = strings(fields(inner['typeName'])?.['names'])?.at(-1)
      return type === undefined ? null : { name: type, strength: 1 }
    }
    case 'CaseExpr': {
      const otherwise = figure(inner['defresult'])
      return otherwise === null || otherwise.strength > 1 ? otherwise : { name: 'case', strength: 1 }
    }
    case 'CollateClause':
      return figure(inner['arg'])
    case 'MinMaxExpr':
      return strong(inner['op'] === 'IS_GREATEST' ? 'greatest' : 'least')
    case 'A_Expr':
      return inner['kind'] === 'AEXPR_NULLIF' ? strong('nullif') : nameless
    case 'SubLink':
      return figureSublink(inner)
    default:
      return plainNodes.has(tag) ? nameless : null
  }
}

const fixedNames: ReadonlyMap<string, string> = new Map([
  ['CoalesceExpr', 'coalesce'],
  ['A_ArrayExpr', 'array'],
  ['RowExpr', 'row'],
  ['GroupingFunc', 'grouping'],
])

const plainNodes: ReadonlySet<string> = new Set(['A_Const', 'BoolExpr', 'NullTest', 'BooleanTest', 'ParamRef'])

function figureSublink(link: Fields): Figured | null {
  if (link['subLinkType'] === 'EXISTS_SUBLINK') return strong('exists')
  if (link['subLinkType'] === 'ARRAY_SUBLINK') return strong('array')
  if (link['subLinkType'] !== 'EXPR_SUBLINK') return nameless
  const target = as('ResTarget', list(as('SelectStmt', link['subselect'])?.['targetList'])[0])
  return target === null ? null : strong(targetName(target))
}

/** PostgreSQL's own collations whose order is that of the bytes, and others under which equal text has equal bytes. */
const bytes: ReadonlySet<string> = new Set(['C', 'POSIX', 'ucs_basic', 'pg_c_utf8', 'pg_unicode_fast'])
const deterministic: ReadonlySet<string> = new Set(['default', 'unicode'])

/** How text of an expression compares. */
export function collationOf(expression: unknown, level: Level): CollationOf {
  const known = leafCollation(expression, level)
  if (known !== null) return known
  const ofLeaf = (leaf: unknown): boolean =>
    leafCollation(leaf, level) === 'bytes' && (as('ColumnRef', leaf) === null || isText(resolve(leaf, level.scope)))
  return sortsByBytes(expression, level.world, ofLeaf) ? 'bytes' : level.world.collation
}

/** Of a column, and of what says COLLATE; null: anything else. */
function leafCollation(expression: unknown, level: Level): CollationOf | null {
  const said = as('CollateClause', expression)
  if (said !== null) return namedCollation(said, level.world.context.session.searchPath)
  const ref = as('ColumnRef', expression) === null ? null : resolve(expression, level.scope)
  return ref === null ? null : (ref.entry.collations.get(ref.column) ?? level.world.collation)
}

/** `path`: with pg_catalog behind another schema, a bare name may be a user's. */
export function namedCollation(clause: Fields, path: readonly string[] | null): CollationOf {
  const name = nameOf(clause['collname'])
  if (name === null) return 'unknown'
  const own = name.schema === 'pg_catalog' || (name.schema === null && path !== null && path.indexOf('pg_catalog') <= 0)
  if (!own) return 'unknown'
  if (bytes.has(name.name)) return 'bytes'
  return deterministic.has(name.name) || name.name.endsWith('-x-icu') ? 'deterministic' : 'unknown'
}
