// Tokens on real servers: what a session wrote and saw travels as text between a proxy process, another proxy and a library
// router (CONSISTENCY §2.7); and what anybody may send in a token's place harms nobody (I11). Replay is paused where a read
// without a token must be old, so that each test shows what it would see without the rule.
import fc from 'fast-check'
import pg from 'pg'
import t, { type Test } from 'tap'
import { decodeToken, encodeToken, systemKey, type TokenEntry } from '../../src/consistency/token.js'
import type { ConfigInput } from '../../src/config/input.js'
import { until } from '../../src/embedded/until.js'
import type { RoutedPool } from '../../src/index.js'
import { lastRoute, withProxy } from '../support/proxy.js'
import { router } from '../support/router.js'
import { Served } from '../support/served.js'
import { withTopology } from '../support/topology.js'
import { WireClient } from '../support/wire-client.js'

const seed = `CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items SELECT g, 0 FROM generate_series(1, 40) g;
CREATE TABLE guarded (id int PRIMARY KEY, n int NOT NULL); INSERT INTO guarded VALUES (1, 0)`
const running = await withTopology(t, {
  clusters: { main: { replicas: 2, seed }, media: { seed: 'CREATE TABLE images (id int PRIMARY KEY)' } },
})
const main = running.cluster('main')
const { replicas } = main

const login = { dbname: 'app', user: 'app', password: 'app', tls: { mode: 'disable' as const } }
const config: ConfigInput = {
  version: 1,
  clusters: {
    main: { ...login, nodes: main.nodes.map((node) => node.address) },
    media: { ...login, nodes: running.cluster('media').nodes.map((node) => node.address) },
  },
  databases: {
    app: {
      default: 'main',
      partitions: { media: { cluster: 'media', tables: ['images'] } },
      reads: {
        default: { consistency: 'session', on_unmet: ['wait 20ms', 'primary'] },
        tables: { guarded: { consistency: 'session', enforce: true } },
      },
    },
  },
}
const signing: ConfigInput = { ...config, tokens: { key: 'one key for all processes of this test' } }
const served = await Served.start(
  t,
  JSON.stringify({ ...config, listen: { port: 0 }, admin: { port: 0 }, auth: { users: [{ name: 'app', password: 'app' }] } }),
)
const here = await withProxy(t, config)
const signed = await withProxy(t, signing)
const trusting = await withProxy(t, { ...config, auth: { method: 'trust' } })
const library: RoutedPool = router(t, config)

type Querying = Pick<pg.Client, 'query'>
const value = async (client: Querying, sql: string, values?: unknown[]): Promise<unknown> => {
  const { rows } = await client.query<unknown[]>({ text: sql, ...(values === undefined ? {} : { values }), rowMode: 'array' })
  return rows[0]?.[0]
}
const n = (client: Querying, id = 1): Promise<unknown> => value(client, `SELECT n FROM items WHERE id = ${String(id)}`)
const write = (client: Querying, to: number, id = 1): Promise<unknown> =>
  client.query(`UPDATE items SET n = ${String(to)} WHERE id = ${String(id)}`)
const tokenOf = async (client: Querying): Promise<string> => String(await value(client, 'SHOW pointsman.token'))
const entriesOf = (token: string): readonly TokenEntry[] => {
  const reading = decodeToken(token, null)
  return reading.ok ? reading.entries : []
}

/** Both replicas stop where they are, with all of before; `resume` ends with the test too. */
async function paused(t: Pick<Test, 'teardown'>): Promise<() => Promise<void>> {
  await main.waitCaughtUp()
  await Promise.all(replicas.map((node) => node.pauseReplay()))
  const resume = async (): Promise<void> => {
    await Promise.all(replicas.map((node) => node.resumeReplay()))
  }
  t.teardown(resume)
  return resume
}

const onReplica = (client: pg.Client): Promise<void> =>
  until('a read is on a replica', async () => {
    await n(client)
    return (await lastRoute(client)).startsWith('replica')
  })

