// doors/cli/inside.ts — everything that serves clients, and no port: runtime, proxy, metrics. One process has one, and so has
// each of several workers.
import { unownedCounts } from '../../audit/ownership.js'
import type { Config } from '../../config/config.js'
import { createMetrics, type Metrics } from '../../metrics/metrics.js'
import type { Observer } from '../../observe/events.js'
import type { PermitsFor } from '../../pool/contract.js'
import type { Runtime } from '../../runtime/contract.js'
import type { ProcessControl } from '../../runtime/control.js'
import { createRuntime } from '../../runtime/create-runtime.js'
import type { Fleet } from '../../runtime/fleet.js'
import { createConnect } from '../../server/connect-server.js'
import type { ServerConnection } from '../../server/contract.js'
import { readiness, type Readiness } from '../admin/readiness.js'
import type { CancelCall } from '../proxy/login.js'
import { createProxy, type Proxy } from '../proxy/proxy.js'
import { version } from './version.js'

export interface InsideParts {
  readonly config: Config
  readonly observer: Observer
  readonly fleet: Fleet
  readonly control: ProcessControl | null
  readonly permits: PermitsFor | null
  /** Number of its first generation. */
  readonly generation: number
  readonly cancelElsewhere: (call: CancelCall) => Promise<void>
}

export interface Inside {
  readonly runtime: Runtime<ServerConnection>
  readonly proxy: Proxy
  readonly metrics: Metrics
  readiness(): Readiness
  /** Open transactions may end within `graceMs`; then everything is closed. */
  close(graceMs: number): Promise<void>
}

/** Everything stands, or nothing. */
export async function openInside(parts: InsideParts): Promise<Inside> {
  const { config, observer, fleet, control, permits, generation, cancelElsewhere } = parts
  const now = (): number => performance.now()
  const runtime = await createRuntime<ServerConnection>({
    config,
    observer,
    connect: (cluster) => createConnect((id) => (id === cluster.id ? cluster : undefined), { now }),
    permits,
    generation,
    workers: fleet.workers,
    now,
    random: Math.random,
  })
  try {
    const proxy = await createProxy({ runtime, observer, now, version: version(), fleet, control, listen: false, cancelElsewhere })
    const metrics = createMetrics(observer, sources(runtime, proxy, now))
    return {
      runtime,
      proxy,
      metrics,
      readiness: () => readiness(runtime.current().config, runtime.snapshot().topology),
      close: async (graceMs) => {
        await proxy.close({ graceMs })
        await runtime.close(0)
        metrics.close()
      },
    }
  } catch (error) {
    await runtime.close(0)
    throw error
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
    lines: () => proxy.lines(),
    clients: () => proxy.clients(),
    lanes: () => proxy.lanes(),
    inDoubt: () => runtime.twoPhase.inDoubt(),
    unowned: () => unownedCounts(runtime.current().config, runtime.current().catalogs()),
    now,
  }
}
