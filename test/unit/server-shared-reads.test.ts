// Sockets that are read into one buffer: what was given stays as it was, whoever reads next.
import { once } from 'node:events'
import { connect, createServer, Socket, type AddressInfo } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { listenTo, newReads, sharingReads, stopListening } from '../../src/server/shared-reads.js'
import { until as holds } from '../../src/embedded/until.js'

const highWaterMark = 128 * 1024
const until = (condition: () => boolean): Promise<void> => holds('all bytes', () => Promise.resolve(condition()))

/** A server's end and a client's end; `hide`: Node does not show what it keeps of a connection. */
async function pair(
  t: { teardown(end: () => void): unknown },
  hide = false,
): Promise<{ readonly accepted: Socket; readonly own: Socket; readonly peer: Socket }> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const peer = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' })
  const [accepted] = (await once(server, 'connection')) as [Socket]
  const own = sharingReads(hide ? hidden(accepted) : accepted, highWaterMark)
  t.teardown(() => {
    peer.destroy()
    own.destroy()
    server.close()
  })
  return { accepted, own, peer }
}

function hidden(socket: Socket): Socket {
  return new Proxy(socket, { get: (target, key): unknown => (key === '_handle' ? undefined : Reflect.get(target, key, target)) })
}

function gathered(socket: Socket): { readonly chunks: Buffer[]; readonly bytes: () => Buffer } {
  const chunks: Buffer[] = []
  listenTo(socket, (chunk) => chunks.push(chunk))
  socket.resume()
  return { chunks, bytes: () => Buffer.concat(chunks) }
}

t.test('what one socket gave stays as it was when others are read, and when it gives more', async (t) => {
  const pairs = await Promise.all([pair(t), pair(t), pair(t)])
  const heard = pairs.map(({ own }) => gathered(own))
  const sent = pairs.map(() => [] as Buffer[])
  for (let round = 0; round < 50; round++) {
    for (const [index, { peer }] of pairs.entries()) {
      const piece = Buffer.alloc(1 + ((round * 37 + index) % 700), `${String(index)}-${String(round)} `)
      sent[index]?.push(piece)
      peer.write(piece)
    }
    await setImmediate()
  }
  for (const [index, { bytes }] of heard.entries()) {
    const all = Buffer.concat(sent[index] ?? [])
    await until(() => bytes().length === all.length)
    t.ok(bytes().equals(all), `socket ${String(index)}`)
  }
})

t.test('much at a time is not copied, and stays as it was', async (t) => {
  const [one, other] = await Promise.all([pair(t), pair(t)])
  const heard = gathered(one.own)
  const beside = gathered(other.own)
  const all = Buffer.alloc(8 * 1024 * 1024)
  for (let at = 0; at < all.length; at += 4) all.writeUInt32LE(at, at)
  one.peer.write(all)
  for (let sent = 0; heard.bytes().length < all.length; sent++) {
    other.peer.write(`${String(sent)};`)
    await setImmediate()
  }
  t.ok(heard.bytes().equals(all))
  t.ok(heard.chunks.filter((chunk, index) => chunk.buffer === heard.chunks[index - 1]?.buffer).every((chunk) => chunk.length < 16 * 1024))
  t.match(beside.bytes().toString(), /^(?:\d+;)*\d*;?$/)
})

t.test('a paused socket gives nothing until it is resumed, and tells its end', async (t) => {
  const { own, peer } = await pair(t)
  const { bytes } = gathered(own)
  peer.write('a')
  await until(() => bytes().length === 1)
  own.pause()
  peer.end('b')
  for (let turn = 0; turn < 20; turn++) await setImmediate()
  t.equal(bytes().toString(), 'a')
  own.resume()
  await once(own, 'close')
  t.equal(bytes().toString(), 'ab')
})

t.test('what comes while nobody listens is kept for the next who does', async (t) => {
  const { own, peer } = await pair(t)
  const first: string[] = []
  const listener = (chunk: Buffer): void => void first.push(chunk.toString())
  listenTo(own, listener)
  own.resume()
  peer.write('a')
  await until(() => first.length === 1)
  stopListening(own, listener)
  peer.write('b')
  for (let turn = 0; turn < 20; turn++) await setImmediate()
  own.resume()
  peer.write('c')
  for (let turn = 0; turn < 20; turn++) await setImmediate()
  const { bytes } = gathered(own)
  peer.write('d')
  await until(() => bytes().length === 3)
  t.same([first, bytes().toString()], [['a'], 'bcd'])
})

t.test('after a listener has thrown, what is read next is what came', async (t) => {
  const { onread, known } = newReads()
  const socket = new Socket()
  known(socket)
  const heard: string[] = []
  listenTo(socket, (chunk) => {
    heard.push(chunk.toString('latin1', 0, 5))
    if (heard.length < 3) throw new Error('on purpose')
  })
  if (typeof onread.buffer !== 'function') throw new Error('one buffer for good')
  // As Node does it: the next buffer is asked for when the callback has returned.
  const mine = onread.buffer()
  for (const [word, bytes] of [
    ['first', 20_000],
    ['again', 20_000],
    ['third', 5],
  ] as const) {
    Buffer.from(mine.buffer, mine.byteOffset, mine.length).fill(word, 0, bytes)
    if (word === 'third') onread.callback(bytes, mine)
    else t.throws(() => onread.callback(bytes, mine), /on purpose/)
  }
  t.same(heard, ['first', 'again', 'third'])
})

t.test('a socket of our own shares the buffer as well', async (t) => {
  const server = createServer((socket) => socket.end('hello'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { onread, known } = newReads()
  const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', onread })
  known(socket)
  const { bytes } = gathered(socket)
  await once(socket, 'close')
  server.close()
  t.equal(bytes().toString(), 'hello')
})

t.test('where Node does not show what it keeps of a connection, the connection is read as any stream', async (t) => {
  const { accepted, own, peer } = await pair(t, true)
  t.not(own, accepted)
  const { bytes } = gathered(accepted)
  peer.write('hello')
  await until(() => bytes().length === 5)
  t.equal(accepted.listenerCount('data'), 1)
  t.equal(sharingReads(own, highWaterMark), own)
})
