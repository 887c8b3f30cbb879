// doors/processes/orders.ts — what the console orders of the program as a whole, carried out where the signals are.
import type { ReloadAnswer } from '../../runtime/control.js'

export interface Orders {
  readonly reload: () => Promise<ReloadAnswer>
  /** Resolves when the new process serves; rejects with words where it does not. */
  readonly restart: () => Promise<void>
  readonly shutdown: (mode: 'now' | 'servers' | 'clients') => void
}
