// audit/contract.ts — what an audit knows, as plain data: JSON of it is what `pointsman audit --json` prints, and what the
// workers of one proxy tell each other. Texts hold no literals and no parameters.
import type { Crossing } from '../observe/crossing.js'

/* eslint-disable @typescript-eslint/consistent-type-definitions -- types, not interfaces: only those are known to be plain data */

/** Where something was seen. */
export type AuditSource = 'traffic' | 'statements' | 'log' | 'catalog'

/** One crossing, however often it was seen. */
export type Finding = {
  /** Of the kind, the two ends and the text: the same in every run and process. */
  readonly id: string
  readonly database: string
  readonly kind: Crossing['kind']
  readonly from: { readonly home: string; readonly owner: string | null; readonly object: string | null }
  readonly to: { readonly home: string; readonly owner: string | null; readonly object: string | null }
  readonly reason: string
  readonly way: string
  /** The statement without its literals, or what the catalog calls the thing. */
  readonly example: string
  readonly sources: readonly AuditSource[]
  /** Times it ran, or was refused; of what stands in the catalog: 0. */
  readonly count: number
}

/** Statements that touch a table, and how many of them would run if everything were split as configured. */
export type TableShare = {
  readonly database: string
  readonly table: string
  readonly statements: number
  readonly routed: number
}

export type AuditBookData = {
  readonly findings: readonly Finding[]
  readonly tables: readonly TableShare[]
  /** What came when the book was full: seen, and not told apart. */
  readonly dropped: number
}
