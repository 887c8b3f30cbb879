// The golden plans: what every kind of statement gets, and why. A file that differs is written anew beside the temporary
// files, and the command that accepts it is printed: look at the difference first, it is the specification that changes.
import t from 'tap'
import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describePlan } from '../../src/routing/print.js'
import { plan } from '../../src/routing/planner.js'
import { rules } from '../../src/routing/rules.js'
import { inputOf, readCorpus } from '../support/plan-corpus.js'
import { understanding } from '../support/understanding.js'

const understand = await understanding()
const corpus = readCorpus()

t.ok(corpus.reduce((sum, file) => sum + file.fixtures.length, 0) >= 300, 'the corpus is large')

for (const { theme, path, fixtures } of corpus) {
  t.test(theme, (t) => {
    const found = fixtures.map((fixture) => ({ ...fixture, plan: describePlan(plan(inputOf(fixture, understand))) }))
    for (const [index, fixture] of fixtures.entries()) t.same(found[index]?.plan, fixture.plan, `${fixture.comment}: ${fixture.sql}`)
    if (!t.passing()) {
      const aside = join(tmpdir(), `${theme}.json`)
      writeFileSync(aside, `${JSON.stringify(found, null, 2)}\n`)
      t.comment(`to accept: cp ${aside} ${path}`)
    }
    t.end()
  })
}

t.test('the same input gives the same plan, from the cache too', (t) => {
  for (const { fixtures } of corpus) {
    for (const fixture of fixtures) {
      const first = plan(inputOf(fixture, understand))
      const again = plan(inputOf(fixture, understand))
      t.same(describePlan(again), describePlan(first), fixture.comment)
    }
  }
  t.end()
})

t.test('every rule is decided by some fixture', (t) => {
  const used = new Set(corpus.flatMap(({ fixtures }) => fixtures.flatMap((fixture) => whyOf(fixture.plan))))
  for (const rule of Object.keys(rules)) t.ok(used.has(rule), rule)
  for (const rule of used) t.ok(rule in rules, `${rule} is in the table`)
  t.end()
})

function whyOf(described: unknown): readonly string[] {
  if (typeof described !== 'object' || described === null) return []
  const { why = [], plan: inner } = described as { readonly why?: readonly string[]; readonly plan?: unknown }
  return [...why.map((entry) => entry.slice(0, entry.indexOf(':'))), ...whyOf(inner)]
}
