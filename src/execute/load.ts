// execute/load.ts — work under way: by node, for choosing the less busy one, and the reads that each cluster's primary
// has taken over from replicas, which `primary <limit>` bounds. One for the process: generations share it.

export class Load {
  readonly #inFlight = new Map<string, number>()
  /** Requests on connections of a node that others use at the same moment. */
  shared: (node: string) => number = () => 0
  readonly #spilled = new Map<string, number>()

  inFlight(node: string): number {
    return (this.#inFlight.get(node) ?? 0) + this.shared(node)
  }

  snapshot(): ReadonlyMap<string, number> {
    return new Map(this.#inFlight)
  }

  /** One more on `node`; the function returned takes it back, once. */
  begin(node: string): () => void {
    return count(this.#inFlight, node)
  }

  spilled(cluster: string): number {
    return this.#spilled.get(cluster) ?? 0
  }

  /** One more read on the primary of `cluster`, or null where `limit` of them are there already. */
  spill(cluster: string, limit: number | null): (() => void) | null {
    return limit !== null && this.spilled(cluster) >= limit ? null : count(this.#spilled, cluster)
  }
}

function count(counts: Map<string, number>, key: string): () => void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
  let open = true
  return () => {
    if (!open) return
    open = false
    const left = (counts.get(key) ?? 1) - 1
    if (left > 0) counts.set(key, left)
    else counts.delete(key)
  }
}
