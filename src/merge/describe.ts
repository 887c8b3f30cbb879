// merge/describe.ts — what merging does, in words, step by step: for EXPLAIN ROUTE. No values of the statement.
import type { Combine, MergeSpec } from './contract.js'

/** `groups by 1 column: count, avg`, `having`, `order by 2 columns`, `distinct`, `offset`, `limit`; `append` where there is nothing to do. */
export function describeMerge(spec: MergeSpec): readonly string[] {
  const { group, having, order, distinct, offset, limit } = spec
  const steps = [
    ...(group === null ? [] : [`${group.keys.length === 0 ? 'one group' : `groups by ${columns(group.keys.length)}`}${aggregates(spec)}`]),
    ...(having === null ? [] : ['having']),
    ...(order.length === 0 ? [] : [`order by ${columns(order.length)}`]),
    ...(distinct === null ? [] : [distinct.keys === null ? 'distinct' : `distinct on ${columns(distinct.keys.length)}`]),
    ...(offset.kind === 'none' ? [] : ['offset']),
    ...(limit.kind === 'none' ? [] : ['limit']),
  ]
  return steps.length === 0 ? ['append'] : steps
}

function columns(count: number): string {
  return `${String(count)} column${count === 1 ? '' : 's'}`
}

const words: Readonly<Record<Combine['kind'], string>> = {
  count: 'count',
  sum: 'sum',
  avg: 'avg',
  min: 'min',
  max: 'max',
  and: 'bool_and',
  or: 'bool_or',
  countDistinct: 'count distinct',
  list: 'list',
}

function aggregates({ group }: MergeSpec): string {
  const kinds = new Set((group?.columns ?? []).flatMap((column) => (column.kind === 'key' ? [] : [words[column.kind]])))
  return kinds.size === 0 ? '' : `: ${[...kinds].join(', ')}`
}
