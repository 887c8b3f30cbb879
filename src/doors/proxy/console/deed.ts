// doors/proxy/console/deed.ts — what every worker does when an operator commands it: plain data, names resolved.
import type { PauseTarget } from '../../../execute/gate.js'
import type { VirtualMode } from '../../../config/config.js'
import { withVirtual } from '../../../config/with-virtual.js'
import type { Observer } from '../../../observe/events.js'
import type { Runtime } from '../../../runtime/contract.js'
import type { ServerConnection } from '../../../server/contract.js'
import { databaseClusters, databaseOfPool } from './names.js'

/* eslint-disable @typescript-eslint/consistent-type-definitions -- types, not interfaces: only those are known to be plain data */

type TargetData = { readonly kind: PauseTarget['kind']; readonly name: string }

export type Deed =
  | { readonly do: 'read-only'; readonly clusters: readonly string[]; readonly message: string | null }
  /** `maxMs` null: it ends. */
  | { readonly do: 'allow-stale'; readonly clusters: readonly string[]; readonly maxMs: number | null; readonly forMs: number }
  | { readonly do: 'pause' | 'resume' | 'renew'; readonly target: TargetData }
  | { readonly do: 'disable' | 'enable'; readonly database: string }
  /** `database` null: clients of all. */
  | { readonly do: 'kill'; readonly database: string | null }
  | { readonly do: 'kill-client'; readonly id: number }
  | { readonly do: 'ban' | 'drain'; readonly cluster: string; readonly node: string; readonly forMs: number | null }
  | { readonly do: 'lift'; readonly cluster: string; readonly node: string }
  | { readonly do: 'renew-node'; readonly node: string }
  | { readonly do: 'virtual'; readonly name: string; readonly mode: VirtualMode; readonly rollout: number }
  | { readonly do: 'clear-audit' }
  | { readonly do: 'log-level'; readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent' }

export interface DeedParts {
  readonly runtime: Runtime<ServerConnection>
  readonly observer: Observer
  readonly killClients: (test: (client: { readonly pid: number; readonly database: string }) => boolean) => number
  readonly setLogLevel: ((level: Extract<Deed, { do: 'log-level' }>['level']) => void) | null
}

/** Gives how many it found to do something to: clients, where it is of clients. */
export function carryOut(deed: Deed, by: string, parts: DeedParts): number | Promise<number> {
  const { runtime } = parts
  const { switches, gate, bans } = runtime
  switch (deed.do) {
    case 'read-only':
      for (const id of deed.clusters) switches.setReadOnly(id, deed.message === null ? null : { message: deed.message, by }, by)
      return deed.clusters.length
    case 'allow-stale':
      for (const id of deed.clusters) switches.setAllowStale(id, deed.maxMs, deed.forMs, by)
      return deed.clusters.length
    case 'pause':
      return told(parts, 'pause', true, deed.target, by, gate.pause(deed.target, by))
    case 'resume':
      return told(parts, 'pause', false, deed.target, by, gate.resume(deed.target))
    case 'renew':
      renew(runtime, deed.target)
      return 0
    case 'disable':
    case 'enable': {
      const on = deed.do === 'disable'
      return told(parts, 'disable', on, { kind: 'database', name: deed.database }, by, gate.setDisabled(deed.database, on ? by : null))
    }
    case 'kill':
      return parts.killClients(({ database }) => deed.database === null || database === deed.database)
    case 'kill-client':
      return parts.killClients(({ pid }) => pid === deed.id)
    case 'ban':
    case 'drain':
      bans.set(deed.cluster, deed.node, deed.do, deed.forMs, by)
      return 1
    case 'lift':
      return bans.lift(deed.cluster, deed.node, by) ? 1 : 0
    case 'renew-node':
      runtime.renew(({ node }) => node === deed.node, 'its server is drained')
      return 0
    case 'virtual':
      return setVirtual(parts, deed, by)
    case 'clear-audit':
      runtime.audit.clear()
      return 1
    case 'log-level':
      parts.setLogLevel?.(deed.level)
      return 0
  }
}

function told(parts: DeedParts, what: 'pause' | 'disable', on: boolean, { kind, name }: PauseTarget, by: string, changed: boolean): number {
  if (!changed) return 0
  const detail = kind === 'all' ? 'everything' : `${kind} ${name}`
  parts.observer.emit('switch.changed', { cluster: kind === 'cluster' ? name : '*', switch: what, on, detail, by })
  return 1
}

/** As a reload of the same configuration but for this: sessions keep what they have until their transaction ends. */
async function setVirtual(
  { runtime, observer }: DeedParts,
  { name, mode, rollout }: Extract<Deed, { do: 'virtual' }>,
  by: string,
): Promise<number> {
  const { found } = withVirtual(runtime.current().config, name, { mode, rollout, by })
  if (found === 0) return 0
  await runtime.alter((config) => withVirtual(config, name, { mode, rollout, by }).changed)
  const detail = `${name} ${mode}${mode === 'refuse' ? ` ${String(rollout)}%` : ''}`
  observer.emit('switch.changed', { cluster: '*', switch: 'virtual', on: mode !== 'off', detail, by })
  return found
}

/** Whether a pool is of what was named. Where databases share it, it is of each of them. */
export function poolTest(runtime: Runtime<ServerConnection>, { kind, name }: PauseTarget): Parameters<typeof runtime.renew>[0] {
  const { config } = runtime.current()
  switch (kind) {
    case 'all':
      return () => true
    case 'cluster':
      return ({ cluster }) => cluster === name
    case 'database': {
      const own = databaseClusters(config, name)
      return ({ cluster, dbname }) =>
        own.includes(cluster) && (databaseOfPool(config, { cluster, dbname }) === name || config.clusters.get(cluster)?.dbname === dbname)
    }
  }
}

function renew(runtime: Runtime<ServerConnection>, target: PauseTarget): void {
  runtime.renew(poolTest(runtime, target), 'an operator asked for new connections')
}
