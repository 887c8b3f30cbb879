// docs/consistency.md names the tests of every invariant: its table must say what stands in test/.
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'

const tests = new URL('../', import.meta.url)
const docs = readFileSync(new URL('../../docs/consistency.md', import.meta.url), 'utf8')
const all = Array.from({ length: 16 }, (_, index) => `I${String(index + 1)}`)

/** Files of test/ by the invariants that the names of their tests begin with: one or more ids, and then a colon or “hold”. */
function existing(): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>(all.map((id) => [id, []]))
  const files = readdirSync(tests, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.test.ts'))
  for (const file of files.sort()) {
    const text = readFileSync(new URL(file, tests), 'utf8')
    const names = [...text.matchAll(/\btest\(\s*['"`]((?:I\d+, )*I\d+)(?::| hold)/g)].flatMap(([, ids = '']) => ids.split(', '))
    for (const id of new Set(names)) found.get(id)?.push(file.replace('.test.ts', ''))
  }
  return found
}

t.test('the invariants and the tests that carry them', async (t) => {
  const rows = [...docs.matchAll(/^\| (I\d+) +\| .* \| (.*) \|$/gm)]
  const told = new Map(rows.map(([, id = '', files = '']) => [id, [...files.matchAll(/`([^`]+)`/g)].map(([, file = '']) => file)]))
  t.same([...told.keys()], all)
  for (const [id, files] of existing()) {
    t.ok(files.length > 0, `${id} has a test`)
    t.same(told.get(id), files, `${id}: ${files.map((file) => `\`${file}\``).join(', ')}`)
  }
})
