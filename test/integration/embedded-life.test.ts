// Servers and their owner: they live as long as it does and not a moment longer, side by side with others, kept or thrown away.
import { fork, spawnSync, type ChildProcess } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { startTopology } from '../../src/embedded/topology.js'
import { isAlive } from '../../src/embedded/processes.js'
import { until } from '../../src/embedded/until.js'

const description = { clusters: { main: { seed: 'CREATE TABLE notes (id int)' } } }
const ownerScript = fileURLToPath(new URL('../support/topology-owner.ts', import.meta.url))
const loader = fileURLToPath(new URL('../../scripts/typescript.mjs', import.meta.url))

interface Report {
  readonly pids: number[]
  readonly directories: string[]
}

/** Starts a process that owns servers, and gives what it says of them. */
async function startOwner(
  t: Test,
  args: string[] = [],
  options: { uid?: number; env?: NodeJS.ProcessEnv } = {},
): Promise<[ChildProcess, Report]> {
  const env = { ...process.env, ...options.env }
  delete env['NODE_OPTIONS']
  const identity = options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }
  const owner = fork(ownerScript, args, {
    execArgv: ['--import', loader],
    env,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    ...identity,
  })
  t.teardown(() => owner.kill('SIGKILL'))
  const report = await new Promise<Report>((resolve, reject) => {
    owner.once('message', (message) => {
      resolve(message as Report)
    })
    owner.once('exit', () => {
      reject(new Error('the owner ended before it had servers'))
    })
  })
  return [owner, report]
}

async function nothingLeft(t: Test, { pids, directories }: Report): Promise<void> {
  await until('all servers are gone', async () => !(await Promise.all(pids.map(isAlive))).includes(true))
  await until('their directories are gone', () => Promise.resolve(!directories.some((path) => existsSync(path))))
  t.ok(pids.length >= 2)
}

t.test('servers end when their owner is killed without a word, and leave no files', async (t) => {
  const [owner, report] = await startOwner(t)
  t.equal((await Promise.all(report.pids.map(isAlive))).includes(false), false, 'they ran')
  owner.kill('SIGKILL')
  await nothingLeft(t, report)
})

t.test('servers end when their owner just ends', async (t) => {
  const [owner, report] = await startOwner(t)
  owner.send('leave')
  await nothingLeft(t, report)
})

t.test('frozen servers end too', async (t) => {
  const [owner, report] = await startOwner(t, ['freeze'])
  owner.kill('SIGKILL')
  await nothingLeft(t, report)
})

t.test('two topologies run side by side, and each ends alone', async (t) => {
  const [one, two] = await Promise.all([startTopology(description), startTopology(description)])
  t.teardown(() => Promise.all([one.stop(), two.stop()]))
  await one.cluster('main').primary.sql('INSERT INTO notes VALUES (1)')
  t.not(one.cluster('main').primary.port, two.cluster('main').primary.port)
  t.same(await two.cluster('main').primary.sql('SELECT * FROM notes'), [])
  await one.stop()
  t.notOk(existsSync(one.cluster('main').primary.dataDir))
  t.same(await two.cluster('main').primary.sql('SELECT * FROM notes'), [])
})

