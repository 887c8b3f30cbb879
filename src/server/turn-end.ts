// server/turn-end.ts — what is to be done once at the end of this turn of the event loop: writers hand over what was gathered, when
// all sockets that had something were read. Whoever is written to wakes up, and may take the processor from us at once: what was
// still to be read then would wait for that, and those who are to be woken would be woken one by one.

export interface Flushable {
  /** Must not throw. */
  flush(): void
}

let waiting: Flushable[] = []

/** Calls `it.flush()` when everything that has come by now was read. */
export function atTurnEnd(it: Flushable): void {
  if (waiting.length === 0) setImmediate(flushAll)
  waiting.push(it)
}

function flushAll(): void {
  const all = waiting
  waiting = []
  for (const it of all) it.flush()
}
