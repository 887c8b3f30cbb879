// routing/shard-eval.ts — a statement's demands and the values of one execution → the one logical shard, or which shards they
// are (`several`), or that some entry has no key (`missing`). Unknown, unreadable and NULL keys are refused with words; what
// becomes of several and missing ones is destination.ts's: nothing is broadcast here (DESIGN §4).
import type { Directories } from '../sharding/directories.js'
import { problem, type Key, type KeyProblem } from '../sharding/key.js'
import { readWholeKey } from '../sharding/read-keys.js'
import { shardOf } from '../sharding/shard-of.js'
import type { Sharded } from '../sharding/sharded.js'
import type { Operand, Understood } from '../sql/statement.js'
import type { ParameterSource } from './input.js'
import { readOperand } from './key-values.js'
import { refuse } from './make.js'
import type { RefusePlan } from './plan.js'
import type { Demand, ShardNeed } from './shard-demands.js'

/** `any`: every shard gives the same answer; `provisional`: only because values are not known yet. */
export type Evaluated =
  | {
      readonly kind: 'shard'
      readonly shard: number
      readonly cluster: string
      readonly rule: 'shard-key' | 'shard-hint'
      readonly provisional: boolean
    }
  | { readonly kind: 'any'; readonly provisional: boolean }
  /** Some entry has no key of its own. */
  | { readonly kind: 'missing'; readonly demand: Demand }
  | SeveralShards
  | Moving
  /** A directory must be asked first: for `keys`, each as texts of its columns. */
  | { readonly kind: 'lookup'; readonly demand: Demand; readonly keys: readonly (readonly string[])[] }
  | { readonly kind: 'refused'; readonly plan: RefusePlan }

/** Every entry has its key, and they lie on more than one shard. */
export interface SeveralShards {
  readonly kind: 'several'
  /** All that rows may be needed of, over all demands; ascending, two or more. */
  readonly shards: readonly number[]
  /** Their clusters, in the order of `sharded.clusters`; may be one. */
  readonly clusters: readonly string[]
  /** The first demand that does not agree. */
  readonly demand: Demand
  readonly provisional: boolean
  /** A hint or setting supplies a key, too, which cannot be that of all. */
  readonly supplied: boolean
}

/** It gives rows a shard key of another shard. */
export interface Moving {
  readonly kind: 'moving'
  /** Clusters of the rows, in the order of `sharded.clusters`. */
  readonly from: readonly string[]
  readonly to: string
  /** Of both. */
  readonly shards: readonly number[]
  readonly provisional: boolean
  /** What is said where that cannot be done. */
  readonly refused: RefusePlan
}

export interface Values {
  readonly understood: Understood
  readonly parameters: ParameterSource | null
  /** The key that a hint or setting supplies, as text; null: none. */
  readonly supplied: string | null
  /** False: what is not ASCII may have been decoded wrongly. */
  readonly unicode: boolean
  /** What is known of directories; null: nothing. */
  readonly directories: Directories | null
}

/** What one demand comes to. */
type Found =
  | { readonly kind: 'shard'; readonly shard: number }
  | { readonly kind: 'several'; readonly shards: ReadonlySet<number> }
  | { readonly kind: 'lookup'; readonly keys: readonly (readonly string[])[] }
  | { readonly kind: 'empty' | 'unknown' | 'missing' }
  | KeyProblem

export function evaluate(need: ShardNeed, values: Values): Evaluated {
  const found = evaluateDemands(need, values)
  const within = need.moves === null || (found.kind !== 'missing' && found.kind !== 'several')
  if (within) return found
  return (found.kind === 'several' ? movement(need, found, need.moves, values) : null) ?? { kind: 'refused', plan: need.moves }
}

/** null: there is not one shard that all rows go to. */
function movement(need: ShardNeed, { shards, provisional, supplied }: SeveralShards, refused: RefusePlan, values: Values): Moving | null {
  const [assigned, rows, another] = need.demands
  if (assigned === undefined || rows === undefined || another !== undefined || supplied) return null
  const { sharded } = need
  const [next, before] = [findShard(need, assigned, values), findShard(need, rows, values)]
  const to = next.kind === 'shard' ? sharded.map[next.shard] : undefined
  const held = before.kind === 'shard' ? [before.shard] : before.kind === 'several' ? [...before.shards] : []
  const from = sharded.clusters.filter((cluster) => held.some((shard) => sharded.map[shard] === cluster))
  return to === undefined || from.length === 0 ? null : { kind: 'moving', from, to, shards, provisional, refused }
}

