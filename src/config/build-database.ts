// config/build-database.ts — what clients connect to: which table lives where, who owns it, how old it may be.
import type { DatabaseConfig, TableHome, Virtual } from './config.js'
import type { Sharded } from '../sharding/sharded.js'
import { buildPartitions } from './build-partitions.js'
import { buildReads } from './build-reads.js'
import { buildSharded } from './build-sharded.js'
import { buildTwoPhase } from './build-two-phase.js'
import { buildVirtual } from './build-virtual.js'
import { clusterFrom } from './cluster-from.js'
import type { Context } from './context.js'
import type { DatabaseInput, Partly } from './input.js'
import type { Path } from './locator.js'
import { tableFrom } from './table-from.js'
import { parseName } from './table-name.js'

/** Tables that have a home, and where the config says so (for the message of the second one). */
class Homes {
  readonly map = new Map<string, TableHome>()
  readonly #said = new Map<string, string>()
  readonly #context: Context

  constructor(context: Context) {
    this.#context = context
  }

  add(path: Path, at: 'key' | 'value', table: string, home: TableHome, where: string): void {
    const first = this.#said.get(table)
    if (first !== undefined) {
      this.#context.findings.problem({
        path,
        at,
        found: table,
        allowed: 'one home for each table',
        message: first === where ? `table ${table} is listed twice in ${where}` : `table ${table} has two homes: ${first} and ${where}`,
      })
      return
    }
    this.#said.set(table, where)
    this.map.set(table, home)
  }
}

export function buildDatabase(context: Context, name: string, input: Partly<DatabaseInput>, known: ReadonlySet<string>): DatabaseConfig {
  const path = ['databases', name]
  checkName(context, path, name)
  if (input.default !== undefined) clusterFrom(context, [...path, 'default'], input.default, known)
  if (input.coordinator !== undefined) clusterFrom(context, [...path, 'coordinator'], input.coordinator, known)
  const homes = new Homes(context)
  const reads = buildReads(context, [...path, 'reads'], input.reads)
  const { partitions, patterns, virtual } = buildPartitions(context, path, input, known, reads.default, homes.add.bind(homes))
  return {
    name,
    default: input.default ?? '',
    owner: input.owner ?? null,
    partitions,
    sharded: buildAllSharded(context, path, input, known, homes),
    homes: addReference(context, path, input, homes),
    patterns,
    virtual: new Map([...virtual, ...virtualSharded(context, path, input)]),
    ...(input.coordinator === undefined ? {} : { coordinator: input.coordinator }),
    twoPhase: buildTwoPhase(context, [...path, 'two_phase'], input.two_phase),
    unparsed: input.unparsed ?? 'primary',
    poolMode: input.pool_mode ?? 'transaction',
    maxClients: input.max_clients ?? null,
    maxConnections: input.max_connections ?? null,
    bus: input.bus ?? 'own',
    functions: buildFunctions(context, path, input.functions),
    reads,
  }
}

function checkName(context: Context, path: Path, name: string): void {
  if (name !== 'pointsman' && name !== '') return
  const message = name === '' ? 'a database needs a name' : 'the name "pointsman" is taken by the console'
  context.findings.problem({ path, at: 'key', found: name === '' ? '""' : name, allowed: 'another name', message })
}

function eachTable(
  context: Context,
  path: Path,
  texts: readonly (string | undefined)[] = [],
  visit: (path: Path, table: string) => void,
): readonly string[] {
  return texts.flatMap((text, index) => {
    const place = [...path, index]
    const table = text === undefined ? null : tableFrom(context, place, text, 'value')
    if (table !== null) visit(place, table)
    return table ?? []
  })
}

function buildAllSharded(
  context: Context,
  above: Path,
  input: Partly<DatabaseInput>,
  known: ReadonlySet<string>,
  homes: Homes,
): ReadonlyMap<string, Sharded> {
  const all = new Map<string, Sharded>()
  for (const [name, one] of Object.entries(input.sharded ?? {})) {
    if (one === undefined) continue
    const path = [...above, 'sharded', name]
    const built = buildSharded(context, path, name, one, known)
    const sharded = { ...built, owner: built.owner ?? input.owner ?? null }
    if (one.tables !== undefined && Object.keys(one.tables).length === 0) {
      context.findings.problem({ path: [...path, 'tables'], allowed: 'a map of table: shard key column', message: '"tables" is empty' })
    }
    for (const text of Object.keys(one.tables ?? {})) {
      const table = tableFor(text)
      const keyColumns = table === null ? undefined : sharded.tables.get(table)
      if (table === null || keyColumns === undefined) continue
      homes.add([...path, 'tables', text], 'key', table, { kind: 'sharded', sharded, keyColumns, owner: sharded.owner }, `sharded ${name}`)
    }
    all.set(name, sharded)
  }
  return all
}

function virtualSharded(context: Context, above: Path, input: Partly<DatabaseInput>): readonly (readonly [string, Virtual])[] {
  return Object.entries(input.sharded ?? {}).flatMap(([name, one]) => {
    const virtual = one === undefined ? null : buildVirtual(context, [...above, 'sharded', name], one)
    return virtual === null ? [] : [[`sharded ${name}`, virtual] as const]
  })
}

// Names that are no names were told by buildSharded().
function tableFor(text: string): string | null {
  const name = parseName(text)
  return typeof name === 'string' ? null : `${name.schema ?? 'public'}.${name.name}`
}

function addReference(context: Context, above: Path, input: Partly<DatabaseInput>, homes: Homes): ReadonlyMap<string, TableHome> {
  eachTable(context, [...above, 'reference'], input.reference, (place, table) => {
    homes.add(place, 'value', table, { kind: 'reference' }, 'reference')
  })
  return homes.map
}

function buildFunctions(
  context: Context,
  above: Path,
  inputs: Partly<DatabaseInput>['functions'] = {},
): ReadonlyMap<string, 'read' | 'write'> {
  const functions = new Map<string, 'read' | 'write'>()
  for (const [text, kind] of Object.entries(inputs)) {
    const name = parseName(text)
    if (typeof name === 'string') {
      context.findings.problem({
        path: [...above, 'functions', text],
        at: 'key',
        found: text,
        allowed: 'function or schema.function',
        message: `${JSON.stringify(text)} ${name}`,
      })
    } else if (kind !== undefined) {
      functions.set(name.schema === null ? name.name : `${name.schema}.${name.name}`, kind)
    }
  }
  return functions
}
