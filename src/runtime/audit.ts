// runtime/audit.ts — the audit of live traffic: listens to the ends of statements, of both doors, and keeps the book. Of
// databases without homes that are only tried, nothing but refusals for crossings gets here.
import { AuditBook } from '../audit/book.js'
import type { AuditBookData } from '../audit/contract.js'
import type { Observer } from '../observe/events.js'

export class LiveAudit {
  readonly #book = new AuditBook()
  readonly #observer: Observer
  readonly #off: () => void

  constructor(observer: Observer) {
    this.#observer = observer
    this.#off = observer.on('query.end', (event) => {
      const { homes, database } = event
      if (homes === null) return
      const { crossing, tables, text } = homes
      this.#book.statement(database, tables, crossing === null)
      if (crossing === null) return
      observer.emit('crossing', { database, kind: crossing.kind })
      if (this.#book.crossing(database, crossing, text, 'traffic')) this.#first(event.outcome === 'refused', database, crossing)
    })
  }

  data(): AuditBookData {
    return this.#book.data()
  }

  clear(): void {
    this.#book.clear()
  }

  close(): void {
    this.#off()
  }

  /** Once for each: how often is told by the console and the metrics. */
  #first(refused: boolean, database: string, { kind, from, to, reason }: Parameters<AuditBook['crossing']>[1]): void {
    this.#observer.emit('log', {
      level: 'warn',
      message: refused ? 'a statement that crosses homes was refused' : 'a statement crosses homes that are only tried yet',
      fields: { database, kind, from: from.home, to: to.home, owners: [from.owner, to.owner], reason },
    })
  }
}
