// sql/number-text.ts — where a number ends in a text, as scan.l has it: offsets in, offsets out.

export function isDigit(c: number): boolean {
  return c >= 48 && c <= 57
}

/** A letter, an underscore, or what is beyond ASCII. */
export function isNameStart(c: number): boolean {
  const letter = c | 32
  return (letter >= 97 && letter <= 122) || c === 95 || c >= 128
}

export function startsName(text: string, at: number): boolean {
  return at < text.length && isNameStart(text.charCodeAt(at))
}

/**
 * Whether a number runs into a name. Where it holds a letter or an underscore, a name may begin inside of it, and that
 * name may go on with a `$` or a digit: `0b12`, `1e5$x`.
 */
export function isJunk(text: string, from: number, end: number): boolean {
  if (end >= text.length) return false
  const next = text.charCodeAt(end)
  if (isNameStart(next)) return true
  return (isDigit(next) || next === 36) && /[A-Za-z_][A-Za-z0-9_]*$/.test(text.slice(from, end))
}

/** Of a number that begins with 0 and this letter, in lower case; 0: it is decimal. */
export function base(letter: number): number {
  return letter === 120 ? 16 : letter === 111 ? 8 : letter === 98 ? 2 : 0
}

/** Behind `digits`, or behind `.digits?`; an underscore stands between two digits only. */
export function decimalEnd(text: string, from: number): number {
  let i = from
  if (text.charCodeAt(i) === 46) i++
  while (i < text.length) {
    const c = text.charCodeAt(i)
    if (isDigit(c)) i++
    else if (c === 95 && i > from && isDigit(text.charCodeAt(i - 1)) && isDigit(text.charCodeAt(i + 1))) i += 2
    else break
  }
  return i
}

/** Behind digits of this base, from behind `0x`; -1: there are none. */
export function basedEnd(text: string, from: number, radix: number): number {
  let i = from
  for (;;) {
    const at = text.charCodeAt(i) === 95 ? i + 1 : i
    if (digitValue(text.charCodeAt(at)) >= radix) break
    i = at + 1
  }
  return i === from ? -1 : i
}

function digitValue(c: number): number {
  if (isDigit(c)) return c - 48
  const letter = c | 32
  return letter >= 97 && letter <= 102 ? letter - 87 : 99
}

/** Behind an exponent, `at` if there is none, -1 if it is broken (`1e+`). */
export function exponentEnd(text: string, at: number): number {
  if ((text.charCodeAt(at) | 32) !== 101) return at
  const sign = text.charCodeAt(at + 1)
  const digits = sign === 43 || sign === 45 ? at + 2 : at + 1
  if (isDigit(text.charCodeAt(digits))) return decimalEnd(text, digits)
  return digits === at + 2 ? -1 : at
}
