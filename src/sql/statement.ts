// sql/statement.ts — what the text of one statement says, and nothing that a catalog, a session or a parameter would add.
// A Statement is frozen, belongs to a Shape and is shared by every text of that shape: literals appear as indexes into
// the literals of the text at hand (Understood.literals), parameters by their number.

import type { ShapeUses } from './shape-uses.js'

/** A possibly qualified name, folded as PostgreSQL folds it (unquoted → lower case). */
export interface Name {
  readonly schema: string | null
  readonly name: string
}

/** How a statement touches a relation. `lock`: FOR UPDATE/SHARE or LOCK TABLE; `define`: DDL. */
export type Access = 'read' | 'write' | 'lock' | 'define'

export interface RelationUse {
  readonly name: Name
  readonly access: Access
}

/** A function named in the text. `args` is null where it cannot be counted (VARIADIC, `f(*)`). */
export interface FunctionUse {
  readonly name: Name
  readonly args: number | null
}

/** A value in the text. `index` counts the text's literals from 0; `negated`: a minus sign stands before it. */
export type Operand =
  | { readonly kind: 'literal'; readonly index: number; readonly negated: boolean; readonly cast: string | null }
  /** `number` as in `$1`. `array`: the parameter is the array of `= ANY($1)`. */
  | { readonly kind: 'param'; readonly number: number; readonly array: boolean; readonly cast: string | null }
  /** A literal array: `= ANY('{1,2}')`. */
  | { readonly kind: 'arrayLiteral'; readonly index: number; readonly cast: string | null }
  | { readonly kind: 'null' }
  | { readonly kind: 'default' }
  /** Anything else: an expression, a subquery. */
  | { readonly kind: 'other' }

/** Every row of the entry has `column` equal to one of `values` (DESIGN §4 "Key bindings"). */
export interface KeyBinding {
  readonly column: string
  readonly values: readonly Operand[]
}

/** One occurrence of a relation in FROM, or as the target of a write: the unit that key bindings hold for. */
export interface RangeEntry {
  readonly relation: Name
  readonly alias: string | null
  /** Depth-first number of the query level (subquery, CTE, set arm) the entry belongs to. */
  readonly level: number
  readonly access: 'read' | 'write'
  readonly bindings: readonly KeyBinding[]
  /** Its number among the places that `flows` and `derived` speak of. */
  readonly place: number
}

/** Where a value comes from: the one of `places` that has `column`. `sure`: there is only one, and it has it. */
export interface ColumnSource {
  readonly kind: 'column'
  readonly places: readonly number[]
  readonly column: string
  readonly sure: boolean
}

/** One output column of a query. `values`: constants, one of which it is in every row. */
export type Output = ColumnSource | { readonly kind: 'values'; readonly values: readonly Operand[] } | { readonly kind: 'other' }

/**
 * Every row of place `to` that has a part in the answer has `column` equal to that of a row of the source that has, too
 * (DESIGN §4): `=` between columns, USING, IN (SELECT …). `column` null: any column, with one of the same name (NATURAL).
 */
export interface KeyFlow {
  readonly to: number
  readonly column: string | null
  readonly from: Omit<ColumnSource, 'column'> & { readonly column: string | null }
}

/** What one arm of a query puts out: columns by name, and every column of the places under `star`. */
export interface Arm {
  readonly columns: ReadonlyMap<string, Output>
  readonly star: readonly number[]
}

/** A subquery or a reference to a CTE, where conditions speak of its columns. */
export interface DerivedPlace {
  readonly place: number
  readonly bindings: readonly KeyBinding[]
  /** One, or those of a set operation. */
  readonly arms: readonly Arm[]
  /** Rows that a condition outside leaves out may as well be left out inside: no LIMIT, window, DISTINCT ON or lock, read once. */
  readonly transparent: boolean
}

export interface InsertFacts {
  readonly target: Name
  /** null: no column list, so the table's own order (catalog). */
  readonly columns: readonly string[] | null
  /** One array of operands per VALUES row; null for INSERT … SELECT; [] for DEFAULT VALUES and OVERRIDING USER VALUE. */
  readonly rows: readonly (readonly Operand[])[] | null
  /** Of INSERT … SELECT: the output columns of each arm of the query, none of which an outer join makes NULL; null: cannot be told. */
  readonly selected: readonly (readonly Output[])[] | null
  /** Columns assigned by ON CONFLICT DO UPDATE. */
  readonly conflictAssigns: readonly string[]
}

/** Columns assigned to an existing row, by UPDATE, MERGE or ON CONFLICT; a whole-row or unreadable assignment gives null. */
export interface AssignFacts {
  readonly target: Name
  readonly columns: readonly string[] | null
  /** Of UPDATE: what each of `columns` becomes. */
  readonly values?: readonly Operand[]
}

/** A write inside WITH. */
export interface InnerWrite {
  /** null: neither INSERT, UPDATE nor DELETE. */
  readonly kind: 'insert' | 'update' | 'delete' | null
  readonly insert: InsertFacts | null
  /** Columns of existing rows that are assigned to; null: cannot be told. */
  readonly assigns: readonly string[] | null
}

