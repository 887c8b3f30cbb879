// From one database to three, as docs/splitting.md says it: the blocks of that page are run in their order, while an application with
// several clients is at work through the proxy. It hears no error and no wrong answer, and every write that was acknowledged is there
// once at the end.
import { execFile, execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import t from 'tap'
import { parse } from 'yaml'
import { main } from '../../src/doors/cli/main.js'
import type { ConfigInput, DatabaseInput } from '../../src/config/input.js'
import { until } from '../../src/embedded/until.js'
import { findCommand, skipWithout } from '../support/commands.js'
import { lastRoute } from '../support/proxy.js'
import { Served } from '../support/served.js'
import { SplittingApp, splittingSchema, type Way } from '../support/splitting-app.js'
import { withTopology } from '../support/topology.js'

const page = readFileSync(fileURLToPath(new URL('../../docs/splitting.md', import.meta.url)), 'utf8')

/** The blocks of one numbered step, in their order. */
function blocks(step: number, language: 'yaml' | 'sql' | 'sh'): readonly string[] {
  const text = page.split(/^## /m).find((section) => section.startsWith(`${String(step)}. `)) ?? ''
  return [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].flatMap(([, name, block = '']) => (name === language ? [block] : []))
}

function databasesOf(step: number): Readonly<Record<string, DatabaseInput>> {
  return (parse(blocks(step, 'yaml')[0] ?? '') as { databases: Record<string, DatabaseInput> }).databases
}

/** The same homes, tried in another way. */
function inMode(databases: Readonly<Record<string, DatabaseInput>>, mode: string): Readonly<Record<string, DatabaseInput>> {
  t.ok(page.includes(mode), `the page says ${mode}`)
  return (
    parse(`databases: ${JSON.stringify(databases).replaceAll('"mode":"log"', asJson(mode))}`) as {
      databases: Record<string, DatabaseInput>
    }
  ).databases
}

function asJson(mode: string): string {
  return mode.replaceAll(/(\w+): ([\w%]+)/g, '"$1":"$2"').replaceAll(', ', ',')
}

/** pg_dump refuses servers that are newer. */
function hasNewPgDump(): boolean {
  const path = findCommand('pg_dump')
  return path !== null && Number(/(\d+)/.exec(execFileSync(path, ['--version'], { encoding: 'utf8' }))?.[1]) >= 18
}

t.test('the walk', { skip: skipWithout('psql') || skipWithout('bash') }, async (t) => {
  const { users, media, comments, across } = splittingSchema
  const topology = await withTopology(t, {
    clusters: { main: { seed: users + media + comments + across }, media: {}, comments: {} },
  })
  const clusters = (...names: readonly string[]): ConfigInput['clusters'] =>
    Object.fromEntries(
      names.map((name) => [name, { dbname: 'app', user: 'app', password: 'app', nodes: [topology.cluster(name).primary.address] }]),
    )
  const login = { user: 'app', password: 'app' }
  const config = (databases: ConfigInput['databases'], names: readonly string[], port = 0): string =>
    JSON.stringify({
      version: 1,
      listen: { port },
      admin: { port: 0 },
      auth: {
        method: 'scram-sha-256',
        users: [
          { name: 'app', password: 'app' },
          { name: 'ops', password: 'ops' },
        ],
        admins: ['ops'],
      },
      clusters: clusters(...names),
      databases,
    })
  const direct = async (name: string): Promise<pg.Client> => {
    const { host, port } = topology.cluster(name).primary
    const client = new pg.Client({ host, port, database: 'app', ...login })
    await client.connect()
    t.teardown(() => client.end())
    return client
  }

  // ---- the application, before anything is said of homes

  const served = await Served.start(t, config({ app: { default: 'main' } }, ['main']))
  const { port } = served
  const work = join(t.testdirName, 'work')
  mkdirSync(work)
  writeFileSync(join(work, 'media.sql'), media)
  writeFileSync(join(work, 'comments.sql'), comments)
  const ops = await served.connect(t, { user: 'ops', password: 'ops', database: 'pointsman' })
  const app = new SplittingApp()
  t.teardown(() => app.stop())
  const ways: readonly Way[] = ['simple', 'parameters', 'prepared']
  for (const [index, way] of ways.entries()) app.start(index + 1, await served.connect(t), way)
  await app.wholeRound()

  const reload = async (databases: ConfigInput['databases'], names: readonly string[]): Promise<void> => {
    served.write(config(databases, names, port))
    writeFileSync(join(work, 'pointsman.yaml'), config(databases, names, port))
    await ops.query('RELOAD')
  }
  const console = async (text: string): Promise<void> => {
    for (const command of text.split(';')) await ops.query(command)
  }
  const { host, port: mainPort } = topology.cluster('main').primary
  const urlOf = (at: number): string => `postgresql://app:app@${host}:${String(at)}/app`
  const env = {
    PATH: process.env['PATH'] ?? '',
    MAIN: urlOf(mainPort),
    MEDIA: urlOf(topology.cluster('media').primary.port),
    COMMENTS: urlOf(topology.cluster('comments').primary.port),
  }
  const shell = async (block: string): Promise<void> => {
    await promisify(execFile)(findCommand('bash') ?? 'bash', ['-euo', 'pipefail', '-c', block], { cwd: work, env })
  }
  const pointsman = async (block: string): Promise<{ readonly code: number; readonly out: string }> => {
    const texts = { out: '' }
    const io = { out: (text: string) => void (texts.out += text), err: (text: string) => void (texts.out += text) }
    const [name, ...args] = block.trim().replace('2027-01-31', '2999-01-31').split(' ')
    t.equal(name, 'pointsman')
    return { code: await main(args, { ...io, env: {}, cwd: work, terminal: false }), ...texts }
  }
  const accepted = (): readonly { readonly kind: string }[] =>
    (parse(readFileSync(join(work, 'crossings.yaml'), 'utf8')) as { accepted: { kind: string }[] }).accepted

  // ---- 1 and 2: log

  const tried = databasesOf(1)
  await reload(tried, ['main'])
  await app.wholeRound()

  // ---- 3: the list, to nothing

  const [list = '', check = ''] = blocks(3, 'sh')
  t.equal((await pointsman(list)).code, 0)
  const kinds = new Set(accepted().map(({ kind }) => kind))
  t.same([...kinds].sort(), ['foreign_key', 'join', 'subquery', 'transaction', 'trigger', 'view'], 'what the first version does')
  const first = accepted().length
  await app.wholeRound()
  t.match(await pointsman(check), { code: 0 }, 'nothing new')

  app.version = 2
  await app.wholeRound()
  await ops.query('CLEAR AUDIT')
  await app.wholeRound()
  t.equal((await pointsman(list)).code, 0)
  const second = accepted()
  t.ok(second.length < first, `${String(second.length)} of ${String(first)} are left`)
  t.same([...new Set(second.map(({ kind }) => kind))].sort(), ['foreign_key', 'trigger', 'view'], 'what stands in the catalog')

  const byPointsman = await served.connect(t)
  await byPointsman.query(blocks(3, 'sql')[0] ?? '')
  await until('the catalog is looked at, and nothing crosses', async () => {
    await ops.query('CLEAR AUDIT')
    await app.wholeRound()
    return (await ops.query('SHOW AUDIT')).rows.length === 0
  })
  t.equal((await pointsman(list)).code, 0)
  t.same(accepted(), [], 'nothing is left')
  t.match(await pointsman(check), { code: 0 })

  // ---- 4: refuse

  const [log = ''] = blocks(4, 'sql')
  await reload(inMode(tried, 'mode: refuse, rollout: 25%'), ['main'])
  await app.wholeRound()
  const refusing = inMode(tried, 'mode: refuse')
  await reload(refusing, ['main'])
  await app.wholeRound()
  const forgotten = 'SELECT count(*) FROM users u JOIN images i ON i.user_id = u.id'
  await t.rejects(byPointsman.query(forgotten), { code: '0A000' }, 'what was forgotten')
  t.match(await pointsman(check), { code: 1, out: /1 new/ }, 'and CI tells of it')
  await console(log)
  await t.resolves(byPointsman.query(forgotten), 'the way back')
  await reload(refusing, ['main'])
  await t.rejects(byPointsman.query(forgotten), { code: '0A000' }, 'until the next reload')

  // ---- 5: move

  const old = await direct('main')
  const [pause = '', away = ''] = blocks(5, 'sql')
  const [byDump = '', byCopy = '', sameCounts = ''] = blocks(5, 'sh')
  await console(pause)
  const paused = app.rounds
  await shell(hasNewPgDump() ? byDump : byCopy)
  await shell(sameCounts)
  await old.query(away)
  t.equal(app.rounds, paused, 'it waits')
  const movedThen = Number((await old.query<{ n: string }>('SELECT count(*) AS n FROM moved.images')).rows[0]?.n)

  // ---- 6: real

  const [reloadAndResume = ''] = blocks(6, 'sql')
  const split = databasesOf(6)
  served.write(config(split, ['main', 'media', 'comments'], port))
  await console(reloadAndResume)
  await app.wholeRound()
  await app.wholeRound()
  await app.stop()
  t.same(app.wrong, [], 'no error and no wrong answer')

  // ---- the end is counted

  await byPointsman.query('SELECT title FROM images WHERE id = 1')
  t.match(await lastRoute(byPointsman), /media/)
  await t.rejects(byPointsman.query(forgotten), { code: '0A000' })
  t.equal(Number((await old.query<{ n: string }>('SELECT count(*) AS n FROM moved.images')).rows[0]?.n), movedThen, 'nobody writes there')
  const homes = { images: await direct('media'), comments: await direct('comments') }
  for (const [table, client] of [
    ['logins', old],
    ['images', homes.images],
    ['image_tags', homes.images],
    ['comments', homes.comments],
  ] as const) {
    const { rows } = await client.query<{ key: string }>(`SELECT key FROM ${table}`)
    t.same(rows.map(({ key }) => key).sort(), [...app.keys[table]].sort(), `${table}: every write once`)
  }
  t.ok(app.keys.images.length > movedThen, 'images were written after the move, too')
})
