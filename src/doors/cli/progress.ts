// doors/cli/progress.ts — tells on a terminal what is going on, but only when it takes longer than two seconds.
import type { Io } from './io.js'

const patience = 2000

/** Runs `work`; if it is not done in time, says `what` once and every `say()` after that. */
export async function withProgress<T>(io: Io, what: string, work: (say: (text: string) => void) => Promise<T>): Promise<T> {
  let last = what
  let late = false
  const show = (): void => {
    late = true
    if (io.terminal) io.err(`${last} …`)
  }
  const timer = setTimeout(show, patience)
  try {
    return await work((text) => {
      last = text
      if (late) show()
    })
  } finally {
    clearTimeout(timer)
  }
}