/** One INSERT action of MERGE. `columns` null: the table's own order. `values` null: they cannot be told. */
export interface MergeInsert {
  readonly columns: readonly string[] | null
  readonly values: readonly Output[] | null
}

export type TransactionOp =
  | 'begin'
  | 'commit'
  | 'rollback'
  | 'savepoint'
  | 'release'
  | 'rollback-to'
  | 'prepare-transaction'
  | 'commit-prepared'
  | 'rollback-prepared'
  /** SET TRANSACTION …; `snapshot` true for SET TRANSACTION SNAPSHOT. */
  | 'set-transaction'
  /** SET SESSION CHARACTERISTICS AS TRANSACTION … */
  | 'set-characteristics'

export interface TransactionFacts {
  readonly op: TransactionOp
  /** Savepoint name or global transaction id. */
  readonly name: string | null
  /** null: not said. */
  readonly readOnly: boolean | null
  readonly isolation: 'read uncommitted' | 'read committed' | 'repeatable read' | 'serializable' | null
  readonly deferrable: boolean | null
  readonly chain: boolean
  readonly snapshot: boolean
}

export type SetScope = 'session' | 'local'

/** One change of a setting, from SET, RESET or a trackable `SELECT set_config(…)`. */
export interface SettingChange {
  /** Lower case; `all` with value null is RESET ALL. `role` and `session_authorization` are settings too. */
  readonly name: string
  readonly scope: SetScope
  /** null: to its default (RESET, SET … TO DEFAULT). A list for SET search_path = a, b. */
  readonly value: readonly SettingValue[] | null
  /** From set_config() with a literal name and a literal third argument. */
  readonly viaFunction: boolean
}
export type SettingValue = { readonly kind: 'text'; readonly text: string } | { readonly kind: 'param'; readonly number: number }

/** `pg_backend_pid()`, or a signal to the process of that number; `column` is what the answer's column is called. */
export type OwnCall =
  | { readonly kind: 'pid'; readonly column: string }
  | {
      readonly kind: 'cancel' | 'terminate'
      readonly column: string
      /** `self`: pg_backend_pid(). */
      readonly pid: Operand | { readonly kind: 'self' }
      /** Milliseconds for which to wait for the end; null: not said. */
      readonly timeout: Operand | null
    }

/** What only some kinds of statement have. `kind` of the Statement is the discriminant. */
export type Detail =
  /**
   * SELECT, VALUES, TABLE, and WITH … SELECT. `settings`: all its calls of set_config(), or null where one is not trackable.
   * `reads`: it is `SELECT current_setting('name'[, …])` and nothing else; `column` is what the answer's column is called.
   */
  | {
      readonly kind: 'select'
      readonly into: { readonly name: Name; readonly temporary: boolean } | null
      readonly settings: readonly SettingChange[] | null
      readonly reads: { readonly name: string; readonly column: string } | null
      /** It is one call about a process number, and nothing else. */
      readonly own?: OwnCall
    }
  | { readonly kind: 'insert'; readonly insert: InsertFacts }
  | { readonly kind: 'update'; readonly assigns: AssignFacts }
  | { readonly kind: 'delete'; readonly target: Name }
  | { readonly kind: 'merge'; readonly assigns: AssignFacts; readonly inserts: readonly MergeInsert[] }
  | {
      readonly kind: 'copy'
      readonly direction: 'from' | 'to'
      readonly end: 'client' | 'file' | 'program'
      readonly target: Name | null
      readonly columns: readonly string[] | null
    }
  /** The explained statement's facts are those of the whole; `analyze` runs it. */
  | { readonly kind: 'explain'; readonly analyze: boolean; readonly inner: Statement }
  | { readonly kind: 'transaction'; readonly transaction: TransactionFacts }
  | { readonly kind: 'set'; readonly change: SettingChange }
  | { readonly kind: 'show'; readonly name: string }
  /** `types`: the declared ones as `int8`, `schema.type`, `int4[]`; null for one that is written in another way. */
  | { readonly kind: 'prepare'; readonly name: string; readonly types: readonly (string | null)[]; readonly inner: Statement }
  | { readonly kind: 'execute'; readonly name: string }
  | { readonly kind: 'deallocate'; readonly name: string | null }
  | { readonly kind: 'discard'; readonly what: 'all' | 'plans' | 'sequences' | 'temp' }
  | { readonly kind: 'listen'; readonly channel: string }
  | { readonly kind: 'unlisten'; readonly channel: string | null }
  | { readonly kind: 'notify'; readonly channel: string }
  | { readonly kind: 'declare'; readonly name: string; readonly hold: boolean; readonly inner: Statement }
  | { readonly kind: 'fetch'; readonly name: string }
  | { readonly kind: 'close'; readonly name: string | null }
  | { readonly kind: 'lock' }
  /** `temporary`: creates a temporary object. `concurrently` and its like: cannot run in a transaction block. */
  | { readonly kind: 'ddl'; readonly what: string; readonly temporary: boolean; readonly ownTransaction: boolean }
  | { readonly kind: 'do' }
  | { readonly kind: 'call' }
  | { readonly kind: 'load' }
  /** VACUUM, ANALYZE, CLUSTER, REINDEX, CHECKPOINT, ALTER SYSTEM, … */
  | { readonly kind: 'utility'; readonly what: string; readonly ownTransaction: boolean }

