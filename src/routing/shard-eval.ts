// routing/shard-eval.ts — a statement's demands and the values of one execution → the one logical shard. Unknown, unreadable
// and NULL keys are refused with words; nothing is ever broadcast (DESIGN §4).
import { readKeyArray, readBinaryKeyArray } from '../sharding/key-array.js'
import { comparable, readBinaryKey, typeOfArrayOid, typeOfOid } from '../sharding/key-binary.js'
import { problem, readKey, type Key, type KeyProblem } from '../sharding/key.js'
import { shardOf, type Placement } from '../sharding/shard-of.js'
import type { KeyType, Sharded } from '../sharding/sharded.js'
import { literalText } from '../sql/literal-text.js'
import type { Operand, Understood } from '../sql/statement.js'
import type { ParameterSource, ParameterValue } from './input.js'
import { refuse } from './make.js'
import type { RefusePlan } from './plan.js'
import type { Rule } from './rules.js'
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
  | { readonly kind: 'refused'; readonly plan: RefusePlan }

export interface Values {
  readonly understood: Understood
  readonly parameters: ParameterSource | null
  /** The key that a hint or setting supplies, as text; null: none. */
  readonly supplied: string | null
  /** False: what is not ASCII may have been decoded wrongly. */
  readonly unicode: boolean
}

/** What one list of operands gives. */
type Found =
  | { readonly kind: 'shard'; readonly shard: number }
  | { readonly kind: 'empty' | 'unknown' | 'missing' | 'several' }
  | { readonly kind: 'problem'; readonly words: string }

export function evaluate(need: ShardNeed, values: Values): Evaluated {
  const { sharded } = need
  let shard: number | null = null
  let provisional = false
  let missing: Demand | null = null
  for (const demand of need.demands) {
    const found = findShard(need, demand, values)
    if (found.kind === 'problem')
      return refused('shard-key-unreadable', sharded, demand, `the shard key ${demand.column} of ${demand.table} ${found.words}`)
    if (found.kind === 'several') return severalShards(sharded, demand)
    if (found.kind === 'unknown') provisional = true
    if (found.kind === 'missing') missing ??= demand
    if (found.kind !== 'shard') continue
    if (shard !== null && shard !== found.shard) return severalShards(sharded, demand)
    shard = found.shard
  }
  if (values.supplied !== null && need.demands.length > 0)
    return supply(sharded, values, values.supplied, shard, missing !== null || shard === null)
  if (missing !== null) return { kind: 'missing', demand: missing }
  if (shard === null) return { kind: 'any', provisional }
  return { kind: 'shard', shard, cluster: sharded.map[shard] ?? '', rule: 'shard-key', provisional }
}

