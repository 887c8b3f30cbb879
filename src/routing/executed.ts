// routing/executed.ts — EXECUTE as what it runs: the prepared statement, with the arguments as its parameters, so that it is
// planned as if it had been sent itself. What the arguments call, and what stands around EXECUTE (EXPLAIN, CREATE TABLE AS),
// counts as well. An argument that is computed is known to the server alone: no shard key, and no setting's value.
import { literalText } from '../sql/literal-text.js'
import type { Detail, Execution, Hints, Operand, Shape, Statement, Understood } from '../sql/statement.js'
import type { ParameterSource, ParameterValue, PlanInput } from './input.js'

/** A statement that was prepared: `types` are the oids that were declared, 0 for those left to the server. */
export interface Prepared {
  readonly understood: Understood
  readonly types: readonly number[]
}

/** What `executing`, one statement that says EXECUTE, comes to for `prepared`. */
export function executed(executing: Understood, prepared: Prepared): Pick<PlanInput, 'understood' | 'parameters'> {
  const [outer] = executing.shape.statements ?? []
  const execution = outer?.executes ?? null
  if (outer === undefined || execution === null) throw new Error('a statement that executes nothing')
  const shape = shapeOf(executing.shape, outer, execution, prepared.understood.shape)
  const hints = mergedHints(executing.hints, prepared.understood.hints)
  return { understood: { ...prepared.understood, shape, hints }, parameters: argumentsOf(execution, executing, prepared.types) }
}

/** What a PREPARE asks of its server: to describe the statement, whatever its parameters will be. */
export function described(prepared: Understood): Pick<PlanInput, 'understood' | 'parameters'> {
  return { understood: { ...prepared, shape: keptFor(prepared.shape, prepared.shape, asDescription) }, parameters: unknown }
}

const unknown: ParameterSource = { get: () => undefined }

function asDescription(shape: Shape): Shape {
  const [inner] = shape.statements ?? []
  if (inner === undefined) return shape
  const detail: Detail = Object.freeze({ kind: 'explain', analyze: false, inner })
  const described = Object.freeze({ ...inner, detail, writes: false, hiddenSettings: false, ownTransaction: false })
  return Object.freeze({ ...shape, statements: Object.freeze([described]), names: false })
}

// ---- shapes: made once for each pair, since plans are kept by them

const kept = new WeakMap<Shape, WeakMap<Shape, Shape>>()

function keptFor(inner: Shape, outer: Shape, make: (inner: Shape) => Shape): Shape {
  let byOuter = kept.get(inner)
  if (byOuter === undefined) kept.set(inner, (byOuter = new WeakMap()))
  const known = byOuter.get(outer)
  if (known !== undefined) return known
  const made = make(inner)
  byOuter.set(outer, made)
  return made
}

function shapeOf(executing: Shape, outer: Statement, execution: Execution, inner: Shape): Shape {
  // What was not understood, or is nothing at all, stays so.
  if (inner.statements?.length !== 1 || (outer.detail.kind === 'execute' && isPlain(outer, execution))) return inner
  return keptFor(inner, executing, () => {
    const statements = (inner.statements ?? []).map((statement) => within(outer, statement))
    return Object.freeze({ ...inner, statements: Object.freeze(statements), names: false })
  })
}

/** Nothing but values is given: the statement runs as it was prepared. */
function isPlain(outer: Statement, { args }: Execution): boolean {
  const named = outer.functions.length + outer.operators.length + outer.types.length + outer.attributes.length + outer.relations.length
  return named === 0 && args.every(({ kind }) => kind !== 'other')
}

/** The statement that `outer` comes to, where it says EXECUTE. */
function within(outer: Statement, inner: Statement): Statement {
  const { detail } = outer
  if (detail.kind === 'explain') {
    const whole = within(detail.inner, inner)
    const hiddenSettings = detail.analyze && (whole.hiddenSettings || whole.functions.some(({ name }) => name.name === 'set_config'))
    const explained = { ...detail, inner: whole }
    return Object.freeze({ ...whole, detail: explained, node: outer.node, writes: detail.analyze && whole.writes, hiddenSettings })
  }
  const both = detail.kind === 'execute' ? { ...united(inner, outer), detail: inner.detail } : united(outer, inner)
  const hides = outer.hiddenSettings || inner.hiddenSettings || setsWhatIsComputed(inner, outer.executes?.args ?? [])
  return Object.freeze({ ...both, executes: null, hiddenSettings: hides })
}

