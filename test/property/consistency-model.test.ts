// I15: whatever delays, losses, crashes and failovers do, reads keep their promises, also those of sessions that hop between
// two processes; and with any one rule taken out they do not, so each rule is needed and the model is sharp enough to see it.
import t from 'tap'
import { simulate, type Faults, type Outcome, type World } from '../support/simulation.js'

const seconds = 20

type Counts = Omit<Outcome, 'violations'>

/** Runs one seed after another until so many steps are made. */
function steps(least: number, world: World): Counts & Pick<Outcome, 'violations'> {
  const total = { replicaReads: 0, primaryReads: 0, writes: 0, crashes: 0, failovers: 0, hops: 0, steps: 0 }
  const violations: string[] = []
  for (let seed = 1; total.steps < least; seed++) {
    const { violations: found, ...counts } = simulate(seed, seconds, {}, world)
    violations.push(...found.map((what) => `seed ${String(seed)}: ${what}`))
    for (const key of Object.keys(total) as (keyof Counts)[]) total[key] += counts[key]
  }
  return { ...total, violations }
}

for (const [what, least, world] of [
  ['log positions', 400_000, {}],
  ['heartbeats', 100_000, { heartbeat: true }],
] as const) {
  t.test(`I1, I2, I3, I15: no violation in ${String(least)} steps, measured by ${what}`, (t) => {
    const { violations, ...total } = steps(least, world)
    t.comment(JSON.stringify(total))
    t.same(violations, [])
    t.ok(total.replicaReads > least / 100 && total.writes > least / 100, 'much was read from replicas')
    t.ok(total.crashes > least / 4_000 && total.failovers > least / 10_000, 'much went wrong')
    t.ok(total.hops > least / 400, 'and much was carried to the other process')
    t.end()
  })
}

const faults: readonly [string, Faults][] = [
  ['receive time instead of send time', { receiveTime: true }],
  ['samples from before the connection was opened', { olderSamples: true }],
  ['a pending write resolved by a sample sent before its acknowledgement', { earlyWrite: 300 }],
  ['a read bounded by a sample sent before its end', { earlyRead: 300 }],
  ['a read bounded by a sample from beyond a crash', { anyIncarnation: true }],
  ['positions compared across timelines', { oneTimeline: true }],
  ["a token's position compared across timelines", { tokenTimeline: true }],
  ['a token that counts from before it came', { earlyToken: 300 }],
  ['a token made before the last write', { tokenBeforeWrite: true }],
  ['a token of a newer timeline met by the old primary', { believesOld: true }],
  ['what the process has just written not owed', { lateShared: 300 }],
]

for (const [what, fault] of faults) {
  t.test(`I15: the model sees ${what}`, (t) => {
    let seed = 1
    while (seed <= 400 && simulate(seed, seconds, fault).violations.length === 0) seed += 1
    t.ok(seed <= 400, `a violation is found (seed ${String(seed)})`)
    t.end()
  })
}
