// audit/html.ts — the report as one page that needs nothing else: no script, no font, no picture from anywhere. All that is
// shown is escaped; a policy in its head forbids whatever might slip through to do anything.
import type { Comparison } from './baseline.js'
import type { Finding } from './contract.js'
import { byOwner, ends, plural, share, times, type AuditReport, type OwnerGroup } from './report.js'

const style = `
:root { color-scheme: light dark; --line: #8884; --quiet: #595959; --mark: #b93a0b; }
@media (prefers-color-scheme: dark) { :root { --quiet: #a8a8a8; --mark: #f98948; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.2; } h2 { font-size: 1.15rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
#owners td:first-child { min-width: 7rem; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
article { margin: 1rem 0; padding: .6rem 1rem; border-left: 3px solid var(--mark); background: #8881; }
article p { margin: .2rem 0; } article .id { float: right; margin-left: 1rem; }
pre { margin: .4rem 0; white-space: pre-wrap; } pre, code { font: 13px/1.4 ui-monospace, monospace; }
.kind { font-weight: 600; } .id, .quiet { color: var(--quiet); font-size: .85em; } .id { font-family: ui-monospace, monospace; }
.bad { color: var(--mark); font-weight: 600; }
:target { outline: 2px solid var(--mark); outline-offset: 2px; }
@media (max-width: 40rem) { body { margin: 1rem auto; } td, th { padding: .3rem; } article { padding: .5rem .7rem; } article .id { float: none; display: block; margin: 0; } }
@media print {
  :root { color-scheme: light; --quiet: #444; --mark: #b93a0b; } body { max-width: none; margin: 0; padding: 0; font-size: 10pt; }
  article, tr, li { break-inside: avoid; } h2 { break-after: avoid; } thead { display: table-header-group; } a { color: inherit; text-decoration: none; }
}
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
<p>${escape(plural(findings.length, 'crossing'))}. Looked at: ${escape(looked.join(', '))}. <span class="quiet">Made ${escape(at)}</span></p>
${report.baseline === null ? '' : comparison(report.baseline)}
${owners.length === 0 ? '<p>Nothing that was seen crosses homes.</p>' : ownersTable(owners)}
${owners.map(({ owner, findings: found }) => `<h2 id="${anchor(owner)}">${escape(owner)}</h2>\n${found.map(article).join('\n')}`).join('\n')}
${tables(report)}
${notes(report)}
</body>
</html>
`
}

function ownersTable(owners: readonly OwnerGroup[]): string {
  const rows = owners.map(
    ({ owner, findings }) =>
      `<tr><td><a href="#${anchor(owner)}">${escape(owner)}</a></td><td class="n">${String(findings.length)}</td><td>${escape(kindsOf(findings))}</td></tr>`,
  )
  return `<table id="owners"><thead><tr><th>Owner</th><th class="n">Crossings</th><th>Kinds</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table>`
}

function anchor(owner: string): string {
  return escape(`owner-${encodeURIComponent(owner)}`)
}

function kindsOf(findings: readonly Finding[]): string {
  const counts = new Map<string, number>()
  for (const { kind } of findings) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return [...counts].map(([kind, count]) => `${String(count)} ${words(kind)}`).join(', ')
}

function article(finding: Finding): string {
  const { kind, id, example, reason, way, sources } = finding
  return `<article id="${escape(id)}" data-kind="${escape(kind)}">
<p><span class="id">${escape(id)}</span><span class="kind">${escape(words(kind))}</span> ${escape(times(finding))}${finding.count === 0 ? '' : ` <span class="quiet">seen in ${escape(sources.join(', '))}</span>`}</p>
<p>${escape(ends(finding))}</p>
<pre>${escape(example)}</pre>
<p class="quiet">${escape(reason)}</p>
<p><strong>Way out:</strong> ${prose(way)}</p>
</article>`
}

function words(kind: string): string {
  return kind.replace('_', ' ')
}

/** What stands in backquotes is code. */
function prose(text: string): string {
  return escape(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>')
}

function tables({ tables: all }: AuditReport): string {
  if (all.length === 0) return ''
  const rows = all.map(
    (one) =>
      `<tr><td>${escape(one.table)}</td><td class="n">${String(one.statements)}</td><td class="n">${String(one.routed)}</td><td class="n">${escape(share(one))}</td></tr>`,
  )
  return `<h2>Tables</h2>
<p>How many of each table’s statements would run today if everything were split as configured.</p>
<table id="tables"><thead><tr><th>Table</th><th class="n">Statements</th><th class="n">Would run</th><th class="n">Share</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table>`
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
    ...fresh.map((one) => `<li><span class="bad">new</span> ${named(one)}</li>`),
    ...expired.map((one) => `<li><span class="bad">expired</span> on ${escape(one.expires)}: ${named(one)} ${escape(one.issue)}</li>`),
    ...unsaid.map((one) => `<li><span class="bad">without issue or day</span> ${named(one)}</li>`),
    ...gone.map((one) => `<li>gone, take it off the list: ${escape(words(one.kind))} <span class="id">${escape(one.id)}</span></li>`),
  ]
  return `<h2>Against the baseline</h2>\n${items.length === 0 ? '<p>Nothing new, nothing expired.</p>' : `<ul id="baseline">${items.join('\n')}</ul>`}`
}

function named({ kind, id, example }: { readonly kind: string; readonly id: string; readonly example: string }): string {
  return `${escape(words(kind))} <a class="id" href="#${escape(id)}">${escape(id)}</a> <code>${escape(example)}</code>`
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

function escape(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? '')
}
