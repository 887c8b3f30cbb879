// Jumps of the wall clock against the monotonic one, as they make samples look younger than they are.
import t from 'tap'
import { ClockGuard } from '../../src/monitor/clock-guard.js'

t.test('a look at the clock that is some time ago is no jump', (t) => {
  let now = 1_000
  let asleep = 0
  const guard = new ClockGuard(
    () => now,
    () => 5_000_000 + now + asleep,
  )
  t.equal(guard.epoch(), 0)
  const looked = now
  // The process was held up between its look and its question: a collection of garbage, or a processor that was taken away.
  now += 400
  t.equal(guard.epoch(looked), 0)
  t.equal(guard.epoch(now), 0, 'nor is the next look one, to which the clocks go together again')
  asleep += 400
  t.equal(guard.epoch(looked), 1, 'a real one is seen all the same')
  t.equal(guard.epoch(), 1, 'once')
  t.end()
})
