// sql/deparse.ts — a parse tree that was changed → text. The writing is pgsql-deparser's; that it says what the tree says is
// proved each time: the text is parsed again, and must give the very tree, positions aside. Whatever the library cannot
// write, or writes in another meaning, is no text at all.
import { Deparser } from 'pgsql-deparser'
import { parseStatements } from './parser.js'
import { type Node } from './tree.js'

/** The text of one statement; null where no text was found that means the same. */
export function deparse(node: Node): string | null {
  try {
    const text = Deparser.deparse({ [node.tag]: node.fields }, { pretty: false })
    const [parsed, another] = parseStatements(text)
    if (parsed === undefined || another !== undefined || parsed.node.tag !== node.tag) return null
    return sameTree(parsed.node.fields, node.fields) ? text : null
  } catch {
    return null
  }
}

/** Whether two trees mean the same: all of them but where things stand in their texts. */
export function sameTree(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, index) => sameTree(item, b[index]))
  }
  const [left, right] = [new Map(meaning(a)), meaning(b)]
  return left.size === right.length && right.every(([name, value]) => left.has(name) && sameTree(left.get(name), value))
}

function meaning(node: object): readonly (readonly [string, unknown])[] {
  return Object.entries(node).filter(([name, value]) => value !== undefined && !positions.has(name))
}

/** Equal for trees that mean the same. */
export function treeKey(tree: unknown): string {
  return JSON.stringify(tree, withoutPositions)
}

const positions: ReadonlySet<string> = new Set([
  'location',
  'stmt_location',
  'stmt_len',
  'list_start',
  'list_end',
  'rexpr_list_start',
  'rexpr_list_end',
])

/** Fields in the order of their names, so that it does not matter who made the tree. */
function withoutPositions(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const entries = Object.entries(value).filter(([name]) => !positions.has(name))
  return Object.fromEntries(entries.sort(([one], [other]) => (one < other ? -1 : 1)))
}
