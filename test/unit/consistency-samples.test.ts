// Positions and samples: the page-header trap, thinning, and what a series proves of a replica.
import t from 'tap'
import fc from 'fast-check'
import { formatLsn, normaliseInsertLsn, parseLsn } from '../../src/consistency/lsn.js'
import {
  boundOf,
  emptySeries,
  extendSeries,
  firstSampleAfter,
  firstSampleAtOrAfter,
  type SampleSeries,
} from '../../src/consistency/series.js'
import { positionQuery, readPosition } from '../../src/consistency/position-query.js'

const sizes = { block: 8_192, segment: 16 * 1024 * 1024 }

t.test('an LSN is a number, not a text', (t) => {
  t.ok(parseLsn('0/9') < parseLsn('0/10'))
  t.ok(parseLsn('1/0') > parseLsn('0/FFFFFFFF'))
  t.equal(formatLsn(parseLsn('16/B374D848')), '16/B374D848')
  for (const wrong of ['', '0', '0/', '/0', 'g/0', '0/123456789', '0/1 ']) t.throws(() => parseLsn(wrong), RangeError)
  t.end()
})

/** The insert position after a record that ends at `end`: behind the next page's header where `end` is a boundary. */
function insertPosition(end: bigint, { block, segment }: typeof sizes): bigint {
  if (end % BigInt(segment) === 0n) return end + 40n
  return end % BigInt(block) === 0n ? end + 24n : end
}

t.test('I7: the end of the last record is found whatever page or segment it fills', (t) => {
  const block = fc.constantFrom(4_096, 8_192, 32_768)
  const segment = fc.constantFrom(1, 16, 64).map((mb) => mb * 1024 * 1024)
  const record = fc.record({
    block,
    segment,
    page: fc.bigInt({ min: 1n, max: 1n << 40n }),
    used: fc.option(fc.bigInt({ min: 6n, max: 511n })),
  })
  fc.assert(
    fc.property(record, ({ block, segment, page, used }) => {
      const sizes = { block, segment }
      const start = page * BigInt(block)
      // Records end at multiples of 8, behind a header and a record header of their own, or exactly at the boundary.
      const header = start % BigInt(segment) === 0n ? 40n : 24n
      const end = used === null ? start : start + header + used * 8n
      if (end >= start + BigInt(block)) return
      t.equal(normaliseInsertLsn(insertPosition(end, sizes), sizes), end)
      t.equal(normaliseInsertLsn(end, sizes), end, 'an end that is read as it is stays as it is')
    }),
    { numRuns: 500 },
  )
  t.equal(normaliseInsertLsn(8_192n * 3n + 24n, sizes), 8_192n * 3n)
  t.equal(normaliseInsertLsn(16_777_216n + 40n, sizes), 16_777_216n)
  t.equal(normaliseInsertLsn(8_192n * 3n + 40n, sizes), 8_192n * 3n + 40n, 'a long header stands only at the start of a segment')
  t.end()
})

t.test('the answer of a server', (t) => {
  const row = (over: Partial<Record<number, string | null>> = {}): (string | null)[] =>
    ['false', '0/6018', '2026-01-01 00:00:00.000000', '0000000A', '8192', '16777216', null].map((cell, index) => over[index] ?? cell)
  t.same(readPosition(row()), {
    inRecovery: false,
    lsn: 0x6000n,
    postmasterStart: '2026-01-01 00:00:00.000000',
    timeline: 10,
    replayedTimeline: null,
    receiving: false,
    commits: null,
    blind: null,
  })
  t.match(readPosition(row({ 0: 'true', 3: '10' })), { lsn: 0x6018n, timeline: 10 }, 'a replay position is never at a header')
  t.equal(readPosition(['true', null, 'x', null, '8192', '16777216', '0']).lsn, null)
  t.equal(readPosition(['true', null, 'x', null, '8192', '16777216', '0']).timeline, null)
  for (const wrong of [undefined, [], row({ 0: 'maybe' }), row({ 1: 'far' }), row({ 3: 'zz' }), row({ 4: '0' })])
    t.throws(() => readPosition(wrong), RangeError)
  t.equal(positionQuery.match(/pg_is_in_recovery/g)?.length, 1, 'asked once: a promotion between two calls would mix two roles')
  t.end()
})

const series = (...samples: [number, bigint][]): SampleSeries =>
  samples.reduce((all, [sentAt, lsn]) => extendSeries(all, { sentAt, lsn }), emptySeries)

t.test('what a series proves', (t) => {
  const known = series([100, 10n], [200, 10n], [300, 30n])
  t.equal(boundOf(known, 9n, 400), null, 'nothing is proved')
  t.equal(boundOf(known, 10n, 400), 200, 'by the newest sample it has')
  t.equal(boundOf(known, 29n, 400), 200)
  t.equal(boundOf(known, 30n, 400), 100)
  t.equal(boundOf(known, 99n, 300), 0)
  t.equal(boundOf(emptySeries, 99n, 0), null)
  t.match(firstSampleAtOrAfter(known, 200), { sentAt: 200 })
  t.match(firstSampleAfter(known, 200), { sentAt: 300 })
  t.equal(firstSampleAtOrAfter(known, 301), null)
  t.equal(firstSampleAfter(known, 300), null)
  t.end()
})

t.test('samples that are out of order or go back', (t) => {
  t.match(series([100, 10n], [100, 20n]).samples, [{ sentAt: 100, lsn: 10n }])
  t.match(series([100, 10n], [50, 20n]).samples, [{ sentAt: 100 }])
  t.same(series([100, 10n], [200, 20n], [300, 15n]).samples, [{ sentAt: 300, lsn: 15n }], 'a position that went back starts anew')
  t.end()
})

t.test('thinning keeps the last two seconds whole, and few of the rest', (t) => {
  let all = emptySeries
  for (let sentAt = 0; sentAt <= 7_200_000; sentAt += 100) all = extendSeries(all, { sentAt, lsn: BigInt(sentAt) })
  const ages = all.samples.map(({ sentAt }) => 7_200_000 - sentAt)
  t.equal(ages.filter((age) => age <= 2_000).length, 21)
  t.ok(all.samples.length < 600, String(all.samples.length))
  t.ok(Math.max(...ages) <= 3_600_100)
  t.ok(ages.every((age, index) => index === 0 || (ages[index - 1] ?? 0) > age))
  const gaps = all.samples.map(({ sentAt }, index) => sentAt - (all.samples[index - 1]?.sentAt ?? sentAt))
  t.ok(Math.max(...gaps) <= 20_000, 'no long gaps')
  t.end()
})
