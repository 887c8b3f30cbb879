// test/support/proxy.ts — the proxy over embedded servers, on a port of the system's choice, that ends with the test.
import pg from 'pg'
import type { Test } from 'tap'
import type { ConfigInput } from '../../src/config/input.js'
import { validateConfig } from '../../src/config/validate.js'
import { createProxy, type Proxy } from '../../src/doors/proxy/proxy.js'
import type { EventName, Events, Observer } from '../../src/observe/events.js'
import { createObserver } from '../../src/observe/observer.js'
import type { Runtime } from '../../src/runtime/contract.js'
import { createRuntime } from '../../src/runtime/create-runtime.js'
import { createConnect } from '../../src/server/connect-server.js'
import type { ServerConnection } from '../../src/server/contract.js'

export interface RunningProxy {
  readonly proxy: Proxy
  readonly runtime: Runtime<ServerConnection>
  readonly observer: Observer
  readonly port: number
  /** What was emitted under that name since the start. */
  readonly events: <N extends EventName>(name: N) => readonly Events[N][]
  /** A connected client that ends with the test. */
  readonly connect: (options?: pg.ClientConfig) => Promise<pg.Client>
}

/** Starts a proxy for `input` (port 0, user and password `app` unless it says otherwise); `files` are what it may name. */
export async function withProxy(
  t: Pick<Test, 'teardown'>,
  input: ConfigInput,
  files: Readonly<Record<string, string>> = {},
): Promise<RunningProxy> {
  const result = validateConfig(
    { listen: { host: '127.0.0.1', port: 0 }, auth: { method: 'scram-sha-256', users: [{ name: 'app', password: 'app' }] }, ...input },
    { env: {}, readFile: (path) => files[path] ?? '' },
  )
  if (!result.ok) throw new Error(JSON.stringify(result.problems, null, 2))
  const now = (): number => performance.now()
  const observer = createObserver()
  const emitted = recorded(observer)
  const runtime = await createRuntime<ServerConnection>({
    config: result.config,
    observer,
    connect: (cluster) => createConnect((id) => (id === cluster.id ? cluster : undefined), { now }),
    now,
    random: Math.random,
  })
  const proxy = await createProxy({ runtime, observer, now })
  const clients: pg.Client[] = []
  t.teardown(async () => {
    await Promise.all(clients.map((client) => client.end().catch(() => undefined)))
    await proxy.close({ graceMs: 0 })
    await runtime.close(0)
  })
  const port = proxy.addresses[0]?.port ?? 0
  return {
    proxy,
    runtime,
    observer,
    port,
    events: (name) => emitted(name),
    connect: async (options = {}) => {
      const client = new pg.Client({ host: '127.0.0.1', port, user: 'app', password: 'app', database: 'app', ...options })
      client.on('error', () => undefined)
      clients.push(client)
      await client.connect()
      return client
    },
  }
}

const watched = [
  'query.end',
  'read.misrouted',
  'client.opened',
  'client.closed',
  'client.refused',
  'log',
  'pool.opened',
  'pool.closed',
  'node.state',
  'primary.changed',
  'primary.fenced',
  'writes.lost',
] as const

function recorded(observer: Observer): <N extends EventName>(name: N) => readonly Events[N][] {
  const lists = new Map<EventName, unknown[]>()
  for (const name of watched) {
    const list: unknown[] = []
    lists.set(name, list)
    observer.on(name, (event) => void list.push(event))
  }
  return <N extends EventName>(name: N) => (lists.get(name) ?? []) as readonly Events[N][]
}

/** The server-side process that answers this client now. Asked in a way that is not about the client's own number. */
export async function backendOf(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT max(pg_backend_pid()) AS pid')
  return rows[0]?.pid ?? 0
}

/** What Pointsman says of the last route. */
export async function lastRoute(client: pg.Client): Promise<string> {
  const { rows } = await client.query<Record<string, string>>('SHOW pointsman.last_route')
  return rows[0]?.['pointsman.last_route'] ?? ''
}
