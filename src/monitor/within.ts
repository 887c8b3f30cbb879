// monitor/within.ts — a promise with a deadline. A timer that fires late because the event loop was busy proves nothing
// about the server, whose answer may be waiting in the socket: the loop gets one turn to read it before time is up.

export class TimeoutError extends Error {
  override readonly name = 'TimeoutError'
}

/** Settles as `work` does, or rejects with TimeoutError after `ms`. `work` is not stopped. */
export async function within<T>(work: Promise<T>, ms: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const fail = (): void => {
      reject(new TimeoutError(`${what} took longer than ${String(ms)} ms`))
    }
    // What it limits has a socket, which decides whether the process stays alive.
    timer = setTimeout(() => setImmediate(() => setImmediate(fail)), ms).unref()
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
