// config/build-partitions.ts — vertical partitions: which tables, by name, by pattern and by schema, live on which cluster.
// A name goes before a pattern, and a pattern before a whole schema; two patterns that may mean the same table must be of
// one partition.
import type { PartitionConfig, TableHome, TablePattern, Virtual } from './config.js'
import type { PolicyOverride } from '../consistency/policy.js'
import { buildTablePolicy } from './build-reads.js'
import { buildVirtual } from './build-virtual.js'
import { clusterFrom } from './cluster-from.js'
import type { Context } from './context.js'
import { overlap } from './glob.js'
import type { DatabaseInput, PartitionInput, Partly } from './input.js'
import type { Path } from './locator.js'
import { parseName } from './table-name.js'
import { tableFrom } from './table-from.js'

export interface BuiltPartitions {
  readonly partitions: ReadonlyMap<string, PartitionConfig>
  readonly patterns: readonly TablePattern[]
  /** By the label of the partition. */
  readonly virtual: ReadonlyMap<string, Virtual>
}

/** Adds one table that is named. */
export type AddHome = (path: Path, at: 'key' | 'value', table: string, home: TableHome, where: string) => void

interface Placed extends TablePattern {
  readonly partition: string
  readonly path: Path
  readonly text: string
}

/** `below`: what the database's default says of reads. */
export function buildPartitions(
  context: Context,
  above: Path,
  input: Partly<DatabaseInput>,
  known: ReadonlySet<string>,
  below: PolicyOverride,
  add: AddHome,
): BuiltPartitions {
  const partitions = new Map<string, PartitionConfig>()
  const virtual = new Map<string, Virtual>()
  const tables: Placed[] = []
  const schemas: Placed[] = []
  for (const [name, partition] of Object.entries(input.partitions ?? {})) {
    if (partition === undefined) continue
    const path = [...above, 'partitions', name]
    const cluster = partition.cluster ?? ''
    if (partition.cluster !== undefined) clusterFrom(context, [...path, 'cluster'], cluster, known)
    const owner = partition.owner ?? input.owner ?? null
    if (owner === null) warnUnowned(context, path, name)
    const home: TableHome = { kind: 'partition', partition: name, cluster, owner }
    const named = buildTables(context, path, name, partition, home, add)
    tables.push(...named.patterns.filter((one) => one.name !== '*'))
    schemas.push(...named.patterns.filter((one) => one.name === '*'), ...buildSchemas(context, path, name, partition, home))
    const tried = buildVirtual(context, path, partition)
    if (tried !== null) virtual.set(`partition ${name}`, tried)
    const users = partition.users?.filter((user) => user !== undefined) ?? null
    const reads = buildTablePolicy(context, [...path, 'reads'], partition.reads ?? {}, below)
    partitions.set(name, { name, cluster, owner, tables: named.tables, users, reads })
  }
  tellOverlaps(context, tables)
  tellOverlaps(context, schemas)
  return { partitions, patterns: [...tables, ...schemas].map(({ schema, name, home }) => ({ schema, name, home })), virtual }
}

function warnUnowned(context: Context, path: Path, name: string): void {
  context.findings.warning({
    path: [...path, 'owner'],
    at: 'key',
    allowed: 'owner: a team, here or for the database',
    message: `nobody owns partition ${name}: its tables are told as unowned`,
  })
}

function buildTables(
  context: Context,
  above: Path,
  partition: string,
  input: Partly<PartitionInput>,
  home: TableHome,
  add: AddHome,
): { readonly tables: readonly string[]; readonly patterns: readonly Placed[] } {
  const tables: string[] = []
  const patterns: Placed[] = []
  const { findings } = context
  if (input.tables === undefined && input.schemas === undefined) {
    if (!findings.given([...above, 'schemas'])) {
      findings.missing({ path: [...above, 'tables'], allowed: 'a list of tables, or schemas: [...]', message: '"tables" is missing' })
    }
  }
  for (const [index, text] of (input.tables ?? []).entries()) {
    if (text === undefined) continue
    const path = [...above, 'tables', index]
    const table = tableFrom(context, path, text, 'value')
    if (table === null) continue
    if (isPattern(text)) patterns.push({ ...split(table), home, partition, path, text })
    else {
      add(path, 'value', table, home, `partition ${partition}`)
      tables.push(table)
    }
  }
  return { tables, patterns }
}

/** What stands in quotes is a name, whatever it is. */
function isPattern(text: string): boolean {
  return text.replaceAll(/"(?:[^"]|"")*"/g, '').includes('*')
}

function split(table: string): { readonly schema: string; readonly name: string } {
  const dot = table.indexOf('.')
  return { schema: table.slice(0, dot), name: table.slice(dot + 1) }
}

function buildSchemas(context: Context, above: Path, partition: string, input: Partly<PartitionInput>, home: TableHome): readonly Placed[] {
  return (input.schemas ?? []).flatMap((text, index) => {
    if (text === undefined) return []
    const path = [...above, 'schemas', index]
    const name = parseName(text)
    const system = typeof name !== 'string' && /^(?:pg_.*|information_schema)$/.test(name.name)
    if (typeof name !== 'string' && name.schema === null && !system) return [{ schema: name.name, name: '*', home, partition, path, text }]
    const wrong = typeof name === 'string' ? name : system ? 'is a schema of the system, which every cluster has' : 'has two parts'
    context.findings.problem({ path, found: text, allowed: 'the name of a schema', message: `${JSON.stringify(text)} ${wrong}` })
    return []
  })
}

function tellOverlaps(context: Context, patterns: readonly Placed[]): void {
  patterns.forEach((one, index) => {
    const other = patterns.slice(0, index).find((before) => overlap(before.schema, one.schema) && overlap(before.name, one.name))
    if (other === undefined || other.partition === one.partition) return
    context.findings.problem({
      path: one.path,
      found: one.text,
      allowed: 'one home for each table',
      message: `a table may fit both ${JSON.stringify(other.text)} of partition ${other.partition} and ${JSON.stringify(one.text)} of partition ${one.partition}`,
    })
  })
}
