// One lane byte by byte: whose reply is whose, however the server's bytes are cut, and what happens around it.
import t from 'tap'
import { encodeErrorResponse, type ErrorFields } from '../../src/protocol/error-fields.js'
import type { Lease } from '../../src/pool/contract.js'
import type { LaneMiss, LaneOf, LaneRequest, LaneSlot } from '../../src/pool/lane-request.js'
import { encodeCopyResponse } from '../../src/protocol/query.js'
import { Lane } from '../../src/pool/lane.js'
import { wireLanes } from '../../src/pool/wire-lanes.js'
import { ShapeBook } from '../../src/pool/shape-book.js'
import { PreparedStatements } from '../../src/server/prepared-names.js'
import type { Loss, PreparedNames, RawSink, ServerConnection } from '../../src/server/contract.js'
import { encodeMessage } from '../support/wire-text.js'

const frames = (...lines: string[]): Buffer => Buffer.concat(lines.map((line) => encodeMessage('B', line)))
const row = (text: string): string => `DataRow 1 ${JSON.stringify(text)}`
const answer = (text: string): Buffer => frames('BindComplete', row(text), 'CommandComplete "SELECT 1"', 'ReadyForQuery I')
const error = (severity: string, code: string): Buffer => encodeErrorResponse({ severity, code, message: 'failed' })
const failure = (code: string): Buffer => Buffer.concat([error('ERROR', code), frames('ReadyForQuery I')])
const sync = 'S\0\0\0\x04'
const part = (text: string): Buffer => frames('BindComplete', row(text), 'CommandComplete "SELECT 1"')
const ready = frames('ReadyForQuery I')
const loss: Loss = { reason: 'gone', error: null, written: true, forwarded: false, torn: false, owed: true }

class Asked implements LaneRequest {
  queuedAt = 0
  readonly record = new ShapeBook().of('main', 1)
  readonly told: string[] = []
  readonly parts: Uint8Array[] = []
  reply: Uint8Array | null = null
  skip = 0
  prepares: string | null = null
  batch = false
  keepsUp = true

  fits(): boolean {
    return true
  }

  compile(_names: PreparedNames, slot: LaneSlot, pieces: Uint8Array[]): void {
    // As the doors do it: what is not of the kind is not touched.
    slot.skip += this.skip
    if (this.prepares !== null) slot.prepares = this.prepares
    if (this.batch) slot.batch = true
    pieces.push(Buffer.from(this.batch ? `batch ${sync}` : 'request '))
  }

  answered(reply: Uint8Array, ready: boolean): void {
    this.reply = Buffer.from(reply)
    this.told.push(ready ? 'answered' : 'answered with others')
  }

  failed({ code }: ErrorFields, parsed: boolean): void {
    this.told.push(`failed ${code}${parsed ? ' parsed' : ''}`)
  }

  streamed(part: Uint8Array, last: boolean): boolean {
    this.parts.push(Buffer.from(part))
    if (last) this.told.push('streamed')
    return this.keepsUp
  }

  broken(_loss: Loss, torn: boolean): void {
    this.told.push(torn ? 'torn' : 'broken')
  }

  stalled(): void {
    this.told.push('stalled')
  }

  missed({ why }: LaneMiss): void {
    this.told.push(`missed: ${why}`)
  }
}

