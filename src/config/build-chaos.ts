// config/build-chaos.ts — `chaos`: failures on purpose. Nobody gets them by accident: `i_know: true` must stand there.
import { ms } from './build-doors.js'
import type { ChaosConfig } from './config.js'
import type { Context } from './context.js'
import type { ChaosInput, Partly } from './input.js'

/** Shorter means would leave no time for anything else. */
const leastMs = 10

export function buildChaos(context: Context, input: Partly<ChaosInput> | undefined): ChaosConfig | null {
  if (input === undefined) return null
  if (input.i_know !== true) {
    const at =
      input.i_know === undefined
        ? { path: ['chaos'], at: 'key' as const, found: 'chaos without i_know: true' }
        : { path: ['chaos', 'i_know'] }
    const allowed = 'i_know: true, or no "chaos" at all'
    const message = 'chaos breaks connections on purpose; it is taken only from somebody who says so'
    // A bad i_know was told by its form.
    if (input.i_know !== undefined || !context.findings.given(['chaos', 'i_know'])) context.findings.problem({ ...at, allowed, message })
  }
  return {
    killEveryMs: mean(context, ['kill'], input.kill),
    delayShare: input.delay?.share ?? 0,
    delayMs: ms(input.delay?.by, 0),
    pauseEveryMs: mean(context, ['pause', 'every'], input.pause?.every),
    pauseMs: ms(input.pause?.for, 0),
    seed: input.seed ?? null,
  }
}

function mean(context: Context, key: readonly string[], input: string | 0 | undefined): number | null {
  const value = ms(input, 0)
  if (value === 0) return null
  if (value < leastMs) {
    const allowed = `at least ${String(leastMs)}ms, or 0 for never`
    context.findings.problem({ path: ['chaos', ...key], allowed, message: 'nothing else would happen' })
  }
  return value
}
