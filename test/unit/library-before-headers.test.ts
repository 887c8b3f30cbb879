// A response that is held back at its headers: whatever was called meanwhile happens afterwards, in order, as if it had not been.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { beforeHeaders } from '../../src/doors/library/before-headers.js'

interface Held {
  readonly response: ServerResponse
  /** Says what is added to the headers. */
  readonly open: (add?: () => void) => void
}

/** One request, and what its handler does with a response that is held. */
async function respond(
  t: Test,
  handle: (held: Held) => void | Promise<void>,
  init: RequestInit & { needed?: boolean } = {},
): Promise<Response> {
  const server = createServer((_request: IncomingMessage, response: ServerResponse) => {
    let open: Held['open'] = () => undefined
    const prepared = new Promise<() => void>((resolve) => (open = (add = () => response.setHeader('x-added', 'yes')) => resolve(add)))
    beforeHeaders(response, { needed: () => init.needed ?? true, prepare: () => prepared })
    void handle({ response, open })
  }).listen(0, '127.0.0.1')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  return fetch(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}`, init)
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

t.test('calls are held, and made in their order', async (t) => {
  const response = await respond(t, async ({ response, open }) => {
    t.equal(response.writeHead(202, { 'X-Own': ['1', '2'], 'Content-Type': 'text/plain' }), response)
    t.equal(response.write('a'), false, 'there is no room yet')
    t.equal(response.end('b'), response)
    t.match(response, { headersSent: true, writableEnded: true, finished: true }, 'as if it had gone out')
    await turn()
    open()
  })
  t.same([response.status, response.headers.get('x-own'), response.headers.get('x-added')], [202, '1, 2', 'yes'])
  t.equal(await response.text(), 'ab')
})

t.test('what is changed after the headers would have gone out changes nothing', async (t) => {
  const errors: unknown[] = []
  const response = await respond(t, ({ response, open }) => {
    response.on('error', (error) => errors.push(error))
    response.statusCode = 418
    response.statusMessage = 'Teapot'
    response.end('first')
    response.statusCode = 500
    response.statusMessage = 'Broken'
    response.end('second')
    open()
  })
  t.same([response.status, response.statusText, await response.text()], [418, 'Teapot', 'first'])
  t.match(errors, [{ code: 'ERR_STREAM_WRITE_AFTER_END' }], "as Node's own")
})

t.test('every form of writeHead()', async (t) => {
  const forms: [unknown[], string | null][] = [
    [[201], null],
    [[201, 'Made'], null],
    [[201, undefined, { 'x-a': '1' }], '1'],
    [[201, 'Made', { 'x-a': 1 }], '1'],
    [[201, ['x-a', '1', 'x-a', '2']], '1, 2'],
    [
      [
        201,
        [
          ['x-a', '1'],
          ['x-b', '2'],
        ],
      ],
      '1',
    ],
  ]
  for (const [args, expected] of forms) {
    const response = await respond(t, ({ response, open }) => {
      const head = response as { writeHead(...args: readonly unknown[]): unknown }
      head.writeHead(...args)
      response.end()
      open()
    })
    t.same([response.status, response.headers.get('x-a'), response.headers.get('x-added')], [201, expected, 'yes'])
    t.equal(response.statusText, args[1] === 'Made' ? 'Made' : 'Created')
  }
})

t.test('what cannot be sent breaks the response, not the process', async (t) => {
  await t.rejects(
    respond(t, ({ response, open }) => {
      response.writeHead(99)
      response.end()
      open()
    }),
  )
})

t.test('who waits for room is told when there is some', async (t) => {
  const response = await respond(t, ({ response, open }) => {
    response.once('drain', () => response.end('b'))
    t.equal(response.write('a'), false)
    open()
  })
  t.equal(await response.text(), 'ab')
})

t.test('callbacks, flushHeaders, HEAD, nothing at all', async (t) => {
  const called: string[] = []
  const flushed = await respond(t, ({ response, open }) => {
    response.flushHeaders()
    open()
    response.write('a', () => called.push('write'))
    response.end('b', 'utf8', () => called.push('end'))
  })
  t.same([flushed.headers.get('x-added'), await flushed.text(), called], ['yes', 'ab', ['write', 'end']])
  const head = await respond(
    t,
    ({ response, open }) => {
      response.end('not sent')
      open()
    },
    { method: 'HEAD' },
  )
  t.same([head.headers.get('x-added'), await head.text()], ['yes', ''])
})

t.test('where nothing is needed it goes out at once', async (t) => {
  const response = await respond(
    t,
    ({ response }) => {
      t.equal(response.writeHead(200, { 'x-a': '1' }), response)
      t.equal(response.headersSent, true)
      t.equal(response.writableEnded, false)
      response.end('now')
    },
    { needed: false },
  )
  t.same([response.headers.get('x-a'), response.headers.get('x-added'), await response.text()], ['1', null, 'now'])
})

t.test('libraries that wrap the same methods, before or after', async (t) => {
  const wrap = (response: ServerResponse, name: string): void => {
    const inner = response.writeHead.bind(response) as (...args: readonly unknown[]) => ServerResponse
    response.writeHead = (...args: readonly unknown[]): ServerResponse => {
      response.setHeader(name, 'yes')
      return inner(...args)
    }
  }
  const response = await respond(t, ({ response, open }) => {
    wrap(response, 'x-wrapped')
    response.end('body')
    open()
  })
  t.same([response.headers.get('x-wrapped'), response.headers.get('x-added'), await response.text()], ['yes', 'yes', 'body'])
})

t.test('a client that is gone', async (t) => {
  let done: () => void = () => undefined
  const over = new Promise<void>((resolve) => (done = resolve))
  const server = createServer((_request, response) => {
    let open: (add: () => void) => void = () => undefined
    beforeHeaders(response, { needed: () => true, prepare: () => new Promise((resolve) => (open = resolve)) })
    response.end('nobody reads this')
    response.once('close', () => {
      open(() => response.setHeader('x-added', 'yes'))
      setImmediate(done)
    })
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(server, 'request')
  socket.destroy()
  await over
  t.pass('nothing was thrown')
})
