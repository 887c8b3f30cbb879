// doors/cli/signals.ts — what the outside tells the process: end (SIGTERM, SIGINT), end now (the same once more), reload
// (SIGHUP), let a new process take over (SIGUSR2).

export interface Signals {
  /** Resolves with the first SIGTERM or SIGINT. */
  readonly stop: Promise<void>
  /** Fires at the same moment. */
  readonly aborted: AbortSignal
  onHangup(listener: () => void): void
  onRestart(listener: () => void): void
  /** As SIGTERM does. */
  end(): void
  /** Called before the process ends at once. */
  onAtOnce(listener: () => void): void
  /** Signals do again what they did before. */
  close(): void
}

export function untilSignal(): Signals {
  const stopping = new AbortController()
  const ends = ['SIGINT', 'SIGTERM'] as const
  const heard = { hangup: (): void => undefined, restart: (): void => undefined, atOnce: (): void => undefined }
  const onHangup = (): void => heard.hangup()
  const onRestart = (): void => heard.restart()
  const onEnd = (signal: NodeJS.Signals): void => {
    // Embedded servers end with their owner, however it ends.
    if (stopping.signal.aborted) {
      heard.atOnce()
      process.exit(signal === 'SIGINT' ? 130 : 143)
    }
    stopping.abort()
  }
  for (const signal of ends) process.on(signal, onEnd)
  process.on('SIGHUP', onHangup)
  process.on('SIGUSR2', onRestart)
  return {
    stop: new Promise((resolve) => {
      stopping.signal.addEventListener('abort', () => resolve(), { once: true })
    }),
    aborted: stopping.signal,
    onHangup: (listener) => {
      heard.hangup = listener
    },
    onRestart: (listener) => {
      heard.restart = listener
    },
    end: () => stopping.abort(),
    onAtOnce: (listener) => {
      heard.atOnce = listener
    },
    close: () => {
      for (const signal of ends) process.off(signal, onEnd)
      process.off('SIGHUP', onHangup)
      process.off('SIGUSR2', onRestart)
    },
  }
}
