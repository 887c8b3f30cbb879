// doors/verify/report.ts — what a run showed, as numbers and as text. Pure.
import type { Verdict, Violation } from './check.js'
import type { FaultKind } from './faults.js'
import type { Door, Operation } from './history.js'

export interface PolicyReport {
  readonly policy: string
  readonly door: Door
  readonly reads: number
  readonly writes: number
  /** Share of reads that replicas answered, 0 to 1; null: none were made. */
  readonly onReplicas: number | null
  /** The same while nothing was wrong. */
  readonly onReplicasHealthy: number | null
  /** Of the reads on replicas, ms: the largest bound that was said to be proved; null where none was. */
  readonly provedMs: number | null
  /** Of all reads, ms: the longest that an acknowledged write had been missing. */
  readonly seenMs: number
  /** What was promised. */
  readonly promisedMs: number | null
  readonly p50Ms: number
  readonly p99Ms: number
  readonly errors: Readonly<Record<string, number>>
}

export interface Report {
  readonly policies: readonly PolicyReport[]
  readonly reads: number
  readonly writes: number
  readonly lost: number
  readonly early: number
  readonly faults: Readonly<Partial<Record<FaultKind, number>>>
  readonly violations: readonly Violation[]
}

export function makeReport(history: readonly Operation[], verdict: Verdict, faults: ReadonlyMap<FaultKind, number>): Report {
  const groups = new Map<string, Operation[]>()
  for (const operation of history) {
    const key = `${operation.policy}\n${operation.door}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [operation])
    else group.push(operation)
  }
  const policies = [...groups.values()].map((group) => ofPolicy(group, verdict))
  return {
    policies: policies.sort((a, b) => order(history, a) - order(history, b) || a.door.localeCompare(b.door)),
    reads: sum(policies, ({ reads }) => reads),
    writes: sum(policies, ({ writes }) => writes),
    lost: verdict.lost,
    early: verdict.early,
    faults: Object.fromEntries(faults),
    violations: verdict.violations,
  }
}

/** By the number of the first session: the order in which the workload names its policies. */
function order(history: readonly Operation[], { policy }: PolicyReport): number {
  return history.findIndex((operation) => operation.policy === policy)
}

function ofPolicy(group: readonly Operation[], { staleness }: Verdict): PolicyReport {
  const done = group.filter(({ outcome }) => outcome === 'ok')
  const reads = done.filter(({ kind, register }) => kind !== 'write' && register === null)
  const times = done.map(({ invoked, returned }) => returned - invoked).sort((a, b) => a - b)
  const errors: Record<string, number> = {}
  for (const { error } of group) if (error !== null) errors[error] = (errors[error] ?? 0) + 1
  const proved = reads.flatMap(({ role, boundMs }) => (role === 'replica' && boundMs !== null ? [boundMs] : []))
  const first = group[0]
  return {
    policy: first?.policy ?? '',
    door: first?.door ?? 'library',
    reads: reads.length,
    writes: done.length - reads.length,
    onReplicas: share(reads),
    onReplicasHealthy: share(reads.filter(({ healthy }) => healthy)),
    provedMs: proved.length === 0 ? null : largest(proved),
    seenMs: largest(reads.map(({ id }) => staleness.get(id) ?? 0)),
    promisedMs: first?.promised.consistency === 'strong' ? 0 : (first?.promised.maxStalenessMs ?? null),
    p50Ms: times[Math.floor(times.length * 0.5)] ?? 0,
    p99Ms: times[Math.floor(times.length * 0.99)] ?? 0,
    errors,
  }
}

function share(reads: readonly Operation[]): number | null {
  return reads.length === 0 ? null : reads.filter(({ role }) => role === 'replica').length / reads.length
}

/** Many numbers are no arguments. */
function largest(numbers: readonly number[]): number {
  return numbers.reduce((most, one) => Math.max(most, one), 0)
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}

/** So many violations are told in full. */
const told = 10

export function printReport(report: Report, extra: readonly string[]): string {
  const lines = [...table(report.policies), '', ...extra]
  const faults = Object.entries(report.faults).map(([kind, times]) => `${kind} ${String(times)}`)
  lines.push(`faults: ${faults.length === 0 ? 'none' : faults.join(', ')}`)
  lines.push(`acknowledged writes lost: ${String(report.lost)}`)
  if (report.early > 0)
    lines.push(`seen on a replica before the primary showed it, not acknowledged to anybody yet (no violation): ${String(report.early)}`)
  if (report.violations.length > 0) lines.push('', ...violations(report.violations))
  lines.push('', `verify: ${String(report.reads)} reads, ${String(report.writes)} writes, ${String(report.violations.length)} violations`)
  return lines.join('\n')
}

function violations(all: readonly Violation[]): readonly string[] {
  const lines = all.slice(0, told).map(({ invariant, what }) => `violation of ${invariant}: ${what}`)
  const counts = new Map<string, number>()
  for (const { invariant } of all) counts.set(invariant, (counts.get(invariant) ?? 0) + 1)
  if (all.length > told)
    lines.push(`… and ${String(all.length - told)} more; in all: ${[...counts].map(([what, n]) => `${what} ${String(n)}`).join(', ')}`)
  return lines
}

const heads = ['policy', 'door', 'reads', 'writes', 'replicas', 'healthy', 'promised', 'proved', 'seen', 'p50', 'p99', 'errors']

function table(policies: readonly PolicyReport[]): readonly string[] {
  const rows = [heads, ...policies.map(row)]
  const widths = heads.map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)))
  return rows.map((cells) =>
    cells
      .map((cell, column) =>
        column < 2 || column === cells.length - 1 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  )
}

function row(policy: PolicyReport): readonly string[] {
  const errors = Object.entries(policy.errors).map(([code, times]) => `${code} ${String(times)}`)
  return [
    policy.policy,
    policy.door,
    String(policy.reads),
    String(policy.writes),
    percent(policy.onReplicas),
    percent(policy.onReplicasHealthy),
    policy.promisedMs === null ? '-' : milliseconds(policy.promisedMs),
    policy.provedMs === null ? '-' : milliseconds(policy.provedMs),
    milliseconds(policy.seenMs),
    milliseconds(policy.p50Ms),
    milliseconds(policy.p99Ms),
    errors.length === 0 ? '-' : errors.join(', '),
  ]
}

function percent(part: number | null): string {
  return part === null ? '-' : `${(part * 100).toFixed(1)} %`
}

function milliseconds(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : String(Math.round(ms))} ms`
}
