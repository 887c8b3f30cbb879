// The merger's own rules, on rows written by hand: what it refuses and with which words, when it waits and for whom, what it
// stops, how much it holds. That its answers are PostgreSQL's is shown by test/integration/merge-postgres.test.ts.
import t from 'tap'
import type { CombinedColumn, Condition, MergeSpec, SortKey } from '../../src/merge/contract.js'
import type { MergeColumn, Row } from '../../src/merge/merger.js'
import { merge, mergerOf, noSpec, shown } from '../support/merging.js'

const int: MergeColumn = { name: 'n', oid: 20, format: 0 }
const text: MergeColumn = { name: 'word', oid: 25, format: 0 }
const column = (oid: number, format: 0 | 1 = 0): MergeColumn => ({ name: 'v', oid, format })
const row = (...values: (string | number | null)[]): Row => values.map((value) => (value === null ? null : Buffer.from(String(value))))
const rows = (...values: (string | number | null)[]): Row[] => values.map((value) => row(value))
const key = (index: number, more: Partial<SortKey> = {}): SortKey => ({
  column: index,
  descending: false,
  nullsFirst: false,
  collation: 'bytes',
  ...more,
})
const value = (count: number): { kind: 'value'; value: bigint } => ({ kind: 'value', value: BigInt(count) })
const ungrouped = (...columns: CombinedColumn[]): Partial<MergeSpec> => ({
  group: { keys: [], columns },
  output: columns.map((_, index) => index),
  described: 'original',
})

t.test('what is not sorted goes out as it comes, part by part in turn', async (t) => {
  const merger = mergerOf({ spec: {}, columns: [int], parts: [[], []] })
  t.same(merger.read(9), { rows: [], state: 'waiting' })
  t.ok(merger.needs(0) && merger.needs(1) && merger.wants(0) && merger.wants(1))
  merger.push(1, rows(10, 11))
  merger.push(1, rows(12))
  merger.push(0, rows(1))
  merger.push(0, rows(2))
  t.notOk(merger.needs(0))
  t.same(shown(merger.read(3).rows), ['1', '10', '11'])
  t.same(shown(merger.read(1).rows), ['2'], 'a batch of one part, then one of the other')
  t.same(merger.read(9).state, 'waiting')
  merger.end(0)
  t.same([merger.needs(0), merger.needs(1), merger.wants(0)], [false, true, false])
  merger.end(1)
  t.same(merger.read(9), { rows: [], state: 'done' })
  t.throws(() => merger.push(1, rows(1)), { code: 'XX000' }, 'rows behind the end')
})

t.test('in order: nothing goes out before every part has shown its first row, and equal rows stand in the order of parts', async (t) => {
  const merger = mergerOf({ spec: { order: [key(0)] }, columns: [int, text], parts: [[], [], []] })
  merger.push(0, [row(5, 'a'), row(5, 'b')])
  merger.push(1, [row(5, 'c')])
  t.same(merger.read(9), { rows: [], state: 'waiting' })
  t.same(
    [0, 1, 2].filter((part) => merger.needs(part)),
    [2],
  )
  merger.push(2, [row(4, 'd')])
  t.same(shown(merger.read(9).rows), ['4|d'], 'then part 2 is asked for more')
  t.same(
    [0, 1, 2].filter((part) => merger.needs(part)),
    [2],
  )
  merger.push(2, [row(5, 'e')])
  merger.end(2)
  merger.end(1)
  merger.end(0)
  t.same(shown(merger.read(9).rows), ['5|a', '5|b', '5|c', '5|e'])
  t.ok(merger.done)
})

t.test('a part whose order is another than ours is found out, also over a pause', async (t) => {
  for (const portions of [[rows('b', 'a')], [rows('b'), rows('a')]]) {
    const merger = mergerOf({ spec: { order: [key(0)] }, columns: [text], parts: [[]] })
    t.throws(
      () => {
        for (const portion of portions) {
          merger.push(0, portion)
          merger.read(9)
        }
      },
      { code: 'XX000', message: /sorted its rows in another way/ },
    )
  }
})

