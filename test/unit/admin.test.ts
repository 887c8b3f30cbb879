import { connect } from 'node:net'
import t from 'tap'
import { readiness } from '../../src/doors/admin/readiness.js'
import { startAdminServer, type AdminOptions } from '../../src/doors/admin/server.js'
import { validateConfig } from '../../src/config/validate.js'
import type { ClusterLag } from '../../src/topology/lag.js'
import type { NodeSnapshot } from '../../src/topology/topology.js'
import { clusterSnapshot, nodeSnapshot } from '../support/snapshots.js'

async function start(over: Partial<AdminOptions> = {}) {
  const server = await startAdminServer({
    host: '127.0.0.1',
    port: 0,
    token: () => null,
    metrics: { contentType: 'text/plain; version=0.0.4', text: async () => 'm 1\n' },
    readiness: () => ({ ready: true, missing: [] }),
    lag: () => null,
    ...over,
  })
  t.teardown(() => server.close())
  const get = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${String(server.port)}${path}`, init)
  return { server, get }
}

t.test('metrics, health and readiness', async (t) => {
  let ready = false
  const { get } = await start({ readiness: () => (ready ? { ready, missing: [] } : { ready, missing: ['app: no server'] }) })
  const metrics = await get('/metrics?x=1')
  t.equal(metrics.status, 200)
  t.equal(await metrics.text(), 'm 1\n')
  t.match(metrics.headers.get('content-type'), 'version=0.0.4')
  t.equal((await get('/healthz')).status, 200)
  const unready = await get('/readyz')
  t.equal(unready.status, 503)
  t.match(await unready.text(), 'app: no server')
  ready = true
  t.equal((await get('/readyz')).status, 200)
  const head = await get('/healthz', { method: 'HEAD' })
  t.equal(head.status, 200)
  t.equal(await head.text(), '')
})

t.test('what is not there, and what is not allowed', async (t) => {
  const { get } = await start()
  t.equal((await get('/nope')).status, 404)
  t.equal((await get('/metrics/')).status, 404)
  const post = await get('/metrics', { method: 'POST', body: 'x'.repeat(100_000) })
  t.equal(post.status, 405)
  t.equal(post.headers.get('allow'), 'GET, HEAD')
})

t.test('a token guards the metrics; probes need none; it may change', async (t) => {
  let token = 'one'
  const { get } = await start({ token: () => token })
  const status = async (authorization?: string) =>
    (await get('/metrics', authorization === undefined ? {} : { headers: { authorization } })).status
  t.equal(await status(), 401)
  t.equal(await status('Bearer two'), 401)
  t.equal(await status('Basic one'), 401)
  t.equal(await status('Bearer one'), 200)
  t.equal((await get('/healthz')).status, 200)
  t.equal((await get('/readyz')).status, 200)
  token = 'two'
  t.equal(await status('Bearer one'), 401)
})

t.test('/check is guarded as the metrics are, and gets its question', async (t) => {
  const behind: ClusterLag = { cluster: 'main', worstMs: 1500, nodes: [] }
  const { get } = await start({ token: () => 'one', lag: (cluster) => (cluster === 'main' ? behind : null) })
  const ask = (max: string) => get(`/check?cluster=main&max_lag=${max}`, { headers: { authorization: 'Bearer one' } })
  t.equal((await get('/check?cluster=main&max_lag=2s')).status, 401)
  const ok = await ask('2s')
  t.equal(ok.status, 200)
  t.match(ok.headers.get('content-type'), 'application/json')
  t.same(await ok.json(), { cluster: 'main', ok: true, worst_seconds: 1.5, nodes: [] })
  t.equal((await ask('1s')).status, 503)
  t.equal((await ask('1')).status, 400)
})

t.test('an answer that cannot be made is a 500, and the server lives', async (t) => {
  const { get } = await start({ metrics: { contentType: 'x/y', text: () => Promise.reject(new Error('secret')) } })
  const broken = await get('/metrics')
  t.equal(broken.status, 500)
  t.notMatch(await broken.text(), 'secret')
  t.equal((await get('/healthz')).status, 200)
})

t.test('headers without end are refused', async (t) => {
  const { server, get } = await start()
  const answer = await new Promise<string>((resolve) => {
    const socket = connect(server.port, '127.0.0.1', () => socket.write(`GET /healthz HTTP/1.1\r\nx: ${'y'.repeat(50_000)}`))
    let got = ''
    socket.on('data', (data) => (got += data.toString()))
    socket.on('error', () => resolve(got))
    socket.on('close', () => resolve(got))
  })
  t.match(answer, /431|^$/)
  t.equal((await get('/healthz')).status, 200)
})

t.test('close frees the port', async (t) => {
  const { server, get } = await start()
  await (await get('/healthz')).text()
  await server.close()
  await t.rejects(get('/healthz'))
  await t.rejects(startAdminServer({ host: '127.0.0.1', port: -1 } as AdminOptions))
})

t.test('ready is a proved primary or a replica that may be read', async (t) => {
  const result = validateConfig(
    {
      version: 1,
      clusters: { main: { user: 'u', nodes: ['h'] }, side: { user: 'u', nodes: ['h'] } },
      databases: { app: { default: 'main' } },
    },
    { env: {}, readFile: () => '' },
  )
  if (!result.ok) throw new Error('the config is bad')
  const node = (over: Partial<NodeSnapshot>): NodeSnapshot => nodeSnapshot('h:5432', over)
  const is = (nodes: readonly NodeSnapshot[], primary: NodeSnapshot | null = null) => {
    const main = clusterSnapshot({ nodes, primary })
    return readiness(result.config, { generation: 1, clusters: new Map([['main', main]]) }).ready
  }
  t.notOk(is([]))
  t.notOk(is([node({ role: null })]))
  t.notOk(is([node({ unfit: 'wrong timeline' })]))
  t.notOk(is([node({ health: 'down' })]))
  t.ok(is([node({})]))
  t.ok(is([], node({ role: 'primary' })))
  t.match(readiness(result.config, { generation: 1, clusters: new Map() }).missing, ['app: no server of cluster main is usable'])
})
