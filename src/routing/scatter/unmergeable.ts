// routing/scatter/unmergeable.ts — why a statement cannot be answered from several clusters. Thrown anywhere in this room and
// turned into a refusal by scatter.ts; it never leaves the room.

export class Unmergeable extends Error {
  override readonly name = 'Unmergeable'
  /** What to do. */
  readonly hint: string

  /** `message`: the end of `rows of … lie on several clusters, and …`. */
  constructor(message: string, hint: string) {
    super(message)
    this.hint = hint
  }
}

/** What helps against nearly everything. */
export const byKey =
  'Bind the shard key of every sharded table with = to one value, or send one statement for each part and combine the results.'
