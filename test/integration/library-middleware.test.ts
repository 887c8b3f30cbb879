// The middleware in Express 5 and 4, Koa and Fastify themselves. Each runs as two processes would: two applications with a
// router of their own over one cluster, and a browser that goes to and fro between them, while the replica stands still.
import { createServer, request as httpRequest, type RequestListener } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import express from 'express'
import express4 from 'express4'
import fastify from 'fastify'
import Koa from 'koa'
import t, { type Test } from 'tap'
import { until } from '../../src/embedded/until.js'
import type { MiddlewareOptions, RoutedPool } from '../../src/index.js'
import { router, routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, {
  clusters: {
    main: {
      replicas: 1,
      seed: 'CREATE TABLE counted (id int PRIMARY KEY, n int); INSERT INTO counted SELECT i, 0 FROM generate_series(1, 9) i',
    },
  },
})
const main = running.cluster('main')
const config = routerConfig(running, {
  default: 'main',
  reads: { default: { consistency: 'session', on_unmet: ['wait 30ms', 'primary'] } },
})
const routers = [router(t, config), router(t, config)] as const
const warnings: string[] = []
for (const one of routers) one.events.on('log', ({ message }) => warnings.push(message))
await Promise.all(routers.map((one) => one.ready()))

type App = (pool: RoutedPool, options?: MiddlewareOptions) => Promise<RequestListener>

const write = async (pool: RoutedPool, id = 1): Promise<number> => {
  const { rows } = await pool.query<{ n: number }>('UPDATE counted SET n = n + 1 WHERE id = $1 RETURNING n', [id])
  return rows[0]?.n ?? NaN
}
const read = async (pool: RoutedPool, id = 1): Promise<{ n: number; role: string }> => {
  const { rows, routed } = await pool.query<{ n: number }>('SELECT n FROM counted WHERE id = $1', [id])
  return { n: rows[0]?.n ?? NaN, role: routed?.role ?? '' }
}
/** Longer than what fits at once, so that back-pressure counts. */
const long = Array.from({ length: 40 }, (_, i) => String(i).repeat(8_000))

/** Express 4 and 5 differ in what becomes of a rejection. */
function expressApp(make: typeof express): App {
  return async (pool, options) => {
    const app = make()
    app.set('env', 'test')
    app.use(make.json())
    app.use(pool.express(options))
    const on = (path: string, handler: (req: express.Request, res: express.Response) => Promise<unknown>): void => {
      app.all(path, (req, res, next) => void handler(req, res).catch(next))
    }
    on('/write', async (req, res) => res.json({ n: await write(pool, (req.body as { id?: number } | undefined)?.id) }))
    on('/read', async (req, res) => res.json(await read(pool, Number(req.query['id'] ?? 1))))
    on('/public', async (_req, res) => res.set('Cache-Control', 'public, max-age=60').json({ n: await write(pool) }))
    on('/aged', async (_req, res) => res.set('Cache-Control', 'max-age=60').json({ n: await write(pool) }))
    on('/empty', async (_req, res) => {
      await write(pool)
      res.status(204).end()
    })
    on('/stream', async (_req, res) => {
      await write(pool)
      Readable.from(long).pipe(res.type('text/plain'))
    })
    on('/head', async (_req, res) => {
      await write(pool)
      res.writeHead(201, 'Made', { 'Content-Type': 'text/plain', 'Set-Cookie': ['own=1'] })
      res.write('a')
      res.end('b')
    })
    on('/error', async (_req, res) => {
      await write(pool)
      res.set('X-Before', 'yes')
      throw new Error('on purpose')
    })
    return app
  }
}

const koaApp: App = async (pool, options) => {
  const app = new Koa()
  app.silent = true
  app.use(pool.koa(options))
  app.use(async (ctx) => {
    switch (ctx.path) {
      case '/write': {
        let text = ''
        for await (const chunk of ctx.req) text += String(chunk)
        ctx.body = { n: await write(pool, text === '' ? undefined : (JSON.parse(text) as { id: number }).id) }
        return
      }
      case '/read':
        ctx.body = await read(pool, Number(ctx.query['id'] ?? 1))
        return
      case '/public':
      case '/aged':
        ctx.set('Cache-Control', ctx.path === '/public' ? 'public, max-age=60' : 'max-age=60')
        ctx.body = { n: await write(pool) }
        return
    }
    await write(pool)
    switch (ctx.path) {
      case '/empty':
        ctx.status = 204
        return
      case '/stream':
        ctx.type = 'text/plain'
        ctx.body = Readable.from(long)
        return
      case '/head':
        ctx.respond = false
        ctx.res.writeHead(201, 'Made', { 'Content-Type': 'text/plain', 'Set-Cookie': ['own=1'] })
        ctx.res.write('a')
        ctx.res.end('b')
        return
      case '/error':
        throw new Error('on purpose')
    }
  })
  const listener = app.callback()
  return (request, response) => void listener(request, response)
}

