// doors/library/begun.ts — what is known of a statement before it has a conversation: it was looked at for a lane first, or was on
// one. Times are process-monotonic ms.
import type { ParameterSource } from '../../routing/input.js'
import type { Understood } from '../../sql/statement.js'
import type { Ground } from './core.js'

export interface Begun {
  readonly ground: Ground
  readonly startedAt: number
  readonly understood: Understood
  readonly parameters: ParameterSource | null
  /** null: it was on no lane. */
  readonly moved: Moved | null
}

/** A read that leaves its lane, where its result may still come. */
export interface Moved {
  /** Nodes that it has lost. */
  readonly avoid: ReadonlySet<string>
  /** A server refused it as a write. */
  readonly writes: boolean
  /** It has a connection of its own now. False: that is not wanted any more, since it was answered, or must run as a write. */
  granted(): boolean
  /** What becomes of its conversation is nobody's business: the read is answered by others. */
  silent(): boolean
}

/** A conversation that ends because of granted(). */
export class NotWanted extends Error {
  override readonly name = 'NotWanted'
}
