// config/suggest.ts — "did you mean". Optimal string alignment distance: a swap of neighbours counts as one mistake.

/** The candidate nearest to `word`, if it is near enough to be meant. */
export function suggest(word: string, candidates: Iterable<string>): string | null {
  if (word === '') return null
  let best: string | null = null
  let least = word.length <= 4 ? 2 : Math.min(4, Math.floor(word.length / 3) + 1)
  for (const candidate of candidates) {
    const far = distance(word.toLowerCase(), candidate.toLowerCase(), least)
    if (far < least || (far === least && best === null && far < word.length)) {
      best = candidate
      least = far
    }
  }
  return best
}

/** `; did you mean "x"?`, or nothing. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const best = suggest(word, candidates)
  return best === null ? '' : `; did you mean ${JSON.stringify(best)}?`
}

function distance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit || a.length > 64) return limit + 1
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) rows.push(nextRow(a, b, i, rows))
  return rows[a.length]?.[b.length] ?? limit + 1
}

function nextRow(a: string, b: string, i: number, rows: readonly number[][]): number[] {
  const at = (row: number, column: number): number => rows[row]?.[column] ?? Number.POSITIVE_INFINITY
  const row = [i]
  for (let j = 1; j <= b.length; j++) {
    const same = a[i - 1] === b[j - 1]
    const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? at(i - 2, j - 2) + 1 : Number.POSITIVE_INFINITY
    row.push(Math.min(at(i - 1, j) + 1, (row[j - 1] ?? 0) + 1, at(i - 1, j - 1) + (same ? 0 : 1), swapped))
  }
  return row
}
