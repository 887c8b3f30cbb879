// The examples of docs/library.md from "Reading your writes" to "Clients" run as they stand.
import { readFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import express from 'express'
import fastify from 'fastify'
import Koa from 'koa'
import t, { type Test } from 'tap'
import { router as makeRouter, routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const page = readFileSync(new URL('../../docs/library.md', import.meta.url), 'utf8')
const part = page.slice(page.indexOf('\n## Reading your writes'), page.indexOf('\n## Clients'))
const examples = part.split('\n### ').flatMap((section) => {
  const [title = ''] = section.split('\n')
  return [...section.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code = '']) => ({ title, code }))
})

const seed =
  "CREATE TABLE users (id int PRIMARY KEY, name text, views int DEFAULT 0, images int DEFAULT 0); INSERT INTO users VALUES (7, 'Ada')"
const images = 'CREATE TABLE images (id int PRIMARY KEY, owner int)'
const running = await withTopology(t, { clusters: { main: { replicas: 1, seed }, media: { seed: images } } })
const partitions = { images: { cluster: 'media', owner: 'media', tables: ['images'] } }
const reads = { default: { consistency: 'session' as const, on_unmet: ['wait 30ms', 'primary'] } }
const router = makeRouter(t, routerConfig(running, { default: 'main', reads, partitions, two_phase: true }))

type Compiled = (...given: readonly unknown[]) => Promise<unknown>
const AsyncFunction = (async () => undefined).constructor as new (...args: readonly string[]) => Compiled

const listeners: Readonly<Record<string, (app: never) => RequestListener>> = {
  'express()': (app: RequestListener) => app,
  'new Koa()': (app: Koa) => (request, response) => void app.callback()(request, response),
  'fastify()': (app: { routing: RequestListener }) => (request, response) => app.routing(request, response),
}

/** Asks the application that an example has made. */
async function ask(t: Test, code: string, app: { ready?: () => Promise<unknown> }): Promise<void> {
  const [, listener] = Object.entries(listeners).find(([made]) => code.includes(made)) ?? []
  if (listener === undefined) throw new Error('an example makes no application that is known here')
  if (code.includes('fastify()')) await app.ready?.()
  const server = createServer(listener(app as never)).listen(0, '127.0.0.1')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/name`
  if (code.includes('app.post')) {
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"name":"Lovelace"}' }
    const posted = await fetch(url, init)
    t.match(posted.headers.get('x-db-token'), /^p1\./)
    const got = await fetch(url, { headers: { 'x-db-token': posted.headers.get('x-db-token') ?? '' } })
    t.same(await got.json(), [{ name: 'Lovelace' }])
    return
  }
  t.match(await (await fetch(url)).json(), [{ name: String }])
}

t.ok(examples.length >= 8, 'they are found')
for (const { title, code } of examples) {
  t.test(title, async (t) => {
    const makesApp = code.includes('const app = ')
    const run = new AsyncFunction('router', 'express', 'Koa', 'fastify', `${code}\n${makesApp ? 'return app' : ''}`)
    const made = await run(router, express, Koa, fastify)
    if (makesApp) await ask(t, code, made as object)
    else t.pass('it runs')
  })
}
