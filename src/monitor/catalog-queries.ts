// monitor/catalog-queries.ts — the questions to the system catalogs, and their rows → CatalogRows. PostgreSQL 14 to 18; no
// privilege is needed. They run in one read-only snapshot with an empty search_path, so that definitions name everything
// outside pg_catalog with its schema. Objects of temporary schemas belong to sessions, not to the catalog.
import type { CatalogRows } from '../catalog/build.js'
import type { Collation, TriggerInfo } from '../catalog/catalog.js'

type Cells = readonly (string | null)[]

/** Runs one query; rows of text or null. */
export type Query = (sql: string) => Promise<readonly Cells[]>

const firstUserOid = 16384
/** Somebody made it, in whatever schema (a superuser may add a view to information_schema), and not for one session. */
const userRelation = `c.oid >= ${String(firstUserOid)} AND n.nspname <> 'pg_toast' AND n.nspname !~ '^pg_(toast_)?temp_'`

/** Sums over row versions: any committed change of what loadRows() reads changes it. A few milliseconds; no text leaves the server. */
export const fingerprintQuery: string = sums([
  ['pg_proc', `oid >= ${String(firstUserOid)}`],
  ['pg_class', `oid >= ${String(firstUserOid)}`],
  ['pg_attribute', `attrelid >= ${String(firstUserOid)}`],
  ['pg_type', `oid >= ${String(firstUserOid)}`],
  ['pg_namespace', 'true'],
  ['pg_inherits', 'true'],
  ['pg_trigger', 'NOT tgisinternal'],
  ['pg_rewrite', `ev_class >= ${String(firstUserOid)}`],
  ['pg_policy', 'true'],
  ['pg_operator', `oid >= ${String(firstUserOid)}`],
  ['pg_cast', `oid >= ${String(firstUserOid)}`],
  ['pg_aggregate', `aggfnoid >= ${String(firstUserOid)}`],
  ['pg_attrdef', 'true'],
  ['pg_constraint', 'true'],
  ['pg_event_trigger', 'true'],
  // Whose a sequence is stands in pg_depend, which is large; what changes that writes here as well.
  ['pg_sequence', 'true'],
])

function sums(tables: readonly (readonly [table: string, filter: string])[]): string {
  const each = tables.map(
    ([table, filter]) => `(SELECT pg_catalog.concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.${table} WHERE ${filter})`,
  )
  return `SELECT pg_catalog.concat_ws(' ', ${each.join(',\n')})`
}

// A default argument is computed by whoever leaves it out, so a function is as volatile as its defaults.
const functionsQuery = `SELECT n.nspname, p.proname,
 CASE WHEN EXISTS (SELECT FROM regexp_matches(p.proargdefaults::text, ':(?:op)?funcid (\\d+)', 'g') called JOIN pg_proc d ON d.oid = called[1]::oid
   WHERE d.provolatile = 'v') THEN 'v'
 WHEN p.prokind <> 'a' THEN p.provolatile::text ELSE coalesce((SELECT CASE max(CASE s.provolatile WHEN 'v' THEN 2 WHEN 's' THEN 1 ELSE 0 END)
   WHEN 2 THEN 'v' WHEN 1 THEN 's' ELSE 'i' END
  FROM pg_aggregate a JOIN pg_proc s ON s.oid = ANY (ARRAY[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
   a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::oid[]) WHERE a.aggfnoid = p.oid), 'v') END,
 p.prokind::text, (p.oid < ${String(firstUserOid)})::text, l.lanname, p.pronargs::text, p.pronargdefaults::text, (p.provariadic <> 0)::text,
 p.oid::text
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE n.nspname !~ '^pg_(toast_)?temp_'`

// A body in the standard's form (BEGIN ATOMIC, RETURN) is told with all its names qualified; others are texts that their caller's
// search_path may give a meaning to.
const bodiesQuery = `SELECT p.oid::text, l.lanname,
 coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), CASE WHEN l.lanname = 'plpgsql' THEN pg_get_functiondef(p.oid) END
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE p.oid >= ${String(firstUserOid)} AND p.prokind IN ('f', 'p') AND l.lanname IN ('sql', 'plpgsql') AND n.nspname !~ '^pg_(toast_)?temp_'
 AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')`

// Triggers of partitions are clones of their root's.
const triggersQuery = `SELECT t.tgname, n.nspname || '.' || c.relname, fn.nspname, p.proname, t.tgtype::text
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace fn ON fn.oid = p.pronamespace
WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled <> 'D' AND n.nspname !~ '^pg_(toast_)?temp_'`