function evaluateDemands(need: ShardNeed, values: Values): Evaluated {
  const { sharded } = need
  let shard: number | null = null
  let provisional = false
  let missing: Demand | null = null
  let several: Several | null = null
  let lookup: Asked | null = null
  for (const demand of need.demands) {
    const found = findShard(need, demand, values)
    switch (found.kind) {
      case 'problem':
        return unplaceable(sharded, demand, found)
      case 'lookup':
        lookup = together(lookup, demand, found.keys)
        break
      case 'unknown':
        provisional = true
        break
      case 'missing':
        missing ??= demand
        break
      case 'several':
        several = added(several, demand, found.shards, shard)
        break
      case 'shard':
        if (several !== null || (shard !== null && shard !== found.shard)) several = added(several, demand, [found.shard], shard)
        else shard = found.shard
        break
      case 'empty':
    }
  }
  if (lookup !== null) return { kind: 'lookup', ...lookup }
  if (values.supplied !== null && need.demands.length > 0 && several === null)
    return supply(sharded, values, values.supplied, shard, missing !== null || shard === null, need.demands[0])
  if (missing !== null) return { kind: 'missing', demand: missing }
  if (several !== null) return { ...severalShards(sharded, several), provisional, supplied: values.supplied !== null }
  if (shard === null) return { kind: 'any', provisional }
  return { kind: 'shard', shard, cluster: sharded.map[shard] ?? '', rule: 'shard-key', provisional }
}

/** The cluster of each of the first `count` demands; null: one of them is not on one shard. */
export function clustersOfDemands(need: ShardNeed, values: Values, count: number): readonly string[] | null {
  if (need.demands.length !== count) return null
  const clusters: string[] = []
  for (const demand of need.demands) {
    const found = findShard(need, demand, values)
    const cluster = found.kind === 'shard' ? need.sharded.map[found.shard] : undefined
    if (cluster === undefined) return null
    clusters.push(cluster)
  }
  return clusters
}

function together(before: Asked | null, demand: Demand, keys: Asked['keys']): Asked {
  return before === null ? { demand, keys } : { demand: before.demand, keys: [...before.keys, ...keys] }
}

interface Asked {
  readonly demand: Demand
  readonly keys: readonly (readonly string[])[]
}

interface Several {
  readonly demand: Demand
  readonly shards: Set<number>
}

function added(several: Several | null, demand: Demand, shards: Iterable<number>, before: number | null): Several {
  const to = several ?? { demand, shards: new Set<number>() }
  if (before !== null) to.shards.add(before)
  for (const shard of shards) to.shards.add(shard)
  return to
}

function severalShards(sharded: Sharded, { demand, shards }: Several): Omit<SeveralShards, 'provisional' | 'supplied'> {
  const held = new Set([...shards].map((shard) => sharded.map[shard]))
  return {
    kind: 'several',
    shards: [...shards].sort((a, b) => a - b),
    clusters: sharded.clusters.filter((cluster) => held.has(cluster)),
    demand,
  }
}

function unplaceable(sharded: Sharded, demand: Demand, { problem: words, ofFunction }: KeyProblem): Evaluated {
  const plan = refuse('shard-key-unreadable', {
    message: `the shard key ${demand.columns.join(', ')} of ${demand.table} ${words}`,
    hint:
      ofFunction === true
        ? 'The function must give a whole number below `shards` for every key, and throw nothing.'
        : 'Give the key as a literal or parameter of its own type.',
    error: ofFunction === true ? 'invalid_parameter_value' : 'feature_not_supported',
    owner: sharded.owner,
    tables: [demand.table],
  })
  return { kind: 'refused', plan }
}

function supply(
  sharded: Sharded,
  values: Values,
  text: string,
  own: number | null,
  lacking: boolean,
  demand: Demand | undefined,
): Evaluated {
  const keys = readWholeKey(sharded, text)
  const placed = 'kind' in keys ? keys : place(sharded, keys, values)
  if (placed.kind === 'lookup' && demand !== undefined) return { kind: 'lookup', demand, keys: [placed.key] }
  if (placed.kind !== 'placement') {
    return contradiction(
      sharded,
      `pointsman.shard_key ${placed.kind === 'problem' ? placed.problem : ''}`,
      `Give a key of type ${sharded.keyTypes.join(', ')} that ${sharded.name} has a shard for.`,
    )
  }
  if (own !== null && own !== placed.shard) {
    return contradiction(
      sharded,
      `pointsman.shard_key contradicts the shard key in the statement`,
      'Leave the hint or setting out: it is only for statements that lack a key.',
    )
  }
  return { kind: 'shard', shard: placed.shard, cluster: placed.cluster, rule: lacking ? 'shard-hint' : 'shard-key', provisional: false }
}

function contradiction(sharded: Sharded, message: string, hint: string): Evaluated {
  return { kind: 'refused', plan: refuse('hint', { message, hint, error: 'hint_contradiction', owner: sharded.owner }) }
}

/** The refusal of a statement that needs several shards, for whoever cannot merge them. */
export function refuseSeveral(sharded: Sharded, { table }: Demand): RefusePlan {
  return refuse('several-shards', {
    message: `the statement needs rows of ${table} from several shards of ${sharded.name}, which is not supported`,
    hint: 'Send one statement for each shard key; `pointsman shard` tells which keys live together.',
    owner: sharded.owner,
    tables: [table],
  })
}

const preference: Readonly<Record<Found['kind'], number>> = {
  shard: 0,
  empty: 1,
  lookup: 2,
  unknown: 3,
  several: 4,
  problem: 5,
  missing: 6,
}

