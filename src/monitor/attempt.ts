// monitor/attempt.ts — work that may be given up: when it takes too long, or when the monitor stops. A signal of its own for
// every try, so that nothing piles up on the one that lives as long as the monitor.
import { TimeoutError } from './within.js'

/** Rejects as `work` does; its signal fires after `ms`, or with `stop`. */
export async function attempt<T>(stop: AbortSignal, ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  stop.throwIfAborted()
  const controller = new AbortController()
  const abort = (): void => controller.abort(stop.reason)
  const timer = setTimeout(() => controller.abort(new TimeoutError(`no connection within ${String(ms)} ms`)), ms)
  // What it limits has a socket, which decides whether the process stays alive.
  timer.unref()
  stop.addEventListener('abort', abort, { once: true })
  try {
    return await work(controller.signal)
  } finally {
    clearTimeout(timer)
    stop.removeEventListener('abort', abort)
  }
}
