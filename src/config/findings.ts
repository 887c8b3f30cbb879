// config/findings.ts — gathers everything wrong with one configuration, so that all of it is told in one run. It holds
// the input as it was written (before ${VAR}), since `found` must never show what a variable held.
import type { Problem } from './config.js'
import type { Locator, Path } from './locator.js'

export interface Finding {
  readonly path: Path
  readonly allowed: string
  readonly message: string
  /** Default: what stands at `path`. */
  readonly found?: string
  /** Point at the key rather than the value. */
  readonly at?: 'key' | 'value'
}

export class Findings {
  readonly #input: unknown
  readonly #locate: Locator
  readonly #hidden: (path: Path) => boolean
  readonly #problems: Problem[] = []
  readonly #warnings: Problem[] = []

  constructor(input: unknown, locate: Locator, hidden: (path: Path) => boolean) {
    this.#input = input
    this.#locate = locate
    this.#hidden = hidden
  }

  problem(finding: Finding): void {
    this.#problems.push(this.#written(finding))
  }

  /** A key that should be there; not told where one is there but of a bad form, since that was told. */
  missing(finding: Omit<Finding, 'at'>): void {
    if (!this.given(finding.path)) this.problem({ ...finding, at: 'key' })
  }

  /** True where the text says something, good or bad. */
  given(path: Path): boolean {
    return valueAt(this.#input, path) !== undefined
  }

  warning(finding: Finding): void {
    this.#warnings.push(this.#written(finding))
  }

  /** Something is wrong. */
  get bad(): boolean {
    return this.#problems.length > 0
  }

  problems(): readonly Problem[] {
    return sorted(this.#problems)
  }

  warnings(): readonly Problem[] {
    return sorted(this.#warnings)
  }

  #written(finding: Finding): Problem {
    const place = this.#locate(finding.path, finding.at ?? 'value')
    return Object.freeze({
      line: place?.line ?? null,
      column: place?.column ?? null,
      path: printPath(finding.path),
      found: finding.found ?? this.#found(finding.path),
      allowed: finding.allowed,
      message: finding.message,
    })
  }

  #found(path: Path): string {
    const value = valueAt(this.#input, path)
    return printFound(value, this.#hidden(path))
  }
}

/** `databases.app.sharded.comments.map.c0[1]`; keys that are no plain words are quoted. */
export function printPath(path: Path): string {
  return path
    .map((key, index) => {
      if (typeof key === 'number') return `[${String(key)}]`
      const word = /^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key)
      return index === 0 ? word : `.${word}`
    })
    .join('')
}

/** One problem as a line: `12:5 databases.app.default: …`. */
export function printProblem(problem: Problem): string {
  const place = problem.line === null ? '' : `${String(problem.line)}:${String(problem.column ?? 1)} `
  const path = problem.path === '' ? '' : `${problem.path}: `
  const allowed = problem.message.includes(problem.allowed) ? '' : `; allowed: ${problem.allowed}`
  return `${place}${path}${problem.message} (found: ${problem.found}${allowed})`
}

/** What stands at a place, or undefined. */
export function valueAt(input: unknown, path: Path): unknown {
  let here = input
  for (const key of path) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, key)) return undefined
    here = (here as Record<string | number, unknown>)[key]
  }
  return here
}

// As YAML would have it, short, and nothing that may be a secret.
function printFound(value: unknown, hidden: boolean): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'nothing (an empty value)'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${String(value.length)}`
  if (typeof value === 'object') return 'a map'
  if (hidden) return isReference(value) ? value : '(hidden)'
  if (typeof value === 'string') return printText(value)
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return `a ${typeof value}`
}

function printText(text: string): string {
  if (text.includes('-----BEGIN')) return '(hidden)'
  const short = text.length > 80 ? `${text.slice(0, 77)}...` : text
  return /^[A-Za-z0-9_./:${}@ -]+$/.test(short) && short.trim() === short && Number.isNaN(Number(short)) ? short : JSON.stringify(short)
}

// `${VAR}` and `file:…` name a secret without being one.
function isReference(value: unknown): value is string {
  return typeof value === 'string' && (/^\$\{[A-Za-z_][A-Za-z0-9_]*\}$/.test(value) || /^file:[^\n]{1,200}$/.test(value))
}

function sorted(problems: readonly Problem[]): readonly Problem[] {
  return Object.freeze(
    [...problems].sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0) || compare(a.path, b.path)),
  )
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
