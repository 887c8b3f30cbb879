// I15: whatever delays, losses, crashes and failovers do, reads keep their promises; and with any one rule taken out they
// do not, so each rule is needed and the model is sharp enough to see it.
import t from 'tap'
import { simulate, type Faults } from '../support/simulation.js'

const seconds = 20

t.test('I1, I2, I3, I15 hold on a simulated cluster', (t) => {
  const total = { replicaReads: 0, primaryReads: 0, writes: 0, crashes: 0, failovers: 0 }
  for (let seed = 1; seed <= 40; seed++) {
    const { violations, ...counts } = simulate(seed, seconds)
    t.same(violations, [], `seed ${String(seed)}`)
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += counts[key]
  }
  t.comment(JSON.stringify(total))
  t.ok(total.replicaReads > 5_000 && total.writes > 5_000, 'much was read from replicas')
  t.ok(total.crashes > 200 && total.failovers > 40, 'and much went wrong')
  t.end()
})

const faults: readonly [string, Faults][] = [
  ['receive time instead of send time', { receiveTime: true }],
  ['samples from before the connection was opened', { olderSamples: true }],
  ['a pending write resolved by a sample sent before its acknowledgement', { earlyWrite: 300 }],
  ['a read bounded by a sample sent before its end', { earlyRead: 300 }],
  ['a read bounded by a sample from beyond a crash', { anyIncarnation: true }],
  ['positions compared across timelines', { oneTimeline: true }],
]

for (const [what, fault] of faults) {
  t.test(`the model sees: ${what}`, (t) => {
    let seed = 1
    while (seed <= 400 && simulate(seed, seconds, fault).violations.length === 0) seed += 1
    t.ok(seed <= 400, `a violation is found (seed ${String(seed)})`)
    t.end()
  })
}
