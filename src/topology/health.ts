// topology/health.ts — the life of a node as a table. Two strikes put it down; out of there it passes through probation,
// where it gets a trickle of work before it counts as up again.
import type { Health } from './topology.js'

/** ok: it answered · miss: no answer in time · lost: its connection broke or could not be opened */
export type HealthEvent = 'ok' | 'miss' | 'lost'

const table: Readonly<Record<Health, Readonly<Record<HealthEvent, Health>>>> = {
  up: { ok: 'up', miss: 'suspect', lost: 'suspect' },
  suspect: { ok: 'up', miss: 'down', lost: 'down' },
  down: { ok: 'probation', miss: 'down', lost: 'down' },
  probation: { ok: 'up', miss: 'down', lost: 'down' },
}

export function nextHealth(health: Health, event: HealthEvent): Health {
  return table[health][event]
}
