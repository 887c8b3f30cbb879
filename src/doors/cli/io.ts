// doors/cli/io.ts — what a command may touch of the process it runs in. Passed in, so that tests need no process.

export interface Io {
  /** Results, to stdout; a line end is added. */
  readonly out: (text: string) => void
  /** Everything else, to stderr; a line end is added. */
  readonly err: (text: string) => void
  readonly env: Readonly<Record<string, string | undefined>>
  /** Where relative paths start, and where the demo keeps its servers. */
  readonly cwd: string
  /** stderr is a terminal: progress may be shown. */
  readonly terminal: boolean
}

/** Exit codes (DESIGN §8). */
export const exit = { done: 0, no: 1, usage: 2 } as const
export type ExitCode = (typeof exit)[keyof typeof exit]

/** Ends a command with words for the user; anything else that is thrown is a defect. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  readonly code: ExitCode

  constructor(code: ExitCode, message: string) {
    super(message)
    this.code = code
  }
}
