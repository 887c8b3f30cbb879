// doors/cli/print-live.ts — what the servers said, for people.
import type { LiveReport, ServerReport } from './check-live.js'

const most = 20

export function printLive(report: LiveReport): string {
  const rows = [['cluster', 'node', 'role', 'version', 'timeline', 'max_prepared_transactions'], ...report.servers.map(row)]
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)))
  const lines = rows.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  const unowned = report.unowned
    .slice(0, most)
    .map(({ database, table, cluster, why }) => `  ${table} on ${cluster}, for database ${database}: ${why}`)
  if (report.unowned.length > most) unowned.push(`  … and ${String(report.unowned.length - most)} more (--json lists all)`)
  return [...lines, ...(unowned.length === 0 ? [] : ['', 'tables that nobody owns or reaches:', ...unowned])].join('\n')
}

function row({ cluster, node, facts }: ServerReport): string[] {
  if (facts === null) return [cluster, node, 'unknown', '-', '-', '-']
  const timeline = facts.timeline === null ? 'not visible' : String(facts.timeline)
  const version = `${String(Math.floor(facts.version / 10_000))}.${String(facts.version % 10_000)}`
  return [cluster, node, facts.inRecovery ? 'replica' : 'primary', version, timeline, String(facts.maxPreparedTransactions)]
}
