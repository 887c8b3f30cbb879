// The checker of `pointsman verify` on histories made by hand: each kind of violation is found, and what only looks like one is not.
import t from 'tap'
import { check, type Survivor, type Verdict } from '../../src/doors/verify/check.js'
import { readRoute } from '../../src/doors/verify/client.js'
import { readRegisters, registerRows, type Operation, type Promised } from '../../src/doors/verify/history.js'
import { makeReport, printReport } from '../../src/doors/verify/report.js'

const session: Promised = { consistency: 'session', maxStalenessMs: null }
const any: Promised = { consistency: 'any', maxStalenessMs: null }

let ids = 0
function operation(over: Partial<Operation>): Operation {
  const invoked = over.invoked ?? 0
  return {
    id: ++ids,
    session: 'a',
    database: 'app',
    door: 'library',
    policy: 'p',
    promised: session,
    kind: 'read',
    invoked,
    returned: invoked + 1,
    outcome: 'ok',
    error: null,
    register: null,
    value: null,
    seen: null,
    torn: null,
    node: 'r1',
    role: 'replica',
    step: 'first',
    boundMs: null,
    healthy: true,
    servers: [],
    later: [],
    snapshot: false,
    ...over,
  }
}

const write = (invoked: number, value: number, over: Partial<Operation> = {}): Operation =>
  operation({ kind: 'write', invoked, register: 0, value, role: 'primary', ...over })
const read = (invoked: number, seen: readonly number[], over: Partial<Operation> = {}): Operation => operation({ invoked, seen, ...over })
const survived = (...values: readonly number[]): readonly Survivor[] =>
  values.map((value) => ({ database: 'app', register: 0, value, times: 1 }))

function found(history: readonly Operation[], survivors: readonly Survivor[] | null, durable = false): readonly string[] {
  return check(history, survivors, { durable }).violations.map(({ invariant }) => invariant)
}

t.test('I1: a read that lacks a write of its own session', (t) => {
  const history = [write(0, 1), read(10, [0])]
  t.same(found(history, survived(1)), ['I1'])
  t.same(found([...history].reverse(), survived(1)), ['I1'], 'in whatever order it was written down')
  t.same(found([write(0, 1), read(10, [1])], survived(1)), [])
  t.same(found([write(0, 1), read(10, [0], { session: 'b' })], survived(1)), [], 'of another session')
  t.same(found([write(0, 1), read(10, [0], { promised: any })], survived(1)), [], 'any promises nothing')
  t.same(found([write(0, 1), read(10, [0], { door: 'proxy' })], survived(1)), ['I1'], 'a token carried it to the other door')
  t.same(found([write(0, 1, { outcome: 'unknown' }), read(10, [0])], survived(1)), [], 'an outcome that nobody told is not owed')
  t.end()
})

t.test('I1: what a failover took is not owed, what survived it is', (t) => {
  const history = [write(0, 1), write(5, 2), read(10, [1])]
  t.same(found(history, survived(1)), [])
  t.equal(check(history, survived(1), { durable: false }).lost, 1, 'and it is counted')
  t.same(found([write(0, 1), write(5, 2), read(10, [0])], survived(1)), ['I1'])
  t.same(found(history, survived(1), true), ['lost'], 'with synchronous replication nothing may be lost')
  t.end()
})

t.test('I2: a session that saw more before', (t) => {
  const writer = { session: 'w' }
  const other = write(0, 1, writer)
  t.same(found([other, read(10, [1]), read(20, [0])], survived(1)), ['I2'])
  t.same(found([other, read(10, [1], { promised: any }), read(20, [0])], survived(1)), ['I2'], 'whatever the earlier read was promised')
  t.same(found([other, read(10, [1]), read(20, [0], { promised: any })], survived(1)), [])
  t.same(found([other, read(10, [1]), read(20, [0], { session: 'b' })], survived(1)), [])
  t.same(found([other, read(10, [1]), read(20, [0])], survived()), [], 'it was lost')
  const beyond = [other, write(3, 2, writer), read(10, [2]), read(20, [0])]
  t.same(found(beyond, survived(1)), ['I2'], 'what was lost does not hide what survived')
  t.end()
})

t.test('I2: a commit that the primary does not show yet, since nobody was told of it, is counted and is no violation', (t) => {
  const slow = write(0, 1, { session: 'w', returned: 50 })
  const back = (at: number, over: Partial<Operation> = {}): Verdict =>
    check([slow, read(10, [1]), read(at, [0], { role: 'primary', node: 'p', ...over })], survived(1), { durable: false })
  t.match(back(20), { violations: [], early: 1 })
  t.match(back(60), { violations: [{ invariant: 'I2' }], early: 0 }, 'once it was acknowledged the primary shows it')
  t.match(back(20, { role: 'replica', node: 'r2' }), { violations: [{ invariant: 'I2' }] }, 'another replica has no such excuse')
  t.end()
})

t.test('I3: a read that is older than its bound', (t) => {
  const history = (invoked: number): readonly Operation[] => [
    write(0, 1, { session: 'w' }),
    read(invoked, [0], { promised: { consistency: 'bounded', maxStalenessMs: 100 } }),
  ]
  t.same(found(history(102), survived(1)), ['I3'])
  t.same(found(history(100), survived(1)), [], 'acknowledged within the bound')
  t.same(found([write(0, 1), read(10, [0], { promised: { consistency: 'strong', maxStalenessMs: null }, session: 'b' })], survived(1)), [
    'strong',
  ])
  t.end()
})

