// Sessions of the library on real servers: floors of their own per request, tokens between processes, scopes, jobs,
// transactions as functions, lanes. Replay of the replicas is paused where it must be seen that nobody waited for luck.
import { once } from 'node:events'
import pg from 'pg'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import t, { type Test } from 'tap'
import { until } from '../../src/embedded/until.js'
import type { ReadsInput } from '../../src/config/input.js'
import type { RequestSession, RoutedClient, RoutedPool } from '../../src/index.js'
import { router, routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, {
  clusters: {
    main: {
      replicas: 2,
      seed: `CREATE TABLE counted (id int PRIMARY KEY, n int); INSERT INTO counted SELECT i, 0 FROM generate_series(1, 9) i;
             CREATE TABLE views (n int); CREATE TABLE accounts (n int); INSERT INTO accounts VALUES (1);`,
    },
  },
})
const reads: ReadsInput = {
  default: { consistency: 'session', on_unmet: ['wait 30ms', 'primary'] },
  tables: { accounts: { consistency: 'strong', enforce: true } },
}
const config = routerConfig(running, { default: 'main', reads })
const pool = router(t, config)
/** As in another process: it has heard of nothing. */
const other = router(t, config)
const main = running.cluster('main')
const replicas = main.replicas
await Promise.all([pool.ready(), other.ready()])

async function paused(t: Test, which = replicas): Promise<() => Promise<void>> {
  let resumed = false
  await caughtUp()
  await Promise.all(which.map((node) => node.pauseReplay()))
  const resume = async (): Promise<void> => {
    if (resumed) return
    resumed = true
    await Promise.all(which.map((node) => node.resumeReplay()))
  }
  t.teardown(resume)
  return resume
}

const caughtUp = (): Promise<void> => main.waitCaughtUp()
const write = (id: number, of: RoutedPool = pool): Promise<unknown> => of.query('UPDATE counted SET n = n + 1 WHERE id = $1', [id])

interface Seen {
  readonly n: number | undefined
  readonly role: string | undefined
}

async function read(id: number, of: Pick<RoutedPool, 'query'> = pool): Promise<Seen> {
  const { rows, routed } = await of.query<{ n: number }>('SELECT n FROM counted WHERE id = $1', [id])
  return { n: rows[0]?.n, role: routed?.role }
}

t.test('I1: a session reads what it wrote, also in another process that is given its token', async (t) => {
  const resume = await paused(t)
  const session = pool.session.create()
  const before = (await pool.run(session, () => read(1))).n ?? NaN
  t.equal(session.wrote, false)
  await pool.run(session, () => write(1))
  t.equal(session.wrote, true)
  t.same(await pool.run(session, () => read(1)), { n: before + 1, role: 'primary' })
  const token = await session.token()
  t.match(token, /^p1\./)

  t.same(await other.run(other.session.create(), () => read(1, other)), { n: before, role: 'replica' }, 'without it: an older state')
  t.same(await other.run(other.session.fromToken(token), () => read(1, other)), { n: before + 1, role: 'primary' })
  t.equal(await other.run(other.session.fromToken(token), () => other.exportToken()), token, 'handed on as it came')
  const client = await other.run(other.session.fromToken(token), () => other.connect())
  t.same(await read(1, client), { n: before + 1, role: 'primary' }, 'a client belongs to the session that it was made in')
  client.release()

  await resume()
  await until('a replica meets the token', async () => {
    const seen = await other.run(other.session.fromToken(token), () => read(1, other))
    t.equal(seen.n, before + 1)
    return seen.role === 'replica'
  })
})

t.test('I11: tokens that cannot be read are no error, and ask for all that was written until they came', async (t) => {
  const before = (await other.run(other.session.create(), () => read(1, other))).n ?? NaN
  const resume = await paused(t)
  await write(1)
  for (const text of ['nonsense', 'p1.', 'p1.W10.x.y', `p1.${Buffer.from('[["main","",1,"0/FFFFFFFF"]').toString('base64url')}`]) {
    const session = other.session.create()
    t.equal(session.import(text), false, text)
    t.same(await other.run(session, () => read(1, other)), { n: before + 1, role: 'primary' })
  }
  for (const nothing of ['', null, undefined]) t.equal(other.session.create().import(nothing), true)
  await resume()
})

