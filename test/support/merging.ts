// test/support/merging.ts — feeds a merger as a scatter would: parts send in portions of any size and in any turn, heeding
// wants() and needs(). What is random comes from a seed.
import type { MergeSpec } from '../../src/merge/contract.js'
import { Merger, type MergeColumn, type MergeInput, type Row } from '../../src/merge/merger.js'

export const noSpec: MergeSpec = {
  hidden: 0,
  group: null,
  having: null,
  order: [],
  partsSorted: true,
  distinct: null,
  offset: { kind: 'none' },
  limit: { kind: 'none' },
  output: null,
  described: 'part',
}

export interface Merging {
  readonly spec: Partial<MergeSpec>
  readonly columns: readonly MergeColumn[]
  readonly client?: readonly MergeColumn[]
  readonly parts: readonly (readonly Row[])[]
  readonly parameters?: MergeInput['parameters']
  readonly session?: MergeInput['session']
  readonly memory?: number
  readonly seed?: number
}

export function mergerOf(merging: Merging): Merger {
  return new Merger({
    spec: { ...noSpec, ...merging.spec },
    columns: merging.columns,
    client: merging.client ?? null,
    parameters: merging.parameters ?? [],
    session: merging.session ?? { utf8: true, intervalStyle: 'postgres' },
    parts: merging.parts.length,
    memory: merging.memory ?? 2 ** 26,
  })
}

/** All rows of the result. Throws where the merger wants nothing although it has not ended. */
export function merge(merging: Merging): Row[] {
  const merger = mergerOf(merging)
  const random = generator(merging.seed ?? 1)
  const sent = merging.parts.map(() => 0)
  const ended = merging.parts.map(() => false)
  const rows: Row[] = []
  for (;;) {
    const read = merger.read(1 + random(7))
    rows.push(...read.rows)
    if (read.state === 'done') return rows
    if (read.state === 'more' && random(3) > 0) continue
    const open = merging.parts.map((_, part) => part).filter((part) => !ended[part])
    const wanted = read.state === 'waiting' ? open.filter((part) => merger.needs(part)) : open.filter((part) => merger.wants(part))
    const part = wanted[random(wanted.length)]
    if (part === undefined) {
      if (read.state === 'waiting') throw new Error('the merger waits for nobody')
      continue
    }
    const all = merging.parts[part]!
    const portion = all.slice(sent[part], sent[part]! + 1 + random(5))
    merger.push(part, portion)
    sent[part]! += portion.length
    if (sent[part] === all.length) {
      merger.end(part)
      ended[part] = true
    }
  }
}

/** Numbers from 0 to below `limit`. */
export function generator(seed: number): (limit: number) => number {
  let state = seed >>> 0
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
}

export function shown(rows: readonly Row[]): string[] {
  return rows.map((row) => row.map((value) => (value === null ? '∅' : Buffer.from(value).toString('latin1'))).join('|'))
}
