// doors/library/throttle.ts — for whoever writes in bulk: goes on only while the replicas keep up. A replica that is down
// holds nobody up; one that serves and cannot be measured does, and so does a cluster whose replicas are all gone.
import { clustersOf } from '../../config/clusters-of.js'
import { formatDuration } from '../../consistency/duration.js'
import { PointsmanError } from '../../errors/error.js'
import { changedWithin } from '../../execute/changed-within.js'
import type { Runtime } from '../../runtime/contract.js'
import type { ClusterLag } from '../../topology/lag.js'
import type { Core } from './core.js'
import type { PgConnection } from './pg-connection.js'
import type { ThrottleOptions } from './request-types.js'
import { timeOption } from './time-option.js'

const defaultMaxLagMs = 2_000
const pauseMs = { first: 20, last: 500 }

export async function throttle(core: Core, options: ThrottleOptions = {}): Promise<void> {
  const maxMs = timeOption('maxLag', options.maxLag ?? defaultMaxLagMs)
  const timeoutMs = options.timeout === undefined ? Infinity : timeOption('timeout', options.timeout)
  const stop = options.signal === undefined ? core.stopping.signal : AbortSignal.any([core.stopping.signal, options.signal])
  stop.throwIfAborted()
  await core.alive.during(() => keepUp(core, { cluster: options.cluster, maxMs, timeoutMs, stop }))
}

interface Wanted {
  readonly cluster: string | undefined
  readonly maxMs: number
  readonly timeoutMs: number
  readonly stop: AbortSignal
}

async function keepUp(core: Core, { cluster, maxMs, timeoutMs, stop }: Wanted): Promise<void> {
  const { runtime } = await core.ready()
  const deadline = core.now() + timeoutMs
  for (let pause = pauseMs.first; ; pause = Math.min(pauseMs.last, pause * 2)) {
    const generation = runtime.current()
    const ids = cluster === undefined ? clustersOf(core.home(generation.config).database) : [cluster]
    const behind = ids.map((id) => lagOf(runtime, id)).find(({ worstMs }) => worstMs === null || worstMs > maxMs)
    if (behind === undefined) return
    const left = deadline - core.now()
    if (left <= 0) throw late(behind, maxMs)
    // A bound that grows while nothing is sampled shrinks again with the next samples.
    await changedWithin(generation, Math.min(left, pause * (0.75 + Math.random() / 2)), stop)
  }
}

/** Throws PointsmanError for a cluster that is not there. */
export function lagOf(runtime: Runtime<PgConnection>, id: string): ClusterLag {
  const lag = runtime.lag(id)
  if (lag !== null) return lag
  const hint = `There are: ${[...runtime.current().config.clusters.keys()].join(', ')}.`
  throw new PointsmanError('undefined_setting', { values: { what: `cluster "${id}" does not exist` }, hint })
}

function late({ cluster, worstMs, nodes }: ClusterLag, maxMs: number): PointsmanError {
  const unknown = nodes.find(({ ms, ignored }) => ms === null && ignored === null)
  const nobody = unknown === undefined ? 'no replica can be used' : `nothing is proved of ${unknown.node}`
  const why = worstMs === null ? nobody : `the worst is ${formatDuration(Math.round(worstMs))} behind`
  return new PointsmanError('replicas_behind', { values: { cluster, max: formatDuration(maxMs), why } })
}
