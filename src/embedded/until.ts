// embedded/until.ts — waits for a condition instead of for a length of time.
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Returns as soon as the condition holds, asking often.
 * @param what the condition in words, for the error
 * @throws Error when it does not hold within `patience` milliseconds; the limit only ends a wait that is in vain
 */
export async function until(what: string, condition: () => Promise<boolean>, patience = 30_000): Promise<void> {
  const deadline = performance.now() + patience
  for (let pause = 5; !(await condition()); pause = Math.min(pause * 1.5, 50)) {
    if (performance.now() > deadline) throw new Error(`waited ${String(patience)} ms in vain until ${what}`)
    await sleep(pause)
  }
}
