// server/prepared-names.ts — prepared statements known on one connection: a bounded LRU of key → server-side name.
// Names count up and are never used twice, so a reply that comes late cannot meet a newer statement of the same name.
import type { PreparedNames } from './contract.js'

export class PreparedStatements implements PreparedNames {
  readonly #limit: number
  readonly #names = new Map<string, string>()
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

  get(key: string): string | undefined {
    const name = this.#names.get(key)
    if (name === undefined) return undefined
    this.#names.delete(key)
    this.#names.set(key, name)
    return name
  }

  add(key: string): { readonly name: string; readonly close: readonly string[] } {
    const close = this.#orphans
    this.#orphans = []
    const replaced = this.#names.get(key)
    if (replaced !== undefined) {
      close.push(replaced)
      this.forget(key)
    }
    for (const [oldest, name] of this.#names) {
      if (this.#names.size < this.#limit) break
      close.push(name)
      this.forget(oldest)
    }
    const name = this.reserve()
    this.#names.set(key, name)
    return { name, close }
  }

  reserve(): string {
    return `pointsman_${String(this.#next++)}`
  }

  adopt(key: string, name: string): void {
    if (this.#names.has(key) || this.#names.size >= this.#limit) this.#orphans.push(name)
    else this.#names.set(key, name)
  }

  rowsOf(key: string): Uint8Array | null {
    return this.#rows.get(key) ?? null
  }

  rows(key: string, frame: Uint8Array): void {
    if (this.#names.has(key)) this.#rows.set(key, frame)
  }

  forget(key: string): void {
    this.#names.delete(key)
    this.#rows.delete(key)
  }

  discard(key: string): void {
    const name = this.#names.get(key)
    if (name === undefined) return
    this.forget(key)
    this.#orphans.push(name)
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
