// server/turn-end.ts — what is to be done once at the end of this turn of the event loop: writers hand over what was gathered.
// One tick for all of them.

export interface Flushable {
  /** Must not throw. */
  flush(): void
}

let waiting: Flushable[] = []

/** Calls `it.flush()` when what runs now has returned, before anything else is read. */
export function atTurnEnd(it: Flushable): void {
  if (waiting.length === 0) process.nextTick(flushAll)
  waiting.push(it)
}

function flushAll(): void {
  const all = waiting
  waiting = []
  for (const it of all) it.flush()
}
