// topology/health.ts — the life of a node as a table. Two strikes put it down; out of there it passes through probation,
// where it gets a trickle of work before it counts as up again.
import type { Health } from './topology.js'

/** ok: it answered · miss: no answer in time · lost: its connection broke or could not be opened · due: its back-off is over. */
export type HealthEvent = 'ok' | 'miss' | 'lost' | 'due'

const table: Readonly<Record<Health, Readonly<Record<HealthEvent, Health>>>> = {
  up: { ok: 'up', miss: 'suspect', lost: 'suspect', due: 'up' },
  suspect: { ok: 'up', miss: 'down', lost: 'down', due: 'suspect' },
  down: { ok: 'probation', miss: 'down', lost: 'down', due: 'probation' },
  probation: { ok: 'up', miss: 'down', lost: 'down', due: 'probation' },
}

export function nextHealth(health: Health, event: HealthEvent): Health {
  return table[health][event]
}
