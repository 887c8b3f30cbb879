// Merging against simple models: whatever the rows, the portions and the turns in which parts send, the result is that of
// sorting, filtering and cutting one list. Values of numeric and arrays come back from the wire's forms as they went in.
import fc from 'fast-check'
import t from 'tap'
import { plainElement, readArray, writeArray } from '../../src/merge/array-form.js'
import type { Row } from '../../src/merge/merger.js'
import {
  addNumeric,
  averageNumeric,
  compareNumeric,
  numericFromBinary,
  numericFromText,
  numericToBinary,
  numericToText,
  type Numeric,
} from '../../src/merge/numeric.js'
import { valueType } from '../../src/merge/types.js'
import { merge, shown } from '../support/merging.js'

const cell = fc.option(fc.integer({ min: -4, max: 4 }), { freq: 6 })
const table = fc.array(fc.array(fc.tuple(cell, cell), { maxLength: 12 }), { minLength: 1, maxLength: 9 })
const seeds = fc.nat()
type Cells = readonly [number | null, number | null]

const columns = [
  { name: 'a', oid: 20, format: 0 },
  { name: 'b', oid: 20, format: 0 },
]
const row = (cells: Cells): Row => cells.map((value) => (value === null ? null : Buffer.from(String(value))))
const nullsLast = (a: number | null, b: number | null): number => (a === b ? 0 : a === null ? 1 : b === null ? -1 : a - b)
const byBoth = (x: Cells, y: Cells): number => nullsLast(x[0], y[0]) || nullsLast(y[1], x[1])
const order = [
  { column: 0, descending: false, nullsFirst: false, collation: 'bytes' },
  { column: 1, descending: true, nullsFirst: true, collation: 'bytes' },
] as const

t.test('merged in order is sorted, cut where LIMIT and OFFSET say', async () => {
  const cut = fc.option(fc.nat(15))
  fc.assert(
    fc.property(table, cut, cut, fc.boolean(), seeds, (parts, limit, offset, distinct, seed) => {
      const all = parts.flat().toSorted(byBoth)
      const once = distinct ? all.filter((cells, index) => index === 0 || byBoth(all[index - 1]!, cells) !== 0) : all
      const expected = once.slice(offset ?? 0, limit === null ? undefined : (offset ?? 0) + limit)
      const merged = merge({
        spec: {
          order,
          distinct: distinct ? { keys: null, collation: 'bytes', adjacent: seed % 2 === 0 } : null,
          limit: limit === null ? { kind: 'none' } : { kind: 'value', value: BigInt(limit) },
          offset: offset === null ? { kind: 'none' } : { kind: 'value', value: BigInt(offset) },
        },
        columns,
        parts: parts.map((part) => part.toSorted(byBoth).map(row)),
        seed,
      })
      return shown(merged).join() === shown(expected.map(row)).join()
    }),
  )
})

t.test('appended is all of it, each part in its own order', async () => {
  fc.assert(
    fc.property(table, seeds, (parts, seed) => {
      const numbered = parts.map((part, index) => part.map((_, at) => [index, at] as const))
      const merged = merge({ spec: {}, columns, parts: numbered.map((part) => part.map(row)), seed })
      const text = shown(merged)
      const own = numbered.every(
        (part, index) => text.filter((each) => each.startsWith(`${index}|`)).join() === shown(part.map(row)).join(),
      )
      return text.length === numbered.flat().length && own
    }),
  )
})

