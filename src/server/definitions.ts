// server/definitions.ts — how often something was defined (DDL), as far as this process knows: whatever a client prepares
// afterwards, PostgreSQL would look up anew, so what a connection has prepared before must not stand for it. One count for all
// clusters: it costs a Parse now and then where nothing has changed.

let count = 0

export function somethingDefined(): void {
  count += 1
}

/** Grows. */
export function definitionsSeen(): number {
  return count
}
