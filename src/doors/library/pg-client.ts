// doors/library/pg-client.ts — the slice of pg.Client (8.11 and later) that is used. Parts of it are older than pg's own
// notion of public (`connection`, `readyForQuery`, `parsedStatements`): slonik, pg-cursor and pg-copy-streams stand on them too.
import type { EventEmitter } from 'node:events'
import type { Submittable } from 'pg'

export interface PgResult {
  command: string | null
  rowCount: number | null
  oid: number | null
  rows: unknown[]
  fields: unknown[]
}

export interface PgConnectionEvents {
  prependListener(event: 'readyForQuery', listener: (message: { readonly status?: string }) => void): unknown
  on(event: 'parameterStatus', listener: (message: { readonly parameterName: string; readonly parameterValue: string }) => void): unknown
  emit(event: 'readyForQuery', message: { readonly status: string }): unknown
  readonly stream: {
    readonly destroyed: boolean
    readonly bytesRead?: number
    destroy(error?: Error): unknown
    cork?(): void
    uncork?(): void
    pause?(): unknown
    resume?(): unknown
  }
  /** Closes a portal or a statement. */
  close(message: object): void
  parsedStatements: Record<string, string>
  submittedNamedStatements?: Record<string, string>
}

export interface PgClient extends EventEmitter {
  readonly connection: PgConnectionEvents
  readonly processID: number | null
  readonly secretKey: number | Buffer | null
  readonly readyForQuery: boolean
  connect(): Promise<unknown>
  query(text: string): Promise<PgResult | PgResult[]>
  query(config: object, values?: unknown): Promise<PgResult | PgResult[]>
  query(submittable: Submittable, values?: unknown, callback?: unknown): Submittable
  end(): Promise<void>
  ref(): void
  unref(): void
  escapeIdentifier(text: string): string
  escapeLiteral(text: string): string
  setTypeParser(...args: unknown[]): void
  getTypeParser(...args: unknown[]): unknown
}
