// Whatever a server sends, and however it is cut: the connection goes on or is lost, once; nothing is thrown out of a socket
// event, whoever waits is told, and what a client is given is made of whole frames of the bytes that came.
import fc from 'fast-check'
import t from 'tap'
import { backendName, Backend } from '../../src/protocol/message-types.js'
import { Connection } from '../../src/server/connection.js'
import type { Expect, ReplyKind } from '../../src/server/contract.js'
import { FakeSocket } from '../support/fake-socket.js'

const node = { id: 'test:1', host: 'test', port: 1, weight: 1, zone: null, subscriber: false }
const address = { cluster: 'test', node, tls: { mode: 'disable', ca: null, cert: null, key: null } } as const

const frame = fc
  .tuple(
    fc.constantFrom(...Object.values(Backend)),
    fc.oneof(
      fc.uint8Array({ maxLength: 20 }),
      fc.constantFrom(
        Buffer.from('I'),
        Buffer.from('T'),
        Buffer.from('SELECT 1\0'),
        Buffer.alloc(0),
        Buffer.from('SERROR\0C42601\0Mx\0\0'),
      ),
    ),
  )
  .map(([type, body]) => {
    const bytes = Buffer.alloc(5 + body.length)
    bytes[0] = type
    bytes.writeInt32BE(4 + body.length, 1)
    bytes.set(body, 5)
    return bytes
  })
const reply = fc.constantFrom<ReplyKind>(
  'parse',
  'bind',
  'describe-statement',
  'describe-portal',
  'execute',
  'close',
  'sync',
  'query',
  'function-call',
  'copy-end',
)
const expect: fc.Arbitrary<Expect> = fc.oneof(
  fc.record({ act: fc.constantFrom('forward' as const, 'swallow' as const), reply }),
  fc.constant({ act: 'synthesize' as const, bytes: Buffer.from([0x31, 0, 0, 0, 4]) }),
)

t.test('any frames', (t) => {
  fc.assert(
    fc.property(
      fc.array(expect, { maxLength: 8 }),
      fc.array(frame, { maxLength: 12 }),
      fc.boolean(),
      fc.nat({ max: 7 }),
      (expects, frames, withhold, cut) => {
        const socket = new FakeSocket()
        const connection = new Connection(address, { socket: socket.asSocket, tls: null }, 5)
        const given: Uint8Array[] = []
        let closed = 0
        const exchange = connection.exchange({
          bytes: (chunk) => given.push(chunk) > 0,
          ready: () => undefined,
          error: () => (withhold ? 'withhold' : 'forward'),
          closed: () => {
            closed++
          },
        })
        exchange.send([Buffer.from('x')], expects)
        const bytes = Buffer.concat(frames)
        socket.feed(bytes.subarray(0, bytes.length - cut))
        socket.feed(bytes.subarray(bytes.length - cut))
        socket.emit('close')
        if (closed !== 1) throw new Error(`closed ${String(closed)} times`)
        wholeFrames(Buffer.concat(given))
      },
    ),
    { numRuns: 3000 },
  )
  t.end()
})

t.test('random bytes', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const socket = new FakeSocket()
      const connection = new Connection(address, { socket: socket.asSocket, tls: null }, 5)
      const query = connection.query('SELECT 1').catch(() => undefined)
      socket.feed(bytes)
      socket.emit('close')
      return query.then(() => undefined) instanceof Promise
    }),
    { numRuns: 2000 },
  )
  t.end()
})

t.test('whoever waits is told', async (t) => {
  const socket = new FakeSocket()
  const connection = new Connection(address, { socket: socket.asSocket, tls: null }, 5)
  const waiting = [connection.query('SELECT 1'), connection.query('SELECT 2'), connection.sync()]
  socket.feed(Buffer.from([0xff, 0, 0, 0, 4]))
  t.same(
    (await Promise.allSettled(waiting)).map(({ status }) => status),
    ['rejected', 'rejected', 'rejected'],
  )
})

/** Frames of known types, one after the other. */
function wholeFrames(bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) {
    // The last may be cut, as it came.
    if (bytes.length - at < 5 || at + bytes.readInt32BE(at + 1) + 1 > bytes.length) return
    if (backendName(bytes[at] ?? 0) === undefined) throw new Error('not a frame')
    at += bytes.readInt32BE(at + 1) + 1
  }
}
