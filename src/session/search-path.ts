// session/search-path.ts — the value of search_path as a list of schemas. plan() resolves bare names with it.

/** Splits as PostgreSQL's SplitIdentifierString does: commas, bare names folded, quoted ones as they stand. null: unreadable. */
export function splitIdentifiers(text: string): readonly string[] | null {
  const names: string[] = []
  let rest = text.trim()
  if (rest === '') return names
  for (;;) {
    const match = /^(?:"((?:[^"]|"")*)"|([^\s,"]+))\s*/.exec(rest)
    if (match === null) return null
    const [whole, quoted, bare] = match
    names.push(quoted === undefined ? (bare ?? '').toLowerCase() : quoted.replaceAll('""', '"'))
    rest = rest.slice(whole.length)
    if (rest === '') return names
    if (!rest.startsWith(',')) return null
    rest = rest.slice(1).trimStart()
  }
}

/** The schemas of `value`, with `$user` as the name of `role` (null: not known). null: cannot be known. */
export function resolveSearchPath(value: string | null, role: string | null): readonly string[] | null {
  const names = value === null ? null : splitIdentifiers(value)
  if (names === null) return null
  const schemas: string[] = []
  for (const name of names) {
    if (name !== '$user') schemas.push(name)
    else if (role === null) return null
    else schemas.push(role)
  }
  return schemas
}