t.test('LIMIT ends the merge, and what parts still have is not wanted', async (t) => {
  for (const order of [[], [key(0)]]) {
    const merger = mergerOf({ spec: { order, limit: value(2), offset: value(1) }, columns: [int], parts: [[], []] })
    merger.push(0, rows(1, 2, 3))
    merger.push(1, rows(4, 5))
    const { rows: given, state } = merger.read(100)
    t.same([shown(given), state, merger.wants(0), merger.needs(1)], [['2', '3'], 'done', false, false])
    merger.push(1, rows(6))
    t.same(merger.read(100).rows, [])
  }
  t.same(mergerOf({ spec: { limit: value(0) }, columns: [int], parts: [[]] }).read(1), { rows: [], state: 'done' })
  const page = (limit: MergeSpec['limit'], offset: MergeSpec['offset'], parameters: (string | null)[], oid: number = 20): string[] =>
    shown(
      merge({
        spec: { order: [key(0)], limit, offset },
        columns: [int],
        parts: [rows(1, 3), rows(2, 4)],
        parameters: parameters.map((each) => ({ oid, format: 0, value: each === null ? null : Buffer.from(each) })),
      }),
    )
  t.same(page({ kind: 'parameter', number: 1 }, { kind: 'parameter', number: 2 }, ['2', ' 1 ']), ['2', '3'])
  t.same(page({ kind: 'parameter', number: 1 }, { kind: 'none' }, [null]), ['1', '2', '3', '4'], 'LIMIT NULL')
  t.same(page({ kind: 'value', value: 2n ** 62n }, { kind: 'none' }, []).length, 4)
  t.throws(() => page({ kind: 'parameter', number: 1 }, { kind: 'none' }, ['-1']), { code: '2201W' })
  t.throws(() => page({ kind: 'none' }, { kind: 'value', value: -1n }, []), { code: '2201X' })
  t.throws(() => page({ kind: 'parameter', number: 1 }, { kind: 'none' }, ['1'], 25), { code: '0A000' })
})

t.test('a part that is far ahead should pause, and goes on when its rows are taken', async (t) => {
  const merger = mergerOf({ spec: { order: [key(0)] }, columns: [int, text], parts: [[], []] })
  const many = Array.from({ length: 3000 }, (_, index) => row(index, 'x'.repeat(50)))
  merger.push(0, many)
  t.same([merger.wants(0), merger.wants(1)], [false, true])
  merger.end(1)
  t.equal(merger.read(3000).rows.length, 2999 + 1)
  t.ok(merger.wants(0))
})

