// catalog/catalog.ts — what one cluster says of itself, as a frozen value (DESIGN §4 "Catalog"). Loaded by monitor/;
// unknown is never safe: a name that is not here is treated as a write by routing/.

export type Volatility = 'immutable' | 'stable' | 'volatile'

export interface FunctionInfo {
  readonly schema: string
  readonly name: string
  /** For an aggregate: the worst of its support functions (pg_proc calls every aggregate immutable). */
  readonly volatility: Volatility
  readonly kind: 'function' | 'procedure' | 'aggregate' | 'window'
  /** oid < 16384: came with the server. */
  readonly builtin: boolean
  /** sql, plpgsql, c, internal, … A procedural or user C function may keep state nobody sees (taint, DESIGN §7). */
  readonly language: string
  readonly minArgs: number
  /** Infinity for VARIADIC. */
  readonly maxArgs: number
  /** What the body of a user's function names. Absent: it was not looked at. */
  readonly body?: Body
}

/** Tables and functions that code names, as it names them. `unknown`: not all of it could be read, or it is made while it runs. */
export interface Body {
  readonly reads: readonly { readonly schema: string | null; readonly name: string }[]
  readonly writes: readonly { readonly schema: string | null; readonly name: string }[]
  readonly calls: readonly { readonly schema: string | null; readonly name: string; readonly args: number | null }[]
  readonly unknown: boolean
}

export type TriggerEvent = 'insert' | 'update' | 'delete' | 'truncate'

/** A trigger of a user, and the function that it runs. */
export interface TriggerInfo {
  readonly name: string
  /** `schema.name` of its table. */
  readonly table: string
  /** What it fires on. */
  readonly events: readonly TriggerEvent[]
  readonly function: { readonly schema: string; readonly name: string }
}

/** `from` refers to `to`, both `schema.name`; of the roots of partition trees. */
export interface ForeignKeyInfo {
  readonly name: string
  readonly from: string
  readonly to: string
  /** Pairs of a column of `from` and the one of `to` that it equals. Absent: not loaded. */
  readonly columns?: readonly (readonly [from: string, to: string])[]
}

/** A unique index or an exclusion constraint of `table` (`schema.name`, a root); `columns` without expressions. */
export interface UniqueInfo {
  readonly name: string
  readonly table: string
  readonly columns: readonly string[]
}

/** CREATE RULE on `table`, which names the other `relations`; all `schema.name`, of the roots of partition trees. */
export interface RuleInfo {
  readonly name: string
  readonly table: string
  readonly relations: readonly string[]
}

export interface ColumnInfo {
  readonly name: string
  /** format_type() of the column, e.g. `bigint`; of a domain that of the type which it is over. */
  readonly type: string
  /** How its text compares; of what is no text: `bytes`. Absent: not known. */
  readonly collation?: Collation
  /** GENERATED ALWAYS AS (…): nobody writes it. */
  readonly generated?: true
}

/**
 * `bytes`: equal and ordered by its bytes ("C", "POSIX", and the code points of PostgreSQL's own provider). `deterministic`: what is
 * equal has equal bytes, the order is another one. `nondeterministic`: not even that.
 */
export type Collation = 'bytes' | 'deterministic' | 'nondeterministic'

export interface RelationInfo {
  readonly schema: string
  readonly name: string
  readonly kind: 'table' | 'partitioned' | 'view' | 'materialized' | 'foreign' | 'sequence' | 'index'
  readonly columns: readonly ColumnInfo[]
  /** Root of the partition tree this table belongs to, `schema.name`; null if it is no partition. Of an index: its table, or that table's root. */
  readonly partitionRoot: string | null
  /** User triggers that fire on DML (taint), and rules; also of tables that its foreign keys cascade to. */
  readonly triggers: boolean
  /** User functions that writing runs, of defaults, checks, index expressions and policies; also of tables written along. */
  readonly onWrite: readonly { readonly schema: string; readonly name: string }[]
  /** `schema.name` of the others whose rows a write to it may change, or that show them: cascading foreign keys, partitions, inheritance. */
  readonly changesWith: readonly string[]
  /** What a view, or a row-security policy, reads and calls. null where there is none. */
  readonly behind: Behind | null
  /** Row-level security is enabled, whatever policies there are. */
  readonly rowSecurity?: true
  /** `schema.name` of the table that a sequence belongs to (serial, identity, or the default of a column), or of that table's root. */
  readonly ownedBy?: string
  /** `schema.name` of the tables that it INHERITS from, theirs included; of no partition. Absent: none. */
  readonly inherits?: readonly string[]
  /** What a materialized view was made from: read when it is refreshed, and not before. */
  readonly made?: Behind
}

/** `unknown`: the definition could not be read or parsed, so the relation counts as a write. */
export interface Behind {
  readonly relations: readonly { readonly schema: string; readonly name: string }[]
  readonly functions: readonly { readonly schema: string | null; readonly name: string; readonly args: number | null }[]
  readonly writes: boolean
  readonly unknown: boolean
}

/** A user-defined operator, cast or type whose use runs a function. Only user-defined ones are listed. */
export interface HiddenCall {
  readonly schema: string
  readonly name: string
  readonly volatility: Volatility
  /** A type with columns of its own, also one that a table has made. */
  readonly composite?: true
}

export interface Catalog {
  readonly cluster: string
  /** Grows with every load that changed something; part of plan cache keys. */
  readonly generation: number
  readonly serverVersion: number
  /** By bare name; all candidates of all schemas. */
  readonly functions: ReadonlyMap<string, readonly FunctionInfo[]>
  /** By `schema.name`. Those of pg_catalog and information_schema need not be here: their names are known. */
  readonly relations: ReadonlyMap<string, RelationInfo>
  readonly operators: ReadonlyMap<string, readonly HiddenCall[]>
  /** User-defined types: their input functions and domain checks, by bare name. */
  readonly types: ReadonlyMap<string, readonly HiddenCall[]>
  /** True if any user-defined implicit cast runs a volatile function: then no statement is provably read-only. */
  readonly volatileImplicitCast: boolean
  /** Schemas with a user's `=` between types that shard keys have: where one is visible, `key = value` may mean it. */
  readonly keyEquals: readonly string[]
  /** Code of users runs at DDL. */
  readonly eventTriggers: boolean
  /** The database's default collation. Absent: not known. */
  readonly collation?: Collation
  /** Absent: not loaded. */
  readonly foreignKeys?: readonly ForeignKeyInfo[]
  readonly triggers?: readonly TriggerInfo[]
  readonly uniques?: readonly UniqueInfo[]
  /** Rules that are not views. Absent: not loaded. */
  readonly rules?: readonly RuleInfo[]
  /** Defaults of columns that draw from a sequence which is not their own. */
  readonly sequenceUses?: readonly { readonly sequence: string; readonly table: string }[]
}
