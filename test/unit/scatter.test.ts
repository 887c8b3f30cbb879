// Reads of several clusters, planned: what each part runs and how its rows are merged (golden, beside the plans of the same
// file), and what must be true of every such text.
import t from 'tap'
import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import type { MergeSpec } from '../../src/merge/contract.js'
import type { Plan, ScatterPlan } from '../../src/routing/plan.js'
import { plan } from '../../src/routing/planner.js'
import { printPlan } from '../../src/routing/print.js'
import { inputOf, readCorpus, type Fixture } from '../support/plan-corpus.js'
import { understanding } from '../support/understanding.js'

const understand = await understanding()

interface Scattered extends Fixture {
  /** `text`: left out where it is the statement itself. */
  readonly part?: { readonly text?: string; readonly merge: unknown }
}

const file = readCorpus().find(({ theme }) => theme === 'scatter')
const fixtures: readonly Scattered[] = file?.fixtures ?? []

function run(sql: string): Plan {
  return plan(inputOf({ comment: '', sql }, understand))
}

function scattered(made: Plan): ScatterPlan | null {
  const inner = made.kind === 'answer' && made.answer.what === 'explain' ? made.answer.plan : made
  return inner.kind === 'scatter' ? inner : null
}

function asJson(merge: MergeSpec): unknown {
  return JSON.parse(JSON.stringify(merge, (_name, value: unknown) => (typeof value === 'bigint' ? String(value) : value)))
}

t.test('what the parts run, and how they are merged', (t) => {
  const found = fixtures.map(({ part: _part, plan: given, ...fixture }) => {
    const made = scattered(plan(inputOf(fixture, understand)))
    if (made === null) return { ...fixture, plan: given }
    const text = made.query.text === fixture.sql ? {} : { text: made.query.text }
    return { ...fixture, part: { ...text, merge: asJson(made.merge) }, plan: given }
  })
  t.ok(found.filter((fixture) => 'part' in fixture).length >= 150, 'many are answered')
  t.ok(found.filter((fixture) => !('part' in fixture)).length >= 75, 'many are refused')
  for (const [index, fixture] of fixtures.entries())
    t.same((found[index] as Scattered | undefined)?.part, fixture.part, `${fixture.comment}: ${fixture.sql}`)
  if (!t.passing()) {
    const aside = join(tmpdir(), 'scatter.json')
    writeFileSync(aside, `${JSON.stringify(found, null, 2)}\n`)
    t.comment(`to accept: cp ${aside} ${file?.path ?? ''}`)
  }
  t.end()
})

t.test('a part has the parameters of the statement, and says outright what merging needs', (t) => {
  for (const fixture of fixtures) {
    const made = scattered(plan(inputOf(fixture, understand)))
    if (made === null) continue
    const { text, original } = made.query
    // COPY and DECLARE are run as the SELECT that they are of.
    if (!/^(COPY|DECLARE)/.test(fixture.sql)) t.equal(original, fixture.sql)
    t.same(parameters(text), parameters(original), text)
    t.ok(made.parts.length >= 2 && made.parts.every(({ shards }) => shards.length > 0), 'each part has shards')
    const { group, order, distinct, output, described, hidden } = made.merge
    t.equal(group === null, output === null)
    t.equal(group === null, described === 'part')
    const width = group?.columns.length ?? Infinity
    const columns = [...order, ...(group === null ? (distinct?.keys ?? []) : [])].map(({ column }) => column)
    t.ok(
      columns.every((column) => {
        if (typeof column !== 'number') return group === null && text.includes('*')
        return column < 0 ? group === null && -column <= hidden + 1 + text.length : column < width
      }),
      'columns that there are',
    )
  }
  t.end()
})

function parameters(text: string): readonly string[] {
  return [...new Set(text.match(/\$\d+/g) ?? [])].sort()
}