/** `main` with all that `other` names as well. */
function united(main: Statement, other: Statement): Statement {
  return {
    ...main,
    writes: main.writes || (other.detail.kind !== 'execute' && other.writes),
    locks: main.locks || other.locks,
    relations: [...main.relations, ...other.relations],
    functions: [...main.functions, ...other.functions],
    attributes: [...main.attributes, ...other.attributes],
    operators: [...main.operators, ...other.operators],
    types: [...main.types, ...other.types],
    entries: [...main.entries, ...other.entries],
    // The places of two texts have numbers of their own.
    derived: other.entries.length === 0 ? main.derived : main.entries.length === 0 ? other.derived : [],
    flows: other.entries.length === 0 ? main.flows : main.entries.length === 0 ? other.flows : [],
    sequences: [...main.sequences, ...other.sequences],
    params: Math.max(main.params, other.params),
    repeatedParams: [...main.repeatedParams, ...other.repeatedParams],
    cursorsOrLocks: main.cursorsOrLocks === 'none' ? other.cursorsOrLocks : main.cursorsOrLocks,
  }
}

/** It sets a setting to an argument whose value the server alone will know. */
function setsWhatIsComputed({ detail }: Statement, args: readonly Operand[]): boolean {
  const settings = detail.kind === 'select' ? (detail.settings ?? []) : []
  const computed = (number: number): boolean => {
    const arg = args[number - 1]
    return arg !== undefined && (arg.kind === 'other' || ('cast' in arg && arg.cast !== null))
  }
  return settings.some(({ value }) => value?.some((part) => part.kind === 'param' && computed(part.number)) === true)
}

// ---- hints and arguments

/** What EXECUTE says goes before what was said when the statement was prepared. */
function mergedHints(own: Hints | null, before: Hints | null): Hints | null {
  if (own === null || before === null) return own ?? before
  return {
    consistency: own.consistency ?? before.consistency,
    maxStalenessMs: own.maxStalenessMs ?? before.maxStalenessMs,
    shardKey: own.shardKey ?? before.shardKey,
    cluster: own.cluster ?? before.cluster,
    stickyWrites: own.stickyWrites ?? before.stickyWrites,
    explain: own.explain || before.explain,
    problems: [...own.problems, ...before.problems],
  }
}

/** A type that is no shard key's: what has it is never read as one. */
const unreadableType = 1
/** Of an argument that is computed: the server alone will know its value. */
export const unreadable: ParameterValue = { text: '', oid: unreadableType }

function argumentsOf({ args }: Execution, executing: Understood, types: readonly number[]): ParameterSource {
  return {
    get(number) {
      const arg = args[number - 1]
      return arg === undefined ? undefined : argumentValue(arg, executing, types[number - 1] ?? 0)
    },
  }
}

function argumentValue(arg: Operand, { text, literals }: Understood, declared: number): ParameterValue | null {
  if (arg.kind === 'null') return null
  if (arg.kind !== 'literal') return unreadable
  const literal = literals[arg.index]
  if (literal === undefined || (literal.class !== 'string' && literal.class !== 'integer')) return unreadable
  const value = literalText(text, literal)
  if (value === null || (arg.negated && literal.class !== 'integer')) return unreadable
  const cast = arg.cast === null ? 0 : typeOid(arg.cast)
  // Cast twice: what the first cast makes of it is known only where both are the same.
  if (cast !== 0 && declared !== 0 && cast !== declared) return unreadable
  const oid = declared === 0 ? cast : declared
  return { text: arg.negated ? `-${value}` : value, ...(oid === 0 ? {} : { oid }) }
}

const typeOids: Readonly<Record<string, number>> = {
  int2: 21,
  int4: 23,
  int8: 20,
  text: 25,
  varchar: 1043,
  uuid: 2950,
  'int2[]': 1005,
  'int4[]': 1007,
  'int8[]': 1016,
  'text[]': 1009,
  'varchar[]': 1015,
  'uuid[]': 2951,
}

/** The oid of a type that a shard key may have, by the name that the text gives it (null: none can be told); another's is no key's. */
export function typeOid(name: string | null): number {
  return name === null ? unreadableType : (typeOids[name] ?? unreadableType)
}