t.test('I1: a session that hops sees its writes across processes, from proxy to library to proxy', async (t) => {
  await paused(t)
  const writer = await served.connect(t)
  const before = Number(await n(writer))
  await write(writer, before + 1)
  const token = await tokenOf(writer)
  t.equal(await library.run(library.session.fromToken(token), () => n(library)), before + 1, 'the library, with the token')
  t.equal(await library.run(library.session.create(), () => n(library)), before, 'without it: the old state')

  const carried = await library.run(library.session.fromToken(token), async () => {
    await write(library, before + 2)
    return library.exportToken()
  })
  const [hopped, stranger] = [await served.connect(t), await served.connect(t)]
  await hopped.query(`SET pointsman.token = '${carried}'`)
  t.equal(await n(hopped), before + 2, 'the other process, with the token')
  t.equal(await n(stranger), before, 'without it: the old state')
  t.match(await lastRoute(stranger), /^replica/)
})

t.test('I1: by SQL alone a checked-out client of the library brings and tells tokens too', async (t) => {
  await paused(t)
  const [client, other] = [await library.connect(), await library.connect()]
  t.teardown(() => {
    client.release()
    other.release()
  })
  const writer = await served.connect(t)
  const before = Number(await n(writer))
  await write(writer, before + 1)
  t.equal(await n(other), before)
  await client.query(`SET pointsman.token = '${await tokenOf(writer)}'`)
  t.equal(await n(client), before + 1)
  await client.query("SET pointsman.token = 'nonsense'")
  await write(client, before + 2)
  const back = await here.connect()
  await back.query(`SET pointsman.token = '${await tokenOf(client)}'`)
  t.equal(await n(back), before + 2)
  t.equal(await n(await here.connect()), before, 'without it: the old state')
  await other.query("SELECT set_config('pointsman.token', $1, false)", [await tokenOf(client)])
  t.equal(await n(other), before + 2)
})

t.test('I2: what a session has read it sees again in another process', async (t) => {
  const [ahead, behind] = replicas as [(typeof replicas)[0], (typeof replicas)[0]]
  await main.waitCaughtUp()
  t.teardown(() => behind.resumeReplay())
  await behind.pauseReplay()
  const before = Number(await n(await served.connect(t)))
  await main.primary.sql(`UPDATE items SET n = ${String(before + 1)} WHERE id = 1`)
  await main.waitCaughtUp([ahead])
  let token = ''
  await until('somebody has read the new state from a replica', async () => {
    // A session stays with its replica, so each try is another one.
    const reader = await served.connect(t)
    if ((await n(reader)) !== before + 1 || !(await lastRoute(reader)).startsWith(`replica ${ahead.address}`)) return false
    token = await tokenOf(reader)
    return true
  })
  const old = new Set<unknown>()
  await until('somebody without the token has been sent to the replica that is behind', async () => {
    old.add(await n(await here.connect()))
    return old.has(before)
  })
  for (let i = 0; i < 10; i++) {
    const hopped = await here.connect()
    await hopped.query("SELECT set_config('pointsman.token', $1, false)", [token])
    t.equal(await n(hopped), before + 1)
  }
})