t.test('a plan is of its text: literals stay what they are', (t) => {
  const limits = [3, 5, 3].map((limit) =>
    scattered(run(`SELECT id FROM comments WHERE body = 'a' ORDER BY user_id LIMIT ${String(limit)}`)),
  )
  t.same(
    limits.map((made) => made?.query.text.slice(-1)),
    ['3', '5', '3'],
  )
  t.same(
    limits.map((made) => made?.merge.limit),
    [3n, 5n, 3n].map((value) => ({ kind: 'value', value })),
  )
  t.end()
})

t.test('in words, without values', (t) => {
  const words = printPlan(
    run("SELECT user_id, avg(id) FROM comments WHERE body = 'secret' GROUP BY user_id HAVING count(*) > 3 ORDER BY 2 LIMIT 7"),
  )
  t.match(words, /merge: groups by 1 column: avg, count, having, order by 1 column, limit/)
  t.match(words, /each part runs: the statement, rewritten/)
  t.notMatch(words, /secret|7/)
  t.end()
})

const columns = ['id', 'user_id', 'image_id', 'body', 'created_at']

t.test('ORDER BY: the key is a column of the part, wherever it stands', (t) => {
  const list = fc.uniqueArray(fc.constantFrom(...columns), { minLength: 1 })
  const sorts = fc.uniqueArray(fc.tuple(fc.constantFrom('id', 'user_id', 'created_at'), fc.boolean()), {
    minLength: 1,
    selector: ([name]) => name,
  })
  fc.assert(
    fc.property(list, sorts, fc.boolean(), (selected, keys, star) => {
      const targets = [...(star ? ['*'] : []), ...selected]
      const order = keys.map(([name, descending]) => `${name}${descending ? ' DESC' : ''}`)
      const made = scattered(run(`SELECT ${targets.join(', ')} FROM comments ORDER BY ${order.join(', ')}`))
      if (made === null) return false
      const missing = keys.map(([name]) => name).filter((name) => !selected.includes(name))
      // What a star stands for is counted from the end, and found by its name.
      const all = [...(star ? columns.map((name) => `* ${name}`) : []), ...selected, ...(star ? [] : missing)]
      const { merge } = made
      return (
        merge.hidden === (star ? 0 : missing.length) &&
        merge.order.every(({ column, descending, nullsFirst }, i) => {
          const [name, wanted] = keys[i] ?? ['', false]
          const found = typeof column === 'number' ? all.at(column) : star ? missing.find((one) => one === column.named) : undefined
          return found === name && descending === wanted && nullsFirst === wanted
        })
      )
    }),
    { numRuns: 200 },
  )
  t.end()
})

t.test('tables of one set are merged if and only if their keys are joined', (t) => {
  const tables = fc.integer({ min: 2, max: 4 })
  const edges = fc.array(fc.tuple(fc.nat(3), fc.nat(3), fc.boolean()), { maxLength: 6 })
  fc.assert(
    fc.property(tables, edges, (count, all) => {
      const used = all.filter(([a, b]) => a < count && b < count && a !== b)
      const conditions = used.map(([a, b, byKey]) =>
        byKey ? `t${String(a)}.image_id = t${String(b)}.image_id` : `t${String(a)}.user_id = t${String(b)}.user_id`,
      )
      const from = Array.from({ length: count }, (_, i) => `comment_votes t${String(i)}`).join(', ')
      const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`
      const made = run(`SELECT t0.user_id FROM ${from}${where}`)
      return (made.kind === 'scatter') === connected(count, used)
    }),
    { numRuns: 200 },
  )
  t.end()
})

function connected(count: number, edges: readonly (readonly [number, number, boolean])[]): boolean {
  const group = Array.from({ length: count }, (_, i) => i)
  for (const [a, b, byKey] of edges) {
    if (!byKey) continue
    const [from, to] = [group[a], group[b]]
    for (let i = 0; i < count; i++) if (group[i] === from) group[i] = to ?? 0
  }
  return new Set(group).size === 1
}
