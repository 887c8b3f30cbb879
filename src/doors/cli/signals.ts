// doors/cli/signals.ts — what the outside tells the process: end (SIGTERM, SIGINT), end now (the same once more), reload.

export interface Signals {
  /** Resolves with the first SIGTERM or SIGINT. */
  readonly stop: Promise<void>
  /** Fires at the same moment. */
  readonly aborted: AbortSignal
  onHangup(listener: () => void): void
  /** Signals do again what they did before. */
  close(): void
}

export function untilSignal(): Signals {
  const stopping = new AbortController()
  const ends = ['SIGINT', 'SIGTERM'] as const
  let hangup: () => void = () => undefined
  const onHangup = (): void => hangup()
  const onEnd = (signal: NodeJS.Signals): void => {
    // Embedded servers end with their owner, however it ends.
    if (stopping.signal.aborted) process.exit(signal === 'SIGINT' ? 130 : 143)
    stopping.abort()
  }
  for (const signal of ends) process.on(signal, onEnd)
  process.on('SIGHUP', onHangup)
  return {
    stop: new Promise((resolve) => {
      stopping.signal.addEventListener('abort', () => resolve(), { once: true })
    }),
    aborted: stopping.signal,
    onHangup: (listener) => {
      hangup = listener
    },
    close: () => {
      for (const signal of ends) process.off(signal, onEnd)
      process.off('SIGHUP', onHangup)
    },
  }
}