function laneOf(maxResultBytes = 1000, joins = false) {
  let sink: RawSink | null = null
  const events: string[] = []
  const written: string[] = []
  let endCancel: (failed: boolean) => void = () => undefined
  const connection = {
    statements: new PreparedStatements(10),
    raw: (given: RawSink) => {
      sink = given
      const wire = { pause: 'pause', resume: 'resume', end: 'end' } as const
      return {
        ...Object.fromEntries(Object.entries(wire).map(([name]) => [name, () => void events.push(name)])),
        write: (bytes: Uint8Array) => void written.push(Buffer.from(bytes).toString('latin1')),
        fatal: () => void events.push('fatal'),
      }
    },
    cancel: () =>
      new Promise<void>((resolve, reject) => {
        endCancel = (failed) => (failed ? reject(new Error('no')) : resolve())
      }),
    sever: () => void events.push('sever'),
  }
  const lease = {
    connection: connection as unknown as ServerConnection,
    node: 'p:1',
    cluster: 'main',
    release: (taint: string | null) => void events.push(`release ${String(taint)}`),
    destroy: () => void events.push('destroy'),
  } satisfies Lease<ServerConnection>
  let now = 0
  const lane: Lane & LaneOf = new Lane(
    lease,
    {
      limits: { enabled: true, connections: 1, stallMs: 20, maxResultBytes, depth: 8 },
      now: () => now,
      moved: () => undefined,
      ended: () => void events.push('ended'),
      served: () => undefined,
      count: () => undefined,
    },
    joins,
  )
  const data = (bytes: Uint8Array): void => sink?.data(bytes)
  const push = (count: number): Asked[] => {
    const asked = Array.from({ length: count }, () => new Asked())
    for (const one of asked) lane.push(one, now)
    return asked
  }
  const at = (time: number): void => {
    now = time
  }
  return { lane, data, push, at, events, written, closed: () => sink?.closed(loss), cancelEnds: (failed = false) => endCancel(failed) }
}

const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

t.test('each gets its own whole reply, wherever the bytes are cut', async (t) => {
  const replies = [answer('one'), failure('22012'), answer('three')]
  const all = Buffer.concat(replies)
  for (let cut = 0; cut <= all.length; cut++) {
    const { data, push } = laneOf()
    const asked = push(3)
    data(all.subarray(0, cut))
    if (cut < all.length) data(all.subarray(cut))
    t.same(
      asked.map(({ told }) => told),
      [['answered'], ['failed 22012'], ['answered']],
      `cut at ${String(cut)}`,
    )
    t.same([asked[0]?.reply, asked[2]?.reply], [replies[0], replies[2]])
  }
})

t.test('a reply beyond the limit is streamed, byte for byte, and the next ones are whole again', async (t) => {
  const large = frames('BindComplete', row('x'.repeat(700)), row('y'.repeat(900)), 'CommandComplete "SELECT 2"', 'ReadyForQuery I')
  const all = Buffer.concat([large, answer('two')])
  for (const size of [1, 3, 7, 64, 500, 1024, all.length]) {
    const { lane, data, push } = laneOf(size === all.length ? 10 : 300)
    const [first, second] = push(2)
    for (let from = 0; from < all.length; from += size) data(all.subarray(from, from + size))
    if (size < 1024) {
      t.same(Buffer.concat(first?.parts ?? []), large, `in pieces of ${String(size)}`)
      t.same(first?.told, ['streamed'])
      t.same(second?.told, ['stalled', 'answered'])
    }
    t.same(second?.reply, answer('two'))
    t.ok(lane.open)
  }
})

t.test('a client that does not read pauses the lane; one that goes lets it go on', async (t) => {
  const { lane, data, push, events } = laneOf(100)
  const [first] = push(1)
  if (first === undefined) return
  first.keepsUp = false
  const large = frames(row('x'.repeat(500)), 'CommandComplete "SELECT 1"', 'ReadyForQuery I')
  data(large.subarray(0, 300))
  t.same(events, ['pause'])
  t.equal(lane.state, 'large')
  lane.drop(first)
  t.same(events, ['pause', 'resume'])
  data(large.subarray(300))
  t.equal(lane.state, 'open')
  t.same(first.told, [])
})

t.test('acknowledgements of what is ours are left out', async (t) => {
  const { data, push, lane } = laneOf()
  const one = new Asked()
  one.skip = 2
  lane.push(one, 0)
  const [two] = push(1)
  data(Buffer.concat([frames('CloseComplete', 'ParseComplete'), answer('one'), frames('ParseComplete'), answer('two')]))
  t.same(one.reply, answer('one'))
  t.same(two?.reply, Buffer.concat([frames('ParseComplete'), answer('two')]))
})

t.test('what could not be parsed is not taken for prepared; what was parsed and failed is', async (t) => {
  const { data, lane } = laneOf()
  const { statements } = lane.connection
  const pushed = (key: string): Asked => {
    const asked = new Asked()
    asked.prepares = key
    statements.add(key)
    lane.push(asked, 0)
    return asked
  }
  const [bad, good] = [pushed('bad'), pushed('good')]
  data(Buffer.concat([failure('42601'), frames('ParseComplete'), failure('22012')]))
  t.same([bad.told, good.told], [['failed 42601'], ['failed 22012 parsed']])
  t.equal(statements.get('bad'), undefined)
  t.type(statements.get('good'), 'string')
})