const foreignKeysQuery = `SELECT k.conname, ${rootName('k.conrelid')}, ${rootName('k.confrelid')},
 (SELECT json_agg(json_build_array(f.attname, t.attname) ORDER BY u.n) FROM unnest(k.conkey, k.confkey) WITH ORDINALITY u(f, t, n)
  JOIN pg_attribute f ON f.attrelid = k.conrelid AND f.attnum = u.f JOIN pg_attribute t ON t.attrelid = k.confrelid AND t.attnum = u.t)::text
FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0`

const uniquesQuery = `SELECT x.relname, ${rootName('i.indrelid')},
 (SELECT coalesce(json_agg(a.attname ORDER BY k.n), '[]') FROM unnest(i.indkey) WITH ORDINALITY k(att, n)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.att WHERE k.n <= i.indnkeyatts)::text
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (i.indisunique OR i.indisexclusion) AND NOT x.relispartition AND ${userRelation}`

const rulesQuery = `SELECT w.rulename, ${rootName('w.ev_class')},
 (SELECT coalesce(json_agg(DISTINCT ${rootName('d.refobjid')}), '[]') FROM pg_depend d WHERE d.classid = 'pg_rewrite'::regclass
  AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class)::text
FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE w.ev_type <> '1' AND w.ev_enabled <> 'D' AND ${userRelation}`

// Serial and identity own their sequence; a default that calls nextval() of another one makes it the table's as well.
const sequenceOwnersQuery = `SELECT d.objid::text, min(${rootName('d.refobjid')})
FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
GROUP BY 1 HAVING count(*) = 1
UNION ALL SELECT d.refobjid::text, min(${rootName('a.adrelid')})
FROM pg_depend d JOIN pg_attrdef a ON a.oid = d.objid JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
 AND NOT EXISTS (SELECT FROM pg_depend o WHERE o.classid = 'pg_class'::regclass AND o.objid = s.oid AND o.deptype IN ('a', 'i'))
GROUP BY 1 HAVING count(DISTINCT a.adrelid) = 1`

const sequenceUsesQuery = `SELECT DISTINCT n.nspname || '.' || s.relname, ${rootName('a.adrelid')}
FROM pg_depend d JOIN pg_attrdef a ON a.oid = d.objid JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
 JOIN pg_namespace n ON n.oid = s.relnamespace
WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
 AND NOT EXISTS (SELECT FROM pg_depend o WHERE o.classid = 'pg_class'::regclass AND o.objid = s.oid AND o.deptype IN ('a', 'i')
  AND o.refobjid = a.adrelid)`

function rootName(relation: string): string {
  return `(SELECT rn.nspname || '.' || r.relname FROM pg_class r JOIN pg_namespace rn ON rn.oid = r.relnamespace
 WHERE r.oid = coalesce(pg_partition_root(${relation}), ${relation}))`
}

const relationsQuery = `SELECT c.oid::text, n.nspname, c.relname, c.relkind::text,
 CASE WHEN c.relispartition OR c.relkind IN ('i', 'I') THEN (SELECT rn.nspname || '.' || r.relname
  FROM pg_class r JOIN pg_namespace rn ON rn.oid = r.relnamespace,
   coalesce((SELECT i.indrelid FROM pg_index i WHERE i.indexrelid = c.oid), c.oid) own(oid)
  WHERE r.oid = coalesce(pg_partition_root(own.oid), own.oid)) END,
 (EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
  OR EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = c.oid AND w.ev_type <> '1'))::text,
 CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END, c.relrowsecurity::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I') AND ${userRelation}`

// Writing the first may write the second: foreign keys that cascade, partitions and children.
const cascadesQuery = `SELECT confrelid::text, conrelid::text, 'false' FROM pg_constraint
WHERE contype = 'f' AND (confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd'))
UNION SELECT inhparent::text, inhrelid::text, 'true' FROM pg_inherits`

