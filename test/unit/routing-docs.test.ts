// docs/routing.md lists every rule with the words of the table, and no other.
import t from 'tap'
import { readFileSync } from 'node:fs'
import { rules } from '../../src/routing/rules.js'

const page = readFileSync(new URL('../../docs/routing.md', import.meta.url), 'utf8')
const rows = [...page.matchAll(/^\| `([a-z-]+)`\s*\| (.*?)\s*\|$/gm)].map((match) => [match[1], match[2]])

t.strictSame(Object.fromEntries(rows), { ...rules })