t.test('a setting that changes ends the lane once its replies have come; nobody is told of it', async (t) => {
  const { data, push, lane, events } = laneOf()
  const asked = push(2)
  const status = frames('ParameterStatus "TimeZone" "UTC"')
  const first = answer('one')
  data(Buffer.concat([first.subarray(0, 5), status, first.subarray(5)]))
  t.same(asked[0]?.reply, first)
  t.notOk(lane.open)
  t.same(events, [])
  data(answer('two'))
  t.same(asked[1]?.reply, answer('two'))
  t.same(events, ['end', 'destroy', 'ended'], 'its parameters are not known any more')
})

t.test('what has no place on a lane ends the connection', async (t) => {
  const strange = [encodeCopyResponse('in', false, 0), frames('ReadyForQuery T'), frames(row('a'), 'ReadyForQuery I', row('b'))]
  for (const bytes of strange) {
    const { data, push } = laneOf()
    push(1)
    t.throws(() => data(bytes), /protocol|lane|asked/)
  }
  const { data, events } = laneOf()
  data(error('FATAL', '57P01'))
  t.same(events, ['fatal'], 'a server may say why it goes')
})

t.test('a lost connection: what was not given out is run elsewhere', async (t) => {
  const { data, push, closed, events } = laneOf()
  const asked = push(3)
  data(Buffer.concat([answer('one'), answer('two').subarray(0, 20)]))
  closed()
  t.same(
    asked.map(({ told }) => told),
    [['answered'], ['missed: lost'], ['missed: lost']],
  )
  t.same(events, ['destroy', 'ended'])
  const other = laneOf(50)
  const [first, second] = other.push(2)
  other.data(frames(row('x'.repeat(80))).subarray(0, 70))
  other.closed()
  t.same(first?.told, ['torn'])
  t.same(second?.told, ['stalled', 'missed: lost'])
})

t.test('a slow head: followers are told once, nobody new, and the lane goes on after it', async (t) => {
  const { lane, data, push, at } = laneOf()
  const [head, follower] = push(2)
  at(19)
  lane.check(19, 20)
  t.ok(lane.open)
  at(21)
  lane.check(21, 20)
  lane.check(22, 20)
  t.equal(lane.state, 'slow')
  t.same(head?.told, [])
  t.same(follower?.told, ['stalled'])
  t.equal(head?.record.barred, 'stalled')
  if (follower !== undefined) lane.drop(follower)
  data(Buffer.concat([answer('one'), answer('two')]))
  t.same(head?.told, ['answered'])
  t.same(follower?.told, ['stalled'], 'its reply is dropped')
  t.ok(lane.open)
})

t.test('cancel: the head is hit, a neighbour that is hit is run again, and the lane opens after an empty round trip', async (t) => {
  const { lane, data, push, cancelEnds, written } = laneOf()
  const [head, follower, another] = push(3)
  if (head === undefined || another === undefined) return
  t.equal(lane.cancel(another), 'dropped')
  t.equal(lane.cancel(head), 'sent')
  t.equal(lane.state, 'canceling')
  data(Buffer.concat([failure('57014'), failure('57014')]))
  t.same(head.told, ['failed 57014'])
  t.same(follower?.told, ['missed: neighbour'])
  data(answer('three'))
  t.same(another.told, [])
  t.notOk(lane.open, 'the cancel may still arrive')
  cancelEnds()
  await soon()
  t.equal(written.at(-1), 'S\0\0\0\x04')
  t.notOk(lane.open)
  data(frames('ReadyForQuery I'))
  t.ok(lane.open)
  const [next] = push(1)
  data(failure('57014'))
  t.same(next?.told, ['failed 57014'], 'without a cancel in flight it is the own error')
})

