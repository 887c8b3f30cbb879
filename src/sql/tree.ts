// sql/tree.ts — the parse tree as libpg-query gives it: JSON of nodes `{ Tag: { field: … } }`. Fields that are zero, false or
// empty are left out, so every accessor here has a default; `k = 0` arrives as `{ ival: {} }`.

export type Fields = Readonly<Record<string, unknown>>

/** A node taken out of its wrapper. */
export interface Node {
  readonly tag: string
  readonly fields: Fields
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `{ Tag: fields }` → node; null for anything else (plain structs have several fields, or a lower-case one). */
export function unwrap(value: unknown): Node | null {
  if (!isObject(value)) return null
  let tag = ''
  for (const key in value) {
    if (tag !== '') return null
    tag = key
  }
  const first = tag.charCodeAt(0)
  const fields = value[tag]
  return first >= 65 && first <= 90 && isObject(fields) ? { tag, fields } : null
}

/** The node's fields if it has this tag. */
export function as(tag: string, value: unknown): Fields | null {
  if (!isObject(value)) return null
  const fields = value[tag]
  return isObject(fields) ? fields : null
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

export function fields(value: unknown): Fields | null {
  return isObject(value) ? value : null
}

export function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

export function integer(value: unknown): number {
  return typeof value === 'number' ? value : 0
}

/** `{ String: { sval } }` → sval. The empty string is left out of the tree. */
export function stringNode(value: unknown): string | null {
  const node = as('String', value)
  return node === null ? null : (text(node['sval']) ?? '')
}

/** A list of String nodes; null if it holds anything else. */
export function strings(value: unknown): string[] | null {
  const found: string[] = []
  for (const item of list(value)) {
    const part = stringNode(item)
    if (part === null) return null
    found.push(part)
  }
  return found
}

/** Qualified name as a list of String nodes, the last two parts of it. */
export function nameOf(value: unknown): { schema: string | null; name: string } | null {
  const parts = strings(value)
  const name = parts?.at(-1)
  return name === undefined ? null : { schema: parts?.at(-2) ?? null, name }
}

export function rangeName(range: Fields): { schema: string | null; name: string } {
  return { schema: text(range['schemaname']), name: text(range['relname']) ?? '' }
}

/** Value of a string constant, `null` for any other node. */
export function stringConstant(value: unknown): { readonly text: string; readonly location: number } | null {
  const constant = as('A_Const', value)
  const string = constant === null ? null : fields(constant['sval'])
  return constant === null || string === null ? null : { text: text(string['sval']) ?? '', location: integer(constant['location']) }
}