t.test('types and collations that are not known are refused when the parts are described', async (t) => {
  const refusals: [string, Partial<MergeSpec>, MergeColumn[], RegExp][] = [
    ['jsonb as a key', { order: [key(0)] }, [column(3802)], /ORDER BY column "v" .* jsonb/],
    ['an enum as a key', { order: [key(0)] }, [column(16_400)], /with oid 16400/],
    ['an array of jsonb', { order: [key(0)] }, [column(3807)], /jsonb\[\]/],
    ['text of the database', { order: [key(0, { collation: 'deterministic' })] }, [text], /collation/],
    ['an array of such text', { order: [key(0, { collation: 'deterministic' })] }, [column(1009)], /collation/],
    ['money as text', { order: [key(0)] }, [column(790)], /money/],
    ['DISTINCT of text of nobody knows what', { distinct: { keys: null, collation: 'unknown', adjacent: false } }, [text], /collation/],
    ['GROUP BY xml', { group: { keys: [{ column: 0, collation: 'bytes' }], columns: [] }, output: [] }, [column(142)], /GROUP BY .*xml/],
    ['min of text of the database', ungrouped({ kind: 'min', column: 0, collation: 'deterministic' }), [text], /min/],
    ['sum of float', ungrouped({ kind: 'sum', column: 0 }), [column(701)], /sum\(…\) of floats/],
    ['avg of float', ungrouped({ kind: 'avg', sum: 0, count: 1 }), [column(701), int], /avg\(…\) of floats/],
    ['avg of interval', ungrouped({ kind: 'avg', sum: 0, count: 1 }), [column(1186), int], /avg\(…\) of type interval/],
    ['sum of money as text', ungrouped({ kind: 'sum', column: 0 }), [column(790)], /money/],
    ['bool_and of int', ungrouped({ kind: 'and', column: 0 }), [int], /bool_and/],
    ['string_agg of bytea', ungrouped({ kind: 'list', column: 0, order: [], separator: ',' }), [column(1001)], /string_agg of type bytea/],
    ['array_agg of an enum', ungrouped({ kind: 'list', column: 0, order: [], separator: null }), [column(16_401)], /arrays of type/],
    [
      'HAVING on text',
      {
        ...ungrouped({ kind: 'key', column: 0 }),
        having: { kind: 'compare', column: 0, operator: '=', value: { kind: 'literal', text: '1' } },
      },
      [text],
      /HAVING/,
    ],
  ]
  for (const [what, spec, columns, message] of refusals) {
    t.throws(() => mergerOf({ spec, columns, parts: [[]] }), { code: '0A000', message }, what)
  }
  mergerOf({ spec: { distinct: { keys: null, collation: 'deterministic', adjacent: false } }, columns: [text], parts: [[]] })
  mergerOf({ spec: {}, columns: [column(16_400), column(3802)], parts: [[]] })
  t.throws(() => mergerOf({ spec: { order: [key(0)] }, columns: [text], parts: [[]], session: { utf8: false, intervalStyle: null } }), {
    code: '0A000',
    message: /UTF8/,
  })
  t.throws(() => merge({ spec: { order: [key(0)] }, columns: [column(1082)], parts: [rows('01/02/2024')] }), {
    code: '0A000',
    message: /date came in a form/,
    hint: /DateStyle/,
  })
})

t.test('what was described is what goes out, or nothing does', async (t) => {
  const sum = ungrouped({ kind: 'sum', column: 0 })
  const made =
    (client: MergeColumn): (() => unknown) =>
    () =>
      mergerOf({ spec: sum, columns: [int], client: [client], parts: [[]] })
  t.throws(made(column(1700)), { code: '0A000', message: /is of type numeric, merged it is of type bigint/ })
  t.doesNotThrow(made(column(20, 1)), 'computed values are written as asked')
  const through = ungrouped({ kind: 'min', column: 0, collation: 'bytes' })
  t.throws(() => mergerOf({ spec: through, columns: [int], client: [column(20, 1)], parts: [[]] }), { code: '0A000' })
  t.throws(() => mergerOf({ spec: { hidden: 2 }, columns: [int, int], client: [int], parts: [[]] }), { code: 'XX000' })
  t.throws(() => mergerOf({ spec: { order: [key(-3)] }, columns: [int], parts: [[]] }), { code: 'XX000' })
  t.throws(() => mergerOf({ spec: { order: [key(0)], partsSorted: false }, columns: [int], parts: [[]] }), { code: 'XX000' })
  t.same(shown(merge({ spec: { order: [key(-1)], hidden: 1 }, columns: [text, int], parts: [[row('b', 1)], [row('a', 2)]] })), ['b', 'a'])
})

