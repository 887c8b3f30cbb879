// test/support/fake-connection.ts — a server connection that is only flags, for tests of the pool.
import type { PooledConnection } from '../../src/pool/contract.js'

export class FakeConnection implements PooledConnection {
  readonly evidence = { node: 'n:1', openedAt: 0, inRecovery: false, position: null, postmasterStart: 'x', timeline: 1 }
  readonly number: number
  usable = true
  scrubs = 0
  closed = false
  scrubbing: Promise<void> = Promise.resolve()
  #listeners: ((reason: string) => void)[] = []

  constructor(number: number) {
    this.number = number
  }

  scrub(): Promise<void> {
    this.scrubs++
    return this.scrubbing
  }

  close(): void {
    this.closed = true
    this.die('closed')
  }

  sever(): void {
    this.die('severed')
  }

  die(reason: string): void {
    this.usable = false
    for (const listener of this.#listeners.splice(0)) listener(reason)
  }

  onClosed(listener: (reason: string) => void): void {
    this.#listeners.push(listener)
  }
}
