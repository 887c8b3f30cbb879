// What a clean clone lacks, made on demand: packages (when missing or older than the lock file) and dist/ (when missing or
// older than the sources). Only Node and npm are needed; nothing here depends on a package.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** Installs exactly what package-lock.json says, unless npm's own record of the last install is newer. */
export function ensurePackages() {
  const [major] = process.versions.node.split('.').map(Number)
  if (major < 20) fail(`Pointsman needs Node 20 or newer, this is ${process.version}`)
  const installed = modified('node_modules/.package-lock.json')
  if (installed > 0 && installed >= modified('package-lock.json')) return
  // npm ci empties what is there first, and through a link that is another project's.
  if (isLink('node_modules'))
    fail(
      'node_modules is a link to packages that are missing or older than package-lock.json: remove the link, or run npm ci where it leads',
    )
  say('installing packages (npm ci)')
  const npm = process.env.npm_execpath
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error', '--include=dev', '--include=optional']
  // Everything npm says goes to stderr: stdout is for what was asked for.
  if (npm === undefined) run('npm', args, 'npm ci')
  else run(process.execPath, [npm, ...args], 'npm ci')
}

// Only JavaScript, and no types checked: that is for `npm run check`, and declarations for `npm run build`.
const fast = [
  '--noCheck',
  '--incremental',
  'false',
  '--declaration',
  'false',
  '--declarationMap',
  'false',
  '--isolatedDeclarations',
  'false',
]

/** Compiles src/ to dist/ if any source is newer. */
export function ensureBuilt() {
  const sources = Math.max(newest('src'), modified('tsconfig.json'), modified('tsconfig.build.json'))
  if (modified('dist/.built') >= sources) return
  say('building')
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  mkdirSync(join(root, 'dist'))
  const started = new Date()
  run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json', ...fast], 'tsc')
  // npx makes it executable once, when it first meets this directory, and not again after another build.
  chmodSync(join(root, 'dist/bin.js'), 0o755)
  writeFileSync(join(root, 'dist/.built'), `${started.toISOString()}\n`)
}

function run(command, args, what) {
  const { status, signal, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] })
  if (status === 0) return
  if (signal === 'SIGINT' || signal === 'SIGTERM') process.exit(130)
  fail(`${what} failed${error === undefined ? '' : `: ${error.message}`}`)
}

function newest(directory) {
  let latest = modified(directory)
  for (const entry of readdirSync(join(root, directory), { withFileTypes: true })) {
    const path = `${directory}/${entry.name}`
    latest = Math.max(latest, entry.isDirectory() ? newest(path) : modified(path))
  }
  return latest
}

function isLink(path) {
  return lstatSync(join(root, path), { throwIfNoEntry: false })?.isSymbolicLink() ?? false
}

function modified(path) {
  return existsSync(join(root, path)) ? statSync(join(root, path)).mtimeMs : 0
}

function say(text) {
  process.stderr.write(`pointsman: ${text}\n`)
}

function fail(text) {
  say(text)
  process.exit(1)
}
