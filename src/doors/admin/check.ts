// doors/admin/check.ts — GET /check?cluster=main&max_lag=2s: may bulk work go on, or are the cluster's replicas behind? The
// answer of a throttle that any language can ask (CONSISTENCY §2.9): 200 go on, 503 wait, 400 the question is no question.
import { parseDuration } from '../../consistency/duration.js'
import type { ClusterLag } from '../../topology/lag.js'

export interface CheckAnswer {
  readonly status: 200 | 400 | 503
  readonly body: Readonly<Record<string, unknown>>
}

/** `lag`: of a cluster by its name; null: there is none. */
export async function check(
  query: URLSearchParams,
  lag: (cluster: string) => ClusterLag | null | Promise<ClusterLag | null>,
): Promise<CheckAnswer> {
  const unknown = [...query.keys()].find((name) => name !== 'cluster' && name !== 'max_lag')
  if (unknown !== undefined) return refused(`unknown parameter ${unknown}`)
  const [cluster, ...clusters] = query.getAll('cluster')
  const [limit, ...limits] = query.getAll('max_lag')
  if (cluster === undefined || limit === undefined || clusters.length > 0 || limits.length > 0) {
    return refused('ask with one cluster and one max_lag: /check?cluster=main&max_lag=2s')
  }
  const maxMs = parseDuration(limit)
  if (maxMs === null || maxMs <= 0) return refused('max_lag is not a duration such as 2s or 500ms')
  const found = await lag(cluster)
  return found === null ? refused(`there is no cluster ${cluster.slice(0, 64)}`) : answer(found, maxMs)
}

function answer({ cluster, worstMs, nodes }: ClusterLag, maxMs: number): CheckAnswer {
  const ok = worstMs !== null && worstMs <= maxMs
  const body = {
    cluster,
    ok,
    worst_seconds: seconds(worstMs),
    nodes: nodes.map(({ node, role, ms, ignored }) => ({ node, role, lag_seconds: seconds(ms), ignored })),
  }
  return { status: ok ? 200 : 503, body }
}

function refused(error: string): CheckAnswer {
  return { status: 400, body: { error } }
}

function seconds(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms) / 1_000
}
