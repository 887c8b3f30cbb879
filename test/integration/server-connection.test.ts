// One connection at work on a real server: pass-through with back-pressure, pipelines, COPY, cancel, scrub, loss.
import t from 'tap'
import {
  encodeBind,
  encodeClose,
  encodeDescribe,
  encodeExecute,
  encodeFlush,
  encodeParse,
  encodeSync,
} from '../../src/protocol/extended.js'
import { encodeCopyData, encodeCopyDone, encodeQuery } from '../../src/protocol/query.js'
import type { Expect, ServerConnection } from '../../src/server/contract.js'
import { failing } from '../support/failing.js'
import { forward, openServer, RememberingSink } from '../support/server-connection.js'
import { withTopology } from '../support/topology.js'
import { formatMessages } from '../support/wire-text.js'

const running = await withTopology(t, { clusters: { main: { replicas: 1, seed: 'CREATE TABLE numbers (n int PRIMARY KEY)' } } })
const { primary } = running.cluster('main')
const replica = running.cluster('main').replica()

async function opened(t: { teardown(fn: () => void): void }, node: { host: string; port: number } = primary): Promise<ServerConnection> {
  const connection = await openServer({ host: node.host, port: node.port })
  t.teardown(() => connection.close())
  return connection
}

const lines = (sink: RememberingSink): string[] => formatMessages('B', Buffer.concat(sink.chunks)).map((line) => line.split(' ')[0] ?? '')
const query = (text: string): [readonly Uint8Array[], readonly Expect[]] => [[encodeQuery(text)], [forward('query')]]

t.test('queries of our own', async (t) => {
  const connection = await opened(t)
  t.same(await connection.query("SELECT 1 AS a, NULL AS b, 'é' AS c"), {
    columns: ['a', 'b', 'c'],
    rows: [['1', null, 'é']],
    tag: 'SELECT 1',
  })
  await t.rejects(connection.query('SELECT 1/0'), failing({ name: 'ServerError', code: '22012' }))
  const both = await Promise.all([connection.query('SELECT 1'), connection.query('SELECT 2'), connection.sync()])
  t.same([both[0].rows, both[1].rows], [[['1']], [['2']]], 'in their turn')
  t.equal(connection.transaction, 'I')
  await connection.query('BEGIN')
  t.equal(connection.transaction, 'T')
})

t.test('a connection that was severed is good for nobody from that moment on, and says that it is lost', async (t) => {
  const connection = await opened(t)
  const gone = new Promise<string>((resolve) => connection.onClosed(resolve))
  connection.sever()
  t.notOk(connection.usable)
  t.match(await gone, 'the server closed the connection')
})

t.test('a pipeline with an error in the middle, as the server really answers it', async (t) => {
  const connection = await opened(t)
  const sink = new RememberingSink(connection)
  const group = (text: string): [Uint8Array[], Expect[]] => [
    [encodeParse('', text), encodeBind('', '', []), encodeDescribe({ of: 'portal', name: '' }), encodeExecute(), encodeSync()],
    [forward('parse'), forward('bind'), forward('describe-portal'), forward('execute'), forward('sync')],
  ]
  for (const text of ['SELECT 1', 'SELECT 1 / (random() * 0)', 'SELEC', "SELECT 'end'"]) sink.exchange.send(...group(text))
  await sink.untilReady(4)
  const good = ['ParseComplete', 'BindComplete', 'RowDescription', 'DataRow', 'CommandComplete', 'ReadyForQuery']
  t.same(lines(sink), [
    ...good,
    'ParseComplete',
    'BindComplete',
    'RowDescription',
    'ErrorResponse',
    'ReadyForQuery',
    'ErrorResponse',
    'ReadyForQuery',
    ...good,
  ])
  t.same(
    sink.errors.map(({ code }) => code),
    ['22012', '42601'],
  )
  t.equal(sink.exchange.owed, 0)
  t.notOk(sink.exchange.written)
  sink.exchange.end()
  t.ok(connection.usable)
})

t.test('statements are closed, forgotten and handed out again', async (t) => {
  const connection = await opened(t)
  const { statements } = connection
  const names = async (): Promise<unknown> => (await connection.query('SELECT name FROM pg_prepared_statements ORDER BY name')).rows.flat()
  const sink = new RememberingSink(connection)
  const prepare = (key: string, close: readonly string[] = []): void => {
    const added = statements.add(key)
    const frames = [
      ...[...close, ...added.close].map((name) => encodeClose({ of: 'statement', name })),
      encodeParse(added.name, key),
      encodeSync(),
    ]
    const closes = [...close, ...added.close].map((name): Expect => ({ act: 'swallow', reply: 'close', closes: name }))
    sink.exchange.send(frames, [...closes, { act: 'forward', reply: 'parse', prepares: key }, forward('sync')])
  }
  prepare('SELECT 1')
  prepare('SELEC 2')
  await sink.untilReady(2)
  t.equal(statements.get('SELECT 1'), 'pointsman_1')
  t.equal(statements.get('SELEC 2'), undefined, 'its Parse failed')
  t.same(await names(), ['pointsman_1'])
  // A Close that the server skips, since the message before it fails.
  sink.exchange.send(
    [encodeBind('', 'nothing', []), encodeClose({ of: 'statement', name: 'pointsman_1' }), encodeSync()],
    [forward('bind'), { act: 'swallow', reply: 'close', closes: 'pointsman_1' }, forward('sync')],
  )
  await sink.untilReady(3)
  t.same(await names(), ['pointsman_1'])
  prepare('SELECT 3')
  await sink.untilReady(4)
  t.same(await names(), ['pointsman_3'], 'closed with the next one')
  sink.exchange.send(...query('DEALLOCATE ALL'))
  await sink.untilReady(5)
  t.equal(statements.size, 0)
  sink.exchange.end()
})

