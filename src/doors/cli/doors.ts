// doors/cli/doors.ts — everything that `serve` runs behind one handle: runtime, proxy, metrics, admin port.
import type { Config } from '../../config/config.js'
import { createMetrics, type Metrics } from '../../metrics/metrics.js'
import type { Observer } from '../../observe/events.js'
import type { ReloadResult, Runtime } from '../../runtime/contract.js'
import { createRuntime } from '../../runtime/create-runtime.js'
import { createConnect } from '../../server/connect-server.js'
import type { ServerConnection } from '../../server/contract.js'
import type { Topology } from '../../topology/topology.js'
import { readiness } from '../admin/readiness.js'
import { startAdminServer, type AdminServer } from '../admin/server.js'
import { createProxy, type Proxy } from '../proxy/proxy.js'
import { CommandError, exit } from './io.js'
import { version } from './version.js'

export interface Doors {
  /** Of a Unix socket: its path, and port 0. */
  readonly listening: readonly { readonly host: string; readonly port: number }[]
  readonly admin: { readonly host: string; readonly port: number } | null
  config(): Config
  /** What is known of the servers. */
  topology(): Topology
  generation(): number
  reload(config: Config): Promise<ReloadResult['outcome']>
  /** No new clients; open transactions may end within `graceMs`; then everything is closed. */
  close(graceMs: number): Promise<void>
}

/** Opens all doors of a config, or none: rejects with words for the user. */
export async function openDoors(config: Config, observer: Observer): Promise<Doors> {
  const now = (): number => performance.now()
  const runtime = await createRuntime<ServerConnection>({
    config,
    observer,
    connect: (cluster) => createConnect((id) => (id === cluster.id ? cluster : undefined), { now }),
    now,
    random: Math.random,
  })
  const opened: (() => Promise<void>)[] = [() => runtime.close(0)]
  try {
    const proxy = await orInWords(createProxy({ runtime, observer, now, version: version() }), 'listen', config.listen)
    opened.push(() => proxy.close({ graceMs: 0 }))
    const metrics = createMetrics(observer, sources(runtime, proxy, now))
    const admin = config.admin === null ? null : await orInWords(openAdmin(config.admin, runtime, metrics), 'admin', config.admin)
    return doors(runtime, proxy, metrics, admin)
  } catch (error) {
    for (const close of opened.reverse()) await close()
    throw error
  }
}

function doors(runtime: Runtime<ServerConnection>, proxy: Proxy, metrics: Metrics, admin: AdminServer | null): Doors {
  return {
    listening: proxy.addresses,
    admin: admin === null ? null : { host: admin.host, port: admin.port },
    config: () => runtime.current().config,
    topology: () => runtime.snapshot().topology,
    generation: () => runtime.current().number,
    reload: async (config) => (await runtime.reload(config)).outcome,
    close: async (graceMs) => {
      await proxy.close({ graceMs })
      await runtime.close(0)
      await admin?.close()
      metrics.close()
    },
  }
}

function sources(runtime: Runtime<ServerConnection>, proxy: Proxy, now: () => number): Parameters<typeof createMetrics>[1] {
  return {
    snapshot: () => runtime.snapshot(),
    databases: () => runtime.current().config.databases,
    shapeCache: () => {
      const { textHits, shapeHits, misses, bytes } = proxy.shapes()
      return { hits: textHits + shapeHits, misses, bytes }
    },
    now,
  }
}

function openAdmin(first: NonNullable<Config['admin']>, runtime: Runtime<ServerConnection>, metrics: Metrics): Promise<AdminServer> {
  let { token } = first
  return startAdminServer({
    host: first.host,
    port: first.port,
    // Where a reload takes the admin port out of the config it stays open until a restart: then under the token it had.
    token: () => (token = (runtime.current().config.admin ?? { token }).token),
    metrics,
    readiness: () => readiness(runtime.current().config, runtime.snapshot().topology),
    lag: (cluster) => runtime.lag(cluster),
  })
}

async function orInWords<T>(work: Promise<T>, what: string, { host, port }: { readonly host: string; readonly port: number }): Promise<T> {
  try {
    return await work
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === undefined || !/^E[A-Z]+$/.test(code)) throw error
    throw new CommandError(exit.no, `cannot open ${what} on ${host}:${String(port)}: ${code}`)
  }
}
