// `npm run check`: everything that is checked without running it. As many checks at once as there are processors, the longest
// first; what they say comes in that order, each whole, and all are run to their end. One that fails fails it all.
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { root } from './setup.mjs'

const checks = ['lint', 'types', 'format', 'imports', 'dead']

const npm = process.env.npm_execpath
const waiting = checks.map((name) => ({ name, ...promised() }))
const results = waiting.map(({ promise }) => promise)
const next = async () => {
  for (let check = waiting.shift(); check !== undefined; check = waiting.shift()) check.resolve(await run(check.name))
}
for (let lane = 0; lane < Math.max(2, availableParallelism()); lane++) void next()

const failed = []
for (const [index, name] of checks.entries()) {
  const { said, ended, seconds } = await results[index]
  if (said.trim() !== '') console.log(said.trimEnd())
  console.log(`${ended === 0 ? 'ok    ' : 'FAILED'} check:${name} (${seconds.toFixed(0)} s)`)
  if (ended !== 0) failed.push(name)
}
if (failed.length > 0) {
  console.log(`\nfailed: ${failed.join(', ')}`)
  process.exitCode = 1
}

function promised() {
  let resolve
  const promise = new Promise((given) => (resolve = given))
  return { promise, resolve }
}

async function run(name) {
  const began = performance.now()
  const args = ['run', '--silent', `check:${name}`]
  const child = npm === undefined ? spawn('npm', args, options()) : spawn(process.execPath, [npm, ...args], options())
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (said += data.toString()))
  const ended = await new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message))
    child.on('close', (code, signal) => resolve(code ?? signal))
  })
  return { said, ended, seconds: (performance.now() - began) / 1000 }
}

function options() {
  return { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] }
}
