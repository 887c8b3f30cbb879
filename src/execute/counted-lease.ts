// execute/counted-lease.ts — a lease that is counted while it is out, however it ends.
import type { Lease, PooledConnection } from '../pool/contract.js'

/** Calls every one of `ended` once, when the lease is released or destroyed. */
export function countedLease<C extends PooledConnection>(lease: Lease<C>, ended: readonly (() => void)[]): Lease<C> {
  const end = (): void => {
    for (const each of ended) each()
  }
  return {
    connection: lease.connection,
    node: lease.node,
    cluster: lease.cluster,
    release: (taint) => {
      lease.release(taint)
      end()
    },
    destroy: (reason) => {
      lease.destroy(reason)
      end()
    },
  }
}