t.test('a token comes in by every way there is, and whatever becomes of the statement it stays', async (t) => {
  await paused(t)
  const writer = await here.connect()
  const before = Number(await n(writer))
  await write(writer, before + 1)
  const token = await tokenOf(writer)
  const ways: Readonly<Record<string, (client: pg.Client) => Promise<unknown>>> = {
    SET: (client) => client.query(`SET pointsman.token = '${token}'`),
    'SET, prepared': (client) => client.query({ name: 's', text: `SET pointsman.token TO '${token}'` }),
    'set_config() as text': (client) => client.query(`SELECT set_config('pointsman.token', '${token}', false)`),
    'set_config() with a parameter': (client) => client.query("SELECT set_config('pointsman.token', $1, true)", [token]),
    'set_config() beside others': (client) =>
      client.query("SELECT set_config('pointsman.token', $2, false), set_config('application_name', $1, false)", ['x', token]),
    'SET LOCAL outside of a transaction': (client) => client.query(`SET LOCAL pointsman.token = '${token}'`),
    'rolled back before anything was sent': async (client) => {
      await client.query('BEGIN')
      await client.query(`SET LOCAL pointsman.token = '${token}'`)
      await client.query('ROLLBACK')
    },
    'rolled back on a server': async (client) => {
      await client.query('BEGIN READ ONLY')
      await n(client, 2)
      await client.query(`SET pointsman.token = '${token}'`)
      await client.query('ROLLBACK')
    },
    'RESET and DISCARD ALL': async (client) => {
      await client.query(`SET pointsman.token = '${token}'`)
      await client.query('RESET pointsman.token')
      await client.query('RESET ALL')
      await client.query('DISCARD ALL')
    },
    'in one text with others': (client) => client.query(`SET pointsman.token = '${token}'; SELECT 1`),
    'in one text with an error': (client) => client.query(`SET pointsman.token = '${token}'; SELECT 1/0`).catch(() => undefined),
    'in one text, quoted otherwise': (client) => client.query(`SELECT set_config('pointsman.token', $t$${token}$t$, false); SELECT 1`),
  }
  for (const [way, take] of Object.entries(ways)) {
    const client = await here.connect()
    await take(client)
    t.equal(await n(client), before + 1, way)
  }
  t.equal(await n(await here.connect({ options: `-c pointsman.token=${token}` })), before + 1, 'in the startup packet')
  const together = await here.connect()
  const results = (await together.query(
    `SET pointsman.token = '${token}'; SELECT n FROM items WHERE id = 1`,
  )) as unknown as pg.QueryResult<{ n: number }>[]
  t.equal(results[1]?.rows[0]?.n, before + 1, 'before a read in the same text')
  t.equal(await n(await here.connect()), before, 'without it: the old state')
})

t.test('the token is told by every way there is, in transactions too, and says what one sample can tell', async (t) => {
  const client = await here.connect()
  t.equal(await tokenOf(client), '', 'nothing was written or read')
  await write(client, 1)
  const asked = [
    'SHOW pointsman.token',
    "SELECT current_setting('pointsman.token')",
    "SELECT current_setting('pointsman.token', true) AS token",
  ]
  for (const text of asked) {
    for (const name of ['', 'named']) {
      await write(client, 2)
      const { rows } = await client.query<string[]>({ text, ...(name === '' ? {} : { name: text }), rowMode: 'array' })
      t.ok((entriesOf(rows[0]?.[0] ?? '').find(({ cluster }) => cluster === 'main')?.lsn ?? null) !== null, `${text} ${name}`)
    }
  }
  await client.query('INSERT INTO images VALUES (1) ON CONFLICT DO NOTHING')
  t.same(
    entriesOf(await tokenOf(client)).map(({ cluster }) => cluster),
    ['main', 'media'],
  )

  await client.query('BEGIN')
  t.ok(
    entriesOf(await tokenOf(client)).every(({ lsn }) => lsn !== null),
    'BEGIN is not sent yet',
  )
  await write(client, 3)
  const open = entriesOf(await tokenOf(client))
  t.same(
    open.map(({ cluster, lsn }) => [cluster, lsn === null]),
    [
      ['main', true],
      ['media', false],
    ],
    'a write in flight: pending at receipt',
  )
  t.same(entriesOf(String(await value(client, asked[2] ?? '', []))), open)
  await client.query('COMMIT')
  t.ok(entriesOf(await tokenOf(client)).every(({ lsn }) => lsn !== null))
  await t.rejects(client.query('SELECT 1; SHOW pointsman.token'), { code: '0A000' })
  await t.rejects(client.query("SELECT 1; SELECT current_setting('pointsman.token', true)"), { code: '0A000' })
})

