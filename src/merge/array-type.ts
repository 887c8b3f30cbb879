// merge/array-type.ts — arrays compared as array_cmp does: element by element in storage order, NULL above any value and equal
// to NULL, then the number of elements, of dimensions, the dimensions, the lower bounds.
import { plainElement, readArray } from './array-form.js'
import type { Format, ValueType } from './value-type.js'

interface ArrayValue {
  readonly elements: readonly unknown[]
  readonly dimensions: readonly number[]
  readonly lower: readonly number[]
}

export function arrayType(element: ValueType, elementOid: number, format: Format): ValueType<ArrayValue> {
  const compareElements = (a: unknown, b: unknown): number => {
    if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1
    return element.compare(a, b)
  }
  return {
    read: (bytes) => {
      const form = readArray(bytes, format, elementOid)
      return { ...form, elements: form.elements.map((raw) => (raw === null ? null : element.read(plainElement(raw, format)))) }
    },
    compare: (a, b) =>
      compareLists(a.elements, b.elements, compareElements) ||
      a.elements.length - b.elements.length ||
      a.dimensions.length - b.dimensions.length ||
      compareLists(a.dimensions, b.dimensions, (x, y) => x - y) ||
      compareLists(a.lower, b.lower, (x, y) => x - y),
    key: ({ elements, dimensions, lower }) => {
      const keys = elements.map((value) => (value === null ? null : element.key(value)))
      return JSON.stringify([dimensions, lower, keys])
    },
  }
}

/** The first difference in what both have. */
function compareLists<T>(a: readonly T[], b: readonly T[], compare: (x: T, y: T) => number): number {
  const length = Math.min(a.length, b.length)
  for (let index = 0; index < length; index++) {
    const result = compare(a[index] as T, b[index] as T)
    if (result !== 0) return result
  }
  return 0
}
