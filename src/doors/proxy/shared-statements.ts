// doors/proxy/shared-statements.ts — what all clients have in common that prepare the same: text, key and frame of a named statement are
// in memory once, however many clients of a framework prepare its thousand statements. Kept as long as one of them has it.
import type { ClientStatement } from '../../session/session.js'

type Shared = Pick<ClientStatement, 'text' | 'types' | 'key' | 'frame' | 'understood'>

const frames = new Map<string, WeakRef<Uint8Array>>()
/** A statement holds its frame, and the frame all the rest. */
const byFrame = new WeakMap<Uint8Array, Shared>()
const gone = new FinalizationRegistry<string>((key) => {
  if (frames.get(key)?.deref() === undefined) frames.delete(key)
})

/** The same for every statement of that key. `make` is asked once; its frame must be its own. */
export function sharedStatement(key: string, make: () => Shared): Shared {
  const frame = frames.get(key)?.deref()
  const known = frame === undefined ? undefined : byFrame.get(frame)
  if (known !== undefined) return known
  const made = make()
  frames.set(made.key, new WeakRef(made.frame))
  byFrame.set(made.frame, made)
  gone.register(made.frame, made.key)
  return made
}
