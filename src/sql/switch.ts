// sql/switch.ts — on and off, as PostgreSQL reads a boolean setting.

/** `on`, `FALSE`, `1`, `t`, …; null: neither. */
export function parseSwitch(text: string): boolean | null {
  const word = text.toLowerCase()
  if (word === '1' || word === 'on' || begins('true', word) || begins('yes', word)) return true
  if (word === '0' || word === 'of' || word === 'off' || begins('false', word) || begins('no', word)) return false
  return null
}

function begins(whole: string, word: string): boolean {
  return word !== '' && whole.startsWith(word)
}
