// doors/proxy/console/tables-audit.ts — who owns which table, and what crosses partitions and shards: the books of all workers
// added up.
import { AuditBook } from '../../../audit/book.js'
import type { AuditBookData } from '../../../audit/contract.js'
import { share } from '../../../audit/report.js'
import { clustersOf } from '../../../config/clusters-of.js'
import { homeFor } from '../../../config/home-for.js'
import { whyUnowned } from '../../../config/ownership.js'
import { tablesIn } from '../../../catalog/tables-in.js'
import { homeLabel } from '../../../routing/homes.js'
import { columns, type Cell } from './cells.js'
import { told, type Shown, type TableSpec } from './shown.js'

export const ownedTables: TableSpec = {
  columns: columns('database cluster table home owner unowned'),
  parts: [],
  rows: ({ config, catalogs }) =>
    [...config.databases.values()]
      .filter(({ name }) => name !== '*')
      .flatMap((database) =>
        clustersOf(database).flatMap((cluster) =>
          tablesIn(catalogs.get(cluster)).map((table): readonly Cell[] => {
            const home = homeFor(database, table)
            const owner = home === undefined ? database.owner : 'owner' in home ? home.owner : null
            const label = home === undefined ? `cluster ${database.default}` : homeLabel(home)
            return [database.name, cluster, table, label, owner, whyUnowned(database, cluster, table)]
          }),
        ),
      ),
}

function bookOf(shown: Shown): AuditBookData {
  const book = new AuditBook()
  for (const [, data] of told(shown, 'audit')) book.add(data)
  return book.data()
}

export const audit: TableSpec = {
  columns: columns('database kind from_home from_owner from_table to_home to_owner to_table count:int8 example way_out id'),
  parts: ['audit'],
  rows: (shown) =>
    bookOf(shown).findings.map(({ database, kind, from, to, count, example, way, id }) => [
      ...[database, kind, from.home, from.owner, from.object, to.home, to.owner, to.object],
      count,
      ...[example, way, id],
    ]),
}

export const auditTables: TableSpec = {
  columns: columns('database table statements:int8 routed:int8 share'),
  parts: ['audit'],
  rows: (shown) => bookOf(shown).tables.map((one) => [one.database, one.table, one.statements, one.routed, share(one)]),
}

export const auditData: TableSpec = {
  columns: columns('data'),
  parts: ['audit'],
  rows: (shown) => [[JSON.stringify(bookOf(shown))]],
}
