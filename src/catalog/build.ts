// catalog/build.ts — rows of the system catalogs → Catalog. Pure: the rows come from monitor/, and the text of views,
// policies and domain checks is read by a function passed in. What cannot be read counts as unknown, never as harmless.
//
// A type is as volatile as the worst of what using it runs: its own input and output functions, its domain checks, casts
// to it, and all that of its base type, its elements and its attributes.
import type {
  Behind,
  Body,
  Catalog,
  Collation,
  ColumnInfo,
  ForeignKeyInfo,
  FunctionInfo,
  HiddenCall,
  RelationInfo,
  TriggerInfo,
  RuleInfo,
  UniqueInfo,
  Volatility,
} from './catalog.js'

/** What the text of a view, a policy or a check says. Names without schema are those of pg_catalog. null: not readable. */
export type ReadBody = (text: string) => BodyFacts | null

export interface BodyFacts {
  readonly writes: boolean
  readonly relations: readonly { readonly schema: string; readonly name: string }[]
  readonly functions: readonly { readonly schema: string; readonly name: string; readonly args: number | null }[]
  readonly operators: readonly { readonly schema: string; readonly name: string }[]
  readonly types: readonly { readonly schema: string; readonly name: string }[]
}

/** The rows, already typed. `volatility` fields are pg_proc's letters; all lists hold user-defined things unless said otherwise. */
export interface CatalogRows {
  readonly serverVersion: number
  /** Of every function, built-in ones too. */
  readonly functions: readonly FunctionRow[]
  readonly relations: readonly RelationRow[]
  readonly columns: readonly {
    readonly relation: string
    readonly name: string
    readonly type: string
    readonly collation?: Collation
    readonly generated?: boolean
  }[]
  /** Of the database. */
  readonly collation?: Collation
  /** Writing `from` may write `to`: foreign keys that cascade, partitions and children (`inherits`: reading `from` reads them too). By oid. */
  readonly cascades: readonly { readonly from: string; readonly to: string; readonly inherits?: boolean }[]
  /** User functions of defaults, checks, index expressions and policies. By oid of the table. */
  readonly onWrite: readonly { readonly relation: string; readonly schema: string; readonly name: string }[]
  readonly eventTriggers: boolean
  /** Expressions of policies that guard reading. */
  readonly policies: readonly { readonly relation: string; readonly text: string | null }[]
  /** User functions and types that a view or policy depends on, also through operators and casts. */
  readonly depends: readonly {
    readonly relation: string
    readonly kind: 'function' | 'type'
    readonly schema: string
    readonly name: string
  }[]
  readonly operators: readonly { readonly schema: string; readonly name: string; readonly volatility: string }[]
  /** Schemas with an `=` of their own between types that shard keys have. */
  readonly keyEquals: readonly string[]
  readonly types: readonly {
    readonly oid: string
    readonly schema: string
    readonly name: string
    readonly volatility: string
    readonly composite?: boolean
  }[]
  /** `type` contains, or is made from, `part`. */
  readonly typeParts: readonly { readonly type: string; readonly part: string }[]
  readonly domainChecks: readonly { readonly type: string; readonly text: string | null }[]
  /** Of users' functions: what there is to read of them. */
  readonly bodies?: readonly BodyRow[]
  readonly triggers?: readonly TriggerInfo[]
  readonly foreignKeys?: readonly ForeignKeyInfo[]
  readonly uniques?: readonly UniqueInfo[]
  readonly rules?: readonly RuleInfo[]
  readonly sequenceUses?: readonly { readonly sequence: string; readonly table: string }[]
  readonly sequenceOwners?: readonly { readonly sequence: string; readonly table: string }[]
  readonly casts: readonly { readonly implicit: boolean; readonly volatility: string; readonly schema: string; readonly type: string }[]
}

/** `source`: the body of a function in SQL, `definition`: the CREATE FUNCTION of one in PL/pgSQL. */
export interface BodyRow {
  readonly oid: string
  readonly language: string
  readonly source: string
  readonly definition: string | null
}

/** What a function's body names; null: nothing of it can be read. */
export type ReadFunction = (row: BodyRow) => Body | null

export interface FunctionRow {
  /** Of a user's function: finds its body. */
  readonly oid?: string
  readonly schema: string
  readonly name: string
  readonly volatility: string
  /** pg_proc.prokind: f, p, a, w. */
  readonly kind: string
  readonly builtin: boolean
  readonly language: string
  readonly args: number
  readonly defaults: number
  readonly variadic: boolean
}

export interface RelationRow {
  readonly oid: string
  readonly schema: string
  readonly name: string
  /** pg_class.relkind: r, p, v, m, f, S, i, I. */
  readonly kind: string
  readonly partitionRoot: string | null
  readonly triggers: boolean
  /** pg_get_viewdef() of a view; null: none, or not readable. */
  readonly definition: string | null
  readonly rowSecurity: boolean
}