t.test('I16: interleaved requests on one pool never exchange floors', async (t) => {
  // One connection per server: what one request opened, the other uses next.
  const small = router(
    t,
    routerConfig(running, { default: 'main', reads }, (_id, cluster) => ({ ...cluster, pool: { max: 1, wait: '10s' } })),
  )
  await small.ready()
  const [writer, reader] = [small.session.create(), small.session.create()]
  await paused(t)

  const promises = async (): Promise<void> => {
    const rounds = Array.from({ length: 5 }, () =>
      Promise.all([
        small.run(writer, async () => {
          await write(2, small)
          return read(2, small)
        }),
        small.run(reader, () => read(2, small)),
        small.run(reader, () => read(3, small)),
      ]),
    )
    for (const [mine, ...theirs] of await Promise.all(rounds)) {
      t.equal(mine.role, 'primary', 'who wrote is not shown an older state')
      t.same(
        theirs.map(({ role }) => role),
        ['replica', 'replica'],
        'who did not write is not sent to the primary by the other',
      )
    }
  }
  await promises()

  /** Everything that calls back does so in the request that asked. */
  const inCallbacks = (session: RequestSession, role: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const mine = (what: string): unknown => t.equal(small.session.current(), session, what)
      small.run(session, () => {
        small.query('SELECT 1', (error: Error | null) => {
          if (error) reject(error)
          mine('callback of query()')
          small.connect((failed, client, release) => {
            if (failed || client === undefined) {
              reject(failed ?? new Error('no client'))
              return
            }
            mine('callback of connect()')
            client.query('SELECT n FROM counted WHERE id = 2', (_error, result) => {
              mine("callback of a client's query()")
              t.equal((result as unknown as { routed: { role: string } }).routed.role, role)
              release()
              resolve()
            })
          })
        })
      })
    })
  const inCursor = (session: RequestSession, role: string): Promise<void> =>
    new Promise((resolve, reject) => {
      small.run(session, () => {
        const cursor = small.query(new Cursor('SELECT generate_series(1, 4)'))
        cursor.read(2, (error: Error | undefined) => {
          t.equal(small.session.current(), session, 'callback of read()')
          if (error) reject(error)
          cursor.read(2, () => {
            t.equal(small.session.current(), session, 'callback of the next read()')
            cursor.close(() => {
              t.equal(small.session.current(), session, 'callback of close()')
              read(2, small).then((seen) => {
                t.equal(seen.role, role)
                resolve()
              }, reject)
            })
          })
        })
      })
    })
  const inStream = async (session: RequestSession, role: string): Promise<void> => {
    const roles: Promise<Seen>[] = []
    await small.run(session, async () => {
      const stream = small.query(new QueryStream('SELECT generate_series(1, 3)', [], { batchSize: 1 }))
      stream.on('data', () => {
        t.equal(small.session.current(), session, 'event of a stream')
        roles.push(read(2, small))
      })
      await once(stream, 'end')
    })
    for (const seen of await Promise.all(roles)) t.equal(seen.role, role)
  }
  for (const way of [inCallbacks, inCursor, inStream]) {
    await Promise.all([way(writer, 'primary'), way(reader, 'replica')])
  }
})

t.test('what has no session sees what sessions wrote, as all of the process', async (t) => {
  await paused(t)
  await pool.run(pool.session.create(), () => write(4))
  t.equal((await read(4)).role, 'primary')
})

t.test('I2: reads of a session never step back, whichever replica answers', async (t) => {
  const [, second] = replicas
  await paused(t, second === undefined ? [] : [second])
  const session = pool.session.create()
  let last = -1
  const nodes = new Set<string>()
  for (let round = 0; round < 12; round++) {
    await main.primary.sql('UPDATE counted SET n = n + 1 WHERE id = 5')
    const rows = await pool.run(session, () =>
      Promise.all([1, 2, 3].map(() => pool.query<{ n: number }>('SELECT n FROM counted WHERE id = 5'))),
    )
    const values = rows.map(({ rows }) => rows[0]?.n ?? NaN)
    t.ok(Math.min(...values) >= last, `${String(values)} after ${String(last)}`)
    last = Math.max(...values)
    for (const { routed } of rows) if (routed !== null) nodes.add(routed.node)
  }
})

