// doors/library/with-token.ts — a job that comes after a request: its reads must not miss what the request wrote. Where it can
// wait, it waits for a replica rather than load the primary.
import { setTimeout as sleep } from 'node:timers/promises'
import { clustersOf } from '../../config/clusters-of.js'
import { readPolicy } from '../../consistency/policy.js'
import { mayAdmit, requirement } from '../../consistency/requirement.js'
import { changedWithin } from '../../execute/changed-within.js'
import type { ClusterSnapshot } from '../../topology/topology.js'
import type { Core } from './core.js'
import type { LiveSession } from './live-session.js'
import type { TokenOptions } from './request-types.js'
import { timeOption } from './time-option.js'

const policy = readPolicy({ consistency: 'session' })
const defaultWaitMs = 10_000
const pauseMs = { first: 5, last: 250 }

export async function withToken<T>(core: Core, session: LiveSession, work: () => T | Promise<T>, options: TokenOptions = {}): Promise<T> {
  const { mode = 'sticky', wait = defaultWaitMs } = options
  const waitMs = timeOption('wait', wait)
  switch (mode) {
    case 'always':
      return core.context.run(session, () => core.context.within({ consistency: 'strong' }, work))
    case 'delayed':
      await core.alive.during(() => replicasMeet(core, session, waitMs))
      return core.context.run(session, work)
    case 'sticky':
      return core.context.run(session, work)
    default:
      throw new TypeError('option mode must be always, sticky or delayed')
  }
}

/** Ends when every cluster has a replica for this session, or none at all; after `ms` at the latest. */
async function replicasMeet(core: Core, session: LiveSession, ms: number): Promise<void> {
  const { runtime } = await core.ready()
  const deadline = core.now() + ms
  for (let pause = pauseMs.first; ; pause = Math.min(pauseMs.last, pause * 2)) {
    const generation = runtime.current()
    const { clusters } = generation.topology()
    const behind = clustersOf(core.home(generation.config).database).filter((id) => {
      const cluster = clusters.get(id)
      return cluster !== undefined && !meets(core, session, cluster)
    })
    const left = deadline - core.now()
    if (behind.length === 0 || left <= 0) return
    for (const id of behind) await settle(core, session, id, left)
    // Jobs that were queued together would ask together.
    const before = Math.min(left, pause * (0.5 + Math.random()))
    if (generation.topology().clusters !== clusters) continue
    await changedWithin(generation, before, core.stopping.signal)
  }
}

/** What is asked may only need a sample; that replicas are looked at more often is lag()'s doing. */
async function settle(core: Core, session: LiveSession, id: string, ms: number): Promise<void> {
  const { runtime } = await core.ready()
  runtime.lag(id)
  const cluster = runtime.current().topology().clusters.get(id)
  if (cluster === undefined) return
  const asked = requirement(policy, session.floors, cluster, core.now())
  if (asked.kind === 'floor' && !asked.claimed) return
  const over = new AbortController()
  await Promise.race([runtime.current().sampleNow(id), sleep(ms, undefined, { signal: over.signal }).catch(() => undefined)])
  over.abort()
}

function meets(core: Core, session: LiveSession, cluster: ClusterSnapshot): boolean {
  const replicas = cluster.nodes.filter(({ role, unfit }) => role !== 'primary' && unfit === null)
  // Where there is nobody but a primary there is nobody to wait for.
  if (cluster.nodes.length === 1 && cluster.primary !== null) return true
  const asked = requirement(policy, session.floors, cluster, core.now())
  return replicas.some((node) => node.role === 'replica' && mayAdmit(asked, node))
}
