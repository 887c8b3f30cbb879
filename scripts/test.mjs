// `npm test`: sets up what is missing, runs every test file (or those named: `npm test -- test/unit/lsn.test.ts`) and ends
// with the line `N passed, N failed` (and `, N skipped`), counted from what the tests said, not from what was planned.
// A case is an innermost `t.test()`, or a file that has none; an assertion that failed outside every case is a failure too.
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { ensureBuilt, ensurePackages, root } from './setup.mjs'

ensurePackages()
ensureBuilt()
const { Parser } = await import('tap-parser')
const total = { passed: 0, failed: 0, skipped: 0 }

const reports = join(root, '.tap/reports')
rmSync(reports, { recursive: true, force: true })
const env = { ...process.env }
for (const name of ['TAP', 'TAP_CHILD_ID', 'TAP_BAIL', 'TAP_RCFILE']) delete env[name]
const tap = spawn(process.execPath, ['node_modules/.bin/tap', 'run', '--reporter=tap', ...process.argv.slice(2)], {
  cwd: root,
  env,
  stdio: ['ignore', 'pipe', 'inherit'],
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => tap.kill(signal))

const parser = new Parser()
parser.on('child', (file) => {
  const count = { passed: 0, failed: 0, skipped: 0 }
  follow(file, '', count)
  file.on('complete', (result) => {
    if (count.passed + count.failed + count.skipped === 0) {
      if (result.skip) count.skipped++
      else if (result.ok && result.count > 0) count.passed++
      else count.failed++
    } else if (!result.ok && count.failed === 0) count.failed++
    for (const key of Object.keys(total)) total[key] += count[key]
    const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : ''
    console.log(`${count.failed === 0 ? 'ok    ' : 'FAILED'} ${file.name}: ${count.passed} passed, ${count.failed} failed${skipped}`)
  })
})

/** Counts the cases below `test`; `path` names them in messages. An assertion that follows a child is that child's summary. */
function follow(test, path, count) {
  const seen = { cases: 0, failures: 0 }
  let childFailed = false
  test.on('child', (child) => {
    seen.cases++
    const inner = follow(child, path === '' ? child.name : `${path} > ${child.name}`, count)
    child.on('complete', (result) => {
      childFailed = !result.ok
      if (inner.cases > 0) count.failed += inner.failures
      else if (!result.ok) count.failed++
      else if (result.count > 0 && result.skip === result.count) count.skipped++
      else count.passed++
    })
  })
  test.on('assert', (assertion) => {
    if (childFailed && !assertion.ok) childFailed = false
    else if (assertion.skip && (path === '' || seen.cases > 0)) count.skipped++
    else if (!assertion.ok && !assertion.todo && !assertion.skip) {
      seen.failures++
      report(path === '' ? test.name : path, assertion)
      if (path === '') count.failed++
    }
  })
  return seen
}

function report(where, assertion) {
  console.log(`\n  not ok: ${where}: ${assertion.name}`)
  if (assertion.diag) console.log(indent(JSON.stringify(assertion.diag, null, 2)))
}

function indent(text) {
  return text.replaceAll(/^/gm, '    ').replaceAll('\\n', '\n      ')
}

tap.stdout.pipe(parser)
const code = await new Promise((resolve) => tap.on('close', (status) => resolve(status ?? 1)))
const { passed, failed, skipped } = total
console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
if (code !== 0 || failed > 0 || passed === 0) process.exitCode = 1
