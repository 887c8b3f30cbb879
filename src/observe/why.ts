// observe/why.ts — one rule that decided a route, with what it saw. Plans carry a list of these; events repeat it.

/** The last of a plan's list is the deciding one (the metric's label). */
export interface Why {
  /** A fixed, small vocabulary (routing/rules.ts), e.g. `write`, `unknown-function`, `partition`, `shard-key`. */
  readonly rule: string
  /** The particulars: `function public.touch() is volatile`. Holds names, never values of literals or parameters. */
  readonly detail: string
}
