// audit/report.ts — an audit as people read it: by owner, each crossing with its count, an example and the way out; then the
// share of each table's statements that would run today if everything were split.
import type { Comparison } from './baseline.js'
import type { AuditBookData, Finding, TableShare } from './contract.js'

export interface AuditReport extends AuditBookData {
  readonly database: string
  /** `--live`, `--log app.log`, …: what was looked at. */
  readonly looked: readonly string[]
  /** Functions and triggers whose code could not be read whole. */
  readonly unread: readonly string[]
  readonly statements: { readonly seen: number; readonly notUnderstood: number }
  /** null: without a baseline. */
  readonly baseline: Comparison | null
}

export interface OwnerGroup {
  readonly owner: string
  readonly findings: readonly Finding[]
}

/** A crossing is listed under the owner of the side it comes from, who has to change it. */
export function byOwner(findings: readonly Finding[]): readonly OwnerGroup[] {
  const groups = new Map<string, Finding[]>()
  for (const finding of findings) {
    const owner = finding.from.owner ?? 'nobody'
    groups.set(owner, [...(groups.get(owner) ?? []), finding])
  }
  return [...groups].map(([owner, found]) => ({ owner, findings: found })).sort((a, b) => (a.owner < b.owner ? -1 : 1))
}

/** From where to where; once where both are the same. */
export function ends({ from, to }: Pick<Finding, 'from' | 'to'>): string {
  const [here, there] = [endWords(from), endWords(to)]
  return here === there ? here : `${here} → ${there}`
}

function endWords({ home, object, owner }: Finding['from']): string {
  const where = object === null ? home : `${object} (${home})`
  return owner === null ? where : `${where} of ${owner}`
}

export function share({ statements, routed }: TableShare): string {
  return statements === 0 ? '-' : `${(Math.floor((routed / statements) * 1000) / 10).toFixed(1)}%`
}

export function times(finding: Finding): string {
  return finding.count === 0 ? 'in the catalog' : `${String(finding.count)} ×`
}

export function plural(number: number, noun: string): string {
  return `${String(number)} ${noun}${number === 1 ? '' : 's'}`
}

export function printReport(report: AuditReport): string {
  const { findings, database, looked, dropped, unread, baseline } = report
  const lines = [`audit of database ${database}: ${plural(findings.length, 'crossing')} (${looked.join(', ')})`]
  for (const { owner, findings: found } of byOwner(findings)) {
    lines.push('', `${owner}: ${plural(found.length, 'crossing')}`)
    for (const finding of found) lines.push(...printFinding(finding))
  }
  if (report.tables.length > 0) lines.push('', 'statements that would run if everything were split:')
  for (const one of report.tables)
    lines.push(`  ${share(one).padStart(6)}  ${one.table}  (${String(one.routed)} of ${String(one.statements)})`)
  if (report.statements.notUnderstood > 0) lines.push('', `${plural(report.statements.notUnderstood, 'statement')} could not be understood`)
  if (unread.length > 0)
    lines.push('', 'code that could not be read whole; what it reaches is not known:', ...unread.map((name) => `  ${name}`))
  if (dropped > 0) lines.push('', `${plural(dropped, 'crossing')} more came when the list was full`)
  if (baseline !== null) lines.push(...printComparison(baseline))
  return lines.join('\n')
}

function printFinding(finding: Finding): readonly string[] {
  return [
    `  ${finding.kind}  ${times(finding)}  ${finding.id}`,
    `    ${ends(finding)}`,
    `    ${finding.example.replaceAll(/\s+/g, ' ')}`,
    `    way out: ${finding.way}`,
  ]
}

function printComparison({ fresh, expired, unsaid, gone }: Comparison): readonly string[] {
  return [
    '',
    `baseline: ${String(fresh.length)} new, ${String(expired.length)} expired, ${String(gone.length)} to be removed`,
    ...fresh.map((one) => `  new: ${one.kind} ${one.id} ${one.example.replaceAll(/\s+/g, ' ')}`),
    ...expired.map((one) => `  expired on ${one.expires}: ${one.kind} ${one.id} ${one.issue}`),
    ...unsaid.map((one) => `  without ${one.issue === '' ? 'an issue' : 'a day'}: ${one.kind} ${one.id}`),
    ...gone.map((one) => `  gone, take it off the list: ${one.kind} ${one.id} ${one.issue}`),
  ]
}
