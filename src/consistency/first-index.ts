// consistency/first-index.ts — a search in what is in order already.

/** Index of the first item for which `test` holds, the length if none; `test` is false, then true, along the list. */
export function firstIndex<T>(items: readonly T[], test: (item: T) => boolean): number {
  let low = 0
  let high = items.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const item = items[middle]
    if (item !== undefined && test(item)) high = middle
    else low = middle + 1
  }
  return low
}
