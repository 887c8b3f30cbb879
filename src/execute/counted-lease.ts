// execute/counted-lease.ts — a lease that is counted while it is out, however it ends.
import type { Lease, PooledConnection } from '../pool/contract.js'

/** Calls every one of `ended` once, when the lease is released or destroyed. */
export function countedLease<C extends PooledConnection>(lease: Lease<C>, ended: readonly (() => void)[]): Lease<C> {
  return new CountedLease(lease, ended)
}

class CountedLease<C extends PooledConnection> implements Lease<C> {
  readonly connection: C
  readonly node: string
  readonly cluster: string
  readonly #lease: Lease<C>
  readonly #ended: readonly (() => void)[]

  constructor(lease: Lease<C>, ended: readonly (() => void)[]) {
    this.connection = lease.connection
    this.node = lease.node
    this.cluster = lease.cluster
    this.#lease = lease
    this.#ended = ended
  }

  release(taint: string | null): void {
    this.#lease.release(taint)
    for (const end of this.#ended) end()
  }

  destroy(reason: string): void {
    this.#lease.destroy(reason)
    for (const end of this.#ended) end()
  }
}
