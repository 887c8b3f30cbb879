// config/glob.ts — names with `*`, which stands for any characters, none among them.

/** Whether the name fits. */
export function fits(glob: string, name: string): boolean {
  const [first = '', ...rest] = glob.split('*')
  const last = rest.pop()
  if (last === undefined) return glob === name
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length) return false
  let at = first.length
  for (const part of rest) {
    const found = name.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return at <= name.length - last.length
}

/** Whether there is a name that fits both. */
export function overlap(a: string, b: string): boolean {
  if (a === '' || b === '') return /^\**$/.test(a + b)
  if (a.startsWith('*')) return overlap(a.slice(1), b) || overlap(a, b.slice(1))
  if (b.startsWith('*')) return overlap(b, a)
  return b.startsWith(a.charAt(0)) && overlap(a.slice(1), b.slice(1))
}
