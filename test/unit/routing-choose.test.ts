// Which server gets the work: health, weight, load, loyalty, and why nobody does.
import t from 'tap'
import { choose, type ChooseInput } from '../../src/routing/choose.js'
import type { NodeSnapshot } from '../../src/topology/topology.js'
import { nodeSnapshot as node } from '../support/snapshots.js'

function run(nodes: readonly NodeSnapshot[], over: Partial<ChooseInput> = {}): string {
  const choice = choose({
    nodes,
    primary: 'p',
    role: 'replica',
    admissible: () => true,
    avoid: new Set(),
    prefer: null,
    inFlight: () => 0,
    random: [0, 0, 0.99],
    ...over,
  })
  return choice.kind === 'node' ? choice.node.id : choice.why
}

/** How often each is chosen over a grid of random numbers. */
function shares(nodes: readonly NodeSnapshot[], over: Partial<ChooseInput> = {}): Record<string, number> {
  const counts: Record<string, number> = {}
  const steps = 40
  for (let a = 0; a < steps; a++) {
    for (let b = 0; b < steps; b++) {
      const id = run(nodes, { random: [a / steps, b / steps, b / steps], ...over })
      counts[id] = (counts[id] ?? 0) + 1 / (steps * steps)
    }
  }
  return counts
}

const [p, a, b, c] = [node('p', { role: 'primary' }), node('a'), node('b'), node('c')]

t.test('by role', (t) => {
  t.equal(run([p, a], { role: 'primary' }), 'p')
  t.equal(run([p, a]), 'a')
  t.equal(run([p]), 'none-fit')
  t.equal(run([p, a], { role: 'primary', primary: null }), 'none-fit')
  t.equal(run([p, node('a', { unfit: 'down' })]), 'none-fit')
  t.equal(run([a, node('x', { role: null })]), 'a')
  t.end()
})

t.test('proof and avoidance', (t) => {
  t.equal(run([p, a, b], { admissible: ({ id }) => id === 'b' }), 'b')
  t.equal(run([p, a, b], { admissible: () => false }), 'unmet')
  t.equal(run([p, a, b], { avoid: new Set(['a']) }), 'b')
  t.equal(run([p, a], { avoid: new Set(['a']) }), 'avoided')
  t.equal(run([p, a], { role: 'primary', admissible: () => false }), 'p', 'a primary needs no proof of freshness')
  t.end()
})

t.test('suspects only where nobody healthy is left; probation gets a trickle', (t) => {
  t.equal(run([a, node('s', { health: 'suspect' })], { random: [0.9, 0.9, 0.9] }), 'a')
  t.equal(run([node('s', { health: 'suspect' })]), 's')
  t.equal(run([node('s', { health: 'suspect' }), node('q', { health: 'probation' })]), 'q')
  const { q = 0, a: up = 0 } = shares([a, node('q', { health: 'probation' })])
  t.ok(q > 0 && q < 0.1 && up > 0.9, `trickle ${String(q)}`)
  t.end()
})

t.test('weight at rest, load at work', (t) => {
  const even = shares([a, b, c])
  for (const id of ['a', 'b', 'c']) t.ok(Math.abs((even[id] ?? 0) - 1 / 3) < 0.05, id)
  const { a: light = 0 } = shares([a, node('b', { weight: 3 })])
  t.ok(Math.abs(light - 0.25) < 0.05, 'by weight')
  t.notOk(shares([a, node('z', { weight: 0 })])['z'], 'weight 0 takes nothing')
  t.equal(run([node('z', { weight: 0 })]), 'z', 'unless it is alone')
  const busy = (id: string): number => (id === 'a' ? 9 : 2)
  t.equal(run([a, b], { inFlight: busy }), 'b')
  t.equal(run([node('a', { weight: 9 }), b], { inFlight: busy }), 'a', 'nine on nine is less than two on one')
  t.notOk(shares([a, b, c], { inFlight: busy })['a'], 'the busiest of three is never the better of two')
  t.end()
})

t.test('a session stays where it was, within reason', (t) => {
  t.equal(run([a, b, c], { prefer: 'b', random: [0.9, 0.9, 0.9] }), 'b')
  t.equal(run([a, b], { prefer: 'b', inFlight: (id) => (id === 'b' ? 1 : 0) }), 'b')
  t.equal(run([a, b], { prefer: 'b', inFlight: (id) => (id === 'b' ? 2 : 0) }), 'a')
  t.equal(run([a, b], { prefer: 'b', own: 1, inFlight: (id) => (id === 'b' ? 2 : 0) }), 'b', 'its own work is no reason to leave')
  t.equal(run([a, b], { prefer: 'b', own: 1, inFlight: (id) => (id === 'b' ? 3 : 0) }), 'a')
  t.equal(run([a, b], { prefer: 'gone' }), 'a')
  t.end()
})

t.test('why nobody: every node with its reason', (t) => {
  const choice = choose({
    nodes: [p, node('a', { unfit: 'down: refused' })],
    primary: 'p',
    role: 'replica',
    admissible: () => true,
    avoid: new Set(),
    prefer: null,
    inFlight: () => 0,
    random: [0, 0, 0],
  })
  t.match(choice, { kind: 'none', detail: /a down: refused/ })
  t.end()
})