t.test('COPY in, in both protocols, and data that is refused', async (t) => {
  const connection = await opened(t)
  const sink = new RememberingSink(connection)
  sink.exchange.send(...query('COPY numbers FROM STDIN'))
  await sink.until(() => sink.copies.length === 1)
  sink.exchange.write(encodeCopyData(Buffer.from('1\n2\n')))
  sink.exchange.send([encodeCopyDone()], [forward('copy-end')])
  await sink.untilReady(1)
  // As libpq does it: a Sync with the Execute, which the server ignores, and another at the end.
  const extended = [encodeParse('', 'COPY numbers FROM STDIN'), encodeBind('', '', []), encodeExecute(), encodeSync()]
  const expects = [forward('parse'), forward('bind'), forward('execute'), forward('sync')]
  sink.exchange.send(extended, expects)
  await sink.until(() => sink.copies.length === 2)
  sink.exchange.write(encodeCopyData(Buffer.from('3\n')))
  sink.exchange.send([encodeCopyDone(), encodeSync()], [forward('copy-end'), forward('sync')])
  await sink.untilReady(2)
  t.same(sink.tags, ['COPY 2', 'COPY 1'])
  t.ok(connection.usable)
  sink.exchange.send(extended, expects)
  await sink.until(() => sink.copies.length === 3)
  sink.exchange.write(encodeCopyData(Buffer.from('none\n')))
  sink.exchange.send([encodeCopyDone(), encodeSync()], [forward('copy-end'), forward('sync')])
  await sink.untilReady(3)
  t.equal(sink.errors[0]?.code, '22P02')
  t.equal(sink.exchange.owed, 0)
  t.same((await connection.query('SELECT count(*) FROM numbers')).rows, [['3']])
  sink.exchange.end()
  t.notOk(connection.usable, 'whether the ignored Sync came before or after the error cannot be known: not for the next client')
})

t.test('COPY out', async (t) => {
  const connection = await opened(t)
  const sink = new RememberingSink(connection)
  sink.exchange.send(...query('COPY (SELECT generate_series(1, 3)) TO STDOUT'))
  await sink.untilReady(1)
  t.same(lines(sink), ['CopyOutResponse', 'CopyData', 'CopyData', 'CopyData', 'CopyDone', 'CommandComplete', 'ReadyForQuery'])
  sink.exchange.end()
})

t.test('a portal read in pieces', async (t) => {
  const connection = await opened(t)
  const sink = new RememberingSink(connection)
  sink.exchange.send(
    [encodeParse('', 'SELECT generate_series(1, 3)'), encodeBind('', '', []), encodeExecute('', 2), encodeFlush()],
    [forward('parse'), forward('bind'), forward('execute')],
  )
  await sink.until(() => sink.exchange.owed === 0)
  t.same(lines(sink), ['ParseComplete', 'BindComplete', 'DataRow', 'DataRow', 'PortalSuspended'])
  await t.rejects(connection.query('SELECT 1'), /open group/, 'a query of ours would end the portal')
  sink.exchange.send([encodeExecute('', 2), encodeSync()], [forward('execute'), forward('sync')])
  await sink.untilReady(1)
  t.same(sink.tags, ['SELECT 1'])
  sink.exchange.end()
})

t.test('a value of 200 MB passes without being held; a consumer that pauses is waited for', async (t) => {
  const connection = await opened(t)
  const sink = new RememberingSink(connection)
  let pauses = 0
  let most = 0
  sink.take = (): boolean => {
    most = Math.max(most, process.memoryUsage().arrayBuffers)
    pauses++
    setImmediate(() => sink.exchange.resume())
    return false
  }
  const before = process.memoryUsage().arrayBuffers
  sink.exchange.send(...query("SELECT repeat('x', 200 * 1024 * 1024)"))
  await sink.untilReady(1)
  t.ok(sink.bytesSeen > 200 * 1024 * 1024)
  t.ok(pauses > 1000)
  t.ok(most - before < 100 * 1024 * 1024, `memory grew by ${String((most - before) >> 20)} MB`)
  sink.exchange.end()
})