t.test('a neighbour whose reply is large while a cancel is in flight is run elsewhere: the cancel might hit it half told', async (t) => {
  const { lane, data, push } = laneOf(50)
  const [head, follower] = push(2)
  if (head === undefined) return
  lane.cancel(head)
  data(Buffer.concat([answer('one'), frames(row('x'.repeat(80))).subarray(0, 70)]))
  t.same(head.told, ['answered'])
  t.same(follower?.told, ['missed: neighbour'])
  data(Buffer.concat([frames(row('x'.repeat(80))).subarray(70), failure('57014')]))
  t.same(follower?.told, ['missed: neighbour'])
  t.same(follower?.parts, [])
})

t.test('a slow head whose client goes is canceled, however late', async (t) => {
  const { lane, push, at } = laneOf()
  const [head] = push(1)
  if (head === undefined) return
  at(200)
  lane.check(200, 20)
  t.equal(lane.state, 'slow')
  lane.drop(head)
  lane.check(205, 20)
  t.equal(lane.state, 'canceling')
})

t.test('a cancel whose end cannot be awaited ends the connection', async (t) => {
  const { lane, push, cancelEnds, events } = laneOf()
  const [head] = push(1)
  if (head === undefined) return
  lane.cancel(head)
  cancelEnds(true)
  await soon()
  t.same(events, ['sever'])
})

t.test('who is about to write takes others along, as long as they are few and quick', async (t) => {
  const few = laneOf()
  t.notOk(few.lane.gathers)
  few.push(7)
  t.ok(few.lane.gathers)
  few.push(1)
  t.notOk(few.lane.gathers)
  await soon()
  t.equal(few.written.length, 1)
  const one = laneOf()
  one.push(1)
  await soon()
  t.notOk(one.lane.gathers, 'nothing is to be written')
  const long = laneOf()
  const [asked] = long.push(1)
  t.ok(long.lane.gathers)
  await soon()
  if (asked !== undefined) asked.record.ms = 1.5
  if (asked !== undefined) long.lane.push(asked, 0)
  t.notOk(long.lane.gathers)
})

t.test('what comes within a turn is written once, whether something is in flight or not', async (t) => {
  const { push, written, data } = laneOf()
  push(1)
  push(1)
  t.same(written, [])
  await soon()
  t.same(written, ['request request '])
  push(3)
  await soon()
  t.same(written, ['request request ', 'request request request '])
  data(answer('one'))
})

/** A lane whose batches share a Sync, and some that stand on it. */
function joining(count: number, maxResultBytes = 1000) {
  const made = laneOf(maxResultBytes, true)
  const pushed = (change: (asked: Asked) => void = () => undefined): Asked => {
    const asked = new Asked()
    asked.batch = true
    change(asked)
    made.lane.push(asked, 0)
    return asked
  }
  const asked = Array.from({ length: count }, () => pushed())
  const told = (): readonly string[] => asked.map((one) => one.told.join(', '))
  return { ...made, asked, pushed, told }
}

t.test('batches of one write share its last Sync, and each gets its own reply, wherever the bytes are cut', async (t) => {
  const all = Buffer.concat([part('one'), part('two'), answer('three')])
  for (let cut = 0; cut <= all.length; cut++) {
    const { data, asked, told, written, lane } = joining(3)
    await soon()
    t.same(written, [`batch batch batch ${sync}`])
    data(all.subarray(0, cut))
    if (cut < all.length) data(all.subarray(cut))
    t.same(told(), ['answered with others', 'answered with others', 'answered'], `cut at ${String(cut)}`)
    t.same(
      asked.map(({ reply }) => reply),
      [part('one'), part('two'), answer('three')],
    )
    t.equal(lane.inFlight, 0)
    t.ok(lane.open)
  }
})

t.test('a Query ends by itself, what is prepared is sure to be, and what is written later has a Sync of its own', async (t) => {
  const { pushed, written, push } = joining(1)
  push(1)
  pushed()
  pushed((asked) => (asked.prepares = 'key'))
  pushed()
  await soon()
  pushed()
  await soon()
  t.same(written, [`batch ${sync}request batch ${sync}batch batch ${sync}`, `batch ${sync}`])
})

t.test('a connection where several reads would not be as each alone has a Sync for each', async (t) => {
  const { lane, written } = laneOf()
  for (let count = 0; count < 2; count++) {
    const asked = new Asked()
    asked.batch = true
    lane.push(asked, 0)
  }
  await soon()
  t.same(written, [`batch ${sync}batch ${sync}`])
})