export function buildCatalog(
  cluster: string,
  generation: number,
  rows: CatalogRows,
  read: ReadBody,
  readFunction: ReadFunction = () => null,
): Catalog {
  const bodies = new Map(rows.bodies?.map((row) => [row.oid, readFunction(row) ?? unreadable]))
  const functions = group(
    rows.functions.map((row) => functionInfo(row, bodies)),
    (info) => info.name,
  )
  const operators = group(
    rows.operators.map(({ schema, name, volatility }): HiddenCall => ({ schema, name, volatility: volatilityOf(volatility) })),
    (call) => call.name,
  )
  const types = group(hiddenInTypes(rows, read, functions, operators), (call) => call.name)
  const relations = new Map(buildRelations(rows, read, types).map((info) => [`${info.schema}.${info.name}`, info]))
  const volatileImplicitCast = rows.casts.some((cast) => cast.implicit && cast.volatility === 'v')
  const { serverVersion, eventTriggers, keyEquals } = rows
  const { foreignKeys, triggers, sequenceUses, uniques, rules } = rows
  return {
    ...{ cluster, generation, serverVersion, functions, relations, operators, types, volatileImplicitCast, eventTriggers, keyEquals },
    ...(foreignKeys === undefined ? {} : { foreignKeys }),
    ...(triggers === undefined ? {} : { triggers }),
    ...(uniques === undefined ? {} : { uniques }),
    ...(rules === undefined ? {} : { rules }),
    ...(sequenceUses === undefined ? {} : { sequenceUses }),
    ...(rows.collation === undefined ? {} : { collation: rows.collation }),
  }
}

const unreadable: Body = { reads: [], writes: [], calls: [], unknown: true }

function functionInfo(row: FunctionRow, bodies: ReadonlyMap<string, Body>): FunctionInfo {
  const body = row.oid === undefined ? undefined : bodies.get(row.oid)
  const { schema, name, builtin, language, args, defaults, variadic } = row
  const kinds: Readonly<Record<string, FunctionInfo['kind']>> = { f: 'function', p: 'procedure', a: 'aggregate', w: 'window' }
  return {
    schema,
    name,
    volatility: volatilityOf(row.volatility),
    kind: kinds[row.kind] ?? 'procedure',
    builtin,
    language,
    minArgs: Math.max(0, args - defaults - (variadic ? 1 : 0)),
    maxArgs: variadic ? Infinity : args,
    ...(body === undefined ? {} : { body }),
  }
}

function volatilityOf(letter: string): Volatility {
  return letter === 'i' ? 'immutable' : letter === 's' ? 'stable' : 'volatile'
}

const rank: Readonly<Record<Volatility, number>> = { immutable: 0, stable: 1, volatile: 2 }

function worst(all: readonly Volatility[]): Volatility {
  return all.reduce((a, b) => (rank[b] > rank[a] ? b : a), 'immutable')
}

// ---- types

/** One entry for every user-defined type, and one for each built-in type that a user-defined cast leads to. */
function hiddenInTypes(
  rows: CatalogRows,
  read: ReadBody,
  functions: Catalog['functions'],
  operators: Catalog['operators'],
): readonly HiddenCall[] {
  const own = new Map(rows.types.map((type) => [type.oid, [volatilityOf(type.volatility)]]))
  for (const { type, text } of rows.domainChecks) own.get(type)?.push(checkVolatility(text, read, functions, operators))
  const parts = group(rows.typeParts, (part) => part.type)
  const user = rows.types.map(({ oid, schema, name, composite }): HiddenCall => ({
    schema,
    name,
    volatility: worst(reachable(oid, parts, (edge) => edge.part).flatMap((it) => own.get(it) ?? [])),
    ...(composite === true ? { composite } : {}),
  }))
  const casts = rows.casts
    .filter((cast) => cast.volatility !== 'i')
    .map(({ schema, type, volatility }): HiddenCall => ({ schema, name: type, volatility: volatilityOf(volatility) }))
  return [...user, ...casts]
}

/** Everything that edges lead to from `start`, itself included. A Set grows while it is walked. */
function reachable<E>(start: string, edges: ReadonlyMap<string, readonly E[]>, target: (edge: E) => string): readonly string[] {
  const seen = new Set([start])
  for (const oid of seen) for (const edge of edges.get(oid) ?? []) seen.add(target(edge))
  return [...seen]
}

function checkVolatility(
  text: string | null,
  read: ReadBody,
  functions: Catalog['functions'],
  operators: Catalog['operators'],
): Volatility {
  const facts = text === null ? null : read(`SELECT ${text}`)
  if (facts === null || facts.writes) return 'volatile'
  const called = facts.functions.map(({ schema, name, args }) => {
    const candidates = functions.get(name)?.filter((info) => args === null || (args >= info.minArgs && args <= info.maxArgs))
    return worstOf(candidates, schema) ?? 'volatile'
  })
  const used = facts.operators.flatMap(({ schema, name }) => worstOf(operators.get(name), schema) ?? [])
  return worst([...called, ...used])
}