t.test('groups, hashed or in runs, are those of one table', async () => {
  fc.assert(
    fc.property(table, fc.boolean(), seeds, (parts, sorted, seed) => {
      const groups = new Map<number | null, { count: number; sum: number | null; values: Set<number> }>()
      for (const [group, value] of parts.flat()) {
        const found = groups.get(group) ?? { count: 0, sum: null, values: new Set() }
        groups.set(group, found)
        if (value === null) continue
        found.count++
        found.sum = (found.sum ?? 0) + value
        found.values.add(value)
      }
      const expected = [...groups]
        .toSorted(([a], [b]) => nullsLast(a, b))
        .map(([group, { count, sum, values }]) => {
          return [group ?? '∅', count, sum ?? '∅', values.size].join('|')
        })
      // Every row is a partial group of its own, which a part may well send.
      const partial = parts.map((part) =>
        (sorted ? part.toSorted(byBoth) : part).map((cells) => [...row(cells), Buffer.from(cells[1] === null ? '0' : '1')]),
      )
      const merged = merge({
        spec: {
          group: {
            keys: [{ column: 0, collation: 'bytes' }],
            columns: [
              { kind: 'key', column: 0 },
              { kind: 'count', column: 2 },
              { kind: 'sum', column: 1 },
              { kind: 'countDistinct', column: 1, collation: 'bytes' },
            ],
          },
          order: [order[0]],
          partsSorted: sorted,
          output: [0, 1, 2, 3],
        },
        columns: [...columns, { name: 'c', oid: 20, format: 0 }],
        parts: partial,
        seed,
      })
      return shown(merged).join() === expected.join()
    }),
  )
})

const finite = fc.tuple(fc.bigInt(-(10n ** 40n), 10n ** 40n), fc.nat(45)).map(([unscaled, scale]): Numeric => ({ unscaled, scale }))
const small = fc.tuple(fc.bigInt(-120n, 120n), fc.nat(3)).map(([unscaled, scale]): Numeric => ({ unscaled, scale }))
const numeric = fc.oneof(finite, small, fc.constantFrom<Numeric>('NaN', 'Infinity', '-Infinity'))

t.test('numeric: both forms hold it, keys compare as its values do', async () => {
  const forms = [0, 1] as const
  fc.assert(
    fc.property(numeric, numeric, (a, b) => {
      const same =
        numericToText(numericFromBinary(numericToBinary(a))) === numericToText(a) &&
        numericToText(numericFromText(numericToText(a))) === numericToText(a)
      const expected = Math.sign(compareNumeric(a, b))
      const agree = forms.every((format) => {
        const type = valueType(1700, format)!
        const [x, y] = [a, b].map((value) => type.read(format === 1 ? numericToBinary(value) : Buffer.from(numericToText(value))))
        return Math.sign(type.compare(x, y)) === expected && (type.key(x) === type.key(y)) === (expected === 0)
      })
      return same && agree
    }),
  )
})

t.test('numeric: sums are exact in any order, an average times its count is the sum but for the last digit', async () => {
  fc.assert(
    fc.property(fc.array(finite, { minLength: 1, maxLength: 9 }), fc.bigInt(1n, 10n ** 12n), (values, count) => {
      const sum = values.reduce((a, b) => addNumeric(a, b))
      const other = values.toReversed().reduce((a, b) => addNumeric(a, b))
      const average = averageNumeric(sum, count)
      if (typeof sum === 'string' || typeof average === 'string') return false
      const difference = average.unscaled * count - sum.unscaled * 10n ** BigInt(average.scale - sum.scale)
      return numericToText(sum) === numericToText(other) && 2n * (difference < 0n ? -difference : difference) <= count
    }),
  )
})

t.test('arrays: taken apart and written again', async () => {
  const element = fc.option(fc.uint8Array({ minLength: 1, maxLength: 5 }), { freq: 5 })
  fc.assert(
    fc.property(fc.array(element, { minLength: 1, maxLength: 6 }), (all) => {
      const quoted = all.map((each) => (each === null ? null : quote(each)))
      const text = readArray(writeArray(quoted, 0, 25), 0, 25).elements
      const binary = readArray(writeArray(all, 1, 25), 1, 25).elements
      return [text, binary].every((elements, format) =>
        elements.every((each, index) => {
          const given = all[index] ?? null
          return each === null || given === null ? each === given : Buffer.compare(plainElement(each, format === 1 ? 1 : 0), given) === 0
        }),
      )
    }),
  )
})

/** As array_out quotes everything it must. */
function quote(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from([0x22, ...[...bytes].flatMap((byte) => (byte === 0x22 || byte === 0x5c ? [0x5c, byte] : [byte])), 0x22])
}
