// docs/errors.md lists every error of the catalogue with its words, and no other. The rows that it should have are printed
// where it does not.
import t from 'tap'
import { readFileSync } from 'node:fs'
import { catalogue } from '../../src/errors/catalogue.js'

const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8')
const found = page.split('\n').filter((line) => /^\| `\w{5}` /.test(line))
const escape = (text: string): string => text.replaceAll('|', '\\|')
const wanted = Object.entries(catalogue).map(
  ([key, { sqlstate, retry, text, help }]) => `| \`${sqlstate}\` | \`${key}\` | ${retry} | ${escape(text)} | ${escape(help)} |`,
)

t.strictSame(found, wanted, 'docs/errors.md')
const states = Object.values(catalogue).map(({ sqlstate }) => sqlstate)
t.strictSame(states, [...states].sort(), 'rows stand in the order of their SQLSTATE')
