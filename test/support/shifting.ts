// test/support/shifting.ts — a sharded table whose columns change between two reads of the same text, on all servers and past Pointsman.
import type { Test } from 'tap'
import { DescribedReads } from '../../src/execute/described-reads.js'

export const shifting = 'CREATE TABLE shifting (image_id bigint NOT NULL, v int);'
export const shiftingRows: readonly { readonly image_id: string; readonly v: string }[] = Array.from({ length: 30 }, (_, index) => ({
  image_id: String(index),
  v: String(index % 4),
}))

const changes = [
  "ALTER TABLE shifting ADD COLUMN w text DEFAULT 'x'",
  'ALTER TABLE shifting ALTER v TYPE text',
  'ALTER TABLE shifting DROP COLUMN v',
  'ALTER TABLE shifting RENAME w TO u',
  'ALTER TABLE shifting ADD COLUMN v numeric DEFAULT 7.50',
]
const strong = '/* pointsman: consistency=strong */'
const reads = [
  { text: `${strong} SELECT * FROM shifting ORDER BY image_id`, values: [] },
  { text: `${strong} SELECT image_id, v FROM shifting WHERE v = $1 ORDER BY image_id LIMIT 5`, values: ['3'] },
  { text: `${strong} SELECT v, count(*) AS n FROM shifting WHERE image_id < 9 GROUP BY v ORDER BY n, v LIMIT 0`, values: [] },
]

interface Shifted {
  readonly t: Test
  /** On every server. */
  readonly define: (sql: string) => Promise<void>
  /** Rows and columns, or the error's code; `ours`: merged. */
  readonly ask: (ours: boolean, read: { readonly text: string; readonly values: readonly string[] }) => Promise<unknown>
}

/** What is answered is the same after each change, at once and once more. */
export async function shifted({ t, define, ask }: Shifted): Promise<void> {
  for (const change of [null, ...changes]) {
    if (change !== null) await define(change)
    for (const read of [...reads, ...reads]) t.same(await ask(true, read), await ask(false, read), `${read.text} after ${String(change)}`)
  }
}

type Keep = (this: unknown, ...given: readonly unknown[]) => void

/** How often `work` has servers describe a merged read by itself. */
export async function timesDescribed(work: () => Promise<void>): Promise<number> {
  const kept = Object.getOwnPropertyDescriptor(DescribedReads.prototype, 'keep') ?? {}
  const original = kept.value as Keep
  let times = 0
  const keep: Keep = function (this: unknown, ...given) {
    times += 1
    Reflect.apply(original, this, given)
  }
  Object.defineProperty(DescribedReads.prototype, 'keep', { ...kept, value: keep })
  try {
    await work()
  } finally {
    Object.defineProperty(DescribedReads.prototype, 'keep', kept)
  }
  return times
}