/** The best that any alternative gives: each of them alone holds for every row. */
function findShard(need: ShardNeed, demand: Demand, values: Values): Found {
  const [only] = demand.alternatives
  if (demand.alternatives.length !== 1 || only === undefined) return findComposite(need, demand, values)
  let best: Found = { kind: 'missing' }
  for (const operands of only) {
    const found = placeKeys(need, demand, readList(need, demand, 0, operands, values), values)
    if (found.kind === 'shard') return found
    if (preference[found.kind] < preference[best.kind]) best = found
  }
  return best
}

type Keys = readonly Key[] | 'empty' | 'unknown' | 'missing' | KeyProblem

function placeKeys(need: ShardNeed, demand: Demand, keys: Keys, values: Values): Found {
  if (typeof keys === 'string') return { kind: keys }
  if ('kind' in keys) return keys
  return placeAll(
    need,
    demand,
    keys.map((key) => [key]),
    values,
  )
}

function placeAll(need: ShardNeed, demand: Demand, all: readonly (readonly Key[])[], values: Values): Found {
  let shard: number | null = null
  let shards: Set<number> | null = null
  let lookups: (readonly string[])[] | null = null
  for (const keys of all) {
    const placed = demand.stored?.trims === true && keys.some(endsBlank) ? cutOff : place(need.sharded, keys, values)
    if (placed.kind === 'problem') return placed
    if (placed.kind === 'lookup') (lookups ??= []).push(placed.key)
    else if (shard === null || shard === placed.shard) shard = placed.shard
    else (shards ??= new Set([shard])).add(placed.shard)
  }
  if (lookups !== null) return { kind: 'lookup', keys: lookups }
  if (shards !== null) return { kind: 'several', shards }
  return shard === null ? { kind: 'empty' } : { kind: 'shard', shard }
}

/** More combinations than these are not worth telling apart. */
const maxCombinations = 1024

/** Each column has lists of its own: every row is one of their combinations. */
function findComposite(need: ShardNeed, demand: Demand, values: Values): Found {
  let all: readonly (readonly Key[])[] = [[]]
  let worst: Exclude<Found, { kind: 'shard' | 'several' | 'lookup' }> | null = null
  for (const [column, alternatives] of demand.alternatives.entries()) {
    const keys = fewestKeys(need, demand, column, alternatives, values)
    if (typeof keys === 'string' || 'kind' in keys) {
      const found = typeof keys === 'string' ? { kind: keys } : keys
      if (worst === null || composite[found.kind] > composite[worst.kind]) worst = found
    } else if (all.length * keys.length > maxCombinations) worst ??= { kind: 'missing' }
    else all = all.flatMap((before) => keys.map((key) => [...before, key]))
  }
  return worst ?? placeAll(need, demand, all, values)
}

/** What one column lacks, the whole lacks; a column that equals nothing leaves no row. */
const composite: Readonly<Record<Exclude<Found['kind'], 'shard' | 'several' | 'lookup'>, number>> = {
  unknown: 0,
  missing: 1,
  problem: 2,
  empty: 3,
}

function fewestKeys(need: ShardNeed, demand: Demand, column: number, alternatives: readonly (readonly Operand[])[], values: Values): Keys {
  let best: Keys = 'missing'
  for (const operands of alternatives) {
    const keys = readList(need, demand, column, operands, values)
    if (weight(keys) < weight(best)) best = keys
  }
  return best
}

function weight(keys: Keys): number {
  if (typeof keys !== 'string') return 'kind' in keys ? 1e8 : keys.length
  return { empty: 0, unknown: 1e6, missing: 1e9 }[keys]
}

function place(sharded: Sharded, keys: readonly Key[], values: Values): ReturnType<typeof shardOf> {
  const beyond = !values.unicode && keys.some((key) => key.kind === 'bytes' && /[^\0-\x7f]/.test(key.text))
  if (beyond) return problem('is not ASCII, and the client_encoding of the session is not UTF8')
  return shardOf(sharded, keys, values.directories)
}

/** The keys of one list, for one column of the key. */
function readList(need: ShardNeed, demand: Demand, column: number, operands: readonly Operand[], values: Values): Keys {
  const all: Key[] = []
  let unknown = false
  let nulls = 0
  for (const operand of operands) {
    const keys = readOperand(need, need.sharded.keyTypes[column] ?? 'text', operand, values)
    if (keys === 'missing') return 'missing'
    if (keys === 'unknown') unknown = true
    else if (keys === 'null') nulls++
    else if ('problem' in keys) return keys
    else all.push(...keys)
  }
  if (unknown) return 'unknown'
  if (all.length > 0 && (nulls === 0 || demand.stored === undefined)) return all
  // NULL equals nothing. A list with nothing else, or INSERT of it, is a mistake worth telling; an empty array is not.
  return nulls > 0 ? problem('is NULL') : 'empty'
}

function endsBlank(key: Key): boolean {
  return key.kind === 'bytes' && key.text.endsWith(' ')
}

const cutOff = problem('ends with blanks, which its column may cut off')
