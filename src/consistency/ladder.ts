// consistency/ladder.ts — the text forms of `on_unmet` (DESIGN §3): `wait 30ms`, `primary`, `primary 50`, `stale`, `error`.
import { formatDuration, parseDuration } from './duration.js'
import type { LadderStep } from './policy.js'

/** A JSON-schema pattern of one rung. */
export const ladderStepPattern: RegExp = /^(wait [0-9]+(\.[0-9]+)? ?(ms|s|m)|primary( [1-9][0-9]{0,6})?|stale|error)$/

/** One rung; null if the text is none. */
export function parseLadderStep(text: string): LadderStep | null {
  const trimmed = text.trim().replaceAll(/ +/g, ' ')
  if (!ladderStepPattern.test(trimmed)) return null
  if (trimmed.startsWith('wait ')) {
    const ms = parseDuration(trimmed.slice('wait '.length))
    return ms === null ? null : { step: 'wait', ms }
  }
  if (trimmed === 'stale' || trimmed === 'error') return { step: trimmed }
  const limit = trimmed.slice('primary'.length).trim()
  return { step: 'primary', limit: limit === '' ? null : Number(limit) }
}

/** The inverse of parseLadderStep. */
export function formatLadderStep(step: LadderStep): string {
  if (step.step === 'wait') return `wait ${formatDuration(step.ms)}`
  if (step.step === 'primary' && step.limit !== null) return `primary ${String(step.limit)}`
  return step.step
}

/** Index of the first rung that can never be reached, because the one before it always gives an answer; -1 if all can. */
export function firstUnreachable(steps: readonly LadderStep[]): number {
  const last = steps.findIndex((step) => step.step === 'stale' || step.step === 'error' || (step.step === 'primary' && step.limit === null))
  return last === -1 || last === steps.length - 1 ? -1 : last + 1
}
