// execute/resolve-floors.ts — what a session's floors still need a sample for gets one now, so that its token can say
// where it stands (CONSISTENCY §2.3 W0'). All sessions that ask at once share the sample.
import type { SessionFloors } from '../consistency/floors.js'
import type { Topology } from '../topology/topology.js'

export interface Measured {
  topology(): Topology
  /** Resolves when a sample sent after the call has been published, or could not be taken; never rejects. */
  sampleNow(cluster: string): Promise<void>
}

/** Twice: a sample that was answered across a jump of the clocks tells nothing. */
const tries = 2

/** Ends after `ms` at the latest. What is not resolved by then stays pending, which a token can say too. */
export async function resolveFloors(measured: Measured, floors: SessionFloors, clusters: readonly string[], ms: number): Promise<void> {
  let stop = (): void => undefined
  const over = new Promise<void>((resolve) => (stop = resolve))
  const timer = setTimeout(stop, ms)
  try {
    await Promise.race([over, Promise.all(clusters.map((cluster) => resolveOne(measured, floors, cluster)))])
  } finally {
    clearTimeout(timer)
  }
}

async function resolveOne(measured: Measured, floors: SessionFloors, id: string): Promise<void> {
  for (let n = 0; n < tries; n++) {
    const view = measured.topology().clusters.get(id)
    if (view === undefined || !floors.unresolved(view)) return
    await measured.sampleNow(id)
  }
}
