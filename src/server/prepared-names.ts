// server/prepared-names.ts — prepared statements known on one connection: a bounded LRU of key → server-side name.
// Names count up and are never used twice, so a reply that comes late cannot meet a newer statement of the same name.
// A statement keeps the types that its parameters had when it was prepared: after DDL it is good for those only who prepared it before.
import type { PreparedNames } from './contract.js'
import { definitionsSeen } from './definitions.js'

interface Prepared {
  readonly name: string
  /** definitionsSeen() when it was prepared. */
  readonly at: number
}

export class PreparedStatements implements PreparedNames {
  readonly #limit: number
  readonly #names = new Map<string, Prepared>()
  /** Columns of those that were described. */
  readonly #rows = new Map<string, Uint8Array>()
  /** Closes that the server skipped: these names still stand there. */
  #orphans: string[] = []
  #next = 1

  constructor(limit: number) {
    this.#limit = Math.max(1, limit)
  }

  get size(): number {
    return this.#names.size
  }

  get(key: string, since: number = 0): string | undefined {
    const prepared = this.#names.get(key)
    if (prepared === undefined) return undefined
    if (prepared.at < since) {
      this.discard(key)
      return undefined
    }
    this.#names.delete(key)
    this.#names.set(key, prepared)
    return prepared.name
  }

  add(key: string): { readonly name: string; readonly close: readonly string[] } {
    const close = this.#orphans
    this.#orphans = []
    const replaced = this.#names.get(key)
    if (replaced !== undefined) {
      close.push(replaced.name)
      this.forget(key)
    }
    for (const [oldest, { name }] of this.#names) {
      if (this.#names.size < this.#limit) break
      close.push(name)
      this.forget(oldest)
    }
    const name = this.reserve()
    this.#names.set(key, { name, at: definitionsSeen() })
    return { name, close }
  }

  reserve(): string {
    return `pointsman_${String(this.#next++)}`
  }

  adopt(key: string, name: string): void {
    if (this.#names.has(key) || this.#names.size >= this.#limit) this.#orphans.push(name)
    else this.#names.set(key, { name, at: definitionsSeen() })
  }

  rowsOf(key: string, since: number = 0): Uint8Array | null {
    const rows = this.#rows.get(key)
    return rows === undefined || (this.#names.get(key)?.at ?? 0) < since ? null : rows
  }

  rows(key: string, frame: Uint8Array): void {
    if (this.#names.has(key)) this.#rows.set(key, frame)
  }

  forget(key: string): void {
    this.#names.delete(key)
    this.#rows.delete(key)
  }

  discard(key: string): void {
    const prepared = this.#names.get(key)
    if (prepared === undefined) return
    this.forget(key)
    this.#orphans.push(prepared.name)
  }

  clear(): void {
    this.#names.clear()
    this.#rows.clear()
    this.#orphans = []
  }

  /** A Close of this name was skipped by the server: the next add() hands it out again. */
  notClosed(name: string): void {
    this.#orphans.push(name)
  }
}