/** EXECUTE, alone or in EXPLAIN or CREATE TABLE AS: the prepared statement that it names, and what it is given. */
export interface Execution {
  readonly name: string
  readonly args: readonly Operand[]
}

export interface Statement {
  readonly detail: Detail
  /** null: it runs no statement that was prepared with a name. */
  readonly executes: Execution | null
  /** Node tag of the parse tree, for messages: `SelectStmt`. */
  readonly node: string
  /** The grammar alone says that it changes something: DML anywhere (CTEs too), DDL, locking clauses, SELECT INTO, NOTIFY, … */
  readonly writes: boolean
  /** Has FOR UPDATE/SHARE/NO KEY UPDATE/KEY SHARE anywhere. */
  readonly locks: boolean
  /** Every relation named, CTE names and aliases resolved away; each once per access. */
  readonly relations: readonly RelationUse[]
  /** Every function called, each name/args once. Includes what syntax hides (EXTRACT, OVERLAPS, …) under its pg_catalog name. */
  readonly functions: readonly FunctionUse[]
  /**
   * Names behind a dot, each once: where no column is called so, `t.f` and `(x).f` call the function f(t), f(x). A
   * function of one of these names, built in or not, may therefore be what runs.
   */
  readonly attributes: readonly string[]
  /** Operators used, each once; schema null unless written OPERATOR(s.+). */
  readonly operators: readonly Name[]
  /** Types named in casts, column definitions and function arguments, each once. */
  readonly types: readonly Name[]
  readonly entries: readonly RangeEntry[]
  /** Absent: there are none. */
  readonly innerWrites?: readonly InnerWrite[]
  readonly derived: readonly DerivedPlace[]
  readonly flows: readonly KeyFlow[]
  /** Literal arguments that name things: `nextval('s')` → s as a relation of access write. Kept in `relations` too. */
  readonly sequences: readonly Name[]
  /** Highest parameter number. */
  readonly params: number
  /** Parameters that stand in the text more than once, with how often: the server may take their type from any place. */
  readonly repeatedParams: readonly { readonly number: number; readonly uses: number }[]
  /** set_config() is called in a way that cannot be followed: settings of the connection are unknown afterwards. */
  readonly hiddenSettings: boolean
  /** Cannot run in a transaction block, or not always (CALL and DO may commit): nothing may share its group. */
  readonly ownTransaction: boolean
  /** Why this statement must not share a server connection afterwards, as far as the text tells. */
  readonly cursorsOrLocks: 'none' | 'session-advisory-lock' | 'session-advisory-unlock' | 'transaction-advisory-lock'
}

/** Indexes into the text's semicolons; -1: from the text's start, or to its end. */
export interface StatementRange {
  readonly after: number
  readonly before: number
}

/** One statement or several, as text; shared by all texts that differ in literals, comments and white space only. */
export interface Shape {
  /** How often it was run, and how long that took: counted in place. */
  readonly uses: ShapeUses
  /** The text with literals replaced by their class and comments removed: the cache key. */
  readonly key: string
  /** Unique within the process, small: for metrics-free logs and SHOW SHAPES. */
  readonly id: number
  /** null: not understood (see `problem`). [] for an empty query. */
  readonly statements: readonly Statement[] | null
  /** Where statement i stands: between which of the text's semicolons (Understood.semicolons). Read it with statementRange(). */
  readonly ranges: readonly StatementRange[]
  /** One of the statements prepares, executes or deallocates a prepared statement by its name. */
  readonly names: boolean
  /** Why it is not understood: the parser's message or `longer than max_parse_bytes`. */
  readonly problem: string | null
}

/** NULL is no literal here: the word stays in the key, and an operand says `null`. */
export type LiteralClass = 'integer' | 'numeric' | 'string' | 'bit' | 'boolean'

/** One literal of the text at hand, as half-open [start, end) offsets into the JavaScript string. */
export interface Literal {
  readonly class: LiteralClass
  readonly start: number
  readonly end: number
}

/** Hints from `/* pointsman: … *​/` comments (DESIGN §3). `problems`: unknown names, unreadable values, contradictions. */
export interface Hints {
  readonly consistency: 'strong' | 'session' | 'bounded' | 'any' | null
  readonly maxStalenessMs: number | null
  readonly shardKey: string | null
  readonly cluster: string | null
  /** `sticky_writes=off`: the write does not move the session's floor. null: not said. */
  readonly stickyWrites: boolean | null
  readonly explain: boolean
  readonly problems: readonly string[]
}

/** What understand(text) gives: the shared shape, and what is this text's own. */
export interface Understood {
  readonly shape: Shape
  readonly text: string
  readonly literals: readonly Literal[]
  /** Offsets of all semicolons of the text. */
  readonly semicolons: readonly number[]
  /** null when the text has no hint comment (the usual case). */
  readonly hints: Hints | null
}