t.test('what cannot be made says why and leaves nothing', async (t) => {
  const temporary = mkdtempSync(join(tmpdir(), 'pointsman-tmp-'))
  chmodSync(temporary, 0o711)
  const { TMPDIR } = process.env
  process.env['TMPDIR'] = temporary
  t.teardown(() => {
    if (TMPDIR === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = TMPDIR
    rmSync(temporary, { recursive: true, force: true })
  })
  await t.rejects(startTopology({ clusters: { main: { seed: 'CREATE NONSENSE' } } }), /seed of cluster main failed: syntax error/)
  await t.rejects(startTopology({ clusters: { main: { settings: { no_such_setting: 'x' } } } }), /no_such_setting/)
  t.same(readdirSync(temporary), [])
})

t.test('kept servers are found again, by one owner at a time', async (t) => {
  const keep = keepDirectory(t)
  const said: string[] = []
  const options = { keep, onProgress: (text: string) => said.push(text) }
  const withReplica = { clusters: { main: { ...description.clusters.main, replicas: 1 } } }
  const first = await startTopology(withReplica, options)
  t.teardown(() => first.stop())
  await first.cluster('main').primary.sql('INSERT INTO notes VALUES (7)')
  const ports = first.nodes.map((node) => node.port)
  await t.rejects(startTopology(withReplica, options), /in use by another process/)
  await first.stop()

  t.test('the next owner gets the same data and, if they are free, the same ports', async (t) => {
    const second = await startTopology(withReplica, options)
    t.teardown(() => second.stop())
    t.same(await second.cluster('main').primary.sql('SELECT * FROM notes'), [{ id: '7' }])
    t.same(second.nodes.map((node) => node.port), ports) // prettier-ignore
    await second.cluster('main').primary.sql('INSERT INTO notes VALUES (8)')
    await second.cluster('main').waitCaughtUp()
    t.equal((await second.cluster('main').replica().sql('SELECT * FROM notes')).length, 2)
    await second.stop()
  })

  t.test('after a promotion the promoted server is the primary, and the old one comes back as its copy', async (t) => {
    const before = await startTopology(withReplica, options)
    t.teardown(() => before.stop())
    const [old, replica] = before.nodes
    await old!.kill9()
    await replica!.promote()
    await replica!.sql('INSERT INTO notes VALUES (9)')
    await before.stop()
    for (const times of ['the first start', 'and every later one']) {
      const after = await startTopology(withReplica, options)
      t.teardown(() => after.stop())
      const main = after.cluster('main')
      t.equal(main.primary.id, replica!.id, times)
      await main.waitCaughtUp()
      t.same(await main.replica().sql('SELECT id FROM notes ORDER BY id'), [{ id: '7' }, { id: '8' }, { id: '9' }])
      t.same(after.nodes.map((node) => node.port), ports) // prettier-ignore
      await after.stop()
    }
  })

  t.test('what an owner that was killed left is used again', async (t) => {
    const [owner, report] = await startOwner(t, [keep])
    owner.kill('SIGKILL')
    said.length = 0
    const again = await startTopology({ clusters: { main: { replicas: 1 }, other: {} } }, options)
    t.teardown(() => again.stop())
    t.same(said, ['starting the servers that were kept'])
    t.same(await again.cluster('main').primary.sql('SELECT * FROM mark'), [{ made: 'before' }])
    t.ok(report.pids.length > 0)
    await again.stop()
  })

  t.test('what is damaged is made anew, and that is said', async (t) => {
    said.length = 0
    const fresh = await startTopology(withReplica, options)
    t.match(said[0], /made anew: they were made from another description/)
    const { dataDir } = fresh.cluster('main').primary
    await fresh.stop()
    t.notOk(fresh.cluster('main').primary.running)
    rmSync(join(dataDir, 'global', 'pg_control'))
    said.length = 0
    const mended = await startTopology(withReplica, options)
    t.teardown(() => mended.stop())
    t.match(said.join('\n'), /made anew: main-0 did not start/)
    t.same(await mended.cluster('main').primary.sql('SELECT * FROM notes'), [])
    await mended.stop()
  })
})

t.test(
  'root and an ordinary user can both own servers',
  { skip: process.getuid?.() === 0 ? false : 'only root can become another user' },
  async (t) => {
    const { stdout } = spawnSync('id', ['-u', 'nobody'], { encoding: 'utf8' })
    const home = mkdtempSync(join(tmpdir(), 'pointsman-home-'))
    spawnSync('chown', ['nobody', home])
    t.teardown(() => {
      rmSync(home, { recursive: true, force: true })
    })
    const [owner, report] = await startOwner(t, [], { uid: Number(stdout), env: { HOME: home, TMPDIR: home } })
    const { stdout: runsAs } = spawnSync('ps', ['-o', 'uid=', '-p', String(report.pids[0])], { encoding: 'utf8' })
    if (runsAs !== '') t.equal(Number(runsAs), Number(stdout))
    owner.kill('SIGKILL')
    await nothingLeft(t, report)
  },
)

function keepDirectory(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'pointsman-keep-'))
  t.teardown(() => {
    rmSync(directory, { recursive: true, force: true })
  })
  return directory
}
