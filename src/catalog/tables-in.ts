// catalog/tables-in.ts — the tables of a cluster that somebody must own.
import type { Catalog } from './catalog.js'

/** `schema.table`, sorted; partitions of a table are left out, they follow it. */
export function tablesIn(catalog: Catalog | undefined): readonly string[] {
  const found: string[] = []
  for (const [key, { kind, partitionRoot }] of catalog?.relations ?? []) {
    if ((kind === 'table' || kind === 'partitioned' || kind === 'foreign') && partitionRoot === null) found.push(key)
  }
  return found.sort()
}