// User functions that a write to a table runs without naming them: of defaults, generated columns, checks (of its columns'
// domains too), index expressions and policies; also through operators.
const onWriteQuery = `WITH RECURSIVE holds AS (
 SELECT attrelid AS relation, atttypid AS type FROM pg_attribute WHERE attrelid >= ${String(firstUserOid)} AND attnum > 0 AND atttypid >= ${String(firstUserOid)}
 UNION SELECT h.relation, part.oid FROM holds h JOIN pg_type t ON t.oid = h.type, LATERAL (SELECT t.typbasetype UNION SELECT t.typelem
  UNION SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = t.typrelid AND t.typrelid <> 0 AND a.attnum > 0) part(oid)
  WHERE part.oid >= ${String(firstUserOid)}),
owned AS (
 SELECT 'pg_attrdef'::regclass::oid AS class, oid, adrelid AS relation FROM pg_attrdef
 UNION ALL SELECT 'pg_constraint'::regclass, oid, conrelid FROM pg_constraint WHERE contype IN ('c', 'x') AND conrelid <> 0
 UNION ALL SELECT 'pg_constraint'::regclass, c.oid, h.relation FROM pg_constraint c JOIN holds h ON h.type = c.contypid
 UNION ALL SELECT 'pg_type'::regclass, t.oid, h.relation FROM pg_type t JOIN holds h ON h.type = t.oid WHERE t.typtype = 'd'
 UNION ALL SELECT 'pg_class'::regclass, indexrelid, indrelid FROM pg_index
 UNION ALL SELECT 'pg_policy'::regclass, oid, polrelid FROM pg_policy)
SELECT o.relation::text, n.nspname, p.proname FROM owned o JOIN pg_depend d ON d.classid = o.class AND d.objid = o.oid
 LEFT JOIN pg_operator op ON d.refclassid = 'pg_operator'::regclass AND op.oid = d.refobjid
 JOIN pg_proc p ON p.oid = CASE d.refclassid WHEN 'pg_proc'::regclass THEN d.refobjid ELSE op.oprcode END
 JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid >= ${String(firstUserOid)} GROUP BY 1, 2, 3`

const eventTriggersQuery = `SELECT (EXISTS (SELECT FROM pg_event_trigger WHERE evtenabled <> 'D' AND evtevent <> 'login'))::text`

// The code points of the provider `builtin` are in the order of their bytes. Before PostgreSQL 17 there is no such provider.
const databaseCollation = `(SELECT CASE WHEN to_jsonb(d)->>'datlocprovider' = 'b' OR (coalesce(to_jsonb(d)->>'datlocprovider', 'c') = 'c'
  AND datcollate IN ('C', 'POSIX')) THEN 'bytes' ELSE 'deterministic' END FROM pg_database d WHERE datname = current_database())`

// A domain compares as the type that it is over.
const columnsQuery = `WITH RECURSIVE domains AS (
 SELECT oid AS domain, typbasetype AS base, typtypmod AS typmod FROM pg_type WHERE typtype = 'd'
 UNION ALL SELECT d.domain, t.typbasetype, t.typtypmod FROM domains d JOIN pg_type t ON t.oid = d.base WHERE t.typtype = 'd')
SELECT c.oid::text, a.attname, format_type(coalesce(d.base, a.atttypid), CASE WHEN d.base IS NULL THEN a.atttypmod ELSE d.typmod END),
 CASE WHEN k.oid IS NULL THEN 'bytes' WHEN NOT k.collisdeterministic THEN 'nondeterministic' WHEN k.collprovider = 'd' THEN ${databaseCollation}
  WHEN k.collprovider = 'b' OR (k.collprovider = 'c' AND k.collcollate IN ('C', 'POSIX')) THEN 'bytes' ELSE 'deterministic' END, (a.attgenerated <> '')::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
 LEFT JOIN pg_collation k ON k.oid = a.attcollation
 LEFT JOIN (domains d JOIN pg_type b ON b.oid = d.base AND b.typtype <> 'd') ON d.domain = a.atttypid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND ${userRelation} AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum`

const policiesQuery = `SELECT polrelid::text, pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polcmd IN ('*', 'r') AND polqual IS NOT NULL`

