// cache/key.ts — everything that decides what a read answers, and in which bytes, as one text: equal texts, equal answers on
// the same data. The text itself is the key, never a digest of it, so no collision has to be trusted.
import type { Settings } from '../session/settings.js'
import { isOwn } from '../session/replay.js'
import type { Understood } from '../sql/statement.js'

/** Parts that cannot run into one another. */
export function joinKey(parts: readonly string[]): string {
  return parts.map((part) => `${String(part.length)}:${part}`).join('')
}

/** The statement without comments and white space: its shape and its literals as they are written. */
export function statementKey({ shape, text, literals }: Understood): string {
  return joinKey([shape.key, ...literals.map(({ start, end }) => text.slice(start, end))])
}

const texts = new WeakMap<Settings, string>()

/** Everything that a session has set, application_name too: a row-security policy may ask for it. What is Pointsman's own no server sees. */
export function settingsKey(settings: Settings): string {
  let text = texts.get(settings)
  if (text === undefined) {
    const that = [...settings].filter(([name]) => !isOwn(name))
    text = joinKey(that.sort(([left], [right]) => (left < right ? -1 : 1)).flat())
    texts.set(settings, text)
  }
  return text
}
