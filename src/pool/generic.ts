// pool/generic.ts — the slice of generic-pool 3.9.0 that the pool stands on. It counts (max, opening, lent, idle), keeps
// the time limit of each wait, and evicts; its two collections are ours, by the constructor that its own createPool()
// uses. That seam gives a preferred connection, real cancelling and fair turns without a second set of books.
import { Pool } from 'generic-pool'
import type { Shelf } from './shelf.js'
import type { Ticket, Wait, Waiting, WaitQueue } from './queue.js'

export interface GenericPool<C> {
  readonly spareResourceCapacity: number
  /** Open and opening. */
  readonly size: number
  readonly available: number
  readonly borrowed: number
  acquire(ticket: Ticket<C>): Promise<C>
  /** Lends the first of the shelf to the head of the queue, both of which must be there. */
  _dispatchResource(): void
  /** Opens as many as the queue lacks, if there is room, and lends what is idle. */
  _dispense(): void
  release(connection: C): Promise<void>
  destroy(connection: C): Promise<void>
  drain(): Promise<void>
}

/** generic-pool's own wrapper around a connection. */
export interface Resource<C> {
  readonly obj: C
}

export interface Factory<C> {
  create(): Promise<C>
  destroy(connection: C): Promise<void>
}

export interface GenericPoolOptions {
  readonly max: number
  readonly acquireTimeoutMillis: number
  readonly idleTimeoutMillis: number
  readonly evictionRunIntervalMillis: number
}

/** In the place of generic-pool's request: what is lent within the call needs no promise and no timer. */
class Taken implements Waiting {
  readonly state = 'PENDING'
  connection: unknown = null

  resolve(connection: unknown): void {
    this.connection = connection
  }

  reject(): void {
    this.connection = null
  }
}

/** Lends an idle connection at once; null where none is idle, or somebody waits for the next one. */
export function takeIdle<C>(generic: GenericPool<C>, queue: WaitQueue<C>, ticket: Ticket<C>): C | null {
  if (queue.ready || generic.available === 0) return null
  const taken = new Taken()
  queue.enqueue(taken, ticket)
  generic._dispatchResource()
  return taken.connection as C | null
}

/** Puts one of ours in the queue (`again`: where it was): it is resolved like generic-pool's own, without a promise or a timer. */
export function enqueue<C>(generic: GenericPool<C>, queue: WaitQueue<C>, wait: Wait<C>, again: boolean): void {
  queue.join(wait, again)
  generic._dispense()
}

/** Lends what is idle to those who wait, and opens what they lack. */
export function dispense<C>(generic: GenericPool<C>): void {
  generic._dispense()
}

type Constructor = new <C>(
  evictor: new () => { evict(config: { readonly idleTimeoutMillis: number }, resource: Resource<C>): boolean },
  shelf: new () => Shelf<Resource<C>>,
  queue: new () => WaitQueue<C>,
  factory: Factory<C>,
  options: Readonly<Record<string, unknown>>,
) => GenericPool<C>

/** `evict` says whether an idle connection is too old, or has idled too long, to be kept. */
export function createGenericPool<C>(
  factory: Factory<C>,
  shelf: Shelf<Resource<C>>,
  queue: WaitQueue<C>,
  evict: (connection: C) => boolean,
  options: GenericPoolOptions,
): GenericPool<C> {
  const evictor = { evict: (_config: unknown, resource: Resource<C>): boolean => evict(resource.obj) }
  // A constructor that returns an object gives that object: generic-pool wants classes, we have instances.
  const Generic = Pool as unknown as Constructor
  return new Generic<C>(instanceOf(evictor), instanceOf(shelf), instanceOf(queue), factory, {
    ...options,
    min: 0,
    fifo: false,
    testOnBorrow: false,
    numTestsPerEvictionRun: options.max,
  })
}

function instanceOf<T extends object>(instance: T): new () => T {
  return function give() {
    return instance
  } as unknown as new () => T
}
