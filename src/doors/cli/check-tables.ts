// doors/cli/check-tables.ts — the tables that are there, against the homes that the config gives them: what is missing,
// what has another key, what lies where no statement will look for it, and what nobody owns.
import { clustersOf } from '../../config/clusters-of.js'
import type { Config, DatabaseConfig } from '../../config/config.js'
import type { Path } from '../../config/locator.js'
import { whyUnowned } from '../../config/ownership.js'
import type { KeyType } from '../../sharding/sharded.js'
import type { TableFacts } from './ask-server.js'
import type { Tables, Told } from './told.js'

export interface UnownedTable {
  readonly database: string
  readonly cluster: string
  /** `schema.table` */
  readonly table: string
  readonly why: string
}

export function checkTables(config: Config, tables: Tables, problems: Told[], warnings: Told[]): readonly UnownedTable[] {
  const named = [...config.databases.values()].filter((database) => database.name !== '*')
  return named.flatMap((database) => {
    const on = (cluster: string): ReadonlyMap<string, TableFacts> | undefined => {
      return tables.get(`${cluster}/${config.clusters.get(cluster)?.dbname ?? database.name}`)
    }
    const check: Check = { database, on, path: ['databases', database.name], problems, warnings }
    checkPartitions(check)
    checkSharded(check)
    checkReference(check)
    return unownedOf(check)
  })
}

interface Check {
  readonly database: DatabaseConfig
  /** Tables on a cluster; undefined where they could not be read. */
  readonly on: (cluster: string) => ReadonlyMap<string, TableFacts> | undefined
  readonly path: Path
  readonly problems: Told[]
  readonly warnings: Told[]
}

function checkPartitions(check: Check): void {
  for (const partition of check.database.partitions.values()) {
    const there = check.on(partition.cluster)
    partition.tables.forEach((table, index) => {
      if (there === undefined || there.has(table)) return
      const path = [...check.path, 'partitions', partition.name, 'tables', index]
      check.problems.push({
        path,
        found: table,
        allowed: `a table of cluster ${partition.cluster}`,
        message: `cluster ${partition.cluster} has no table ${table}`,
      })
    })
  }
}

function checkSharded(check: Check): void {
  for (const sharded of check.database.sharded.values()) {
    const path = [...check.path, 'sharded', sharded.name, 'tables']
    for (const cluster of sharded.clusters) {
      const there = check.on(cluster)
      if (there === undefined) continue
      for (const [table, columns] of sharded.tables) {
        columns.forEach((column, index) => {
          const keyType = sharded.keyTypes[index] ?? 'bigint'
          checkKeyColumn(check, path, keyType, cluster, there.get(table), table, column)
        })
      }
    }
  }
}

function checkKeyColumn(
  check: Check,
  path: Path,
  keyType: KeyType,
  cluster: string,
  facts: TableFacts | undefined,
  table: string,
  column: string,
): void {
  const problem = (found: string, allowed: string, message: string): void => void check.problems.push({ path, found, allowed, message })
  if (facts === undefined) {
    problem(table, `a table of cluster ${cluster}`, `cluster ${cluster} has no table ${table}`)
    return
  }
  const key = facts.columns.get(column)
  if (key === undefined) {
    problem(column, [...facts.columns.keys()].join(', '), `table ${table} on ${cluster} has no column ${column}`)
    return
  }
  const fit = fits(keyType, key.type)
  if (fit === 'no') problem(key.type, keyType, `${table}.${column} on ${cluster} is ${key.type}, not ${keyType}: keys would go astray`)
  if (fit === 'nearly') {
    const message = `${table}.${column} on ${cluster} is ${key.type}, not ${keyType}; they hash alike, but their ranges differ`
    check.warnings.push({ path, found: key.type, allowed: keyType, message })
  }
  if (!key.deterministic)
    problem(
      'a nondeterministic collation',
      'a deterministic collation',
      `equal keys of ${table}.${column} on ${cluster} may hash differently`,
    )
}

const integers: ReadonlySet<string> = new Set(['smallint', 'integer', 'bigint'])
const texts: ReadonlySet<string> = new Set(['text', 'varchar'])

function fits(keyType: KeyType, type: string): 'yes' | 'nearly' | 'no' {
  const plain = type.replace(/^character varying(\(\d+\))?$/, 'varchar')
  if (plain === keyType || (texts.has(plain) && texts.has(keyType))) return 'yes'
  return integers.has(plain) && integers.has(keyType) ? 'nearly' : 'no'
}

function checkReference(check: Check): void {
  const path = [...check.path, 'reference']
  const reference = [...check.database.homes].filter(([, home]) => home.kind === 'reference').map(([table]) => table)
  for (const cluster of clustersOf(check.database)) {
    const there = check.on(cluster)
    if (there === undefined) continue
    for (const table of reference.filter((name) => !there.has(name))) {
      check.problems.push({
        path,
        found: table,
        allowed: 'on every cluster of the database',
        message: `cluster ${cluster} has no reference table ${table}`,
      })
    }
  }
}

// On the default cluster a table without a home has one (here), and its owner is the database's. Anywhere else nothing reaches it.
function unownedOf(check: Check): readonly UnownedTable[] {
  const { database } = check
  return clustersOf(database).flatMap((cluster) => {
    return [...(check.on(cluster)?.keys() ?? [])].flatMap((table) => {
      const why = whyUnowned(database, cluster, table)
      return why === null ? [] : [{ database: database.name, cluster, table, why }]
    })
  })
}