function supply(sharded: Sharded, values: Values, text: string, own: number | null, lacking: boolean): Evaluated {
  const key = readKey(sharded.keyType, text)
  const placed = key.kind === 'problem' ? key : place(sharded, key, values)
  if (placed.kind === 'problem') {
    return contradiction(
      sharded,
      `pointsman.shard_key ${placed.problem}`,
      `Give a key of type ${sharded.keyType} that ${sharded.name} has a shard for.`,
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

function severalShards(sharded: Sharded, demand: Demand): Evaluated {
  return refused(
    'several-shards',
    sharded,
    demand,
    `the statement needs rows of ${demand.table} from several shards of ${sharded.name}, which is not supported`,
  )
}

const hints: Partial<Record<Rule, string>> = {
  'shard-key-unreadable': 'Give the key as a literal or parameter of its own type.',
  'several-shards': 'Send one statement for each shard key; `pointsman shard` tells which keys live together.',
}

function refused(rule: Rule, sharded: Sharded, demand: Demand, message: string): Evaluated {
  return { kind: 'refused', plan: refuse(rule, { message, hint: hints[rule] ?? '', owner: sharded.owner, tables: [demand.table] }) }
}

const preference: Readonly<Record<Found['kind'], number>> = { shard: 0, empty: 1, unknown: 2, several: 3, problem: 4, missing: 5 }

/** The best that any alternative gives: each of them alone holds for every row. */
function findShard(need: ShardNeed, demand: Demand, values: Values): Found {
  let best: Found = { kind: 'missing' }
  for (const operands of demand.alternatives) {
    const found = findInList(need, demand, operands, values)
    if (found.kind === 'shard') return found
    if (preference[found.kind] < preference[best.kind]) best = found
  }
  return best
}

function place(sharded: Sharded, key: Key, values: Values): Placement | KeyProblem {
  const beyond = !values.unicode && key.kind === 'bytes' && /[^\0-\x7f]/.test(key.text)
  return beyond ? problem('is not ASCII, and the client_encoding of the session is not UTF8') : shardOf(sharded, key)
}

function findInList(need: ShardNeed, demand: Demand, operands: readonly Operand[], values: Values): Found {
  const { sharded } = need
  let shard: number | null = null
  let unknown = false
  let nulls = 0
  let several = false
  for (const operand of operands) {
    const keys = readOperand(need, operand, values)
    if (keys === 'missing') return { kind: 'missing' }
    if (keys === 'unknown') unknown = true
    else if (keys === 'null') nulls++
    else if ('problem' in keys) return { kind: 'problem', words: keys.problem }
    else {
      for (const key of keys) {
        const placed = demand.trims === true && endsBlank(key) ? cutOff : place(sharded, key, values)
        if (placed.kind === 'problem') return { kind: 'problem', words: placed.problem }
        several ||= shard !== null && shard !== placed.shard
        shard = placed.shard
      }
    }
  }
  if (several) return { kind: 'several' }
  if (unknown) return { kind: 'unknown' }
  if (shard !== null) return { kind: 'shard', shard }
  // NULL equals nothing. A list with nothing else, or INSERT of it, is a mistake worth telling; an empty array is not.
  return nulls > 0 ? { kind: 'problem', words: 'is NULL' } : { kind: 'empty' }
}

function endsBlank(key: Key): boolean {
  return key.kind === 'bytes' && key.text.endsWith(' ')
}

const cutOff = problem('ends with blanks, which its column may cut off')

type Read = readonly Key[] | KeyProblem | 'missing' | 'unknown' | 'null'

function readOperand(need: ShardNeed, operand: Operand, values: Values): Read {
  const { keyType } = need.sharded
  switch (operand.kind) {
    case 'null':
      return 'null'
    case 'default':
    case 'other':
      return 'missing'
    case 'literal':
      return readLiteral(keyType, operand, values.understood)
    case 'arrayLiteral':
      return readArrayLiteral(keyType, operand, values.understood)
    case 'param':
      return readParameter(need, operand, values.parameters?.get(operand.number))
  }
}

/** Names under which a cast keeps the key's own kind of value; the type that the value is then read as. */
const casts: Readonly<Record<string, KeyType>> = {
  int2: 'smallint',
  smallint: 'smallint',
  int4: 'integer',
  int: 'integer',
  integer: 'integer',
  int8: 'bigint',
  bigint: 'bigint',
  text: 'text',
  varchar: 'varchar',
  'character varying': 'varchar',
  uuid: 'uuid',
}

/** The type that a cast makes of a value; null: one that does not compare with the key as such. */
function castType(keyType: KeyType, cast: string | null, array: boolean): KeyType | null {
  if (cast === null) return keyType
  const bare = cast.replace(/^pg_catalog\./, '')
  const element = array ? bare.replace(/\[\]$/, '').replace(/^_/, '') : bare
  const type = casts[element]
  return type !== undefined && comparable(keyType, type) ? type : null
}

function wrongCast(keyType: KeyType): KeyProblem {
  return problem(`is cast to a type that does not compare with ${keyType} as such`)
}

function readLiteral(keyType: KeyType, operand: Extract<Operand, { kind: 'literal' }>, understood: Understood): Read {
  const type = castType(keyType, operand.cast, false)
  if (type === null) return wrongCast(keyType)
  const literal = understood.literals[operand.index]
  if (literal === undefined) return 'missing'
  const isNumber = literal.class === 'integer'
  const wantsNumber = comparable(keyType, 'bigint')
  // An unquoted number for a text key would be rewritten by a cast ('007' and 7), and a quoted one has no minus before it.
  if (isNumber !== wantsNumber && literal.class !== 'string') return problem(`is not a literal of ${keyType}`)
  const text = literalText(understood.text, literal)
  if (text === null || (operand.negated && !isNumber)) return problem(`is not a literal of ${keyType}`)
  return single(readKey(type, operand.negated ? `-${text}` : text))
}

function readArrayLiteral(keyType: KeyType, operand: Extract<Operand, { kind: 'arrayLiteral' }>, understood: Understood): Read {
  const type = castType(keyType, operand.cast, true)
  if (type === null) return wrongCast(keyType)
  const literal = understood.literals[operand.index]
  const text = literal?.class === 'string' ? literalText(understood.text, literal) : null
  return text === null ? problem('is not an array literal') : readKeyArray(type, text)
}

function readParameter(need: ShardNeed, operand: Extract<Operand, { kind: 'param' }>, value: ParameterValue | null | undefined): Read {
  if (value === undefined) return 'unknown'
  if (value === null) return 'null'
  const keys = readValue(need.sharded.keyType, operand, value)
  const declared = value.oid !== undefined && value.oid !== 0 && value.oid !== 705
  if ('problem' in keys || declared || !need.elsewhere.has(operand.number)) return keys
  return 'text' in value && keys.every(sameInAnyType) ? keys : typeFromElsewhere
}

const typeFromElsewhere = problem(
  'is a parameter without a declared type that stands in other places too, one of which may decide its type: use a parameter of its own',
)

/** What numeric, double precision, char(n) and name would all compare as the key's own type does. */
function sameInAnyType(key: Key): boolean {
  return key.kind === 'bytes' ? !key.text.endsWith(' ') && key.bytes.length < 64 : Math.abs(key.high) < 0x200000
}

function readValue(keyType: KeyType, operand: Extract<Operand, { kind: 'param' }>, value: ParameterValue): readonly Key[] | KeyProblem {
  const cast = castType(keyType, operand.cast, operand.array)
  if (cast === null) return wrongCast(keyType)
  const oid = value.oid ?? 0
  const type = operand.array ? typeOfArrayOid(cast, oid) : typeOfOid(cast, oid)
  if (type === null) return problem(`is a parameter of a type that does not compare with ${keyType} as such`)
  if ('text' in value) return operand.array ? readKeyArray(type, value.text) : single(readKey(type, value.text))
  return operand.array ? readBinaryKeyArray(type, value.binary) : single(readBinaryKey(type, value.binary))
}

function single(key: Key | KeyProblem): readonly Key[] | KeyProblem {
  return key.kind === 'problem' ? key : [key]
}
