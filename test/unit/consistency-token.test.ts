// Tokens as text, and what becomes of a session's floors that are told and taken as one (CONSISTENCY §2.7). What anybody may
// send is in test/integration/tokens.test.ts.
import t from 'tap'
import fc from 'fast-check'
import { createFloors, type SessionFloors } from '../../src/consistency/floors.js'
import type { ClusterView } from '../../src/consistency/position.js'
import { decodeToken, encodeToken, maxTokenLength, systemKey, type TokenEntry } from '../../src/consistency/token.js'
import { exportToken, importToken } from '../../src/consistency/token-exchange.js'

const system = systemKey('7000000000000000001')
const entry = (cluster: string | null, lsn: bigint | null = 0x10n, timeline = 1): TokenEntry => ({ cluster, system, timeline, lsn })
const raw = (json: string): string => `p1.${Buffer.from(json).toString('base64url')}`
const view = (id: string, parts: Partial<ClusterView> = {}): ClusterView => ({
  id,
  system,
  timeline: 1,
  since: 0,
  exact: true,
  series: { samples: [] },
  nodes: [],
  ...parts,
})
const sampled = (id: string, sentAt: number, lsn: bigint, timeline = 1): ClusterView =>
  view(id, { timeline, series: { samples: [{ sentAt, lsn }] } })
const floorOf = (floors: SessionFloors, cluster: ClusterView): bigint | string => {
  const standing = floors.standing(cluster)
  return standing.kind === 'floor' ? standing.lsn : 'pending'
}

t.test('the same entries make the same text, in any order', (t) => {
  const [a, b] = [entry('a'), entry('b', null)]
  t.equal(encodeToken([a, b], null), encodeToken([b, a], null))
  t.same(decodeToken(encodeToken([b, a], 'k') ?? '', 'k'), { ok: true, entries: [a, b] })
  t.equal(encodeToken([], 'k'), '')
  t.end()
})

t.test('what is signed is read by its key, or by who has none; what is not is read by who has none', (t) => {
  const signed = encodeToken([entry('a')], 'right') ?? ''
  t.equal(decodeToken(signed, 'right').ok, true)
  t.equal(decodeToken(signed, null).ok, true)
  t.equal(decodeToken(signed, 'wrong').ok, false)
  t.equal(decodeToken(encodeToken([entry('a')], null) ?? '', 'right').ok, false)
  t.equal(decodeToken(`${signed}A`, 'right').ok, false)
  t.equal(decodeToken(signed.slice(0, -1), 'right').ok, false)
  t.end()
})

t.test('only what was made here is read', (t) => {
  const good = `["a","${system}",1,"0/10"]`
  t.equal(decodeToken(raw(`[${good}]`), null).ok, true)
  const bad = [
    raw('[]').replace('p1', 'p2'),
    'p1',
    'p1.',
    `${raw(`[${good}]`)}=`,
    raw(`[${good}]`).replace('p1.', 'p1. '),
    `${raw(`[${good}]`)}.a.b`,
    raw('{}'),
    raw('null'),
    raw(`[${good},`),
    raw(`[${'['.repeat(2000)}${']'.repeat(2000)}]`),
    raw('{"__proto__":[["a","",1,"0/10"]],"length":1}'),
    raw(`[{"0":"a","1":"","2":1,"3":"0/10","length":4}]`),
    raw(`[["a","${system}",1]]`),
    raw(`[["a","${system}",1,"0/10",0]]`),
    raw(`[[7,"${system}",1,"0/10"]]`),
    raw(`[["a","longer than eight",1,"0/10"]]`),
    ...['0', '-1', '1.5', '1e400', '4294967296', '"1"', 'null', 'true', '[1]'].map((n) => raw(`[["a","${system}",${n},"0/10"]]`)),
    ...['16', '"16"', '"0/"', '"0/100000000"', '"0/10 "', '"-1/0"', '{}'].map((lsn) => raw(`[["a","${system}",1,${lsn}]]`)),
    raw(`[${Array.from({ length: 17 }, () => good).join(',')}]`),
    'x'.repeat(maxTokenLength + 1),
  ]
  for (const text of bad) t.equal(decodeToken(text, null).ok, false, text.slice(0, 60))
  t.same(decodeToken(raw(`[["a","",-0,null]]`), null), { ok: true, entries: [{ cluster: 'a', system: '', timeline: 0, lsn: null }] })
  t.equal(
    Object.is((decodeToken(raw(`[["a","",-0,null]]`), null) as { readonly entries?: readonly TokenEntry[] }).entries?.[0]?.timeline, 0),
    true,
  )
  t.end()
})

t.test('a reason never holds any of the text', (t) => {
  fc.assert(
    fc.property(fc.string({ minLength: 8, unit: 'binary' }), fc.boolean(), (text, prefixed) => {
      const reading = decodeToken(prefixed ? `p1.${text}` : text, null)
      return reading.ok || !reading.reason.includes(text)
    }),
  )
  t.end()
})

t.test('a cluster that is named twice is taken twice: the higher position counts, in either order', (t) => {
  for (const lsns of [
    ['0/10', '0/20'],
    ['0/20', '0/10'],
  ]) {
    const floors = createFloors()
    const text = raw(JSON.stringify(lsns.map((lsn) => ['a', system, 1, lsn])))
    t.equal(importToken(floors, text, { clusters: ['a'], key: null, now: 10 }).ok, true)
    t.equal(floorOf(floors, view('a')), 0x20n)
  }
  t.end()
})

