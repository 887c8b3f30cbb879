// test/support/answers-corpus.ts — reads test/fixtures/answers.sql: statements under headings that say of what kind they are.
//
//   -- kind: sort                    all that follow, up to the next heading
//   -- values: ["7", null]           parameters of the next statement
//   -- ties: [0]                     ORDER BY of the next statement leaves a choice; what it sorts by is in these columns
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Question } from './answers-compare.js'

const file = fileURLToPath(new URL('../fixtures/answers.sql', import.meta.url))

/** All of them, in the order of the file. */
export function readCorpus(): readonly Question[] {
  const questions: Question[] = []
  let kind = ''
  let values: readonly (string | null)[] = []
  let ties: readonly number[] | null = null
  let sql = ''
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [, name, value] = /^-- (kind|values|ties): (.*)$/.exec(line) ?? []
    if (name === 'kind') kind = value ?? ''
    else if (name === 'values') values = JSON.parse(value ?? '') as readonly string[]
    else if (name === 'ties') ties = JSON.parse(value ?? '') as readonly number[]
    else if (!line.startsWith('--')) sql += `${line}\n`
    if (!line.endsWith(';') || name !== undefined) continue
    questions.push({ kind, sql: sql.trim().replace(/;$/, ''), values, ties })
    values = []
    ties = null
    sql = ''
  }
  return questions
}
