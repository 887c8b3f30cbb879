// audit/html.ts — the report as one page that needs nothing else: no script, no font, no picture from anywhere. All that is
// shown is escaped; a policy in its head forbids whatever might slip through to do anything.
import type { Comparison } from './baseline.js'
import type { Finding } from './contract.js'
import { byOwner, endWords, plural, share, times, type AuditReport } from './report.js'

const style = `
:root { color-scheme: light dark; --line: #8884; --quiet: #8889; --mark: #c2410c; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
article { margin: 1rem 0; padding: .6rem 1rem; border-left: 3px solid var(--mark); background: #8881; }
article p { margin: .2rem 0; } pre { margin: .4rem 0; white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.4 ui-monospace, monospace; }
.kind { font-weight: 600; } .id, .quiet { color: GrayText; font-size: .85em; } .bad { color: var(--mark); font-weight: 600; }
`

/** `at`: when it was made, as text. */
export function htmlReport(report: AuditReport, at: string): string {
  const { database, findings, looked } = report
  const owners = byOwner(findings)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Audit of ${escape(database)}</title>
<style>${style}</style>
</head>
<body>
<h1>Audit of database ${escape(database)}</h1>
<p>${escape(plural(findings.length, 'crossing'))}. Looked at: ${escape(looked.join(', '))}. <span class="quiet">${escape(at)}</span></p>
${report.baseline === null ? '' : comparison(report.baseline)}
<table id="owners"><tr><th>Owner</th><th class="n">Crossings</th><th>Kinds</th></tr>
${owners.map(({ owner, findings: found }) => `<tr><td><a href="#${escape(encodeURIComponent(owner))}">${escape(owner)}</a></td><td class="n">${String(found.length)}</td><td>${escape(kindsOf(found))}</td></tr>`).join('\n')}
</table>
${owners.map(({ owner, findings: found }) => `<h2 id="${escape(encodeURIComponent(owner))}">${escape(owner)}</h2>\n${found.map(article).join('\n')}`).join('\n')}
${tables(report)}
${notes(report)}
</body>
</html>
`
}

function kindsOf(findings: readonly Finding[]): string {
  const counts = new Map<string, number>()
  for (const { kind } of findings) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return [...counts].map(([kind, count]) => `${kind} ${String(count)}`).join(', ')
}

function article(finding: Finding): string {
  const { kind, id, from, to, example, reason, way } = finding
  return `<article data-id="${escape(id)}" data-kind="${escape(kind)}">
<p><span class="kind">${escape(kind.replace('_', ' '))}</span> ${escape(times(finding))} <span class="id">${escape(id)}</span></p>
<p>${escape(endWords(from))} → ${escape(endWords(to))}</p>
<pre>${escape(example)}</pre>
<p class="quiet">${escape(reason)}</p>
<p>Way out: ${escape(way)}</p>
</article>`
}

function tables({ tables: all }: AuditReport): string {
  if (all.length === 0) return ''
  const rows = all.map(
    (one) =>
      `<tr><td>${escape(one.table)}</td><td class="n">${String(one.statements)}</td><td class="n">${String(one.routed)}</td><td class="n">${escape(share(one))}</td></tr>`,
  )
  return `<h2>Tables</h2>
<p>How many of each table’s statements would run today if everything were split as configured.</p>
<table id="tables"><tr><th>Table</th><th class="n">Statements</th><th class="n">Would run</th><th class="n">Share</th></tr>
${rows.join('\n')}
</table>`
}

function notes({ unread, dropped, statements }: AuditReport): string {
  const items = [
    ...(statements.notUnderstood === 0 ? [] : [`${plural(statements.notUnderstood, 'statement')} could not be understood`]),
    ...(dropped === 0 ? [] : [`${plural(dropped, 'crossing')} more came when the list was full`]),
    ...unread.map((name) => `${name}: its code could not be read whole; what it reaches is not known`),
  ]
  return items.length === 0 ? '' : `<h2>Not known</h2>\n<ul>${items.map((item) => `<li>${escape(item)}</li>`).join('')}</ul>`
}

function comparison({ fresh, expired, unsaid, gone }: Comparison): string {
  const items = [
    ...fresh.map((one) => `<li><span class="bad">new</span> ${escape(one.kind)} <span class="id">${escape(one.id)}</span></li>`),
    ...expired.map(
      (one) => `<li><span class="bad">expired</span> on ${escape(one.expires)}: ${escape(one.kind)} ${escape(one.issue)}</li>`,
    ),
    ...unsaid.map(
      (one) => `<li><span class="bad">without issue or day</span> ${escape(one.kind)} <span class="id">${escape(one.id)}</span></li>`,
    ),
    ...gone.map((one) => `<li>gone, take it off the list: ${escape(one.kind)} <span class="id">${escape(one.id)}</span></li>`),
  ]
  return `<h2>Against the baseline</h2>\n${items.length === 0 ? '<p>Nothing new, nothing expired.</p>' : `<ul>${items.join('')}</ul>`}`
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

function escape(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? '')
}
