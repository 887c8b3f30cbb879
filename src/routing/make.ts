// routing/make.ts — plans from their parts, frozen, with every field said. One place, so that a new field of OnePlan
// breaks the build here and nowhere else.
import { readPolicy, type ReadPolicy } from '../consistency/policy.js'
import type { ErrorKey } from '../errors/catalogue.js'
import { PointsmanError } from '../errors/error.js'
import type { Crossing } from '../observe/crossing.js'
import type { AnswerPlan, BroadcastPlan, OnePlan, RefusePlan, ScatterPlan, Why } from './plan.js'
import { why, type Rule } from './rules.js'

const anyServer: ReadPolicy = readPolicy({ consistency: 'any' })
const primaryOnly: ReadPolicy = readPolicy()

type OneParts = Pick<OnePlan, 'cluster' | 'role' | 'why'> & Partial<Omit<OnePlan, 'kind'>>

/** A plan for one server. What is not given is the harmless default: no write, no state, no shared lane. */
export function one(parts: OneParts): OnePlan {
  return Object.freeze({
    kind: 'one',
    shard: null,
    policy: parts.role === 'primary' ? primaryOnly : anyServer,
    owner: null,
    tables: none,
    writes: false,
    sticky: true,
    taints: null,
    pins: null,
    unpins: null,
    // What writes and taints may have left anything.
    asks: parts.writes === true && (parts.taints ?? null) !== null ? 'state' : null,
    listens: false,
    notifies: false,
    asksListening: false,
    readsSequences: false,
    settings: none,
    ownTransaction: false,
    lane: false,
    provisional: false,
    readsData: false,
    changesCatalog: false,
    place: null,
    crossing: null,
    keptOn: null,
    // Of a write that says nothing more, nothing is known.
    changes: parts.writes === true || parts.changesCatalog === true ? null : none,
    ...parts,
  })
}

const none: readonly never[] = Object.freeze([])

export function answer(rule: Rule, detail: string, given: AnswerPlan['answer']): AnswerPlan {
  return Object.freeze({ kind: 'answer', why: Object.freeze([why(rule, detail)]), owner: null, tables: none, answer: given })
}

export interface Refusal {
  readonly message: string
  readonly hint: string
  readonly error?: ErrorKey
  readonly tables?: readonly string[]
  readonly owner?: string | null
  /** What decided before the refusal. */
  readonly before?: readonly Why[]
  readonly crossing?: Crossing
}

export function refuse(rule: Rule, refusal: Refusal): RefusePlan {
  return Object.freeze({
    kind: 'refuse',
    why: Object.freeze([...(refusal.before ?? []), why(rule, refusal.message)]),
    owner: refusal.owner ?? null,
    tables: refusal.tables ?? none,
    error: refusal.error ?? 'feature_not_supported',
    message: refusal.message,
    hint: refusal.hint,
    ...(refusal.crossing === undefined ? {} : { crossing: refusal.crossing }),
  })
}

/** For a door that cannot merge what several clusters answer. */
export function cannotMerge(plan: ScatterPlan): PointsmanError {
  return new PointsmanError('feature_not_supported', {
    values: { what: `the statement needs rows of ${plan.sharded} from several clusters, which cannot be merged here` },
    hint: 'Bind the shard key of every sharded table with = to a value of its own.',
  })
}

/** For the extended protocol, where nobody sends COPY. */
export function copiesAlone(): PointsmanError {
  return new PointsmanError('feature_not_supported', {
    values: { what: 'COPY of a sharded table is only for the simple protocol' },
    hint: 'Send it as a query without parameters, as drivers do for COPY.',
  })
}

/** For a door that cannot write on several clusters. */
export function cannotBroadcast({ of, parts }: BroadcastPlan): PointsmanError {
  const clusters = parts.map(({ cluster }) => cluster).join(', ')
  return new PointsmanError('feature_not_supported', {
    values: { what: `the write is for several clusters (${clusters}) of ${of}, which cannot be done in this way` },
    hint: 'Send it as a statement of its own, through the proxy.',
  })
}

/** What PostgreSQL itself says to anything but the end of a failed transaction. */
export function inFailedTransaction(): RefusePlan {
  return refuse('failed-transaction', {
    message: 'current transaction is aborted, commands ignored until end of transaction block',
    hint: 'ROLLBACK, or ROLLBACK TO a savepoint.',
    error: 'in_failed_transaction',
  })
}
