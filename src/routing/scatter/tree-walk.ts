// routing/scatter/tree-walk.ts — walks expressions of one query level: what is inside a subquery is another level, and is
// handed over as a whole.
import { as, fields, list, unwrap, type Fields, type Node } from '../../sql/tree.js'

export interface Visit {
  /** Every node, from outside to inside; false: not into it. */
  readonly node?: (node: Node) => boolean | undefined
  /** A subquery of an expression. Its test expression is walked as part of the level. */
  readonly sublink?: (link: Fields) => void
}

export function walkExpression(value: unknown, visit: Visit): void {
  if (typeof value !== 'object' || value === null) return
  if (Array.isArray(value)) {
    for (const item of value) walkExpression(item, visit)
    return
  }
  const node = unwrap(value)
  if (node !== null && visit.node?.(node) === false) return
  const link = as('SubLink', value)
  if (link !== null) {
    walkExpression(link['testexpr'], visit)
    visit.sublink?.(link)
    return
  }
  const inner = node === null ? (fields(value) ?? {}) : node.fields
  for (const name in inner) walkExpression(inner[name], visit)
}

/** Conditions that must all be true. */
export function conjuncts(condition: unknown): readonly unknown[] {
  if (condition === undefined || condition === null) return []
  const bool = as('BoolExpr', condition)
  return bool?.['boolop'] === 'AND_EXPR' ? list(bool['args']).flatMap(conjuncts) : [condition]
}

/** Calls of one level for which `wanted` is true, outermost only. */
export function callsIn(value: unknown, wanted: (call: Fields) => boolean): readonly Fields[] {
  const found: Fields[] = []
  walkExpression(value, {
    node: ({ tag, fields: call }) => {
      if (tag !== 'FuncCall' || !wanted(call)) return undefined
      found.push(call)
      return false
    },
  })
  return found
}