t.test('what must be held is bounded', async (t) => {
  const many = Array.from({ length: 2000 }, (_, index) => row(index))
  const held: [string, Partial<MergeSpec>, MergeColumn, Row[]][] = [
    ['rows of DISTINCT', { distinct: { keys: null, collation: 'bytes', adjacent: false } }, int, many],
    ['groups', { group: { keys: [{ column: 0, collation: 'bytes' }], columns: [{ kind: 'key', column: 0 }] }, output: [0] }, int, many],
    ['values of count', ungrouped({ kind: 'countDistinct', column: 0, collation: 'bytes' }), int, many],
    [
      'values of array_agg',
      ungrouped({ kind: 'list', column: 0, order: [], separator: null }),
      column(1016),
      many.map(() => row('{1,2,3,4,5,6,7,8,9}')),
    ],
  ]
  for (const [what, spec, type, all] of held) {
    t.throws(() => merge({ spec, columns: [type], parts: [all], memory: 100_000 }), {
      code: '54000',
      message: new RegExp(`100000 bytes of memory for ${what}.*limits.merge_memory`),
    })
    t.ok(merge({ spec, columns: [type], parts: [all], memory: 1_000_000 }), what)
  }
  const sorted: Partial<MergeSpec> = { order: [key(0)], distinct: { keys: null, collation: 'bytes', adjacent: true } }
  const ascending = Array.from({ length: 2000 }, (_, index) => row(index))
  t.equal(merge({ spec: sorted, columns: [int], parts: [ascending, ascending], memory: 1000 }).length, 2000, 'in order, one key is held')
  const runs: Partial<MergeSpec> = {
    group: {
      keys: [{ column: 0, collation: 'bytes' }],
      columns: [
        { kind: 'key', column: 0 },
        { kind: 'count', column: 0 },
      ],
    },
    order: [key(0)],
    output: [0, 1],
  }
  t.equal(merge({ spec: runs, columns: [int], parts: [ascending, ascending], memory: 1000 }).length, 2000, 'in order, one group is held')
  t.throws(() => merge({ spec: { ...runs, partsSorted: false }, columns: [int], parts: [ascending], memory: 300_000 }), {
    message: /for (sorted groups|groups)/,
  })
})

t.test('groups in runs: the order may be of some of the keys only', async (t) => {
  const spec: Partial<MergeSpec> = {
    group: {
      keys: [
        { column: 0, collation: 'bytes' },
        { column: 1, collation: 'bytes' },
      ],
      columns: [
        { kind: 'key', column: 1 },
        { kind: 'count', column: 2 },
        { kind: 'key', column: 0 },
      ],
    },
    order: [key(2)],
    output: [2, 0, 1],
  }
  const parts = [
    [row(1, 'a', 1), row(1, 'b', 2), row(3, 'a', 1)],
    [row(1, 'b', 5), row(1, 'a', 7), row(2, 'z', 1)],
  ]
  for (let seed = 0; seed < 20; seed++) {
    const merged = shown(merge({ spec, columns: [int, text, int], parts, seed }))
    t.same([...merged].sort(), ['1|a|8', '1|b|7', '2|z|1', '3|a|1'])
    t.same(
      merged.map((each) => each[0]),
      ['1', '1', '2', '3'],
    )
  }
})