t.test('reads side by side in one session: on one replica, and none on the primary', async (t) => {
  await caughtUp()
  const patient = router(
    t,
    routerConfig(running, { default: 'main', reads: { default: { consistency: 'session', on_unmet: ['wait 5s', 'error'] } } }),
  )
  for (let round = 0; round < 3; round++) {
    const session = patient.session.create()
    const nodes = new Set<string | undefined>()
    for (let burst = 0; burst < 3; burst++) {
      const results = await patient.run(session, () =>
        Promise.all(Array.from({ length: 20 }, () => patient.query('SELECT n FROM counted'))),
      )
      for (const { routed } of results) nodes.add(routed?.node)
    }
    t.equal(nodes.size, 1)
    t.notOk(nodes.has(main.primary.address))
  }
})

t.test('scopes: the inner one counts, a query itself more, a table that enforces most', async (t) => {
  await paused(t)
  const role = async (sql = 'SELECT n FROM counted', options: object = {}): Promise<string | undefined> =>
    (await pool.query({ text: sql, ...options })).routed?.role
  await pool.run(pool.session.create(), async () => {
    t.equal(await pool.usePrimary(() => role()), 'primary')
    t.equal(await role(), 'replica')
    t.equal(await pool.usePrimary(() => pool.useReplicas(() => role())), 'replica')
    t.equal(await pool.usePrimary(() => role(undefined, { consistency: 'any' })), 'replica')
    t.equal(await pool.usePrimary(() => role('/* pointsman: consistency=any */ SELECT n FROM counted')), 'replica')
    t.equal(await pool.useReplicas(() => role('SELECT n FROM accounts')), 'primary', 'enforce')
    t.match(await pool.usePrimary(() => pool.explain('SELECT n FROM counted')), { role: 'primary' })
    const client = await pool.connect()
    t.equal((await pool.usePrimary(() => client.query('SELECT n FROM counted'))).routed?.role, 'primary')
    t.equal((await client.query('SELECT n FROM counted')).routed?.role, 'replica')
    client.release()
    await write(6)
    t.equal(await role(), 'primary')
    t.equal(await pool.useReplicas(() => role()), 'replica', 'after an own write too')
    await t.rejects(
      pool.usePrimary(() => role('/* pointsman: consistency=any */ SELECT 1', { consistency: 'strong' })),
      { code: '22023' },
    )
  })
})

t.test('writes that do not stick', async (t) => {
  await paused(t)
  for (const count of [
    () => pool.withoutStickyWrites(() => pool.query('INSERT INTO views VALUES (1)')),
    () => pool.query({ text: 'INSERT INTO views VALUES (1)', stickyWrites: false }),
  ]) {
    const session = pool.session.create()
    await pool.run(session, async () => {
      await count()
      t.equal(session.wrote, false)
      t.equal((await read(7)).role, 'replica')
      await pool.withoutStickyWrites(() => pool.query({ text: 'INSERT INTO views VALUES (1)', stickyWrites: true }))
      t.equal(session.wrote, true)
      t.equal((await read(7)).role, 'primary')
    })
  }
})

t.test('jobs: always, sticky, delayed', async (t) => {
  const session = pool.session.create()
  const resume = await paused(t)
  await pool.run(session, () => write(8))
  const token = await pool.run(session, () => pool.exportToken())
  await t.rejects(pool.exportToken(), /outside router.run/)
  const { n } = await pool.run(session, () => read(8))

  t.same(await other.withToken(token, () => read(8, other)), { n, role: 'primary' }, 'sticky')
  t.same(await other.withToken('', () => read(8, other), { mode: 'always' }), { n, role: 'primary' }, 'always')
  t.same(await other.withToken(token, () => read(8, other), { mode: 'delayed', wait: 50 }), { n, role: 'primary' }, 'waited long enough')
  let began = false
  const job = other.withToken(
    token,
    async () => {
      began = true
      return [await read(8, other), typeof (await other.exportToken())]
    },
    { mode: 'delayed', wait: '30s' },
  )
  await until('the replicas are well behind', async () => ((await other.lag()).worstMs ?? 0) > 300)
  t.equal(began, false)
  await resume()
  t.same(await job, [{ n, role: 'replica' }, 'string'])
  await t.rejects(
    other.withToken(token, () => 1, { mode: 'perhaps' as 'sticky' }),
    TypeError,
  )
})