t.test('the token is told in a batch that is flushed or goes on after it', async (t) => {
  const client = await WireClient.login(t, trusting.port)
  client.query('UPDATE items SET n = n WHERE id = 2')
  await client.until('ReadyForQuery')
  const show = ['Parse "" "SHOW pointsman.token" 0', 'Bind "" "" 0 0 0', 'Describe P ""', 'Execute "" 0']
  client.send(...show, 'Flush')
  t.match((await client.until('CommandComplete')).at(-2), /^DataRow .*p1\./)
  client.send('Sync')
  await client.until('ReadyForQuery')
  client.send(...show, 'Sync', 'Parse "" "SELECT 7" 0', 'Bind "" "" 0 0 0', 'Execute "" 0', 'Sync')
  const lines = await client.until('ReadyForQuery', 2)
  t.match(
    lines.find((line) => line.startsWith('DataRow')),
    /p1\./,
    'and what was sent after it waits its turn',
  )
})

const system = systemKey('1')
const mainSystem = (): string => here.runtime.snapshot().topology.clusters.get('main')?.system ?? ''
const forged = (entry: Partial<TokenEntry>): string =>
  encodeToken([{ cluster: 'main', system: mainSystem(), timeline: 1, lsn: 0x10n, ...entry }], null) ?? ''
