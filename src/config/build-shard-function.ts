// config/build-shard-function.ts — `by` and what belongs to it: values, ranges, the directory, the module. What belongs to
// another function is told, since who wrote it believes that it counts.
import { parseDuration } from '../consistency/duration.js'
import { compareKeys } from '../sharding/range.js'
import { readKey, type Key } from '../sharding/key.js'
import type { DirectoryTable, KeyRange, KeyType, ShardBy } from '../sharding/sharded.js'
import { buildListValues } from './build-list-values.js'
import { clusterFrom } from './cluster-from.js'
import { columnsFrom } from './columns-from.js'
import type { Context } from './context.js'
import type { Partly, ShardedInput, ShardRangeInput } from './input.js'
import type { Path } from './locator.js'
import { tableFrom } from './table-from.js'

interface Given {
  readonly shards: number
  readonly keyTypes: readonly KeyType[]
  /** How many columns a key has; null: its types were told to be bad. */
  readonly columns: number | null
  /** Clusters that are named. */
  readonly known: ReadonlySet<string>
}

const belongs = { values: 'list', ranges: 'range', directory: 'directory', module: 'module' } as const

export function buildShardFunction(context: Context, path: Path, input: Partly<ShardedInput>, given: Given): ShardBy {
  const by = input.by ?? 'hash'
  for (const [key, of] of Object.entries(belongs)) {
    if (of === by || input[key as keyof typeof belongs] === undefined) continue
    context.findings.problem({
      path: [...path, key],
      at: 'key',
      found: key,
      allowed: `${key} only with by: ${of}`,
      message: `"${key}" means nothing here`,
    })
  }
  const [keyType = 'bigint', second] = given.keyTypes
  if (second !== undefined && (by === 'list' || by === 'range')) {
    context.findings.problem({
      path: [...path, 'by'],
      allowed: 'hash, directory or module',
      message: `by: ${by} takes a key of one column`,
    })
  }
  switch (by) {
    case 'hash':
      return { by }
    case 'list':
      return { by, values: buildListValues(context, path, input.values, given.shards, keyType) }
    case 'range':
      return { by, ranges: buildRanges(context, path, input.ranges, given.shards, keyType) }
    case 'directory':
      return { by, directory: buildDirectory(context, path, input.directory, given) }
    case 'module':
      return buildModule(context, path, input.module)
  }
}

// ---- range

interface Placed extends KeyRange {
  readonly path: Path
}

function buildRanges(
  context: Context,
  above: Path,
  inputs: readonly (Partly<ShardRangeInput> | undefined)[] | undefined,
  shards: number,
  keyType: KeyType,
): readonly KeyRange[] {
  if (inputs === undefined) {
    context.findings.missing({ path: [...above, 'ranges'], allowed: 'a list of { from, to, shard }', message: 'by: range needs ranges' })
    return []
  }
  const ranges = inputs.map((input, index) => rangeFrom(context, [...above, 'ranges', index], input, shards, keyType))
  const good = ranges.filter((range) => range !== null).sort((a, b) => order(a.from, b.from, -1))
  // What is not readable may stand between two others.
  if (good.length === ranges.length) checkTogether(context, good)
  return good.map(({ from, to, shard }) => ({ from, to, shard }))
}

function rangeFrom(
  context: Context,
  path: Path,
  input: Partly<ShardRangeInput> | undefined,
  shards: number,
  keyType: KeyType,
): Placed | null {
  if (input === undefined) return null
  const from = endFrom(context, [...path, 'from'], input.from, keyType)
  const to = endFrom(context, [...path, 'to'], input.to, keyType)
  const { shard } = input
  if (shard !== undefined && shard >= shards) {
    context.findings.problem({
      path: [...path, 'shard'],
      allowed: `a shard from 0 to ${String(shards - 1)}`,
      message: 'there is no such shard',
    })
  }
  if (from === undefined || to === undefined || shard === undefined) return null
  if (from !== null && to !== null && compareKeys(from, to) >= 0) {
    context.findings.problem({ path, allowed: 'from below to: a range holds from ≤ key < to', message: 'the range is empty' })
    return null
  }
  return { path, from, to, shard }
}

/** undefined: cannot be read, which was told. */
function endFrom(context: Context, path: Path, input: string | number | undefined, keyType: KeyType): Key | null | undefined {
  if (input === undefined) return context.findings.given(path) ? undefined : null
  const key = readKey(keyType, String(input))
  if (key.kind !== 'problem') return key
  context.findings.problem({ path, allowed: `a ${keyType}`, message: `this key ${key.problem}` })
  return undefined
}

/** `open`: what an end that is not given counts as, below (-1) or above (1) all keys. */
function order(a: Key | null, b: Key | null, open: number): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? open : -open
  return compareKeys(a, b)
}

function checkTogether(context: Context, ranges: readonly Placed[]): void {
  for (const [index, range] of ranges.entries()) {
    const before = ranges[index - 1]
    if (before === undefined) continue
    const meets = before.to === null || range.from === null ? 1 : compareKeys(before.to, range.from)
    if (meets === 0) continue
    const other = `ranges[${String(before.path.at(-1) ?? 0)}]`
    if (meets > 0)
      context.findings.problem({ path: range.path, allowed: 'ranges that do not overlap', message: `the range overlaps with ${other}` })
    else
      context.findings.problem({
        path: range.path,
        allowed: 'ranges without gaps: each begins where the one before it ends',
        message: `there is a gap between ${other} and this range`,
      })
  }
}

// ---- directory

function buildDirectory(context: Context, above: Path, input: Partly<ShardedInput>['directory'], given: Given): DirectoryTable {
  const path = [...above, 'directory']
  if (input === undefined) {
    context.findings.missing({ path, allowed: 'a map with cluster, table, key and shard', message: 'by: directory needs directory' })
  }
  const cluster = input?.cluster ?? ''
  if (input?.cluster !== undefined) clusterFrom(context, [...path, 'cluster'], cluster, given.known)
  const table = input?.table === undefined ? null : tableFrom(context, [...path, 'table'], input.table, 'value')
  const keys = input?.key === undefined ? null : columnsFrom(context, [...path, 'key'], input.key, given.columns)
  const ttlMs = input?.ttl === undefined ? 60_000 : (parseDuration(String(input.ttl)) ?? 60_000)
  if (ttlMs === 0) context.findings.problem({ path: [...path, 'ttl'], allowed: 'a time above 0', message: '"ttl" must not be 0' })
  return {
    cluster,
    table: table ?? '',
    keys: keys ?? [],
    shard: input?.shard ?? '',
    ttlMs,
    maxEntries: input?.max_entries ?? 100_000,
    channel: input?.channel ?? null,
  }
}

// ---- module

const nothing = (): null => null

function buildModule(context: Context, above: Path, input: Partly<ShardedInput>['module']): ShardBy {
  const path = [...above, 'module']
  if (typeof input === 'function') return { by: 'module', module: { path: 'the configuration', place: input } }
  if (input === undefined) {
    context.findings.missing({ path, allowed: 'the path of a JavaScript module', message: 'by: module needs module' })
    return { by: 'module', module: { path: '', place: nothing } }
  }
  const found = context.surroundings.module?.(input) ?? 'cannot be loaded here: no modules are'
  if (typeof found === 'string') {
    const allowed = 'a module that exports shardOf(key…), a function that gives a shard'
    context.findings.problem({ path, allowed, message: `the module ${found}` })
  }
  return { by: 'module', module: { path: input, place: typeof found === 'string' ? nothing : found } }
}