t.test('a bound that was said to be proved, of whatever policy', (t) => {
  const history = (boundMs: number): readonly Operation[] => [write(0, 1, { session: 'w' }), read(100, [0], { promised: any, boundMs })]
  t.same(found(history(50), survived(1)), ['bound'])
  t.same(found(history(99), survived(1)), [])
  t.end()
})

t.test('the largest staleness seen is that of the oldest write that was missing', (t) => {
  const late = read(100, [0], { promised: any })
  const { staleness } = check([write(0, 1, { session: 'w' }), write(50, 2, { session: 'w' }), late], survived(1, 2), { durable: true })
  t.equal(staleness.get(late.id), 99)
  t.end()
})

t.test('I13: rows that are missing, come twice, or are not of one moment', (t) => {
  const rows = Array.from({ length: 2 * registerRows }, (_, at) => ({
    register: Math.floor(at / registerRows),
    n: at % registerRows,
    value: Math.floor(at / registerRows) + 5,
  }))
  t.same(readRegisters(rows, 2), { seen: [5, 6], torn: null })
  t.match(readRegisters(rows.slice(1), 2).torn, /7 rows instead of 8/)
  t.match(readRegisters([...rows, ...rows.slice(0, 2)], 2).torn, /10 rows instead of 8/)
  t.match(readRegisters([...rows.slice(0, 3), ...rows.slice(2, 7)], 2).torn, /row 2 of register 0 came as row 3/)
  t.match(readRegisters(rows.with(2, { register: 0, n: 2, value: 9 }), 2).torn, /register 0 shows 5 and 9/)
  t.same(found([read(0, [0], { torn: 'row 1 came twice' })], survived()), ['I13'])
  t.end()
})

t.test('I14: a transaction on two servers, or of two moments', (t) => {
  const transaction = (over: Partial<Operation>): Operation =>
    read(10, [1], { kind: 'transaction', servers: ['s', 's'], later: [[1]], ...over })
  const history = (over: Partial<Operation>): readonly Operation[] => [write(0, 1, { session: 'w' }), transaction(over)]
  t.same(found(history({}), survived(1)), [])
  t.same(found(history({ servers: ['s', 'x'] }), survived(1)), ['I14'])
  t.same(found(history({ later: [[2]], snapshot: true }), survived(1)), ['I14'])
  t.same(found(history({ later: [[2]] }), survived(1)), [], 'read committed may see more')
  t.same(found(history({ later: [[0]] }), survived(1)), ['I14'], 'and never less')
  t.same(found([transaction({ register: 0, value: 2 })], survived(2)), ['I14'], 'it must see its own write')
  t.end()
})

t.test('a write that ran twice, and one that happened although its error says it did not', (t) => {
  t.same(found([write(0, 1)], [{ database: 'app', register: 0, value: 1, times: 2 }]), ['once'])
  t.same(found([write(0, 1, { outcome: 'error', error: '25006' })], survived(1)), ['outcome'])
  t.same(found([write(0, 1, { outcome: 'error', error: '25006' })], survived()), [])
  t.same(found([write(0, 1, { outcome: 'unknown', error: '08007' })], survived(1)), [])
  t.end()
})

t.test('an internal error is a violation, whatever was promised', (t) => {
  t.same(found([read(0, [0], { outcome: 'error', error: 'XX000', promised: any, seen: null })], survived()), ['defect'])
  t.same(found([write(0, 1, { outcome: 'unknown', error: 'XX000' })], survived()), ['defect'])
  t.same(found([read(0, [0], { outcome: 'error', error: '57P01' })], survived()), [])
  t.end()
})

t.test('what a door says of its route', (t) => {
  t.same(readRoute('replica 127.0.0.1:5432 of main (bound 12 ms, after wait): read: session'), {
    node: '127.0.0.1:5432',
    role: 'replica',
    step: 'wait',
    boundMs: 12,
  })
  t.same(readRoute('primary ::1:5432 of main: write: it writes'), { node: '::1:5432', role: 'primary', step: 'first', boundMs: null })
  t.equal(readRoute('no statement has been routed yet'), null)
  t.match(readRoute('replica h:1 of main shard 3 (bound 12 ms, from the cache): read: any'), { step: 'cache', boundMs: 12 })
  t.end()
})

t.test('the report counts by policy and door, and ends with one plain line', (t) => {
  const history = [
    write(0, 1),
    read(10, [1], { boundMs: 5 }),
    read(20, [1], { role: 'primary', healthy: false }),
    read(30, [0], { door: 'proxy', session: 'b', promised: any }),
    read(40, [0], { outcome: 'error', error: '57P01' }),
  ]
  const report = makeReport(history, check(history, survived(1), { durable: true }), new Map([['promote', 2]]))
  t.match(report.policies, [
    { door: 'library', reads: 2, writes: 1, onReplicas: 0.5, onReplicasHealthy: 1, provedMs: 5, seenMs: 0, errors: { '57P01': 1 } },
    { door: 'proxy', reads: 1, writes: 0, onReplicas: 1, provedMs: null, seenMs: 29, errors: {} },
  ])
  const text = printReport(report, ['seed: 1'])
  t.match(text, /faults: promote 2\nacknowledged writes lost: 0\n/)
  t.match(text, /\nverify: 3 reads, 1 writes, 0 violations$/)
  const broken = [write(0, 1), ...Array.from({ length: 12 }, (_, n) => read(10 + n, [0]))]
  t.match(
    printReport(makeReport(broken, check(broken, survived(1), { durable: true }), new Map()), []),
    /violation of I1: .*\n… and 2 more; in all: I1 12\n/,
  )
  t.end()
})
