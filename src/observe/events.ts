// observe/events.ts — everything that happens, as typed events. Nothing here knows who listens; metrics/, the log and
// the console do. Emitting to nobody costs one length check.
import type { Why } from './why.js'

export interface Events {
  /** One per statement or batch, when its last reply has come. */
  'query.end': {
    readonly door: 'proxy' | 'library'
    readonly database: string
    readonly user: string
    readonly cluster: string | null
    readonly node: string | null
    readonly role: 'primary' | 'replica' | 'none'
    readonly owner: string | null
    readonly outcome: 'ok' | 'error' | 'refused' | 'lost' | 'canceled'
    readonly seconds: number
    readonly why: readonly Why[]
    readonly shape: number | null
  }
  'read.unmet': { readonly cluster: string; readonly policy: string; readonly step: 'wait' | 'primary' | 'stale' | 'error' }
  'read.misrouted': { readonly cluster: string; readonly node: string; readonly shape: number | null }
  crossing: { readonly database: string; readonly kind: string }
  'node.state': { readonly cluster: string; readonly node: string; readonly state: string; readonly role: string; readonly reason: string }
  'node.staleness': { readonly cluster: string; readonly node: string; readonly seconds: number | null }
  'primary.changed': {
    readonly cluster: string
    readonly from: string | null
    readonly to: string | null
    readonly timeline: number | null
  }
  'pool.wait': { readonly cluster: string; readonly node: string; readonly seconds: number; readonly outcome: 'ok' | 'timeout' | 'failed' }
  'pool.opened': { readonly cluster: string; readonly node: string; readonly user: string }
  'pool.closed': { readonly cluster: string; readonly node: string; readonly user: string; readonly reason: string }
  'client.opened': { readonly database: string; readonly user: string; readonly address: string }
  'client.closed': { readonly database: string; readonly user: string; readonly reason: string; readonly seconds: number }
  'client.refused': { readonly address: string; readonly sqlstate: string; readonly reason: string }
  'catalog.loaded': { readonly cluster: string; readonly relations: number; readonly functions: number; readonly generation: number }
  'config.reloaded': {
    readonly outcome: 'applied' | 'unchanged' | 'refused'
    readonly generation: number
    readonly problems: readonly string[]
  }
  /** What has no event of its own; never a secret, never a parameter value. */
  log: { readonly level: 'debug' | 'info' | 'warn' | 'error'; readonly message: string; readonly fields: Readonly<Record<string, unknown>> }
}

export type EventName = keyof Events
export type Listener<N extends EventName> = (event: Events[N]) => void

/** Where events go out. */
export interface Observer {
  emit<N extends EventName>(name: N, event: Events[N]): void
  on<N extends EventName>(name: N, listener: Listener<N>): () => void
}