t.test('not so many share a Sync, and not for so long, that what they have locked would be missed', async (t) => {
  const many = joining(18)
  await soon()
  t.equal(many.written.join('').split(sync).length - 1, 2)
  const slow = joining(0)
  for (let count = 0; count < 3; count++) slow.pushed((asked) => (asked.record.ms = 0.6))
  await soon()
  t.same(slow.written, [`batch batch ${sync}batch ${sync}`])
  const quick = joining(1)
  quick.pushed((asked) => (asked.record.ms = 9))
  await soon()
  t.same(quick.written, [`batch ${sync}batch ${sync}`], 'whoever is quick does not wait for one that is not')
})

t.test('an error stays with its owner: those that the server passes over are run elsewhere, and it keeps to itself', async (t) => {
  const { data, asked, told, lane, written, pushed } = joining(4)
  await soon()
  data(Buffer.concat([part('one'), frames('ParseComplete'), error('ERROR', '22012')]))
  t.same(told(), ['answered with others', 'failed 22012 parsed', 'missed: neighbour', 'missed: neighbour'])
  t.equal(lane.inFlight, 1, 'the Sync')
  const next = pushed()
  const same = pushed((one) => Object.assign(one, { record: asked[1]?.record }))
  data(Buffer.concat([ready, answer('next'), answer('again')]))
  t.same([next.told, same.told], [['answered'], ['answered']])
  t.equal(written.at(-1), `batch ${sync}batch ${sync}`)
  t.equal(lane.inFlight, 0)
})

t.test('the error of the last one is followed by the Sync that all have shared', (t) => {
  const { data, told, lane } = joining(2)
  data(Buffer.concat([part('one'), failure('22012')]))
  t.same(told(), ['answered with others', 'failed 22012'])
  t.equal(lane.inFlight, 0)
  t.end()
})

t.test('a server that goes is no error of who is answered', (t) => {
  const { data, told, closed } = joining(3)
  data(Buffer.concat([part('one'), error('FATAL', '57P01')]))
  closed()
  t.same(told(), ['answered with others', 'missed: lost', 'missed: lost'])
  t.end()
})

t.test('slow with others: nobody knows who, so all look elsewhere, and what they have locked is let go of', async (t) => {
  const { data, asked, told, lane, at, cancelEnds, written } = joining(3)
  await soon()
  at(21)
  lane.check(21, 20)
  t.same(told(), ['stalled', 'stalled', 'stalled'])
  t.same(
    asked.map(({ record }) => [record.barred, record.alone > 0]),
    Array(3).fill([null, true]),
  )
  at(39)
  lane.check(39, 20)
  t.equal(lane.state, 'slow')
  at(41)
  lane.check(41, 20)
  lane.check(42, 20)
  t.equal(lane.state, 'canceling')
  t.same(told(), Array(3).fill('stalled, missed: neighbour'))
  data(Buffer.concat([part('one'), error('ERROR', '57014'), ready]))
  cancelEnds()
  await soon()
  t.equal(written.at(-1), sync)
  data(ready)
  t.ok(lane.open)
  t.same(told(), Array(3).fill('stalled, missed: neighbour'))
})

t.test('a client that cancels is let go of where others share its Sync: it might hit one of them', async (t) => {
  const { data, asked, lane, told } = joining(3)
  const [first, second, third] = asked
  if (first === undefined || second === undefined || third === undefined) return
  t.equal(lane.cancel(first), 'dropped')
  data(part('one'))
  t.equal(lane.cancel(second), 'dropped')
  data(part('two'))
  t.equal(lane.cancel(third), 'dropped', 'the last one has shared it, too')
  data(answer('three'))
  t.same(told(), ['', '', ''])
  t.equal(lane.state, 'open')
})

const large = frames('BindComplete', row('x'.repeat(80)), 'CommandComplete "SELECT 1"')

t.test('a large reply before others goes on as it comes, and ends like any other', (t) => {
  const { data, asked, told } = joining(3, 50)
  const all = Buffer.concat([large, part('two'), answer('three')])
  for (let from = 0; from < all.length; from += 7) data(all.subarray(from, from + 7))
  t.same(told(), ['streamed', 'stalled, answered with others', 'stalled, answered'])
  t.same(Buffer.concat(asked[0]?.parts ?? []), Buffer.concat([large, ready]))
  t.end()
})

