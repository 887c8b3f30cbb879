// sql/blanks.ts — what separates tokens: white space, comments, and the newline that joins two quoted strings.

function isSpace(c: number): boolean {
  return c === 32 || (c >= 9 && c <= 13)
}

function isNewline(c: number): boolean {
  return c === 10 || c === 13
}

/** Offset of the newline that ends the `--` comment at `at`, or the text's length. */
export function skipLineComment(text: string, at: number): number {
  let i = at + 2
  while (i < text.length && !isNewline(text.charCodeAt(i))) i++
  return i
}

/** Offset behind the block comment at `at`, nested ones included; -1: unterminated. */
export function skipBlockComment(text: string, at: number): number {
  let open = 1
  for (let i = at + 2; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 42 && text.charCodeAt(i + 1) === 47) {
      i++
      if (--open === 0) return i + 1
    } else if (c === 47 && text.charCodeAt(i + 1) === 42) {
      i++
      open++
    }
  }
  return -1
}

/** Offset of the next token. An unterminated comment is skipped to the end. */
export function skipBlank(text: string, at: number): number {
  let i = at
  while (i < text.length) {
    const c = text.charCodeAt(i)
    if (isSpace(c)) i++
    else if (c === 45 && text.charCodeAt(i + 1) === 45) i = skipLineComment(text, i)
    else if (c === 47 && text.charCodeAt(i + 1) === 42) {
      const end = skipBlockComment(text, i)
      i = end < 0 ? text.length : end
    } else break
  }
  return i
}

/**
 * Offset of the quote that continues a string whose last quote is before `at`: only white space with a newline in it, and
 * line comments, may stand between. -1: the string ends here.
 */
export function quoteContinues(text: string, at: number): number {
  let newline = false
  for (let i = at; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 39) return newline ? i : -1
    if (isNewline(c)) newline = true
    else if (c === 45 && text.charCodeAt(i + 1) === 45) i = skipLineComment(text, i) - 1
    else if (!isSpace(c)) return -1
  }
  return -1
}
