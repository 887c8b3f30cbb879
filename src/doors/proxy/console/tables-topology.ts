// doors/proxy/console/tables-topology.ts — the servers as this process sees them, and what operators have switched. Where
// PgBouncer has a column of that meaning it has PgBouncer's name. Durations are in the unit of the column's name.
import { formatDuration } from '../../../consistency/duration.js'
import { formatLsn } from '../../../consistency/lsn.js'
import { lagOf } from '../../../topology/lag.js'
import { usableReplicas, type ClusterSnapshot } from '../../../topology/topology.js'
import { columns, type Cell } from './cells.js'
import { sum, told, yes, type Shown, type TableSpec } from './shown.js'

function measured({ config, topology }: Shown): readonly ClusterSnapshot[] {
  return [...config.clusters.keys()].flatMap((id) => topology.clusters.get(id) ?? [])
}

export const nodes: TableSpec = {
  columns: columns('cluster node role state lag_ms:int8 position timeline:int8 receiving in_flight:int4 reason banned'),
  parts: ['load'],
  rows: (shown) => {
    const load = told(shown, 'load').map(([, item]) => item)
    return measured(shown).flatMap((cluster) => {
      const lags = lagOf(cluster, shown.now).nodes
      return cluster.nodes.map((node, index): readonly Cell[] => {
        const lag = lags[index]?.ms ?? null
        const { position } = node
        return [
          cluster.id,
          node.id,
          node.role ?? 'unknown',
          node.health,
          lag === null ? null : Math.round(lag),
          position === null ? null : formatLsn(position.lsn),
          position?.timeline ?? null,
          node.receiving === null ? null : yes(node.receiving),
          sum(load.filter(([id]) => id === node.id).map(([, count]) => count)),
          node.unfit ?? node.limited,
          shown.bans.of(node.id),
        ]
      })
    })
  },
}

export const clusters: TableSpec = {
  columns: columns('cluster primary timeline:int8 headless_ms:int8 replicas:int4 nodes:int4 read_only allow_stale paused'),
  parts: [],
  rows: (shown) =>
    measured(shown).map((cluster) => {
      const { id, primary, timeline, headlessSince } = cluster
      const stale = shown.switches.allowStale.get(id)
      return [
        id,
        primary?.id ?? null,
        timeline,
        headlessSince === null ? null : Math.round(shown.now - headlessSince),
        usableReplicas(cluster).length,
        cluster.nodes.length,
        shown.switches.readOnly.get(id)?.message ?? shown.config.clusters.get(id)?.readOnly ?? null,
        stale === undefined ? null : formatDuration(stale.maxMs),
        yes(shown.gate.isPaused({ kind: 'all', name: '' }) || shown.gate.isPaused({ kind: 'cluster', name: id })),
      ]
    }),
}

export const switches: TableSpec = {
  columns: columns('cluster switch value by ends_in_s:int8'),
  parts: [],
  rows: (shown) => [...readOnlyRows(shown), ...staleRows(shown), ...banRows(shown), ...gateRows(shown), ...virtualRows(shown)],
}

function readOnlyRows({ config, switches: { readOnly } }: Shown): readonly (readonly Cell[])[] {
  const switched = [...readOnly].map(([id, { message, by }]) => [id, 'read_only', message, by, null])
  const configured = [...config.clusters.values()].flatMap(({ id, readOnly: message }) =>
    message === null ? [] : [[id, 'read_only', message, 'the configuration', null]],
  )
  return [...switched, ...configured]
}

function staleRows({ switches: { allowStale }, now }: Shown): readonly (readonly Cell[])[] {
  return [...allowStale].map(([id, { maxMs, until, by }]) => [id, 'allow_stale', formatDuration(maxMs), by, secondsLeft(until, now)])
}

function banRows({ bans, now }: Shown): readonly (readonly Cell[])[] {
  return bans
    .snapshot()
    .map(({ cluster, node, kind, until, by }) => [cluster, kind, node, by, until === null ? null : secondsLeft(until, now)])
}

function gateRows({ gate }: Shown): readonly (readonly Cell[])[] {
  const { paused, disabled } = gate.snapshot()
  const ofPause = paused.map(({ kind, name, by }) => [
    kind === 'cluster' ? name : null,
    'pause',
    kind === 'all' ? 'everything' : `${kind} ${name}`,
    by,
    null,
  ])
  return [...ofPause, ...[...disabled].map(([database, by]) => [null, 'disable', `database ${database}`, by, null])]
}

function virtualRows({ config: { databases } }: Shown): readonly (readonly Cell[])[] {
  return [...databases.values()].flatMap(({ name, virtual }) =>
    [...virtual].map(([label, { mode, rollout, by }]) => {
      const value = `${label} of ${name}: ${mode}${mode === 'refuse' ? ` ${String(rollout)}%` : ''}`
      return [null, 'virtual', value, by ?? 'the configuration', null]
    }),
  )
}

function secondsLeft(until: number, now: number): number {
  return Math.max(0, Math.ceil((until - now) / 1_000))
}

export const inDoubt: TableSpec = {
  columns: columns('database cluster gid owner age_s:int8 decided_on why'),
  parts: [],
  rows: ({ inDoubt: all }) =>
    all.map(({ database, cluster, gid, owner, ageSeconds, decider, why }) => [
      database,
      cluster,
      gid,
      owner,
      Math.round(ageSeconds),
      decider,
      why,
    ]),
}

export const state: TableSpec = {
  columns: columns('key value'),
  parts: [],
  rows: ({ gate }) => {
    const paused = gate.isPaused({ kind: 'all', name: '' })
    return [
      ['active', yes(!paused)],
      ['paused', yes(paused)],
      ['suspended', 'no'],
    ]
  },
}
