// execute/parts.ts — what an executor is made of. All effects of the room come in here.
import type { Config } from '../config/config.js'
import type { Monitor } from '../monitor/contract.js'
import type { Observer } from '../observe/events.js'
import type { PooledConnection } from '../pool/contract.js'
import type { PoolSet } from '../pool/set.js'
import type { Bans } from './bans.js'
import type { Load } from './load.js'
import type { Switches } from './switches.js'

export interface ExecutorParts<C extends PooledConnection> {
  readonly config: Config
  readonly monitor: Monitor
  readonly pools: Pick<PoolSet<C>, 'pool'>
  readonly load: Load
  readonly switches: Switches
  readonly bans: Bans
  readonly observer: Observer
  /** Process-monotonic milliseconds. */
  readonly now: () => number
  /** In [0, 1). */
  readonly random: () => number
}