/** Of those of one name in one schema; null where there is none. */
function worstOf(
  candidates: readonly { readonly schema: string; readonly volatility: Volatility }[] | undefined,
  schema: string,
): Volatility | null {
  const here = (candidates ?? []).filter((candidate) => candidate.schema === schema)
  return here.length === 0 ? null : worst(here.map(({ volatility }) => volatility))
}

// ---- relations

const kinds: Readonly<Record<string, RelationInfo['kind']>> = {
  r: 'table',
  p: 'partitioned',
  v: 'view',
  m: 'materialized',
  f: 'foreign',
  S: 'sequence',
  i: 'index',
  I: 'index',
}

function buildRelations(rows: CatalogRows, read: ReadBody, types: Catalog['types']): readonly RelationInfo[] {
  const columns = group(rows.columns, (column) => column.relation)
  const policies = group(rows.policies, (policy) => policy.relation)
  const depends = group(rows.depends, (depend) => depend.relation)
  const cascades = group(rows.cascades, (edge) => edge.from)
  const parents = group(
    rows.cascades.filter((edge) => edge.inherits === true),
    (edge) => edge.to,
  )
  const names = new Map(rows.relations.map(({ oid, schema, name }) => [oid, `${schema}.${name}`]))
  const onWrite = group(rows.onWrite, (use) => use.relation)
  const owners = new Map(rows.sequenceOwners?.map(({ sequence, table }) => [sequence, table]))
  const fires = new Set(rows.relations.filter((row) => row.triggers).map((row) => row.oid))
  return rows.relations.map((row): RelationInfo => {
    const texts =
      row.kind === 'v' ? [row.definition] : row.rowSecurity ? (policies.get(row.oid) ?? []).map((policy) => asQuery(policy.text)) : []
    const written = reachable(row.oid, cascades, (edge) => edge.to)
    const ownedBy = owners.get(row.oid)
    const above = row.partitionRoot === null ? reachable(row.oid, parents, (edge) => edge.from).slice(1) : []
    return {
      schema: row.schema,
      name: row.name,
      kind: kinds[row.kind] ?? 'foreign',
      columns: (columns.get(row.oid) ?? []).map(({ name, type, collation, generated }): ColumnInfo => ({
        name,
        type,
        ...(collation === undefined ? {} : { collation }),
        ...(generated === true ? { generated } : {}),
      })),
      partitionRoot: row.partitionRoot,
      triggers: written.some((oid) => fires.has(oid)),
      onWrite: written.flatMap((oid) => onWrite.get(oid) ?? []).map(({ schema, name }) => ({ schema, name })),
      changesWith: [...new Set(written.flatMap((oid) => reachable(oid, parents, (edge) => edge.from)))]
        .filter((oid) => oid !== row.oid)
        .flatMap((oid) => names.get(oid) ?? []),
      behind: texts.length === 0 ? null : behind(texts, depends.get(row.oid) ?? [], read, types),
      ...(row.rowSecurity ? { rowSecurity: true } : {}),
      ...(ownedBy === undefined ? {} : { ownedBy }),
      ...(above.length === 0 ? {} : { inherits: above.flatMap((oid) => names.get(oid) ?? []) }),
      ...(row.kind === 'm' && row.definition !== null ? { made: behind([row.definition], [], read, types) } : {}),
    }
  })
}

function asQuery(expression: string | null): string | null {
  return expression === null ? null : `SELECT ${expression}`
}

function behind(texts: readonly (string | null)[], depends: CatalogRows['depends'], read: ReadBody, types: Catalog['types']): Behind {
  const facts = texts.map((text) => (text === null ? null : read(text)))
  const readable = facts.filter((fact) => fact !== null)
  const named = readable.flatMap((fact) => fact.functions)
  // Functions that only an operator, a cast or a type leads to stand nowhere in the text; pg_depend knows them.
  const hidden = depends.filter(
    ({ kind, schema, name }) => kind === 'function' && !named.some((call) => call.schema === schema && call.name === name),
  )
  const used = [...readable.flatMap((fact) => fact.types), ...depends.filter(({ kind }) => kind === 'type')]
  const volatile = used.some(({ schema, name }) => worstOf(types.get(name), schema) === 'volatile')
  return {
    relations: readable.flatMap((fact) => fact.relations),
    functions: [...named, ...hidden.map(({ schema, name }) => ({ schema, name, args: null }))],
    writes: readable.some((fact) => fact.writes),
    unknown: readable.length < facts.length || volatile,
  }
}

function group<T>(items: readonly T[], key: (item: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const there = groups.get(key(item))
    if (there === undefined) groups.set(key(item), [item])
    else there.push(item)
  }
  return groups
}
