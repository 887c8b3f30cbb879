import t from 'tap'
import { durationPattern, formatDuration, parseDuration } from '../../src/consistency/duration.js'
import { firstUnreachable, formatLadderStep, parseLadderStep } from '../../src/consistency/ladder.js'
import { readPolicy, type PolicyOverride, type ReadPolicy } from '../../src/consistency/policy.js'
import { resolvePolicy, strictest } from '../../src/consistency/resolve-policy.js'

t.test('unset anywhere is strong, unbounded, to the primary', async (t) => {
  t.same(resolvePolicy([]), readPolicy())
  t.same(resolvePolicy([{}, {}]).consistency, 'strong')
})

t.test('the first answer wins, field by field', async (t) => {
  const levels: PolicyOverride[] = [
    { maxStalenessMs: 2000 },
    { consistency: 'session', maxStalenessMs: 9000 },
    { consistency: 'any', onUnmet: [{ step: 'stale' }] },
  ]
  t.same(resolvePolicy(levels), readPolicy({ consistency: 'session', maxStalenessMs: 2000, onUnmet: [{ step: 'stale' }] }))
})

t.test('0 takes away what a level below says', async (t) => {
  const below: PolicyOverride = { consistency: 'any', cacheMs: 5, maxTxAgeMs: 7 }
  t.match(resolvePolicy([{}, below]), { cacheMs: 5, maxTxAgeMs: 7 })
  t.match(resolvePolicy([{ cacheMs: 0, maxTxAgeMs: 0 }, below]), { cacheMs: null, maxTxAgeMs: null })
})

t.test('max_staleness alone means bounded where strong is inherited', async (t) => {
  t.equal(resolvePolicy([{ maxStalenessMs: 1 }]).consistency, 'bounded')
  t.equal(resolvePolicy([{ maxStalenessMs: 1 }, { consistency: 'strong' }]).consistency, 'bounded')
  t.equal(resolvePolicy([{ maxStalenessMs: 1 }, { consistency: 'any' }]).consistency, 'any')
  t.equal(resolvePolicy([{ consistency: 'strong', maxStalenessMs: 1 }]).consistency, 'strong', 'said together: strong')
  t.equal(resolvePolicy([{ consistency: 'strong' }, { maxStalenessMs: 1 }]).consistency, 'strong', 'a hint to strong stays strong')
})

t.test('bounded without a bound is strong', async (t) => {
  t.equal(resolvePolicy([{ consistency: 'bounded' }]).consistency, 'strong')
  t.equal(resolvePolicy([{ consistency: 'bounded' }, { maxStalenessMs: 5 }]).maxStalenessMs, 5)
})

t.test('enforce holds against what stands above it', async (t) => {
  const table: PolicyOverride = { consistency: 'session', maxStalenessMs: 1000 }
  const hint: PolicyOverride = { consistency: 'any', maxStalenessMs: 60_000, onUnmet: [{ step: 'stale' }] }
  t.same(resolvePolicy([hint, table], null).consistency, 'any')
  t.same(resolvePolicy([hint, table], 1), readPolicy({ consistency: 'session', maxStalenessMs: 1000, enforced: true }))
  t.equal(resolvePolicy([{ consistency: 'strong' }, table], 1).consistency, 'strong', 'a hint may make it stricter')
})

t.test('the strictest of two satisfies both', async (t) => {
  const policy = (consistency: ReadPolicy['consistency'], maxStalenessMs: number | null, ...onUnmet: ReadPolicy['onUnmet']): ReadPolicy =>
    readPolicy({ consistency, maxStalenessMs, onUnmet })
  const primary = { step: 'primary', limit: null } as const
  t.same(strictest(policy('session', null, primary), policy('bounded', 5, primary)), policy('session', 5, primary))
  t.same(strictest(policy('any', 7, primary), policy('any', 5, primary)).maxStalenessMs, 5)
  t.same(strictest(policy('any', null, { step: 'stale' }), policy('strong', null, primary)).onUnmet, [primary])
  t.same(strictest(policy('any', null, { step: 'stale' }), policy('any', null, primary)).onUnmet, [{ step: 'error' }])
  t.same(strictest(policy('any', null, { step: 'stale' }), policy('any', null, { step: 'stale' })).onUnmet, [{ step: 'stale' }])
  t.same(strictest(policy('any', null, primary), policy('any', null, { step: 'primary', limit: 5 })).onUnmet, [
    { step: 'primary', limit: 5 },
  ])
})

t.test('durations', async (t) => {
  const good: [string, number][] = [
    ['5s', 5000],
    ['200ms', 200],
    ['1m', 60_000],
    ['1.5h', 5_400_000],
    ['0', 0],
    [' 30 ms ', 30],
    ['2d', 172_800_000],
  ]
  for (const [text, ms] of good) t.equal(parseDuration(text), ms, text)
  for (const text of ['5', '', 's', '-1s', '5 seconds', '1e3s', '5S', '∞', '99999999999d']) t.equal(parseDuration(text), null, text)
  for (const ms of [0, 1, 999, 1000, 1500, 60_000, 3_600_000, 86_400_000, 86_400_001]) t.equal(parseDuration(formatDuration(ms)), ms)
  t.ok(durationPattern.test('5s'))
})

t.test('ladders', async (t) => {
  for (const text of ['wait 30ms', 'primary', 'primary 50', 'stale', 'error']) {
    const step = parseLadderStep(text)
    t.ok(step, text)
    if (step !== null) t.equal(formatLadderStep(step), text)
  }
  for (const text of ['wait', 'wait 30', 'primary 0', 'primary -1', 'stale 5', 'replica', 'Primary'])
    t.equal(parseLadderStep(text), null, text)
  const steps = (...texts: string[]) => texts.flatMap((text) => parseLadderStep(text) ?? [])
  t.equal(firstUnreachable(steps('wait 1s', 'primary 5', 'stale')), -1)
  t.equal(firstUnreachable(steps('wait 1s', 'primary', 'stale')), 2)
  t.equal(firstUnreachable(steps('error', 'stale')), 1)
})
