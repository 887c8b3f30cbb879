// doors/proxy/console/shown.ts — all that a table may be made from: what this process knows by itself, and what every worker
// has told.
import type { Catalog } from '../../../catalog/catalog.js'
import type { Config } from '../../../config/config.js'
import type { Bans } from '../../../execute/bans.js'
import type { Gate } from '../../../execute/gate.js'
import type { InDoubt } from '../../../execute/two-phase-recovery.js'
import type { SwitchesSnapshot } from '../../../execute/switches.js'
import type { Topology } from '../../../topology/topology.js'
import type { Cell, TableColumn } from './cells.js'
import type { Reported, ReportPart, WorkerReport } from './reports.js'

export interface Shown {
  readonly config: Config
  readonly topology: Topology
  /** By cluster, those that are loaded. */
  readonly catalogs: ReadonlyMap<string, Catalog>
  readonly switches: SwitchesSnapshot
  readonly gate: Gate
  readonly bans: Bans
  readonly inDoubt: readonly InDoubt[]
  readonly version: string
  /** Process-monotonic ms. */
  readonly now: number
  readonly reports: readonly Reported[]
}

export interface TableSpec {
  readonly columns: readonly TableColumn[]
  /** What the workers are asked for. */
  readonly parts: readonly ReportPart[]
  readonly rows: (shown: Shown) => readonly (readonly Cell[])[]
}

/** A part of every worker's report, in one list, with the number of the worker. */
export function told<P extends keyof WorkerReport>(
  { reports }: Pick<Shown, 'reports'>,
  part: P,
): readonly (readonly [worker: number, item: ItemOf<NonNullable<WorkerReport[P]>>])[] {
  return reports.flatMap(({ worker, report }) => {
    const items = (report[part] ?? []) as readonly ItemOf<NonNullable<WorkerReport[P]>>[]
    return items.map((item) => [worker, item] as const)
  })
}

type ItemOf<L> = L extends readonly (infer I)[] ? I : never

export function yes(value: boolean): string {
  return value ? 'yes' : 'no'
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0)
}

/** Milliseconds as whole seconds and the microseconds beyond them. */
export function secondsAndMicros(ms: number): readonly [seconds: number, micros: number] {
  const micros = Math.max(0, Math.round(ms * 1_000))
  return [Math.floor(micros / 1_000_000), micros % 1_000_000]
}

/** `2026-01-31 23:59:59 UTC`, as PgBouncer writes it. */
export function timestamp(unixMs: number): string {
  return `${new Date(unixMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

export function grouped<T>(items: readonly T[], key: (item: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const group = groups.get(key(item))
    if (group === undefined) groups.set(key(item), [item])
    else group.push(item)
  }
  return groups
}
