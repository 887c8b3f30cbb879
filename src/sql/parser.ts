// sql/parser.ts — PostgreSQL 18's own parser, as WebAssembly. The only file that knows libpg-query.
import { loadModule, parseSync } from 'libpg-query'
import { type Node, fields, integer, list, unwrap } from './tree.js'

export interface ParsedStatement {
  readonly node: Node
  /** Byte offsets into the text's UTF-8; `end` is null where the statement goes to the text's end. */
  readonly start: number
  readonly end: number | null
}

/** Loads the WebAssembly; once, before the first parse. */
export async function loadSql(): Promise<void> {
  await loadModule()
}

/** Throws on anything that is not SQL, and on what is too deep for the parser's stack. */
export function parseStatements(text: string): readonly ParsedStatement[] {
  // A lone surrogate is U+FFFD on the wire; the WebAssembly glue would encode it in other ways.
  const sent = text.replace(/\p{Surrogate}/gu, '\ufffd')
  return list(parseSync(sent).stmts).map(parsed)
}

function parsed(raw: unknown): ParsedStatement {
  const statement = fields(raw)
  const node = unwrap(statement?.['stmt'])
  if (statement === null || node === null) throw new Error('a parse tree without a statement')
  const start = integer(statement['stmt_location'])
  const length = integer(statement['stmt_len'])
  return { node, start, end: length === 0 ? null : start + length }
}
