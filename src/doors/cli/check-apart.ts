// doors/cli/check-apart.ts — what of a sharded table holds, or happens, on each of its clusters apart: unique constraints without the shard
// key, and triggers that fire once for a statement. One PostgreSQL would hold the one over all rows, and fire the other once.
import type { Path } from '../../config/locator.js'
import type { ServerConnection } from '../../server/contract.js'
import { quoteLiteral } from '../../session/quote.js'
import type { Told } from './told.js'

/** A unique index or exclusion constraint (`columns`: of its key), or a trigger (null). */
export interface Apart {
  /** `schema.name` */
  readonly table: string
  readonly name: string
  readonly columns: readonly string[] | null
}

export async function readApart(connection: ServerConnection, tables: readonly string[]): Promise<readonly Apart[]> {
  const { rows } = await connection.query(apartSql(`ARRAY[${tables.map(quoteLiteral).join(', ')}]::text[]`))
  return rows.map(([table, name, columns]) => ({
    table: table ?? '',
    name: name ?? '',
    columns: typeof columns === 'string' ? (JSON.parse(columns) as readonly string[]) : null,
  }))
}

/** `keys`: the shard key of each table. */
export function tellApart(path: Path, keys: ReadonlyMap<string, readonly string[]>, found: readonly Apart[], warnings: Told[]): void {
  const told = new Set<string>()
  for (const { table, name, columns } of found) {
    const missing = (keys.get(table) ?? []).filter((key) => columns?.includes(key) === false)
    const what = `${columns === null ? 'trigger' : 'index'} ${name} of ${table}`
    if (told.has(what) || (columns !== null && missing.length === 0)) continue
    told.add(what)
    warnings.push(
      columns === null
        ? {
            path,
            found: what,
            allowed: 'a trigger FOR EACH ROW, or code that bears being run on each cluster',
            message: `the ${what} fires once for a statement on each cluster that the statement goes to`,
          }
        : {
            path,
            found: `${what} (${columns.join(', ')})`,
            allowed: `the shard key in it (${missing.join(', ')}), or values that are unique by themselves: pointsman.unique_id()`,
            message: `the ${what} is unique on each cluster apart, and so is ON CONFLICT`,
          },
    )
  }
}

function apartSql(wanted: string): string {
  return `WITH t AS (SELECT c.oid, n.nspname || '.' || c.relname AS name
 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname || '.' || c.relname = ANY (${wanted}))
SELECT t.name, x.relname, (SELECT coalesce(pg_catalog.json_agg(a.attname ORDER BY k.n), '[]')
  FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY k(att, n) JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.att
  WHERE k.n <= i.indnkeyatts)::text
 FROM t JOIN pg_catalog.pg_index i ON i.indrelid = t.oid JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid WHERE i.indisunique OR i.indisexclusion
UNION ALL SELECT t.name, g.tgname, NULL FROM t JOIN pg_catalog.pg_trigger g ON g.tgrelid = t.oid
 WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 1 = 0
ORDER BY 1, 2`
}
