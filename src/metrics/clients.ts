// metrics/clients.ts — clients by what they are doing, and how long the first in each queue has waited: read at scrape from the
// same registries that the console shows.
import { Gauge, type Registry } from 'prom-client'
import type { RuntimeSnapshot } from '../runtime/contract.js'

export interface ClientCount {
  readonly state: 'active' | 'idle' | 'transaction' | 'waiting'
  /** For a server connection; 0: it does not wait. */
  readonly waitSeconds: number
}

const states = ['active', 'idle', 'transaction', 'waiting'] as const

export function gaugeClients(registry: Registry, clients: () => Iterable<ClientCount>, snapshot: () => RuntimeSnapshot): void {
  const registers = [registry]
  new Gauge({
    name: 'pointsman_client_states',
    help: 'Clients by state; waiting: for a server connection.',
    labelNames: ['state'],
    registers,
    collect() {
      for (const state of states) this.set({ state }, 0)
      for (const { state } of clients()) this.inc({ state })
    },
  })
  new Gauge({
    name: 'pointsman_client_wait_seconds',
    help: 'How long the client has waited that waits longest for a server connection, also for the end of a pause; 0: none does.',
    aggregator: 'max',
    registers,
    collect() {
      let longest = 0
      for (const { waitSeconds } of clients()) longest = Math.max(longest, waitSeconds)
      this.set(longest)
    },
  })
  new Gauge({
    name: 'pointsman_pool_queue_seconds',
    help: 'How long the first in the queue of a pool has waited; 0: nobody waits.',
    labelNames: ['node'],
    aggregator: 'max',
    registers,
    collect() {
      this.reset()
      const longest = new Map<string, number>()
      for (const { node, longestWaitMs } of snapshot().pools) longest.set(node, Math.max(longest.get(node) ?? 0, longestWaitMs / 1_000))
      for (const [node, seconds] of longest) this.set({ node }, seconds)
    },
  })
}