const hostile: Readonly<Record<string, () => string>> = {
  'random bytes': () =>
    Buffer.from(fc.sample(fc.uint8Array({ minLength: 50, maxLength: 200 }), 1)[0] ?? [])
      .toString('latin1')
      .replaceAll(/[\0'\\]/g, 'x'),
  truncated: () => forged({}).slice(0, -7),
  'of another version': () => forged({}).replace('p1', 'p7'),
  'a huge position': () => forged({ lsn: 0xffff_ffff_ffff_ffffn }),
  'a newer timeline': () => forged({ timeline: 7, lsn: 0x10n }),
  'the last timeline there is': () => forged({ timeline: 0xffff_ffff, lsn: null }),
  'other servers': () => forged({ system, lsn: 0xffff_ffff_ffff_ffffn }),
  'other servers, newer': () => forged({ system, timeline: 9 }),
  'no such cluster': () => forged({ cluster: 'gone' }),
  'signed by somebody': () => encodeToken([{ cluster: 'main', system: mainSystem(), timeline: 1, lsn: 1n }], 'another key') ?? '',
  'ten megabytes': () => `p1.${'A'.repeat(10 * 1024 * 1024)}`,
}

t.test('I11: no token is an error, hides a write, or keeps a session from its replicas', async (t) => {
  const proxies = { here, signed }
  await Promise.all(
    Object.entries(proxies).flatMap(([name, proxy], p) =>
      Object.entries(hostile).map(async ([what, make], i) => {
        const client = await proxy.connect()
        const notices: { severity?: string | undefined; message?: string | undefined; detail?: string | undefined }[] = []
        client.on('notice', (notice) => notices.push(notice))
        const id = 2 + p * Object.keys(hostile).length + i
        const label = `${what} (${name})`
        const text = make()
        for (const take of [
          (): Promise<unknown> => client.query("SELECT set_config('pointsman.token', $1, false)", [text]),
          (): Promise<unknown> => client.query(`SET pointsman.token = '${text}'`),
        ]) {
          await take()
          for (const to of [100, 200]) {
            await client.query(`UPDATE items SET n = ${String(to)} WHERE id = ${String(id)}`)
            const seen = await n(client, id)
            if (seen !== to) t.fail(`${label}: a write was hidden`)
          }
        }
        const began = performance.now()
        await onReplica(client)
        const took = performance.now() - began
        t.ok(took < (/newer|last timeline/.test(what) ? 14_000 : 6_000), `${label}: on a replica again after ${took.toFixed(0)} ms`)
        t.ok(
          notices.every(({ severity }) => severity === 'WARNING'),
          `${label}: at most warned`,
        )
        const told = notices.map(({ message, detail }) => `${message ?? ''} ${detail ?? ''}`).join(' ')
        t.notOk(text.length > 12 && told.includes(text.slice(3, 60)), `${label}: without its text`)
        if (name === 'signed' || /random|truncated|version|servers|cluster|mega/.test(what)) t.ok(notices.length > 0, `${label}: warned`)
      }),
    ),
  )
})

t.test('I11: a token that cannot be used asks for all that is written when it comes', async (t) => {
  await paused(t)
  const writer = await signed.connect()
  const before = Number(await n(writer))
  await write(writer, before + 1)
  for (const [what, make] of Object.entries(hostile)) {
    const client = await signed.connect()
    if (what === 'ten megabytes') await client.query("SELECT set_config('pointsman.token', $1, false)", [make()])
    else await client.query(`SET pointsman.token = '${make()}'`)
    t.equal(await n(client), before + 1, what)
  }
  for (const what of [
    'other servers',
    'other servers, newer',
    'no such cluster',
    'a newer timeline',
    'the last timeline there is',
    'a huge position',
  ]) {
    const client = await here.connect()
    await client.query(`SET pointsman.token = '${hostile[what]?.() ?? ''}'`)
    t.equal(await n(client), before + 1, `${what}, not signed`)
  }
  t.equal(await n(await signed.connect()), before, 'without any: the old state')
})

t.test('I11: however a true, signed token is mutated, its bearer sees what it spoke of', async (t) => {
  await paused(t)
  const writer = await signed.connect()
  const before = Number(await n(writer))
  await write(writer, before + 1)
  const token = await tokenOf(writer)
  const mutation = fc.record({
    at: fc.nat({ max: token.length - 1 }),
    remove: fc.nat({ max: 6 }),
    insert: fc.string({ maxLength: 6, unit: fc.constantFrom(...['p', 'A', 'z', '0', '-', '_', '.', '=', '+', '/', 'é', ' ']) }),
  })
  await fc.assert(
    fc.asyncProperty(mutation, async ({ at, remove, insert }) => {
      const client = new pg.Client({ host: '127.0.0.1', port: signed.port, user: 'app', password: 'app', database: 'app' })
      await client.connect()
      try {
        await client.query("SELECT set_config('pointsman.token', $1, false)", [token.slice(0, at) + insert + token.slice(at + remove)])
        return (await n(client)) === before + 1
      } finally {
        await client.end()
      }
    }),
    { numRuns: 40 },
  )
})

t.test('sticky_writes=off: what is written under it does not move the session', async (t) => {
  await paused(t)
  const ways: Readonly<Record<string, (client: pg.Client, to: number) => Promise<unknown>>> = {
    comment: (client, to) => client.query(`/* pointsman: sticky_writes=off */ UPDATE items SET n = ${String(to)} WHERE id = 1 RETURNING n`),
    'comment, extended': (client, to) => client.query('/* pointsman: sticky_writes=off */ UPDATE items SET n = $1 WHERE id = 1', [to]),
    SET: async (client, to) => {
      await client.query('SET pointsman.sticky_writes = off')
      await write(client, to)
      await client.query('RESET pointsman.sticky_writes')
    },
    'SET LOCAL': async (client, to) => {
      await client.query('BEGIN')
      await client.query('SET LOCAL pointsman.sticky_writes = false')
      await write(client, to)
      await client.query('COMMIT')
    },
  }
  const before = Number(await n(await here.connect()))
  for (const [way, make] of Object.entries(ways)) {
    const client = await here.connect()
    await make(client, before + 1)
    t.equal(await n(client), before, `${way}: it reads on where it was`)
    t.match(await lastRoute(client), /^replica/)
    t.same(
      await tokenOf(client)
        .then(entriesOf)
        .then((entries) => entries.length),
      1,
      'what was read is in the token',
    )
  }
  const other = await here.connect({ options: '-c pointsman.sticky_writes=off' })
  t.equal(await value(other, 'SHOW pointsman.sticky_writes'), 'off')
  await write(other, before + 2)
  t.equal(await n(other), before, 'from the start')
  await other.query(`/* pointsman: sticky_writes=on */ UPDATE items SET n = ${String(before + 3)} WHERE id = 1`)
  t.equal(await n(other), before + 3, 'the comment comes first')

  const mixed = await here.connect()
  await mixed.query('BEGIN')
  await mixed.query(`/* pointsman: sticky_writes=off */ UPDATE items SET n = ${String(before + 4)} WHERE id = 1`)
  await mixed.query('UPDATE items SET n = n WHERE id = 2')
  await mixed.query('COMMIT')
  t.equal(await n(mixed), before + 4, 'in a transaction one sticky write is enough')

  const guarded = await here.connect()
  await guarded.query('/* pointsman: sticky_writes=off */ UPDATE guarded SET n = n + 1')
  t.equal(await value(guarded, 'SELECT n FROM guarded'), 1, 'a table that enforces its policy wins')
})

t.test('per statement, transaction and session: the primary, any replica, a read-only transaction', async (t) => {
  await paused(t)
  const client = await here.connect()
  const before = Number(await n(client))
  await write(client, before + 1)
  t.equal(await n(client), before + 1)
  const read = 'SELECT n FROM items WHERE id = 1'
  const route = async (): Promise<string> => (await lastRoute(client)).split(' ')[0] ?? ''
  t.equal(await value(client, `/* pointsman: consistency=any */ ${read}`), before, 'any: also after a write of its own')
  t.equal(await route(), 'replica')
  t.equal(await value(client, `/* pointsman: consistency=strong */ ${read}`), before + 1)
  t.equal(await route(), 'primary')

  for (const [level, seen] of [
    ['any', before],
    ['strong', before + 1],
  ] as const) {
    await client.query('BEGIN READ ONLY')
    await client.query(`SET LOCAL pointsman.consistency = '${level}'`)
    t.equal(await n(client), seen, `a transaction: ${level}`)
    await client.query('COMMIT')
    await client.query(`SET pointsman.consistency = '${level}'`)
    t.equal(await n(client), seen, `a session: ${level}`)
    t.equal(await route(), level === 'any' ? 'replica' : 'primary')
    await client.query('RESET pointsman.consistency')
  }
  t.equal(await n(client), before + 1, 'and as before, afterwards')

  const reader = await here.connect()
  await reader.query('BEGIN READ ONLY')
  t.equal(await n(reader), before)
  t.match(await lastRoute(reader), /^replica/, 'a read-only transaction is on a replica under the policy')
  await reader.query('COMMIT')
  await client.query('BEGIN READ ONLY')
  t.equal(await n(client), before + 1, 'which its own write keeps from one')
  t.match(await lastRoute(client), /^primary/)
  await client.query('COMMIT')

  await client.query('UPDATE guarded SET n = 77')
  t.equal(await value(client, '/* pointsman: consistency=any */ SELECT n FROM guarded'), 77, 'enforce wins over a comment')
  await client.query("SET pointsman.consistency = 'any'")
  t.equal(await value(client, 'SELECT n FROM guarded'), 77, 'and over SET')
})

t.test('I2: a counter that another session raises never falls, while replicas lag and go away in turn', async (t) => {
  const client = await here.connect()
  const writer = await main.primary.open({ user: 'app', dbname: 'app' })
  const run = { over: false }
  const writing = (async (): Promise<void> => {
    while (!run.over) await writer.query('UPDATE items SET n = n + 1 WHERE id = 40')
  })()
  const used = new Map<string, number>()
  const times = (place: string): number => used.get(place) ?? 0
  let last = -1
  const reading = (async (): Promise<void> => {
    while (!run.over) {
      const seen = Number(await n(client, 40))
      const place = (await lastRoute(client)).split(' ').slice(0, 2).join(' ')
      used.set(place, times(place) + 1)
      if (seen < last) {
        run.over = true
        t.fail(`${String(seen)} after ${String(last)}, on ${place}`)
      }
      last = seen
    }
  })()
  t.teardown(async () => {
    run.over = true
    await Promise.all([writing, reading])
    writer.close()
    await Promise.all(replicas.map((node) => node.resumeReplay()))
  })
  const readsOn = async (place: string, count: number): Promise<void> => {
    const before = times(place)
    await until(`it reads on ${place}`, () => Promise.resolve(run.over || times(place) > before + count))
  }
  const fit = (address: string): Promise<void> =>
    until(`${address} is streaming`, () => {
      const { nodes, timeline } = here.runtime.snapshot().topology.clusters.get('main') ?? {}
      const node = nodes?.find(({ id }) => id === address)
      return Promise.resolve(run.over || (node?.unfit === null && node.position !== null && node.position.timeline === timeline))
    })
  await until('it reads on a replica', () => Promise.resolve(replicas.some((node) => times(`replica ${node.address}`) > 0)))
  const turns = times(`replica ${replicas[0]?.address ?? ''}`) > 0 ? replicas : replicas.toReversed()
  for (let round = 0; round < 4 && !run.over; round++) {
    const [ahead, behind] = round % 2 === 0 ? turns : turns.toReversed()
    if (ahead === undefined || behind === undefined) break
    await fit(behind.address)
    await behind.pauseReplay()
    await readsOn(`replica ${ahead.address}`, 20)
    // What it has seen there the other one cannot show.
    await ahead.stop('immediate')
    await readsOn(`primary ${main.primary.address}`, 3)
    await behind.resumeReplay()
    await readsOn(`replica ${behind.address}`, 5)
    await ahead.start()
  }
  t.notOk(run.over)
  t.comment(JSON.stringify([...used]), last)
})

t.test('I1: across processes also when the primary fails between the export and the import', async (t) => {
  const writer = await served.connect(t)
  const before = Number(await n(writer))
  const [next, behind] = replicas as [(typeof replicas)[0], (typeof replicas)[0]]
  await write(writer, before + 1)
  const token = await tokenOf(writer)
  const stranded = await here.connect()
  await main.waitCaughtUp()
  await main.primary.stop('immediate')
  await stranded.query(`SET pointsman.token = '${forged({ lsn: null })}'`)
  const open = await tokenOf(stranded)
  t.match(entriesOf(open), [{ cluster: 'main', timeline: 1, lsn: null }], 'without a primary it says that all that is written is asked for')
  await next.promote()
  await behind.follow(next)
  await until('the other is proved on the new timeline', async () => {
    const { primary, nodes, timeline } = here.runtime.snapshot().topology.clusters.get('main') ?? {}
    const other = nodes?.find(({ id }) => id === behind.address)
    return Promise.resolve(primary?.id === next.address && timeline === 2 && other?.unfit === null && other.position?.timeline === 2)
  })
  await behind.pauseReplay()
  t.teardown(() => behind.resumeReplay())
  const client = await here.connect()
  await client.query('SELECT set_config($$pointsman.token$$, $1, false)', [token])
  t.equal(await n(client), before + 1, 'the token is of the timeline before')
  await library.run(library.session.fromToken(token), async () => t.equal(await n(library), before + 1, 'in the library too'))
  await write(client, before + 2)
  const newer = await tokenOf(client)
  t.match(entriesOf(newer), [{ cluster: 'main', timeline: 2 }])
  const hopped = await served.connect(t)
  await hopped.query(`SET pointsman.token = '${newer}'`)
  t.equal(await n(hopped), before + 2, 'and back')
  const asking = await served.connect(t)
  await asking.query(`SET pointsman.token = '${open}'`)
  t.equal(await n(asking), before + 2, 'with the token that was told without a primary')
  t.equal(await n(await here.connect()), before + 1, 'without it: the old state')
})
