// sql/parser.ts — text → parse trees. Two instances of the parser stand ready: when a statement breaks the one, the other
// takes over at once and a third is made. Should both break within one turn of the event loop, statements are
// not understood until it ends: fewer reads on replicas, never a wrong one.
import { ParserInstance, SyntaxProblem } from './parser-instance.js'
import { type Node, fields, integer, list, unwrap } from './tree.js'

export interface ParsedStatement {
  readonly node: Node
  /** Byte offsets into the text's UTF-8; `end` is null where the statement goes to the text's end. */
  readonly start: number
  readonly end: number | null
}

/** No instance stands at this moment: nothing is said about the text. */
export class ParserNotReady extends Error {
  override readonly name = 'ParserNotReady'
}

const wanted = 2
const ready: ParserInstance[] = []
let coming: Promise<void> | null = null

/** Loads the WebAssembly; once, before the first parse. */
export async function loadSql(): Promise<void> {
  while (ready.length < wanted) await replenish()
}

function replenish(): Promise<void> {
  coming ??= ParserInstance.create()
    .then((instance) => {
      ready.push(instance)
    })
    .finally(() => {
      coming = null
      if (ready.length < wanted) void replenish().catch(() => undefined)
    })
  return coming
}

/** Throws on anything that is not SQL, and on what is too deep for the parser's stack; ParserNotReady where it may be asked again. */
export function parseStatements(text: string): readonly ParsedStatement[] {
  // A lone surrogate is U+FFFD on the wire; the WebAssembly glue would encode it in other ways.
  const tree: unknown = JSON.parse(parseText(text.replace(/\p{Surrogate}/gu, '\ufffd')))
  return list(fields(tree)?.['stmts']).map(parsed)
}

/** The tree of a CREATE FUNCTION in PL/pgSQL, as the library has it. Throws as parseStatements(). */
export function parseRoutine(text: string): unknown {
  return JSON.parse(parseText(text, 'parseRoutine'))
}

function parseText(text: string, what: 'parse' | 'parseRoutine' = 'parse'): string {
  const [instance] = ready
  if (instance === undefined) throw new ParserNotReady('the parser is not ready')
  try {
    const json = instance[what](text)
    if (instance.bloated) discard()
    return json
  } catch (error) {
    if (error instanceof SyntaxProblem) throw error
    discard()
    throw new Error('too complex for the parser', { cause: error })
  }
}

/** The instance in use is not used again. */
function discard(): void {
  ready.shift()
  void replenish().catch(() => undefined)
}

function parsed(raw: unknown): ParsedStatement {
  const statement = fields(raw)
  const node = unwrap(statement?.['stmt'])
  if (statement === null || node === null) throw new Error('a parse tree without a statement')
  const start = integer(statement['stmt_location'])
  const length = integer(statement['stmt_len'])
  return { node, start, end: length === 0 ? null : start + length }
}
