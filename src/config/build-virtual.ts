// config/build-virtual.ts — `virtual`, `mode` and `rollout`: a split that is only tried.
import type { Virtual } from './config.js'
import type { Context } from './context.js'
import type { Partly, VirtualInput } from './input.js'
import type { Path } from './locator.js'

/** null: it is not virtual. */
export function buildVirtual(context: Context, path: Path, input: Partly<VirtualInput>): Virtual | null {
  if (input.virtual !== true) {
    for (const key of ['mode', 'rollout'] as const) {
      if (input[key] !== undefined) meansNothing(context, [...path, key], key, 'virtual: true')
    }
    return null
  }
  const mode = input.mode ?? 'log'
  if (input.rollout !== undefined && mode !== 'refuse') meansNothing(context, [...path, 'rollout'], 'rollout', 'mode: refuse')
  return { mode, rollout: input.rollout === undefined ? 100 : Number.parseInt(input.rollout, 10), by: null }
}

function meansNothing(context: Context, path: Path, key: string, needs: string): void {
  context.findings.problem({ path, at: 'key', found: key, allowed: `${key} only with ${needs}`, message: `"${key}" means nothing here` })
}
