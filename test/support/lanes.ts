// test/support/lanes.ts — what tests of lanes have in common: a statement that is known to be fast, clients that use a lane at
// the same moment, and a lane on which something can be made to wait.
import type { Proxy } from '../../src/doors/proxy/proxy.js'
import type { WireClient } from './wire-client.js'

/** Runs `send` until one more of its requests was served by a lane than before. Its replies end with one ReadyForQuery each. */
export async function untilOnLane(proxy: Pick<Proxy, 'lanes'>, client: WireClient, send: () => void): Promise<void> {
  for (let runs = 0; runs < 10_000; runs++) {
    const before = proxy.lanes().counts.served
    send()
    await client.until('ReadyForQuery')
    if (proxy.lanes().counts.served > before) return
  }
  throw new Error('no lane was ever used')
}