const fastifyApp: App = async (pool, options) => {
  const app = fastify({ exposeHeadRoutes: true })
  await app.register(pool.fastify(options))
  const id = (body: unknown): number | undefined => (body as { id?: number } | null)?.id
  app.post('/write', async (request) => ({ n: await write(pool, id(request.body)) }))
  app.get('/read', async (request) => read(pool, Number((request.query as { id?: string }).id ?? 1)))
  app.get('/public', async (_request, reply) => reply.header('cache-control', 'public, max-age=60').send({ n: await write(pool) }))
  app.get('/aged', async (_request, reply) => reply.header('cache-control', 'max-age=60').send({ n: await write(pool) }))
  app.get('/empty', async (_request, reply) => {
    await write(pool)
    return reply.code(204).send()
  })
  app.get('/stream', async (_request, reply) => {
    await write(pool)
    return reply.type('text/plain').send(Readable.from(long))
  })
  app.get('/head', async (_request, reply) => {
    await write(pool)
    reply.hijack()
    reply.raw.writeHead(201, 'Made', { 'Content-Type': 'text/plain', 'Set-Cookie': ['own=1'] })
    reply.raw.write('a')
    reply.raw.end('b')
  })
  app.get('/error', async () => {
    await write(pool)
    throw new Error('on purpose')
  })
  await app.ready()
  return (request, response) => app.routing(request, response)
}

const apps: Readonly<Record<string, App>> = {
  'Express 5': expressApp(express),
  'Express 4': expressApp(express4),
  Koa: koaApp,
  Fastify: fastifyApp,
}

