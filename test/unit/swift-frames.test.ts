// A batch known by its bytes alone: that it is one, and nothing else is, is all that swift-batch.ts stands on.
import t from 'tap'
import { SeenParses } from '../../src/doors/proxy/seen-parses.js'
import { SwiftFrames } from '../../src/doors/proxy/swift-frames.js'
import {
  encodeBind,
  encodeClose,
  encodeDescribe,
  encodeExecute,
  encodeFlush,
  encodeParse,
  encodeSync,
  renameBind,
} from '../../src/protocol/extended.js'
import { understanding } from '../support/understanding.js'

const portal = encodeDescribe({ of: 'portal', name: '' })
const bind = (name: string, value = 'grün'): Buffer => encodeBind('', name, [value, null], [0], [1])
const whole = (name: string): Buffer => Buffer.concat([bind(name), portal, encodeExecute(), encodeSync()])

t.test('what is one', async (t) => {
  const frames = new SwiftFrames()
  t.ok(frames.read(whole('mine')))
  t.same([frames.bind, frames.described, frames.name().toString()], [0, true, 'mine'])
  t.ok(frames.names(Buffer.from('mine')))
  for (const other of ['min', 'mines', 'miné', '']) t.notOk(frames.names(Buffer.from(other)), other)
  const blind = Buffer.concat([bind(''), encodeExecute(), encodeSync()])
  t.ok(frames.read(blind))
  t.notOk(frames.described)
  const parse = encodeParse('', 'SELECT $1', [23])
  t.ok(frames.read(Buffer.concat([parse, blind])))
  t.equal(frames.bind, parse.length)
  t.same(frames.cut(), [parse, bind(''), encodeExecute()])
})

t.test('what is not: a part of one, more than one, and whatever differs in a byte of its form', async (t) => {
  const frames = new SwiftFrames()
  const parsed = Buffer.concat([encodeParse('', 'SELECT $1'), whole('')])
  for (const batch of [whole('mine'), parsed]) {
    for (let length = 0; length < batch.length; length++) t.notOk(frames.read(batch.subarray(0, length)), `${String(length)} bytes of it`)
    t.notOk(frames.read(Buffer.concat([batch, batch])))
    t.notOk(frames.read(Buffer.concat([batch, Buffer.alloc(1)])))
    const end = portal.length + encodeExecute().length + encodeSync().length
    for (let at = batch.length - end; at < batch.length; at++) {
      const other = Buffer.from(batch)
      other[at] = (other[at] ?? 0) ^ 1
      t.notOk(frames.read(other), `byte ${String(at)}`)
    }
  }
  const rest = [portal, encodeExecute(), encodeSync()]
  const others: readonly (readonly Buffer[])[] = [
    [encodeBind('p', 'mine', []), ...rest],
    [encodeParse('mine', 'SELECT 1'), bind('mine'), ...rest],
    [encodeParse('mine', 'SELECT 1'), bind(''), ...rest],
    [encodeParse('', 'SELECT 1'), bind('mine'), ...rest],
    [bind('mine'), encodeDescribe({ of: 'portal', name: 'p' }), encodeExecute(), encodeSync()],
    [bind('mine'), encodeDescribe({ of: 'statement', name: '' }), encodeExecute(), encodeSync()],
    [bind('mine'), portal, encodeExecute('p'), encodeSync()],
    [bind('mine'), portal, encodeExecute('', 1), encodeSync()],
    [bind('mine'), portal, encodeExecute(), encodeFlush()],
    [bind('mine'), portal, encodeExecute(), encodeClose({ of: 'portal', name: '' }), encodeSync()],
    [bind('mine'), portal, encodeSync()],
    [bind('mine'), encodeSync()],
    [bind('mine', 'x'.repeat(20_000)), ...rest],
    // A name without its end, and a length that cannot be one.
    [Buffer.from([0x42, 0, 0, 0, 8, 0, 0x61, 0x62, 0x63]), ...rest],
    [Buffer.from([0x42, 0xff, 0xff, 0xff, 0xff, 0, 0]), ...rest],
  ]
  for (const [index, pieces] of others.entries()) t.notOk(frames.read(Buffer.concat(pieces)), `other ${String(index)}`)
})

t.test('under another name all else stays as it came', async (t) => {
  const frames = new SwiftFrames()
  for (const name of ['', 'mine', 'a name that is longer than ours']) {
    for (const value of ['', 'grün', 'x'.repeat(300)]) {
      const tail = Buffer.concat([portal, encodeExecute(), encodeSync()])
      t.ok(frames.read(Buffer.concat([bind(name, value), tail])))
      t.same(frames.renamed('pointsman_12'), Buffer.concat([...renameBind(bind(name, value), 'pointsman_12'), tail]))
    }
  }
})

t.test('a Parse is known from its second time on, and only by all of its bytes', async (t) => {
  let read = 0
  const understand = await understanding()
  const parses = new SeenParses((text) => {
    read += 1
    return understand(text)
  })
  const parse = encodeParse('', `SELECT ${'n, '.repeat(40)} n FROM items WHERE id = $1`, [23])
  const followed = Buffer.concat([parse, whole('')])
  t.equal(parses.of(followed, parse.length), null)
  const known = parses.of(followed, parse.length)
  t.match(known, { types: [23], plain: true })
  t.equal(parses.of(followed, parse.length), known)
  t.equal(read, 1)
  // All of one hash: the bytes that tell them apart are not among those that it is made of.
  for (let at = 6; at < parse.length; at++) {
    const other = Buffer.from(parse)
    other[at] = (other[at] ?? 0) ^ 0x20
    t.not(parses.of(other, other.length), known, `byte ${String(at)}`)
  }
  for (const sql of ['PREPARE p AS SELECT 1', 'EXECUTE p', 'SELECT 1; SELECT 2', '', 'SELECT pg_backend_pid()']) {
    const frame = encodeParse('', sql)
    parses.of(frame, frame.length)
    t.notOk(parses.of(frame, frame.length)?.plain, sql)
  }
})