t.test('a large reply behind others is for another connection: what they have locked must not wait for its client', (t) => {
  const { data, asked, told, lane } = joining(3, 50)
  const all = Buffer.concat([part('one'), large, answer('three')])
  for (let from = 0; from < all.length; from += 7) data(all.subarray(from, from + 7))
  t.same(told(), ['answered with others', 'missed: neighbour', 'stalled, answered'])
  t.same(asked[1]?.parts, [])
  t.equal(asked[1]?.record.barred, 'too large')
  t.ok(lane.open)
  t.end()
})

t.test('how long locks are held is the time of all who share the Sync, not of the head', (t) => {
  const { data, told, lane, at } = joining(3)
  at(30)
  data(part('one'))
  at(41)
  lane.check(41, 20)
  lane.check(42, 20)
  t.same(told().slice(1), Array(2).fill('missed: neighbour'))
  data(part('two'))
  at(90)
  lane.check(90, 20)
  t.equal(lane.state, 'canceling')
  data(answer('three'))
  t.same(told().slice(1), Array(2).fill('missed: neighbour'))
  t.end()
})

t.test('who shares a Sync has a share of its time', (t) => {
  const { data, asked, at } = joining(3)
  at(3)
  data(Buffer.concat([part('one'), part('two'), answer('three')]))
  t.same(
    asked.map(({ record }) => record.ms),
    [1, 1, 1],
  )
  t.end()
})

t.test('while a large reply goes on nobody comes in behind it', (t) => {
  const { lane, data, push } = laneOf(50)
  push(1)
  const reply = answer('x'.repeat(100))
  data(reply.subarray(0, 80))
  t.same([lane.open, lane.moving, lane.state], [false, false, 'large'])
  data(reply.subarray(80))
  t.ok(lane.open)
  t.end()
})

t.test('a head is as old as it has been the head', (t) => {
  const { lane, data, push, at } = laneOf()
  const [, second] = push(2)
  at(100)
  data(answer('one'))
  lane.check(110, 20)
  t.ok(lane.open)
  at(104)
  data(answer('two'))
  t.equal(second?.record.ms, 4)
  t.end()
})

t.test('who comes next inherits nothing of who was there before', async (t) => {
  const { lane, data, push, at, cancelEnds } = laneOf()
  const failing = new Asked()
  failing.skip = 2
  lane.push(failing, 0)
  data(failure('42601'))
  const [next] = push(1)
  const whole = Buffer.concat([frames('ParseComplete'), answer('two')])
  data(whole)
  t.same(next?.reply, whole, 'its ParseComplete is its own')
  const [head] = push(1)
  if (head === undefined) return
  lane.cancel(head)
  data(failure('57014'))
  cancelEnds()
  await soon()
  at(1000)
  lane.check(1000, 20)
  data(ready)
  t.ok(lane.open, 'the round trip that ends a cancel is nothing to cancel, however long it takes')
  const [after] = push(1)
  data(answer('three'))
  t.same(after?.told, ['answered'])
  t.ok(lane.open)
})

t.test('a lane does not end while a cancel may still arrive there', async (t) => {
  const { lane, data, push, events, cancelEnds } = laneOf()
  const [head] = push(1)
  if (head === undefined) return
  lane.cancel(head)
  data(failure('57014'))
  lane.retire('nobody comes')
  t.same(events, [])
  cancelEnds()
  await soon()
  t.same(events, [])
  data(ready)
  t.same(events, ['end', 'release it was a lane', 'ended'])
})

t.test('where several reads may be one transaction it is made sure that they may for as long as the lane is there', async (t) => {
  for (const may of ['t', 'f']) {
    const asked: string[] = []
    const query = (sql: string): Promise<unknown> => {
      asked.push(sql)
      return Promise.resolve({ rows: [[may]], tag: 'SELECT 1' })
    }
    const connection = { settings: new Map(), query } as unknown as ServerConnection
    t.equal(await wireLanes.prepare(connection, new Map()), may === 't')
    t.equal(asked.includes("SET default_transaction_isolation = 'read committed'"), may === 't')
  }
})
