// server/simple-query.ts — collects the reply to a simple Query or a bare Sync of our own into one promise.
import { decodeCommandComplete } from '../protocol/backend-messages.js'
import type { ErrorFields } from '../protocol/error-fields.js'
import { Backend, backendName } from '../protocol/message-types.js'
import { decodeDataRow, decodeRowDescription } from '../protocol/rows.js'
import { violation } from '../protocol/violation.js'
import type { Collector } from './collector.js'
import type { Loss, SimpleResult } from './contract.js'
import { ServerError } from './server-error.js'

export class SimpleQuery implements Collector {
  readonly result: Promise<SimpleResult>
  #resolve!: (result: SimpleResult) => void
  #reject!: (error: unknown) => void
  /** Runs until the reply is whole. */
  timer: NodeJS.Timeout | null = null
  readonly #onLost: (loss: Loss) => Error
  #columns: readonly string[] = []
  #rows: (readonly (string | null)[])[] = []
  #tag = ''
  #error: ServerError | null = null

  /** `onLost` words the error for a connection that closed before the reply. */
  constructor(onLost: (loss: Loss) => Error) {
    this.#onLost = onLost
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  frame(type: number, frame: Uint8Array): void {
    switch (type) {
      case Backend.RowDescription:
        this.#columns = decodeRowDescription(frame).map((column) => column.name)
        this.#rows = []
        return
      case Backend.DataRow:
        this.#rows.push(decodeDataRow(frame))
        return
      case Backend.CommandComplete:
        this.#tag = decodeCommandComplete(frame)
        return
      case Backend.EmptyQueryResponse:
        return
      default:
        throw violation(`${backendName(type) ?? 'an unknown message'} in the reply to a query of ours`)
    }
  }

  failed(fields: ErrorFields): void {
    this.#error ??= new ServerError(fields)
  }

  ready(): void {
    this.#stop()
    if (this.#error !== null) this.#reject(this.#error)
    else this.#resolve({ columns: this.#columns, rows: this.#rows, tag: this.#tag })
  }

  lost(loss: Loss): void {
    this.#stop()
    this.#reject(this.#error ?? this.#onLost(loss))
  }

  #stop(): void {
    if (this.timer !== null) clearTimeout(this.timer)
  }
}
