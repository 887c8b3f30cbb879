// merge/contract.ts — what a scatter read is, as values: the one text that every part runs (PartQuery) and what makes one
// result of their rows (MergeSpec). Made by routing/scatter*.ts from the parse tree and the catalog, carried out by the
// merger of this room.
//
// What the merger is given: the MergeSpec; the RowDescription of the parts (type oid, type modifier and format of every
// column, the same on all parts, or the read is refused); the client's own description (see Described), which says how its
// columns are to be written; and the rows of each part in the order in which that part sent them, a row being an array of
// (Uint8Array | null), one value for each part column.
//
// Types are not known when a plan is made: only the parts' RowDescription tells them. So every rule here that depends on a
// type (a sort key, a group key, an aggregate) is checked when the parts are described, before the first row goes out: a
// type that the merger cannot compare, hash or add exactly as PostgreSQL does refuses the statement (0A000, naming the
// column, the type and the way out). Text of a collation that is not known to order by bytes is such a type (SortKey).
// A domain is described by its base type, and compares as that. A type of a user (oid 16384 and above: enum, citext,
// composite) passes through unchanged, and can be neither key nor argument.
//
// The steps, in this order; each is left out where its field says so:
//   1. group     partial groups of the parts → whole groups (GroupSpec). Without it the rows of the parts go on as they are.
//   2. having    groups that fail it are dropped.
//   3. order     the rows of the parts are merged by their keys; where there is a group step, its groups are sorted.
//                Parts have sorted their rows already by `order` if `partsSorted`; merging them needs one row of each part.
//   4. distinct  of rows that are equal on these columns, the first one stays.
//   5. offset and limit, after which no part has to send any more.
//   6. output    the columns that the client gets, in its order: hidden ones are dropped.

/**
 * A column by its place. Without a group step: of the part's row, else of the combined row (`GroupSpec.columns`). Below zero it
 * counts from the end, -1 being the last: how many columns `*` stands for is only known when the parts are described.
 */
export type ColumnIndex = number

/**
 * The column of a key. By its name: one column of the part's row, of those that go to the client, has it, and which one is only
 * known when the parts are described, since a star stands for it. Never of combined rows.
 */
export type KeyPlace = ColumnIndex | { readonly named: string }

export interface MergeSpec {
  /** How many columns at the end of a part's row are there for merging alone. They are never in the client's result. */
  readonly hidden: number
  readonly group: GroupSpec | null
  /** Refers to combined columns; null: none, or the parts have done it. Never without `group`. */
  readonly having: Condition | null
  /** []: the rows of the parts may be mixed in any way. */
  readonly order: readonly SortKey[]
  /** The rows of each part arrive in `order`. False only where `group` is there. */
  readonly partsSorted: boolean
  readonly distinct: DistinctSpec | null
  readonly offset: Count
  readonly limit: Count
  /**
   * Column `i` of the client's result is this column. null: the row of the part without its hidden columns (then there is no
   * group step).
   */
  readonly output: readonly ColumnIndex[] | null
  readonly described: Described
}

/**
 * Where names, types and type modifiers of the client's columns come from.
 * `part`: the RowDescription of PartQuery.text without its hidden columns (`output` is null).
 * `original`: the RowDescription of PartQuery.original, which any of the parts can describe: what is computed here
 * (sum, avg) has another type there than its parts have.
 */
export type Described = 'part' | 'original'

// ---- order

export interface SortKey {
  readonly column: KeyPlace
  readonly descending: boolean
  /** As PostgreSQL has it: said outright, or else NULLS FIRST for DESC and LAST for ASC. */
  readonly nullsFirst: boolean
  /** As CollationOf; only looked at where the column's type is a collatable one. */
  readonly collation: CollationOf
}

/**
 * How text of a column compares.
 * `bytes`: by its UTF-8 bytes ("C", "POSIX"): it can be a sort key, an argument of min and max, and compared for equality.
 * `deterministic`: equal means equal bytes, but the order is the collation's own: equality only. As a sort key it is refused
 * with the way out: ORDER BY … COLLATE "C".
 * `unknown`: neither is known: the column can only pass through.
 */
export type CollationOf = 'bytes' | 'deterministic' | 'unknown'

// ---- distinct and group keys

/** Equality is the type's own, by value: numeric 1.0 and 1.00, float8 -0 and 0, NaN and NaN, NULL and NULL are equal. */
export interface KeyColumn {
  readonly column: KeyPlace
  readonly collation: CollationOf
}

export interface DistinctSpec {
  /**
   * DISTINCT ON: its expressions (hidden columns perhaps). null: the whole row of the client's result (DISTINCT, UNION), text in it
   * being of `collation`.
   */
  readonly keys: readonly KeyColumn[] | null
  readonly collation: CollationOf
  /** Rows with equal keys come one after the other (the order begins with the keys): one kept key is enough. */
  readonly adjacent: boolean
}

