// `npm test`: sets up what is missing, runs every test file (or those named: `npm test -- test/unit/lsn.test.ts`), each in a process
// of its own, and ends with the line `N passed, N failed` (and `, N skipped`), counted from what the tests said, not from what
// was planned. A case is an innermost `t.test()`, or a file that has none; an assertion that failed outside every case is a failure
// too. The files say TAP by themselves; tap's own runner would put its loaders before every process that a test starts.
import { spawn } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { childEnd } from './child-end.mjs'
import { ensureBuilt, ensurePackages, root } from './setup.mjs'

/** Files at once. On two cores a third one runs while others wait for servers to start and end. */
const together = 3
/** A file that takes longer hangs. */
const limitMs = 300_000
/** A file that has ended, and whose output stays open for longer, has left a process behind. */
const outputMs = 15_000

// Whatever ends it, the last line is there.
let told = false
process.on('exit', () => {
  if (told) return
  process.exitCode = process.exitCode || 1
  console.log('\n0 passed, 1 failed')
})

ensurePackages()
ensureBuilt()
const { compileAll } = await import('./typescript-cache.mjs')
for (const folder of ['src', 'test']) await compileAll(join(root, folder))
const { Parser } = await import('tap-parser')
const total = { passed: 0, failed: 0, skipped: 0 }

const asked = process.argv.slice(2)
const files = (asked.length === 0 ? ['test'] : asked).flatMap((path) => testsOf(join(root, relative(root, path))))
if (files.length === 0) console.log(`no tests: ${asked.join(' ')}`)

const loader = pathToFileURL(join(root, 'scripts/typescript.mjs')).href
const env = { ...process.env, TAP_TIMEOUT: String(limitMs / 1000) }
for (const name of ['TAP', 'TAP_CHILD_ID', 'TAP_BAIL', 'TAP_RCFILE']) delete env[name]
const running = new Set()
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    process.exitCode = 1
    files.length = 0
    for (const child of running) child.kill(signal)
  })
}
await Promise.all(Array.from({ length: together }, runNext))

async function runNext() {
  for (let file = files.shift(); file !== undefined; file = files.shift()) {
    const { count, said } = await runFile(relative(root, file))
    for (const key of Object.keys(total)) total[key] += count[key]
    console.log(said.join('\n'))
  }
}

/** A file that is named, or all tests below a folder. */
function testsOf(path) {
  if (!statSync(path).isDirectory()) return [path]
  const entries = readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))
  return entries.flatMap((entry) => {
    const below = join(path, entry.name)
    if (entry.isDirectory()) return testsOf(below)
    return entry.name.endsWith('.test.ts') ? [below] : []
  })
}

async function runFile(file) {
  const count = { passed: 0, failed: 0, skipped: 0 }
  const said = []
  const parser = new Parser()
  follow(parser, file, '', { count, said })
  const completed = new Promise((resolve) => parser.on('complete', resolve))
  const child = spawn(process.execPath, ['--enable-source-maps', `--import=${loader}`, file], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  running.add(child)
  child.stdout.pipe(parser)
  // The file itself says what it was at when its time is over; who does not even say that is ended.
  const { ended, held } = await childEnd(child, { limitMs: limitMs + 15_000, outputMs })
  running.delete(child)
  if (!child.stdout.readableEnded) parser.end()
  const result = await completed
  const ok = result.ok && ended === 0 && !held
  if (count.passed + count.failed + count.skipped === 0) {
    const { skipAll, skipReason } = result.plan
    if (ok && (skipAll ? skipReason !== 'no tests found' : result.skip > 0)) count.skipped++
    else if (ok && result.count > 0) count.passed++
    else count.failed++
  } else if (!ok && count.failed === 0) count.failed++
  if (!ok) said.push(`\n  ${file} ended with ${ended}${held ? ', and a process that it has left behind held its output' : ''}`)
  const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : ''
  const verdict = count.failed === 0 ? 'ok    ' : 'FAILED'
  said.push(`${verdict} ${file}: ${count.passed} passed, ${count.failed} failed${skipped}`)
  return { count, said }
}

/** Counts the cases below `test`; `path` names them in messages. An assertion that follows a child is that child's summary. */
function follow(test, file, path, { count, said }) {
  const seen = { cases: 0, failures: 0 }
  let childFailed = false
  test.on('child', (child) => {
    seen.cases++
    const inner = follow(child, file, path === '' ? child.name : `${path} > ${child.name}`, { count, said })
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
      said.push(`\n  not ok: ${path === '' ? file : path}: ${assertion.name}`)
      if (assertion.diag) said.push(indent(JSON.stringify(assertion.diag, null, 2)))
      if (path === '') count.failed++
    }
  })
  return seen
}

function indent(text) {
  return text.replaceAll(/^/gm, '    ').replaceAll('\\n', '\n      ')
}

const { passed, failed, skipped } = total
told = true
console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
if (failed > 0 || passed === 0) process.exitCode = 1
