// config/table-name.ts — names of tables, columns and functions in the config. A bare name means public.<name>. A name
// with capital letters must be quoted: PostgreSQL would fold it, YAML would not, and guessing routes it to nowhere.

export interface QualifiedName {
  readonly schema: string | null
  readonly name: string
}

/** `images`, `media.images`, `"Images"`, `media."a.b"`; or what is wrong, in words. */
export function parseName(text: string): QualifiedName | string {
  const parts: string[] = []
  let rest = text
  for (;;) {
    const part = /^(?:"((?:[^"]|"")+)"|([^".\s]+))/.exec(rest)
    if (part === null) return 'is not a name'
    const bare = part[2]
    if (bare !== undefined && bare !== bare.toLowerCase()) {
      return `has capital letters: PostgreSQL reads it as ${bare.toLowerCase()} unless it is quoted; write ${bare.toLowerCase()}, or '"${bare}"'`
    }
    parts.push(bare ?? (part[1] ?? '').replaceAll('""', '"'))
    rest = rest.slice(part[0].length)
    if (rest === '') break
    if (!rest.startsWith('.')) return 'is not a name'
    rest = rest.slice(1)
  }
  const [first, second] = parts
  if (first === undefined || parts.length > 2) return 'has more than two parts'
  if (second === undefined) return { schema: null, name: first }
  return first.includes('.') ? 'has a dot in its schema' : { schema: first, name: second }
}

/** The key that rooms know a table by: `schema.table`. */
export function tableKey(name: QualifiedName): string {
  return `${name.schema ?? 'public'}.${name.name}`
}