const dependsQuery = `WITH body AS (
 SELECT d.refclassid, d.refobjid, r.ev_class AS relation FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
  WHERE d.classid = 'pg_rewrite'::regclass AND r.ev_type = '1' AND r.ev_class >= ${String(firstUserOid)}
 UNION SELECT d.refclassid, d.refobjid, p.polrelid FROM pg_depend d JOIN pg_policy p ON p.oid = d.objid WHERE d.classid = 'pg_policy'::regclass)
SELECT b.relation::text, 'function', n.nspname, p.proname FROM body b JOIN pg_proc p ON p.oid = b.refobjid JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE b.refclassid = 'pg_proc'::regclass
UNION SELECT b.relation::text, 'function', n.nspname, p.proname FROM body b JOIN pg_operator o ON o.oid = b.refobjid JOIN pg_proc p ON p.oid = o.oprcode
 JOIN pg_namespace n ON n.oid = p.pronamespace WHERE b.refclassid = 'pg_operator'::regclass
UNION SELECT b.relation::text, 'type', n.nspname, t.typname FROM body b JOIN pg_type t ON t.oid = b.refobjid JOIN pg_namespace n ON n.oid = t.typnamespace
 WHERE b.refclassid = 'pg_type'::regclass`

const operatorsQuery = `SELECT n.nspname, o.oprname, p.provolatile::text FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
JOIN pg_proc p ON p.oid = o.oprcode WHERE o.oid >= ${String(firstUserOid)}`

// An operator = between types that keys have (or domains over them) may be what `key = value` means: varchar = varchar of a
// user is a better match than text = text.
const keyEqualsQuery = `SELECT DISTINCT n.nspname FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
JOIN pg_type l ON l.oid = o.oprleft JOIN pg_type r ON r.oid = o.oprright
WHERE o.oid >= ${String(firstUserOid)} AND o.oprname = '=' AND ${keyLike('l')} AND ${keyLike('r')}`

function keyLike(type: string): string {
  return `(${type}.typtype = 'p' OR coalesce(nullif(${type}.typbasetype, 0), ${type}.oid) IN (SELECT unnest('{int2,int4,int8,text,varchar,uuid}'::regtype[])))`
}

const typesQuery = `SELECT t.oid::text, n.nspname, t.typname,
 coalesce((SELECT CASE max(CASE p.provolatile WHEN 'v' THEN 2 WHEN 's' THEN 1 ELSE 0 END) WHEN 2 THEN 'v' WHEN 1 THEN 's' ELSE 'i' END
  FROM pg_proc p WHERE p.oid >= ${String(firstUserOid)} AND (p.oid IN (t.typinput, t.typoutput, t.typreceive, t.typsend)
   OR p.oid IN (SELECT unnest(ARRAY[r.rngcanonical, r.rngsubdiff]::oid[]) FROM pg_range r WHERE r.rngtypid = t.oid))), 'i'), (t.typtype = 'c')::text
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid >= ${String(firstUserOid)} AND n.nspname !~ '^pg_(toast_)?temp_'`

const typePartsQuery = `SELECT oid::text, typbasetype::text FROM pg_type WHERE typbasetype >= ${String(firstUserOid)}
UNION ALL SELECT oid::text, typelem::text FROM pg_type WHERE typelem >= ${String(firstUserOid)}
UNION ALL SELECT rngtypid::text, rngsubtype::text FROM pg_range WHERE rngsubtype >= ${String(firstUserOid)}
UNION ALL SELECT t.oid::text, a.atttypid::text FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid
 WHERE t.typrelid <> 0 AND a.atttypid >= ${String(firstUserOid)} AND a.attnum > 0 AND NOT a.attisdropped`

const domainChecksQuery = `SELECT contypid::text, pg_get_expr(conbin, 0) FROM pg_constraint WHERE contypid <> 0 AND contype = 'c'`

const castsQuery = `SELECT (c.castcontext = 'i')::text, p.provolatile::text, n.nspname, t.typname FROM pg_cast c JOIN pg_proc p ON p.oid = c.castfunc
JOIN pg_type t ON t.oid = c.casttarget JOIN pg_namespace n ON n.oid = t.typnamespace WHERE c.oid >= ${String(firstUserOid)}`

