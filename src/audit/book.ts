// audit/book.ts — counts crossings by kind, ends and statement shape, and statements by table. Pure and bounded: past its
// limits what is new is only counted. Fed by live traffic, logs, statistics and the catalog alike.
import type { Crossing } from '../observe/crossing.js'
import type { AuditBookData, AuditSource, Finding, TableShare } from './contract.js'

const maxFindings = 5_000
const maxTables = 20_000
/** An example is shown up to here. */
const maxExample = 2_000

type Open<T> = { -readonly [K in keyof T]: T[K] }

interface Entry {
  readonly finding: Omit<Finding, 'count' | 'sources'>
  readonly sources: Set<AuditSource>
  count: number
}

export class AuditBook {
  readonly #findings = new Map<string, Entry>()
  readonly #tables = new Map<string, Open<TableShare>>()
  #dropped = 0

  /** True: it was not known before. `times`: how often it ran; 0: it stands in the catalog. */
  crossing(database: string, crossing: Crossing, example: string, source: AuditSource, times = 1): boolean {
    const { kind, from, to, reason, way, cause } = crossing
    const text = (cause ?? example).slice(0, maxExample)
    const id = idOf(
      cause === undefined ? [database, kind, from.object ?? from.home, to.object ?? to.home, text] : [database, kind, cause, to.home],
    )
    return this.#add(id, { database, kind, from, to, reason, way, example: text }, [source], times)
  }

  /** A statement that touches these tables has come `times` times. */
  statement(database: string, tables: readonly string[], routed: boolean, times = 1): void {
    for (const table of new Set(tables)) this.#count(database, table, times, routed ? times : 0)
  }

  /** Adds what another book knows. */
  add({ findings, tables, dropped }: AuditBookData): void {
    for (const { id, count, sources, ...finding } of findings) this.#add(id, finding, sources, count)
    for (const { database, table, statements, routed } of tables) this.#count(database, table, statements, routed)
    this.#dropped += dropped
  }

  data(): AuditBookData {
    const findings = [...this.#findings].map(([id, { finding, sources, count }]) => ({
      ...finding,
      id,
      count,
      sources: [...sources].sort(),
    }))
    findings.sort((a, b) => b.count - a.count || (a.id < b.id ? -1 : 1))
    const tables = [...this.#tables.values()].map((share) => ({ ...share })).sort((a, b) => (a.table < b.table ? -1 : 1))
    return { findings, tables, dropped: this.#dropped }
  }

  clear(): void {
    this.#findings.clear()
    this.#tables.clear()
    this.#dropped = 0
  }

  #add(id: string, finding: Omit<Finding, 'count' | 'sources' | 'id'>, sources: readonly AuditSource[], times: number): boolean {
    const known = this.#findings.get(id)
    if (known === undefined && this.#findings.size >= maxFindings) {
      this.#dropped += Math.max(1, times)
      return false
    }
    const entry = known ?? { finding: { ...finding, id }, sources: new Set<AuditSource>(), count: 0 }
    if (known === undefined) this.#findings.set(id, entry)
    entry.count += times
    for (const source of sources) entry.sources.add(source)
    return known === undefined
  }

  #count(database: string, table: string, statements: number, routed: number): void {
    const key = `${database} ${table}`
    let share = this.#tables.get(key)
    if (share === undefined) {
      if (this.#tables.size >= maxTables) return
      this.#tables.set(key, (share = { database, table, statements: 0, routed: 0 }))
    }
    share.statements += statements
    share.routed += routed
  }
}

/** Twice FNV-1a, from two beginnings: 16 hexadecimal digits. */
function idOf(parts: readonly string[]): string {
  const text = JSON.stringify(parts)
  return [0x811c9dc5, 0x050c5d1f].map((start) => fnv(text, start).toString(16).padStart(8, '0')).join('')
}

function fnv(text: string, start: number): number {
  let hash = start
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}