t.test('throttle: bulk writers wait for the replicas', async (t) => {
  const resume = await paused(t)
  await write(9)
  // More than what a sample that is late may show for a moment.
  await until('they are behind', async () => ((await pool.lag('main')).worstMs ?? 0) > 2_000)
  await t.rejects(pool.throttle({ maxLag: '200ms', timeout: '20ms' }), { key: 'replicas_behind', code: '55P03', retry: 'safe' })
  const reason = new Error('enough')
  await t.rejects(pool.throttle({ maxLag: 0, signal: AbortSignal.abort(reason) }), reason)
  const waiting = pool.throttle({ cluster: 'main', maxLag: '200ms' })
  await resume()
  await waiting
  t.ok(((await pool.lag()).worstMs ?? Infinity) < 2_000)
  const unknown = { code: '42704', message: 'cluster "elsewhere" does not exist', hint: 'There are: main.' }
  await t.rejects(pool.throttle({ cluster: 'elsewhere' }), unknown)
  await t.rejects(pool.lag('elsewhere'), unknown)
  await t.rejects(pool.throttle({ maxLag: 'soon' }), TypeError)
})

t.test('transactions as functions', async (t) => {
  await caughtUp()
  const where = async (client: RoutedClient): Promise<unknown[]> => {
    const first = await client.query('SELECT n FROM counted WHERE id = 1')
    const { rows } = await client.query<{ transaction_isolation: string }>('SHOW transaction_isolation')
    return [first.routed?.role, rows[0]?.transaction_isolation]
  }
  await pool.run(pool.session.create(), async () => {
    t.same(await pool.transaction(where), ['primary', 'read committed'])
    t.same(await pool.readOnlyTransaction(where), ['replica', 'read committed'])
    t.same(await pool.readOnlyTransaction(where, { isolation: 'repeatable read' }), ['replica', 'repeatable read'])
    t.same(await pool.transaction({ readOnly: true, isolation: 'serializable' }, where), ['primary', 'serializable'])
    t.same(await pool.transaction({ readOnly: true, consistency: 'strong' }, where), ['primary', 'read committed'])
    t.same(await pool.usePrimary(() => pool.readOnlyTransaction(where)), ['primary', 'read committed'])
    t.same(await pool.usePrimary(() => pool.readOnlyTransaction(where, { maxStaleness: '1h' })), ['replica', 'read committed'])
    await t.rejects(
      pool.readOnlyTransaction((client) => client.query('DELETE FROM views')),
      { code: '25006' },
    )
    await t.rejects(pool.transaction({ isolation: 'snapshot; DROP TABLE views' as 'serializable' }, where), TypeError)
  })
})

t.test('I13: a transaction is made again only where it is certain that nothing was done', async (t) => {
  await pool.query('TRUNCATE views')
  const failing = (times: number, how: string) => {
    let tries = 0
    return {
      tries: () => tries,
      work: async (client: RoutedClient): Promise<string> => {
        tries++
        await client.query('INSERT INTO views VALUES ($1)', [tries])
        if (tries <= times) await client.query(how)
        return 'done'
      },
    }
  }
  const raise = (code: string): string => `DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '${code}'; END $$`
  for (const code of ['40001', '40P01']) {
    const twice = failing(2, raise(code))
    t.equal(await pool.transaction(twice.work), 'done')
    t.equal(twice.tries(), 3)
    const never = failing(Infinity, raise(code))
    await t.rejects(pool.transaction({ retries: 1 }, never.work), { code })
    t.equal(never.tries(), 2)
  }
  const wrong = failing(1, raise('23505'))
  await t.rejects(pool.transaction(wrong.work), { code: '23505' })
  t.equal(wrong.tries(), 1)
  const lost = failing(1, 'SELECT pg_terminate_backend(pg_backend_pid())')
  await t.rejects(pool.transaction(lost.work))
  t.equal(lost.tries(), 1, 'lost: nobody knows')
  let ended = 0
  const byItself = pool.transaction(async (client) => {
    ended++
    await client.query('INSERT INTO views VALUES (7)')
    await client.query('COMMIT')
    await client.query(raise('40001'))
  })
  await t.rejects(byItself, { code: '40001' })
  t.equal(ended, 1, 'what it committed by itself is not done twice')
  await pool.query('DELETE FROM views WHERE n = 7')
  const passedOver = pool.transaction(async (client) => {
    await client.query('INSERT INTO views VALUES (99)')
    await client.query('SELECT nonsense').catch(() => undefined)
  })
  await t.rejects(passedOver, { code: '25P02' }, 'COMMIT of a failed transaction is no success')
  const { rows } = await pool.query({ text: 'SELECT n FROM views ORDER BY n', consistency: 'strong' })
  t.same(rows, [{ n: 3 }, { n: 3 }])
})

