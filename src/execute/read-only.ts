// execute/read-only.ts — the read-only mode of a cluster by hand: the operators' switch, or the configuration's. What
// happens by itself where no primary is proved is primary.ts' business.
import type { ClusterConfig } from '../config/config.js'
import { PointsmanError } from '../errors/error.js'
import type { Switches } from './switches.js'

/** What a write hears there now; null: it may go ahead. */
export function readOnlyRefusal(cluster: ClusterConfig | undefined, switches: Switches): PointsmanError | null {
  if (cluster === undefined) return null
  const message = switches.readOnly(cluster.id)?.message ?? cluster.readOnly
  return message === null ? null : new PointsmanError('read_only_mode', { values: { cluster: cluster.id, why: message } })
}