export interface GroupSpec {
  /**
   * Columns of the part's row that say which group it belongs to. []: there is exactly one group, also where no part sends a row
   * (with count(DISTINCT …) a part sends one row for each value, and none without rows): counts are 0 then, all else NULL.
   */
  readonly keys: readonly KeyColumn[]
  /** The combined row. */
  readonly columns: readonly CombinedColumn[]
}

/**
 * One column of a combined row. `column`, `sum`, `count` are columns of the *part's* row. Its type is that of the client's
 * column of the original (where it is output), else follows from the parts' type as said here.
 */
export type CombinedColumn =
  /** The value that any part sent for the group: a key, or what depends on the keys. */
  { readonly kind: 'key'; readonly column: ColumnIndex } | Combine

/** NULL of a part counts for nothing, as in PostgreSQL: a sum without values is NULL, a count is 0. */
export type Combine =
  /** Sum of counts: int8, with PostgreSQL's own error where it leaves its range (22003). */
  | { readonly kind: 'count'; readonly column: ColumnIndex }
  /**
   * Sum of partial sums. By the part column's type: int8 (of sum over int2, int4; 22003 beyond its range), numeric (of int8,
   * numeric: exact, with the largest scale met, NaN and ±Infinity as numeric_add has them), money, interval (each field by
   * itself). float4, float8: refused, since the order of adding shows: the way out is sum(x::numeric).
   */
  | { readonly kind: 'sum'; readonly column: ColumnIndex }
  /**
   * avg over int2, int4, int8, numeric: the part columns are sum(x) and count(x); the quotient is numeric, as numeric_div
   * makes it of (numeric sum, count) with its own scale (select_div_scale). NULL where the count is 0. float, interval: refused.
   */
  | { readonly kind: 'avg'; readonly sum: ColumnIndex; readonly count: ColumnIndex }
  /** The least or greatest of the parts' values; text only where `collation` is `bytes`. */
  | { readonly kind: 'min' | 'max'; readonly column: ColumnIndex; readonly collation: CollationOf }
  /** bool_and, every; bool_or. */
  | { readonly kind: 'and' | 'or'; readonly column: ColumnIndex }
  /**
   * count(DISTINCT x): the part groups by its keys *and* by x, so that one group of the client is several rows of a part; how
   * many values that are not NULL and not equal to each other stand in this column within the group.
   */
  | { readonly kind: 'countDistinct'; readonly column: ColumnIndex; readonly collation: CollationOf }
  /**
   * string_agg(x, separator ORDER BY …), array_agg(x ORDER BY …): the part column is the array of x in that order, the columns
   * of `order` are arrays of the sort keys, element by element (`SortKey.column` is a part column of array type; its elements
   * are compared). The parts' arrays are merged; NULL elements stay in array_agg and are left out by string_agg. An array of
   * NULL means no rows. `separator` null: an array is made (array_agg), else text with that between the values.
   */
  | { readonly kind: 'list'; readonly column: ColumnIndex; readonly order: readonly SortKey[]; readonly separator: string | null }

// ---- having

/** Three-valued, as SQL has it: a group stays where it is true, not where it is NULL. */
export type Condition =
  | { readonly kind: 'and' | 'or'; readonly of: readonly Condition[] }
  | { readonly kind: 'not'; readonly of: Condition }
  | { readonly kind: 'isNull'; readonly column: ColumnIndex }
  /**
   * A combined column with a constant. Only where the column's type is int2, int4, int8 or numeric (compared exactly as
   * numbers); else the statement is refused when the parts are described.
   */
  | { readonly kind: 'compare'; readonly column: ColumnIndex; readonly operator: Comparison; readonly value: NumberOperand }

export type Comparison = '=' | '<>' | '<' | '<=' | '>' | '>='

/** `text`: an integer or decimal literal as the client wrote it (`-1.50`). A parameter is read by its type: integer or numeric, else 0A000. */
export type NumberOperand = { readonly kind: 'literal'; readonly text: string } | { readonly kind: 'parameter'; readonly number: number }

// ---- limit

/**
 * LIMIT or OFFSET. `none`: not there, or NULL, or ALL. A parameter is int8 (or int2, int4); NULL of it means `none`; below zero
 * it is PostgreSQL's own error: 2201W for LIMIT, 2201X for OFFSET. (The parts have it as part of an expression.)
 */
export type Count =
  { readonly kind: 'none' } | { readonly kind: 'value'; readonly value: bigint } | { readonly kind: 'parameter'; readonly number: number }

// ---- the text

/** What each part runs. It is the same text for all of them. */
export interface PartQuery {
  /** Parameters keep their numbers, and each of them stands in it with the type that it had: Bind goes to all parts as it came. */
  readonly text: string
  /**
   * The client's own statement, as sent. A server that parses it says what the client's Describe must say (parameters always,
   * columns where `Described` says `original`).
   */
  readonly original: string
}
