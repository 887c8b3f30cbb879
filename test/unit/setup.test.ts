// The scripts that `npm start` and `npm test` run: what they install, compile, and wait for.
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { until } from '../../src/embedded/until.js'

t.test('packages are never installed through a link', (t) => {
  const folder = t.testdir({ clone: { scripts: {}, 'package.json': '{}', 'package-lock.json': '{}' }, shared: {} })
  const clone = join(folder, 'clone')
  cpSync('scripts/setup.mjs', join(clone, 'scripts/setup.mjs'))
  mkdirSync(join(folder, 'shared/pg'))
  writeFileSync(join(folder, 'shared/pg/index.js'), '')
  symlinkSync(join(folder, 'shared'), join(clone, 'node_modules'))
  // A program that leaves a mark in npm's place, which setup.mjs finds by this variable.
  const npm = join(folder, 'npm.cjs')
  writeFileSync(npm, `require('fs').writeFileSync(${JSON.stringify(join(folder, 'ran'))}, '')`)
  const program = `import { ensurePackages } from './scripts/setup.mjs'; ensurePackages()`
  const env = { ...process.env, npm_execpath: npm }
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { cwd: clone, env, encoding: 'utf8' })
  t.equal(status, 1)
  t.match(stderr, /node_modules is a link/)
  t.notOk(existsSync(join(folder, 'ran')), 'npm was not run')
  t.ok(existsSync(join(folder, 'shared/pg/index.js')))
  t.end()
})

t.test('what npm has started ends with npm, which passes no signal on', { timeout: 60_000 }, async (t) => {
  const ending =
    "import { endWithParent } from './parent.mjs'; endWithParent('start.mjs'); console.log('pid', process.pid); setInterval(() => {}, 1000)"
  const folder = t.testdir({
    'package.json': JSON.stringify({ type: 'module', scripts: { start: 'node start.mjs' } }),
    'start.mjs': ending,
  })
  cpSync('scripts/parent.mjs', join(folder, 'parent.mjs'))
  const npm = spawn('npm', ['start'], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => npm.kill('SIGKILL'))
  let said = ''
  npm.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  await until('it runs', () => Promise.resolve(/pid \d+/.test(said)))
  const pid = Number(/pid (\d+)/.exec(said)?.[1])
  t.teardown(() => isThere(pid) && process.kill(pid, 'SIGKILL'))
  npm.kill('SIGKILL')
  await until('it has ended, too', () => Promise.resolve(!isThere(pid)))
})

t.test('a process whose output is held by one that it has left behind is over all the same', { timeout: 60_000 }, (t) => {
  const program = `
    import { spawn } from 'node:child_process'
    import { childEnd } from './scripts/child-end.mjs'
    const run = async (text, limits) => {
      const child = spawn('sh', ['-c', text], { stdio: ['ignore', 'pipe', 'inherit'] })
      let said = ''
      child.stdout.on('data', (chunk) => (said += chunk))
      return { ...(await childEnd(child, { limitMs: 60_000, outputMs: 60_000, ...limits })), said: said.trim() }
    }
    const { said, ...left } = await run('sleep 1000 & echo $!; exit 3', { outputMs: 200 })
    process.kill(Number(said))
    console.log(JSON.stringify([left, await run('exec sleep 1000', { limitMs: 200 }), await run('echo well', {})]))`
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', timeout: 30_000 })
  t.same(JSON.parse(stdout || 'null'), [
    { ended: 3, held: true },
    { ended: 'SIGKILL', held: false, said: '' },
    { ended: 0, held: false, said: 'well' },
  ])
  t.end()
})

t.test('what another compiler has made is not kept', (t) => {
  const folder = t.testdir({ scripts: {}, 'one.ts': '', node_modules: { typescript: {} } })
  cpSync('scripts/typescript-cache.mjs', join(folder, 'scripts/typescript-cache.mjs'))
  const program = `import { compiled } from './scripts/typescript-cache.mjs'; console.log(await compiled('one.ts'))`
  const compiledBy = (version: string): string => {
    const compiler = join(folder, 'node_modules/typescript')
    writeFileSync(join(compiler, 'package.json'), JSON.stringify({ name: 'typescript', version, main: 'index.cjs' }))
    writeFileSync(
      join(compiler, 'index.cjs'),
      `module.exports = { ScriptTarget: {}, ModuleKind: {}, transpileModule: () => ({ outputText: '${version}' }) }`,
    )
    return spawnSync(process.execPath, ['--input-type=module', '-e', program], { cwd: folder, encoding: 'utf8' }).stdout.trim()
  }
  t.same(['1.0.0', '2.0.0', '2.0.0'].map(compiledBy), ['1.0.0', '2.0.0', '2.0.0'])
  t.end()
})

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