t.test('a parameter of 100 MB is written in pieces, as fast as the server takes them', async (t) => {
  const connection = await opened(t)
  const sink = new RememberingSink(connection)
  const piece = Buffer.alloc(64 * 1024, 'x')
  const pieces = 1600
  const whole = encodeBind('', '', [Buffer.from('x')])
  const head = Buffer.from(whole.subarray(0, whole.length - 3))
  const size = piece.length * pieces
  head.writeInt32BE(whole.length - 1 + size - 1, 1)
  head.writeInt32BE(size, head.length - 4)
  const expects = [forward('parse'), forward('bind'), forward('execute'), forward('sync')]
  let free = sink.exchange.send([encodeParse('', 'SELECT length($1::text)'), head], expects)
  for (let sent = 0; sent < pieces; sent++) {
    if (!free) {
      const drained = sink.drained
      await sink.until(() => sink.drained > drained)
    }
    free = sink.exchange.write(piece)
  }
  t.ok(sink.drained > 0, 'the writer had to wait')
  sink.exchange.write(whole.subarray(whole.length - 2))
  sink.exchange.write(Buffer.concat([encodeExecute(), encodeSync()]))
  await sink.untilReady(1)
  t.match(sink.text, String(size))
  sink.exchange.end()
})

t.test('cancel', async (t) => {
  const connection = await opened(t)
  const slow = t.rejects(connection.query('SELECT pg_sleep(60)'), failing({ code: '57014' }))
  const watcher = await opened(t)
  for (;;) {
    const { rows } = await watcher.query(
      `SELECT 1 FROM pg_stat_activity WHERE pid = ${String(connection.backend.pid)} AND wait_event = 'PgSleep'`,
    )
    if (rows.length > 0) break
  }
  await connection.cancel()
  await slow
  await connection.quiesce()
  t.same((await connection.query('SELECT 1')).rows, [['1']], 'nothing is left to hit the next one')
  t.ok(connection.usable)
})

t.test('scrub', async (t) => {
  for (const node of [primary, replica]) {
    const connection = await opened(t, node)
    const writes = node === primary
    await connection.query(
      `BEGIN; SET TimeZone = 'Asia/Tokyo'; PREPARE mine AS SELECT 1${writes ? '; CREATE TEMP TABLE left_behind ()' : ''}`,
    )
    connection.settings.set('timezone', 'Asia/Tokyo')
    connection.statements.add('key')
    t.equal(connection.parameters.get('TimeZone'), 'Asia/Tokyo')
    await connection.scrub()
    t.equal(connection.transaction, 'I')
    t.same([connection.settings.size, connection.statements.size], [0, 0])
    t.equal(connection.parameters.get('TimeZone'), 'UTC', 'parameters are live')
    t.same(
      (
        await connection.query(
          "SELECT count(*) FROM pg_prepared_statements UNION ALL SELECT count(*) FROM pg_class WHERE relname = 'left_behind'",
        )
      ).rows,
      [['0'], ['0']],
    )
    const sink = new RememberingSink(connection)
    await t.rejects(connection.scrub(), /in use/)
    sink.exchange.end()
  }
})

t.test('notifications and parameters come at any time', async (t) => {
  const connection = await opened(t)
  const other = await opened(t)
  const heard: string[] = []
  let wake: () => void = () => undefined
  const exchange = connection.exchange({
    bytes: () => true,
    ready: () => wake(),
    error: () => 'forward',
    closed: () => undefined,
    parameterStatus: (name, value) => void heard.push(`${name}=${value}`),
    notification: (frame) => {
      heard.push(...formatMessages('B', frame).map((line) => line.replace(/ \d+ /, ' ')))
      wake()
    },
  })
  const next = (): Promise<void> => new Promise((resolve) => (wake = resolve))
  exchange.send(...query("LISTEN jobs; SET TimeZone = 'Asia/Tokyo'"))
  await next()
  const told = next()
  await other.query("NOTIFY jobs, 'one'")
  await told
  t.same(heard, ['TimeZone=Asia/Tokyo', 'NotificationResponse "jobs" "one"'])
  exchange.end()
})

t.test('an exchange that ends while replies are owed ends the connection', async (t) => {
  const connection = await opened(t)
  const sink = new RememberingSink(connection)
  t.throws(() => new RememberingSink(connection), /has a consumer/)
  sink.exchange.send(...query('SELECT pg_sleep(60)'))
  t.ok(sink.exchange.written)
  sink.exchange.end()
  t.notOk(connection.usable)
  t.throws(() => sink.exchange.send(...query('SELECT 1')), /has ended/)
  await t.rejects(connection.query('SELECT 1'), failing({ key: 'connection_lost' }))
})

t.test('a backend that is terminated says why', async (t) => {
  const connection = await opened(t)
  const other = await opened(t)
  const sink = new RememberingSink(connection)
  const reason = new Promise((resolve) => connection.onClosed(resolve))
  sink.exchange.send(...query('SELECT pg_sleep(60)'))
  await other.query(`SELECT pg_terminate_backend(${String(connection.backend.pid)}) FROM pg_sleep(0)`)
  await reason
  t.match(sink.loss, { written: true, owed: true, error: { code: '57P01' } })
  t.notOk(connection.usable)
})