t.test('a transaction whose connection is gone stays failed: what follows does not run outside of it', async (t) => {
  await pool.query('TRUNCATE views')
  const end = 'SELECT pg_terminate_backend(pg_backend_pid())'
  const passedOver = pool.transaction(async (client) => {
    await client.query('INSERT INTO views VALUES (1)')
    await client.query(end).catch(() => undefined)
    await client.query('INSERT INTO views VALUES (2)').catch(() => undefined)
  })
  await t.rejects(passedOver, { code: '25P02' }, 'half of it must not be taken for all of it')
  const client = await pool.connect()
  for (const ending of ['ROLLBACK', 'COMMIT']) {
    await client.query('BEGIN')
    await client.query('INSERT INTO views VALUES (3)')
    await t.rejects(client.query(end))
    await t.rejects(client.query('INSERT INTO views VALUES (4)'), { code: '25P02' })
    await t.rejects(client.query('ROLLBACK TO here'), { code: '3B001' })
    t.equal((await client.query(ending)).command, 'ROLLBACK')
  }
  const first: (() => unknown)[] = [
    () => client.query(`WITH v AS (INSERT INTO views VALUES (6)) ${end}`),
    () => new Promise((_resolve, reject) => client.query(new QueryStream(end)).on('error', reject).resume()),
    () => client.query({ text: 'SELECT pg_sleep(20)', query_timeout: 20 } as { text: string }),
  ]
  for (const lost of first) {
    await client.query('BEGIN')
    await t.rejects(lost() as Promise<unknown>, 'with its first statement, too')
    t.equal(client.getTransactionStatus(), 'E')
    await t.rejects(client.query('INSERT INTO views VALUES (7)'), { code: '25P02' })
    t.equal((await client.query('COMMIT')).command, 'ROLLBACK')
  }
  await client.query('INSERT INTO views VALUES (5)')
  client.release()
  const { rows } = await pool.query({ text: 'SELECT n FROM views ORDER BY n', consistency: 'strong' })
  t.same(rows, [{ n: 5 }])
})

t.test('a transaction whose first statement gets no server is a failed one', async (t) => {
  const strict = router(t, routerConfig(running, { default: 'main', reads: { default: { consistency: 'session', on_unmet: ['error'] } } }))
  const client = await strict.connect()
  await paused(t)
  await client.query('UPDATE counted SET n = n WHERE id = 1')
  await client.query('BEGIN READ ONLY')
  await t.rejects(client.query('SELECT n FROM counted'), { code: '55P03' })
  t.equal(client.getTransactionStatus(), 'E')
  await t.rejects(client.query('SELECT 1'), { code: '25P02' })
  await client.query('ROLLBACK')
  client.release()
})

/** A router whose lanes are used as soon as may be, and until they are: only what is asked for keeps a read off them. */
async function withLanes(t: Test, readsOf: ReadsInput, readOne: (id: number, of: RoutedPool) => Promise<Seen> = read): Promise<RoutedPool> {
  const laned = router(t, {
    ...routerConfig(running, { default: 'main', reads: readsOf }, (_id, cluster) => ({ ...cluster, pool: { max: 8, wait: '20s' } })),
    lanes: { connections: 1, stall: '5s' },
  })
  await until('every replica has a lane', async () => {
    await Promise.all(Array.from({ length: 20 }, () => laned.run(laned.session.create(), () => readOne(5, laned))))
    const { lanes } = laned.lanes()
    return replicas.every(({ address }) => lanes.some(({ node, served }) => node === address && served > 0))
  })
  return laned
}