/** Reads everything in one snapshot. Rejects as the connection does. */
export async function loadRows(query: Query): Promise<CatalogRows> {
  await query(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`)
  await query(`SET LOCAL search_path = ''`)
  const [version] = await query(`SELECT current_setting('server_version_num')`)
  const rows: CatalogRows = {
    serverVersion: Number(version?.[0]),
    bodies: (await query(bodiesQuery)).map((row) => ({
      oid: text(row, 0),
      language: text(row, 1),
      source: text(row, 2),
      definition: row[3] ?? null,
    })),
    triggers: (await query(triggersQuery)).map((row) => ({
      name: text(row, 0),
      table: text(row, 1),
      events: eventsIn(Number(text(row, 4))),
      function: { schema: text(row, 2), name: text(row, 3) },
    })),
    foreignKeys: (await query(foreignKeysQuery)).map((row) => ({
      ...{ name: text(row, 0), from: text(row, 1), to: text(row, 2) },
      columns: JSON.parse(text(row, 3)) as [string, string][],
    })),
    uniques: (await query(uniquesQuery)).map((row) => ({
      ...{ name: text(row, 0), table: text(row, 1) },
      columns: JSON.parse(text(row, 2)) as string[],
    })),
    rules: (await query(rulesQuery)).map((row) => ({
      ...{ name: text(row, 0), table: text(row, 1) },
      relations: JSON.parse(text(row, 2)) as string[],
    })),
    sequenceUses: (await query(sequenceUsesQuery)).map((row) => ({ sequence: text(row, 0), table: text(row, 1) })),
    sequenceOwners: (await query(sequenceOwnersQuery)).map((row) => ({ sequence: text(row, 0), table: text(row, 1) })),
    functions: (await query(functionsQuery)).map(functionRow),
    relations: (await query(relationsQuery)).map(relationRow),
    columns: (await query(columnsQuery)).map((row) => ({
      ...{ relation: text(row, 0), name: text(row, 1), type: text(row, 2) },
      collation: text(row, 3) as Collation,
      generated: text(row, 4) === 'true',
    })),
    collation: text((await query(`SELECT ${databaseCollation}`))[0] ?? [], 0) as Collation,
    cascades: (await query(cascadesQuery)).map((row) => ({ from: text(row, 0), to: text(row, 1), inherits: is(row, 2) })),
    onWrite: (await query(onWriteQuery)).map((row) => ({ relation: text(row, 0), schema: text(row, 1), name: text(row, 2) })),
    eventTriggers: (await query(eventTriggersQuery)).some((row) => is(row, 0)),
    policies: (await query(policiesQuery)).map((row) => ({ relation: text(row, 0), text: row[1] ?? null })),
    depends: (await query(dependsQuery)).map((row) => ({
      relation: text(row, 0),
      kind: text(row, 1) === 'type' ? 'type' : 'function',
      schema: text(row, 2),
      name: text(row, 3),
    })),
    operators: (await query(operatorsQuery)).map((row) => ({ schema: text(row, 0), name: text(row, 1), volatility: text(row, 2) })),
    keyEquals: (await query(keyEqualsQuery)).map((row) => text(row, 0)),
    types: (await query(typesQuery)).map((row) => ({
      oid: text(row, 0),
      schema: text(row, 1),
      name: text(row, 2),
      volatility: text(row, 3),
      composite: is(row, 4),
    })),
    typeParts: (await query(typePartsQuery)).map((row) => ({ type: text(row, 0), part: text(row, 1) })),
    domainChecks: (await query(domainChecksQuery)).map((row) => ({ type: text(row, 0), text: row[1] ?? null })),
    casts: (await query(castsQuery)).map((row) => ({
      implicit: is(row, 0),
      volatility: text(row, 1),
      schema: text(row, 2),
      type: text(row, 3),
    })),
  }
  await query('COMMIT')
  return rows
}

/** Of pg_trigger.tgtype. */
function eventsIn(bits: number): TriggerInfo['events'] {
  const events = { insert: 4, delete: 8, update: 16, truncate: 32 } as const
  return (Object.keys(events) as (keyof typeof events)[]).filter((event) => (bits & events[event]) !== 0)
}

function functionRow(row: Cells): CatalogRows['functions'][number] {
  return {
    schema: text(row, 0),
    name: text(row, 1),
    volatility: text(row, 2),
    kind: text(row, 3),
    builtin: is(row, 4),
    language: text(row, 5),
    args: Number(text(row, 6)),
    defaults: Number(text(row, 7)),
    variadic: is(row, 8),
    oid: text(row, 9),
  }
}

function relationRow(row: Cells): CatalogRows['relations'][number] {
  return {
    oid: text(row, 0),
    schema: text(row, 1),
    name: text(row, 2),
    kind: text(row, 3),
    partitionRoot: row[4] ?? null,
    triggers: is(row, 5),
    definition: row[6] ?? null,
    rowSecurity: is(row, 7),
  }
}

function text(row: Cells, index: number): string {
  const value = row[index]
  if (typeof value !== 'string') throw new RangeError('unreadable row of the system catalogs')
  return value
}

function is(row: Cells, index: number): boolean {
  return text(row, index) === 'true'
}
