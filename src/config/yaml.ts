// config/yaml.ts — pointsman.yaml → the same validation as for objects, with a line and column for every problem. What
// YAML itself refuses is told in our words: the library's may repeat the text, and the text may be a secret.
import {
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  type Document,
  type Node,
  type Pair,
  type ErrorCode,
} from 'yaml'
import type { Problem } from './config.js'
import { nowhere, type Locator, type Path, type Place } from './locator.js'
import type { Surroundings } from './surroundings.js'
import { validateConfig, type Result } from './validate.js'

/** The text of a config file → a frozen Config, or everything that is wrong with it. Never throws. */
export function parseConfigText(text: string, surroundings: Surroundings): Result {
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, merge: true, stringKeys: true, logLevel: 'silent' })
  if (!Array.isArray(documents) || documents[0] === undefined)
    return refused([yamlProblem(lines, 0, 'the file is empty', 'nothing', 'a map')])
  const [document, second] = documents
  const problems = documents.flatMap((one) => one.errors.map(({ code, pos }) => syntaxProblem(lines, text, code, pos[0])))
  if (second !== undefined) problems.push(yamlProblem(lines, startOf(second), 'several documents in one file', '---', 'one document'))
  const fatal = document.errors.some((error) => error.code !== 'DUPLICATE_KEY') || second !== undefined
  return fatal ? refused(problems) : withProblems(problems, validateDocument(document, lines, surroundings))
}

function validateDocument(document: Document, lines: LineCounter, surroundings: Surroundings): Result {
  let input: unknown
  try {
    input = document.toJS({ maxAliasCount: 1000 })
  } catch {
    const message = 'an anchor is used before it is set, or too often'
    return refused([
      yamlProblem(lines, firstAlias(document), message, 'an alias (*name)', 'aliases of anchors (&name) that stand above them'),
    ])
  }
  return validateConfig(input, surroundings, locatorOf(document, lines))
}

function refused(problems: readonly Problem[]): Result {
  return { ok: false, problems, warnings: [] }
}

function withProblems(problems: readonly Problem[], result: Result): Result {
  if (problems.length === 0) return result
  const all = result.ok ? problems : [...problems, ...result.problems]
  const sorted = [...all].sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0))
  return { ok: false, problems: sorted, warnings: result.warnings }
}

function yamlProblem(lines: LineCounter, offset: number, message: string, found: string, allowed: string): Problem {
  const place = placeAt(lines, offset)
  return { line: place.line, column: place.column, path: '', found, allowed, message }
}

function placeAt(lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset)
  return { line: Math.max(1, line), column: Math.max(1, col) }
}

const wording: Readonly<Partial<Record<ErrorCode, string>>> = {
  ALIAS_PROPS: 'an alias (*name) can have no anchor or tag',
  BAD_ALIAS: 'a name is missing after * or &',
  BAD_DQ_ESCAPE: 'this escape does not exist in a "quoted" text',
  BAD_INDENT: 'the indentation does not fit what stands above',
  BAD_SCALAR_START: 'a text that starts with this character must be quoted',
  BLOCK_AS_IMPLICIT_KEY: 'a map cannot start here; a value with ": " in it must be quoted',
  BLOCK_IN_FLOW: 'a block cannot stand inside { } or [ ]',
  DUPLICATE_KEY: 'this key stands twice in its map',
  MISSING_CHAR: 'a character is missing here: a closing quote or bracket, a comma, a colon or a space',
  MULTILINE_IMPLICIT_KEY: 'a key must stand on one line; a ":" may be missing',
  MULTIPLE_DOCS: 'several documents in one file',
  NON_STRING_KEY: 'a key must be a text, not a map or list',
  TAB_AS_INDENT: 'tabs cannot indent; use spaces',
  TAG_RESOLVE_FAILED: 'this tag is not known',
  UNEXPECTED_TOKEN: 'this does not belong here',
}

function syntaxProblem(lines: LineCounter, text: string, code: ErrorCode, offset: number): Problem {
  const message = wording[code] ?? 'this is not YAML'
  if (code !== 'DUPLICATE_KEY') return yamlProblem(lines, offset, message, 'a mistake in the YAML', 'YAML 1.2')
  const key = /[^\s:]{1,80}/y
  key.lastIndex = offset
  return yamlProblem(lines, offset, message, key.exec(text)?.[0] ?? 'a key', 'each key once')
}

function startOf(document: Document): number {
  return document.contents?.range?.[0] ?? document.range?.[0] ?? 0
}

function firstAlias(document: Document): number {
  let found = 0
  const seek = (node: unknown): boolean => {
    if (isAlias(node) && node.resolve(document) === undefined) {
      found = node.range?.[0] ?? 0
      return true
    }
    if (isPair(node)) return seek(node.key) || seek(node.value)
    return (isMap(node) || isSeq(node)) && node.items.some(seek)
  }
  seek(document.contents)
  return found
}

/** Finds places in a text that parsed before; for what is found wrong later (`check --live`). */
export function locatorFor(text: string): Locator {
  const lines = new LineCounter()
  const [document] = parse(text, lines)
  return document === undefined ? nowhere : locatorOf(document, lines)
}

function parse(text: string, lines: LineCounter): readonly Document.Parsed[] {
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, merge: true, stringKeys: true, logLevel: 'silent' })
  return Array.isArray(documents) ? documents : []
}

function locatorOf(document: Document, lines: LineCounter): Locator {
  return (path, at) => {
    let node: Node | null = resolved(document, document.contents)
    let offset = node?.range?.[0] ?? 0
    for (const [index, key] of path.entries()) {
      const step = descend(document, node, key)
      if (step === null) break
      node = step.value
      const last = index === path.length - 1
      offset = (last && at === 'value' ? step.valueAt : step.keyAt) ?? offset
    }
    return placeAt(lines, offset)
  }
}

interface Step {
  readonly value: Node | null
  readonly keyAt: number | undefined
  readonly valueAt: number | undefined
}

function descend(document: Document, node: Node | null, key: Path[number]): Step | null {
  if (isSeq(node) && typeof key === 'number') {
    const item = node.items[key] as Node | undefined
    const at = item?.range?.[0]
    return item === undefined ? null : { value: resolved(document, item), keyAt: at, valueAt: at }
  }
  if (!isMap(node)) return null
  // The last of two equal keys is the one that toJS() takes.
  const pair = (node.items as Pair<Node, Node | null>[]).findLast((one) => keyText(one.key) === String(key))
  if (pair === undefined) return mergedStep(document, node.items as Pair<Node, Node | null>[], key)
  const keyAt = pair.key.range?.[0]
  const [start, end] = pair.value?.range ?? [0, 0]
  // An empty value stands nowhere: point at its key.
  return { value: resolved(document, pair.value), keyAt, valueAt: start === end ? keyAt : start }
}

// `<<: *base`: the key stands in the map that is merged in.
function mergedStep(document: Document, pairs: readonly Pair<Node, Node | null>[], key: Path[number]): Step | null {
  for (const pair of pairs) {
    if (keyText(pair.key) !== '<<') continue
    const merged = resolved(document, pair.value)
    for (const source of isSeq(merged) ? (merged.items as Node[]) : [merged]) {
      const step = descend(document, resolved(document, source), key)
      if (step !== null) return step
    }
  }
  return null
}

function keyText(key: Node): string | null {
  if (!isScalar(key)) return null
  // The merge key's value is a symbol in some versions of the library.
  return typeof key.value === 'symbol' ? '<<' : String(key.value)
}

function resolved(document: Document, node: Node | null): Node | null {
  return isAlias(node) ? (node.resolve(document) ?? null) : node
}