t.test('I1, I2: also where replicas have lanes: what was written is seen, and what was seen is seen again', async (t) => {
  await caughtUp()
  const laned = await withLanes(t, reads)
  const inNew = <T>(work: () => Promise<T>): Promise<T> => laned.run(laned.session.create(), work)
  const [behind] = replicas
  const resume = await paused(t)
  const before = (await inNew(() => read(5, laned))).n ?? NaN
  await write(5, other)
  const { served } = laned.lanes().counts
  for (const seen of await Promise.all(Array.from({ length: 20 }, () => inNew(() => read(5, laned)))))
    t.same(seen, { n: before, role: 'replica' }, 'who has written and seen nothing reads what is there')
  t.ok(laned.lanes().counts.served - served >= 15, 'on lanes')

  const writer = laned.session.create()
  await laned.run(writer, () => write(5, laned))
  const seen = await laned.run(writer, () => Promise.all(Array.from({ length: 20 }, () => read(5, laned))))
  for (const one of seen) t.same(one, { n: before + 2, role: 'primary' }, 'its own write')
  for (let runs = 0; runs < 5; runs++)
    t.same(await read(5, laned), { n: before + 2, role: 'primary' }, 'outside any session: of the process')

  await resume()
  await caughtUp()
  await behind?.pauseReplay()
  t.teardown(() => behind?.resumeReplay())
  await write(5, other)
  const ahead = replicas.find((node) => node !== behind)
  await until('one replica has it', async () => {
    const [row] = (await ahead?.sql('SELECT n FROM counted WHERE id = 5')) ?? []
    return Number(row?.['n']) === before + 3
  })
  let tokens = 0
  await until('it was read on lanes, by sessions that read no less from then on', async () => {
    const session = laned.session.create()
    const onLanes = laned.lanes().counts.served
    const first = await laned.run(session, () => read(5, laned))
    if (first.n !== before + 3 || laned.lanes().counts.served === onLanes) return false
    tokens += 1
    const token = await session.token()
    for (let runs = 0; runs < 8; runs++) {
      t.equal((await laned.run(session, () => read(5, laned))).n, before + 3)
      t.equal((await laned.run(laned.session.fromToken(token), () => read(5, laned))).n, before + 3, 'whoever is given its token, too')
    }
    return tokens === 4
  })
})

t.test('I3: a bound holds on lanes, whose replicas stand still', async (t) => {
  await caughtUp()
  const boundMs = 1_000
  const bounded = async (id: number, of: RoutedPool): Promise<Seen> => {
    const { rows, routed } = await of.query<{ n: number }>({
      ...{ text: 'SELECT n FROM counted WHERE id = $1', values: [id] },
      ...{ consistency: 'any', maxStaleness: `${String(boundMs)}ms` },
    })
    return { n: rows[0]?.n, role: routed?.role }
  }
  const laned = await withLanes(t, { default: { consistency: 'any' } }, bounded)
  await paused(t)
  const { served } = laned.lanes().counts
  const before = (await bounded(6, laned)).n ?? NaN
  await write(6, other)
  const wroteAt = performance.now()
  let old = 0
  for (let at = wroteAt; at < wroteAt + 2 * boundMs; at = performance.now()) {
    const { n } = await bounded(6, laned)
    if (n === before) {
      old += 1
      if (at > wroteAt + boundMs) throw new Error(`${String(at - wroteAt)} ms after the write it is not seen`)
    }
  }
  t.ok(old > 0 && laned.lanes().counts.served > served, 'within the bound lanes were used')
})

t.test('who loses its session is told once', async (t) => {
  const fresh = router(t, config)
  const told: string[] = []
  fresh.events.on('log', ({ message }) => told.push(message))
  await fresh.query('SELECT n FROM counted')
  t.same(told, [], 'nobody uses sessions')
  await fresh.run(fresh.session.create(), () => fresh.query('SELECT n FROM counted'))
  await fresh.query({ text: 'SELECT n FROM counted', consistency: 'any' })
  t.same(told, [])
  await fresh.query('SELECT n FROM counted')
  await fresh.query('SELECT n FROM counted')
  t.match(told, [/outside router.run\(\)/])
  t.equal(told.length, 1)
  t.throws(() => fresh.run(pool.session.create(), () => 1), TypeError, "another router's session")
  t.notOk(Object.keys(fresh).includes('session'))
  t.ok(fresh instanceof pg.Pool)
})

t.test('what operators switch', async (t) => {
  const switches = await pool.switches()
  switches.setReadOnly('main', { message: 'moving house', by: 'test' }, 'test')
  await t.rejects(write(1), { code: '25006', message: /moving house/ })
  switches.setReadOnly('main', null, 'test')
  await write(1)
})
