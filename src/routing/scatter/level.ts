// routing/scatter/level.ts — one SELECT with its FROM, as far as it has been looked at.
import type { Fields } from '../../sql/tree.js'
import type { Entry, Equalities, Scope } from './scope.js'
import type { World } from './world.js'

/** One SELECT with its FROM, without set operations. */
export interface Level {
  readonly world: World
  readonly select: Fields
  readonly scope: Scope
  readonly state: 'everywhere' | 'spread' | 'local'
  readonly keyed: readonly Entry[]
  /** Equal in every row that WHERE leaves. */
  readonly known: Equalities
  /** It has GROUP BY, HAVING or aggregates. */
  readonly grouped: boolean
}
