// doors/proxy/merged-cursors.ts — a client's open cursors over several clusters, by the name that SQL and the protocol share for them,
// and what FETCH, MOVE and CLOSE say of one. All end with the transaction; a savepoint that is gone back to takes the later ones.
import { PointsmanError } from '../../errors/error.js'
import { parseStatements } from '../../sql/parser.js'
import type { Statement } from '../../sql/statement.js'
import { integer, text as textOf } from '../../sql/tree.js'
import type { JointOp } from '../../routing/joining.js'
import type { ReservedName } from '../../execute/joint.js'
import type { Request } from './request.js'

/** What is asked of an open cursor (merged-cursor.ts). */
export interface OpenCursor {
  /** How many savepoints stand before it, BEGIN counted in: see MergedCursors.wentTo. */
  depth: number
  /** Those that have a portal for it. */
  readonly clusters: readonly string[]
  described(of: 'statement' | 'portal'): readonly Uint8Array[]
  goesBack(): PointsmanError
  fetch(request: Request, count: number, shown: boolean): Promise<number>
  close(request: Request): Promise<void>
}

/** `count`: rows forward, Infinity for all. `shown`: FETCH rather than MOVE. `cursor` null: CLOSE ALL. */
export type CursorCommand =
  | { readonly kind: 'fetch'; readonly cursor: OpenCursor; readonly name: string; readonly count: number; readonly shown: boolean }
  | { readonly kind: 'close'; readonly name: string | null }

export class MergedCursors {
  readonly #open = new Map<string, OpenCursor>()

  get(name: string): OpenCursor | undefined {
    return this.#open.get(name)
  }

  get size(): number {
    return this.#open.size
  }

  names(): readonly string[] {
    return [...this.#open.keys()]
  }

  add(name: string, cursor: OpenCursor): void {
    this.#open.set(name, cursor)
  }

  delete(name: string): void {
    this.#open.delete(name)
  }

  /** Names that no other portal may have, anywhere. */
  reserved(): readonly ReservedName[] {
    return [...this.#open].flatMap(([name, { depth }]) => (name === '' ? [] : [{ name, depth }]))
  }

  /** Throws 42P03. */
  requireFree(name: string): void {
    if (this.#open.has(name)) throw new PointsmanError('duplicate_cursor', { values: { name } })
  }

  /** RELEASE and ROLLBACK TO have left so many points (BEGIN is one) to go back to. */
  wentTo(op: JointOp, points: number): void {
    for (const [name, cursor] of this.#open) {
      if (op === 'rollback-to' && cursor.depth >= points) this.#open.delete(name)
      if (op === 'release') cursor.depth = Math.min(cursor.depth, points)
    }
  }

  /** Whether a statement is about one of these; CLOSE ALL is. */
  concerns({ detail }: Statement): boolean {
    if (detail.kind === 'fetch') return this.#open.has(detail.name)
    return detail.kind === 'close' && (detail.name === null || this.#open.has(detail.name))
  }

  /** What a text, of one statement, asks of one of these; null: nothing. Throws what cannot be done. */
  command(text: string, statements: readonly Statement[] | null): CursorCommand | null {
    const [statement, another] = statements ?? []
    if (statement === undefined || statements?.some((one) => this.concerns(one)) !== true) return null
    if (another !== undefined)
      throw new PointsmanError('feature_not_supported', {
        values: { what: 'a cursor over several shards cannot be asked together with other statements' },
        hint: 'Send FETCH and CLOSE by themselves.',
      })
    if (statement.detail.kind === 'close') return { kind: 'close', name: statement.detail.name }
    if (statement.detail.kind !== 'fetch') return null
    const { name } = statement.detail
    const cursor = this.#open.get(name)
    return cursor === undefined ? null : { kind: 'fetch', cursor, name, ...forward(text, cursor) }
  }
}

/** FETCH_ALL, as the parser has it. */
const all = 2 ** 31 - 1

function forward(text: string, cursor: OpenCursor): { readonly count: number; readonly shown: boolean } {
  const [parsed] = parseStatements(text)
  const { direction, howMany, ismove } = parsed?.node.fields ?? {}
  const said = typeof howMany === 'string' ? Number(howMany) : integer(howMany)
  const toward = textOf(direction) ?? 'FETCH_FORWARD'
  const count = toward === 'FETCH_BACKWARD' ? 0 - said : said
  if (count < 0 && (toward === 'FETCH_BACKWARD' || toward === 'FETCH_FORWARD')) throw cursor.goesBack()
  if (toward !== 'FETCH_FORWARD' && toward !== 'FETCH_BACKWARD')
    throw new PointsmanError('feature_not_supported', {
      values: { what: 'FETCH ABSOLUTE and RELATIVE, FIRST and LAST of a cursor over several shards are not supported' },
      hint: 'Use FETCH NEXT, FETCH n or FETCH ALL.',
    })
  return { count: count >= all ? Infinity : count, shown: ismove !== true }
}