async function serve(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`
}

/** Keeps cookies as a browser does. */
class Browser {
  readonly jar: Map<string, string> = new Map()

  async get(url: string, init: RequestInit = {}): Promise<Response> {
    const response = await this.send(url, init)
    this.take(response)
    return response
  }

  /** Without taking the answer's cookies yet. */
  send(url: string, init: RequestInit = {}): Promise<Response> {
    const cookie = [...this.jar].map(([name, value]) => `${name}=${value}`).join('; ')
    return fetch(url, {
      ...init,
      headers: [...new Headers(init.headers), ...(cookie === '' ? [] : [['cookie', cookie] satisfies [string, string]])],
    })
  }

  take(response: Response): void {
    for (const text of response.headers.getSetCookie()) {
      const [pair = '', ...attributes] = text.split('; ')
      const [name = '', value = ''] = pair.split('=')
      if (attributes.includes('Max-Age=0')) this.jar.delete(name)
      else this.jar.set(name, value)
    }
  }
}

const carries = (response: Response): boolean =>
  response.headers.has('x-db-token') || response.headers.getSetCookie().some((text) => text.startsWith('__rw'))
const json = async (response: Promise<Response>): Promise<{ n: number; role?: string }> => (await (await response).json()) as { n: number }
const post = { method: 'POST', headers: { 'content-type': 'application/json' } }

async function still(t: Test): Promise<() => Promise<void>> {
  await main.waitCaughtUp()
  await main.replica().pauseReplay()
  let moving = false
  const move = async (): Promise<void> => {
    if (!moving) await main.replica().resumeReplay()
    moving = true
  }
  t.teardown(move)
  return move
}

for (const [name, app] of Object.entries(apps)) {
  t.test(name, async (t) => {
    const [a, b] = await Promise.all(routers.map(async (pool) => serve(t, await app(pool))))

    t.test('I1: a user who goes from one process to another reads what he wrote', async (t) => {
      const move = await still(t)
      const [user, stranger] = [new Browser(), new Browser()]
      const before = await json(stranger.get(`${String(b)}/read`))
      const { n } = await json(user.get(`${String(a)}/write`, { ...post, body: '{"id":1}' }))
      t.equal(n, before.n + 1)
      for (const to of [b, a]) t.same(await json(user.get(`${String(to)}/read`)), { n, role: 'primary' })
      t.same(await json(stranger.get(`${String(b)}/read`)), before, 'a stranger reads the replica as before')
      t.match([...user.jar.keys()], [/^__rw\.[0-9a-f]{8}$/])
      const token = [...user.jar.values()].join('')
      t.same(await json(fetch(`${String(b)}/read`, { headers: { 'x-db-token': token } })), { n, role: 'primary' }, 'by header')
      await move()
      await until('the replica has it', async () => (await json(user.get(`${String(b)}/read`))).role === 'replica')
    })

    t.test('requests that only read set nothing', async (t) => {
      for (const method of ['GET', 'HEAD']) {
        const response = await fetch(`${String(a)}/read`, { method })
        t.equal(response.status, 200)
        t.notOk(carries(response))
        t.equal(response.headers.get('cache-control'), null)
      }
    })

    t.test('however the response is made, it carries what was written', async (t) => {
      const expected: Readonly<Record<string, readonly [number, string | RegExp]>> = {
        '/empty': [204, ''],
        '/stream': [200, long.join('')],
        '/head': [201, 'ab'],
        '/error': [500, /./],
        '/aged': [200, /"n"/],
      }
      for (const [path, [status, body]] of Object.entries(expected)) {
        const response = await fetch(`${String(a)}${path}`)
        t.equal(response.status, status, path)
        const text = await response.text()
        if (typeof body === 'string') t.ok(text === body, `${path}: its body`)
        else t.match(text, body)
        t.match(response.headers.get('x-db-token'), /^p1\./)
        const cookies = response.headers.getSetCookie()
        t.match(cookies.at(-1), /^__rw\.[0-9a-f]{8}=p1\.[\w.-]+; Max-Age=900; Path=\/; SameSite=Lax; HttpOnly$/)
        if (path === '/head')
          t.same([response.statusText, cookies[0], response.headers.get('content-type')], ['Made', 'own=1', 'text/plain'])
        t.equal(response.headers.get('cache-control'), path === '/aged' ? 'max-age=60, private' : 'private', 'no shared cache keeps it')
      }
    })

    t.test('what shared caches may keep carries nobody’s token, and that is told', async (t) => {
      for (let n = 0; n < 2; n++) {
        const response = await fetch(`${String(a)}/public`)
        t.match(await response.json(), { n: Number })
        t.notOk(carries(response))
        t.equal(response.headers.get('cache-control'), 'public, max-age=60')
      }
      t.equal(warnings.filter((message) => message.includes('shared caches')).length, 1)
    })

    t.test('of two answers that pass each other on the way none is lost', async (t) => {
      const user = new Browser()
      await user.get(`${String(a)}/write`, { ...post, body: '{"id":2}' })
      const slow = await user.send(`${String(a)}/write`, { ...post, body: '{"id":2}' })
      const move = await still(t)
      const quick = await user.send(`${String(b)}/write`, { ...post, body: '{"id":3}' })
      const { n } = await json(Promise.resolve(quick))
      user.take(quick)
      user.take(slow)
      t.same(await json(user.get(`${String(a)}/read?id=3`)), { n, role: 'primary' })
      t.equal(user.jar.size, 2)
      await user.get(`${String(a)}/write`, { ...post, body: '{"id":2}' })
      t.equal(user.jar.size, 1, 'the next one takes the place of both')
      t.same(await json(user.get(`${String(b)}/read?id=3`)), { n, role: 'primary' })
      await move()
    })

    t.test('a client that goes away', async (t) => {
      for (let n = 0; n < 5; n++) {
        const request = httpRequest(`${String(a)}/stream`)
        request.on('error', () => undefined).end()
        if (n % 2 === 0) await once(request, 'response')
        request.destroy()
      }
      t.match(await json(fetch(`${String(a)}/read`)), { n: Number })
    })
    t.end()
  })
}

t.test('monotonic: what was only read counts too', async (t) => {
  const [a, b] = await Promise.all(routers.map(async (pool) => serve(t, await expressApp(express)(pool, { monotonic: true }))))
  const user = new Browser()
  const move = await still(t)
  await main.primary.sql('UPDATE counted SET n = n + 1 WHERE id = 4')
  const response = await user.get(`${String(a)}/read?id=4`)
  t.ok(carries(response))
  t.equal(response.headers.get('cache-control'), 'private')
  const seen = (await response.json()) as { n: number }
  await move()
  await until('it reads again', async () => (await json(user.get(`${String(b)}/read?id=4`))).n >= seen.n)
})

t.test('options', async (t) => {
  const [pool] = routers
  const url = await serve(
    t,
    await expressApp(express)(pool, {
      cookie: 'fresh',
      header: null,
      ttl: '1m',
      path: '/app',
      sameSite: 'strict',
      secure: true,
      httpOnly: false,
    }),
  )
  const response = await fetch(`${url}/empty`)
  t.match(response.headers.getSetCookie(), [/^fresh\.[0-9a-f]{8}=p1\.[\w.-]+; Max-Age=60; Path=\/app; SameSite=Strict; Secure$/])
  t.notOk(response.headers.has('x-db-token'))
  const bare = await fetch(`${await serve(t, await expressApp(express)(pool, { cookie: null }))}/empty`)
  t.same([bare.headers.getSetCookie(), bare.headers.has('x-db-token')], [[], true])
  for (const wrong of [{ cookie: 'a b' }, { path: '/;x' }, { ttl: 'soon' }, { sameSite: 'some' as 'lax' }]) {
    t.throws(() => pool.express(wrong), TypeError)
    t.throws(() => pool.koa(wrong), TypeError)
    t.throws(() => pool.fastify(wrong), TypeError)
  }
})
