// sql/quoted-text.ts — where a quoted constant ends in a text: offsets in, offsets out.
import { isDigit, isNameStart } from './number-text.js'

/** Offset behind the closing quote, doubled quotes passed over; -1: unterminated. */
export function plainEnd(text: string, from: number): number {
  let end = text.indexOf("'", from)
  while (end >= 0 && text.charCodeAt(end + 1) === 39) end = text.indexOf("'", end + 2)
  return end < 0 ? -1 : end + 1
}

/** The same where a backslash takes what follows it along. */
export function escapedEnd(text: string, from: number): number {
  for (let i = from; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 92) i++
    else if (c === 39) {
      if (text.charCodeAt(i + 1) !== 39) return i + 1
      i++
    }
  }
  return -1
}

/** Offset behind the `$tag$` that begins at `from`, or -1. */
export function dollarTagEnd(text: string, from: number): number {
  for (let i = from + 1; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 36) return i + 1
    if (!isNameStart(c) && (!isDigit(c) || i === from + 1)) return -1
  }
  return -1
}
