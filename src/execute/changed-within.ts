// execute/changed-within.ts — waiting for the topology with a limit, without leaving a timer or a listener behind.
import type { Monitor } from '../monitor/contract.js'

/** True at the next publication, false after `ms`. Rejects with `signal.reason` if that comes first. */
export async function changedWithin(monitor: Pick<Monitor, 'changed'>, ms: number, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted()
  if (ms <= 0) return false
  const stop = new AbortController()
  const end = (): void => stop.abort()
  const timer = setTimeout(end, ms)
  signal.addEventListener('abort', end, { once: true })
  try {
    await monitor.changed(stop.signal)
    return true
  } catch (error) {
    signal.throwIfAborted()
    if (stop.signal.aborted) return false
    throw error
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', end)
  }
}
