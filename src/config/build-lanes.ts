// config/build-lanes.ts — `lanes`: when several clients share a server connection at the same moment (docs/lanes.md).
import { ms } from './build-doors.js'
import type { LanesConfig } from './config.js'
import type { Context } from './context.js'
import type { LanesInput, Partly } from './input.js'
import { parseSize } from './quantities.js'

/** What answers within this is never slow: shorter, and every pause of this process would look like a stalled lane. */
const leastStallMs = 1

export function buildLanes(context: Context, input: Partly<LanesInput> = {}): LanesConfig {
  const stallMs = ms(input.stall, 20)
  if (stallMs < leastStallMs) {
    context.findings.problem({
      path: ['lanes', 'stall'],
      allowed: 'at least 1ms',
      message: 'every lane would be closed as soon as it is used',
    })
  }
  return {
    enabled: input.enabled ?? true,
    depth: input.depth ?? 16,
    stallMs,
    maxResultBytes: parseSize(input.max_result ?? '64KB') ?? 0,
    connections: input.connections ?? 4,
  }
}