t.test('a false claim does not stand before a true one that comes later', (t) => {
  const floors = createFloors()
  const given = { clusters: ['a'], key: null }
  importToken(floors, encodeToken([entry('a', 0xffff_ffff_ffff_ffffn)], null) ?? '', { ...given, now: 10 })
  importToken(floors, encodeToken([entry('a', 0x500n)], null) ?? '', { ...given, now: 20 })
  // Taken between the two, it is beyond nothing that the second may speak of.
  t.not(floorOf(floors, sampled('a', 15, 0x100n)), 0x100n)
  t.equal(floorOf(floors, sampled('a', 25, 0x600n)), 0x600n)
  t.end()
})

t.test('more clusters than a token can carry: the last used are named, the others are asked for all that they have', (t) => {
  const clusters = Array.from({ length: 20 }, (_, i) => `shard_${String(i).padStart(2, '0')}`)
  const floors = createFloors()
  for (const [i, id] of clusters.entries()) {
    floors.writeStarted(id)
    floors.writeEnded(id, 100 + i)
  }
  const text = exportToken(
    floors,
    clusters.map((id) => sampled(id, 1000, 0x100n)),
    null,
  )
  const reading = decodeToken(text, null)
  t.same(reading.ok && reading.entries.map(({ cluster }) => cluster), [null, ...clusters.slice(5)])
  const taken = createFloors()
  t.equal(importToken(taken, text, { clusters, key: null, now: 2000 }).ok, true)
  for (const [i, id] of clusters.entries()) t.equal(floorOf(taken, view(id)), i < 5 ? 'pending' : 0x100n, id)
  t.equal(importToken(createFloors(), text, { clusters: [...clusters, 'another'], key: null, now: 2000 }).ok, true)
  t.end()
})

t.test('long names make a token with fewer of them, never one that cannot be read', (t) => {
  const clusters = Array.from({ length: 9 }, (_, i) => `${String(i)}${'x'.repeat(600)}`)
  const floors = createFloors()
  for (const [i, id] of clusters.entries()) {
    floors.writeStarted(id)
    floors.writeEnded(id, i)
  }
  const text = exportToken(
    floors,
    clusters.map((id) => sampled(id, 1000, 0x100n)),
    'k',
  )
  t.ok(text.length <= maxTokenLength)
  const taken = createFloors()
  t.equal(importToken(taken, text, { clusters, key: 'k', now: 2000 }).ok, true)
  t.equal(floorOf(taken, view(clusters[0] ?? '')), 'pending')
  t.equal(floorOf(taken, view(clusters[8] ?? '')), 0x100n)
  t.end()
})

t.test(
  'a cluster of another database says nothing; one that is not known here, or that is another of that name, is told and asks for everything',
  (t) => {
    const given = { clusters: ['a', 'b'], key: null, now: 10, known: new Set(['a', 'b', 'c']), system: () => system }
    const take = (...entries: TokenEntry[]): { readonly ok: boolean; readonly a: bigint | string; readonly b: bigint | string } => {
      const floors = createFloors()
      const { ok } = importToken(floors, encodeToken(entries, null) ?? '', given)
      return { ok, a: floorOf(floors, view('a')), b: floorOf(floors, view('b')) }
    }
    t.same(take(entry('c')), { ok: true, a: 0n, b: 0n })
    t.same(take(entry('a'), entry('gone')), { ok: false, a: 'pending', b: 'pending' })
    t.same(take({ ...entry('a'), system: 'AAAAAAAA' }), { ok: false, a: 'pending', b: 0n })
    t.end()
  },
)

t.test('a write in flight is told as everything up to the arrival of the token, and no sample is asked for it', (t) => {
  const floors = createFloors()
  floors.writeStarted('a')
  t.equal(floors.unresolved(view('a')), false)
  t.same(floors.exported(sampled('a', 1000, 0x100n)), { system, timeline: 1, lsn: null })
  floors.writeEnded('a', 2000)
  t.equal(floors.unresolved(sampled('a', 1000, 0x100n)), true)
  t.same(floors.exported(sampled('a', 2001, 0x100n)), { system, timeline: 1, lsn: 0x100n })
  t.end()
})

t.test('I11: a token of a timeline that is not known yet is passed on, once, by who could not settle it', (t) => {
  const behind = { clusters: ['a'], key: null, now: 100 }
  const hop = (text: string): { readonly floors: SessionFloors; readonly text: string } => {
    const floors = createFloors()
    importToken(floors, text, behind)
    return { floors, text: exportToken(floors, [sampled('a', 200, 0x50n)], null) }
  }
  const first = hop(encodeToken([entry('a', 0x900n, 2)], null) ?? '')
  t.same(decodeToken(first.text, null), { ok: true, entries: [entry('a', null, 2)] })
  const second = hop(first.text)
  t.equal(floorOf(second.floors, sampled('a', 200, 0x50n)), 'pending', 'the old primary cannot settle it')
  t.equal(floorOf(second.floors, sampled('a', 200, 0x900n, 2)), 0x900n, 'the new one can')
  t.same(decodeToken(second.text, null), { ok: true, entries: [entry('a', null, 1)] }, 'a false one ends there')
  t.end()
})