t.test('HAVING has three values', async (t) => {
  const compare = (operator: '=' | '<>' | '<' | '<=' | '>' | '>=', text: string): Condition => ({
    kind: 'compare',
    column: 1,
    operator,
    value: { kind: 'literal', text },
  })
  const groups = [row('low', 1), row('high', 10), row('none', null)]
  const left = (having: Condition, parameters: (string | null)[] = []): string =>
    merge({
      spec: {
        group: {
          keys: [{ column: 0, collation: 'bytes' }],
          columns: [
            { kind: 'key', column: 0 },
            { kind: 'sum', column: 1 },
          ],
        },
        output: [0],
        having,
      },
      columns: [text, int],
      parts: [groups],
      parameters: parameters.map((each) => ({ oid: 1700, format: 0, value: each === null ? null : Buffer.from(each) })),
    })
      .map(([name]) => Buffer.from(name!).toString())
      .join(' ')
  t.equal(left(compare('>', '1')), 'high')
  t.equal(left(compare('>=', '1.00')), 'low high')
  t.equal(left(compare('<', '.5e1')), 'low')
  t.equal(left(compare('<=', '10')), 'low high')
  t.equal(left(compare('=', '10.0')), 'high')
  t.equal(left(compare('<>', '10')), 'low')
  t.equal(left({ kind: 'not', of: compare('=', '10') }), 'low', 'NOT unknown is unknown')
  t.equal(left({ kind: 'isNull', column: 1 }), 'none')
  t.equal(left({ kind: 'or', of: [compare('=', '1'), { kind: 'isNull', column: 1 }] }), 'low none')
  t.equal(left({ kind: 'or', of: [compare('=', '1'), compare('<>', '1')] }), 'low high')
  t.equal(left({ kind: 'and', of: [compare('>', '0'), compare('<', '5')] }), 'low')
  t.equal(
    left({ kind: 'not', of: { kind: 'and', of: [compare('>', '5'), { kind: 'isNull', column: 1 }] } }),
    'low high',
    'false wins over unknown',
  )
  const asked: Condition = { kind: 'compare', column: 1, operator: '>', value: { kind: 'parameter', number: 1 } }
  t.equal(left(asked, ['2.5']), 'high')
  t.equal(left(asked, [null]), '')
  t.throws(() => left(compare('=', "'1'")), { code: '0A000' })
})

t.test('sums that leave their type fail as the server says it', async (t) => {
  const sum = ungrouped({ kind: 'sum', column: 0 })
  const most = '9223372036854775807'
  t.same(shown(merge({ spec: sum, columns: [int], parts: [rows(most), rows('-9223372036854775808')] })), ['-1'])
  t.throws(() => merge({ spec: sum, columns: [int], parts: [rows(most), rows(1)] }), { code: '22003', message: 'bigint out of range' })
  const numeric = (...values: string[]): string =>
    shown(merge({ spec: sum, columns: [column(1700)], parts: values.map((each) => rows(each)) }))[0]!
  t.equal(numeric('0.1', '0.20', '-0.3'), '0.00')
  t.equal(numeric('Infinity', '-Infinity'), 'NaN')
  t.throws(() => numeric(`9${'0'.repeat(131_071)}`, `1${'0'.repeat(131_071)}`), { code: '22003', message: /overflows numeric/ })
  const interval = (...values: string[]): string =>
    shown(merge({ spec: sum, columns: [column(1186)], parts: values.map((each) => rows(each)) }))[0]!
  t.equal(interval('1 mon -2 days', '1 year 3 days 00:00:01.5', '-00:00:02'), '1 year 1 mon 1 day -00:00:00.5')
  t.equal(interval('infinity', '1 day'), 'infinity')
  t.throws(() => interval('infinity', '-infinity'), { code: '22008', message: 'interval out of range' })
  t.throws(
    () => merge({ spec: sum, columns: [column(1186)], parts: [rows('1 day')], session: { utf8: true, intervalStyle: 'iso_8601' } }),
    {
      code: '0A000',
    },
  )
})

t.test('nothing at all: one group without keys, no group with them', async (t) => {
  const columns: CombinedColumn[] = [
    { kind: 'count', column: 0 },
    { kind: 'sum', column: 0 },
    { kind: 'countDistinct', column: 0, collation: 'bytes' },
    { kind: 'max', column: 0, collation: 'bytes' },
    { kind: 'avg', sum: 0, count: 0 },
  ]
  t.same(shown(merge({ spec: ungrouped(...columns), columns: [int], parts: [[], []] })), ['0|∅|0|∅|∅'])
  const grouped: Partial<MergeSpec> = { ...ungrouped(...columns), group: { keys: [{ column: 0, collation: 'bytes' }], columns } }
  t.same(merge({ spec: grouped, columns: [int], parts: [[], []] }), [])
  t.same(noSpec.limit, { kind: 'none' })
})
