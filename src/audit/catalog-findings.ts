// audit/catalog-findings.ts — what stands in the catalog and reaches from one home into another: foreign keys, views, functions,
// triggers, rules, sequences, and what checks, defaults and index expressions call. One finding for each thing and each other home that it reaches.
import type { Body, Catalog, ForeignKeyInfo, FunctionInfo, RelationInfo, UniqueInfo } from '../catalog/catalog.js'
import type { Config, DatabaseConfig } from '../config/config.js'
import type { CrossingKind } from '../observe/crossing.js'
import { createContext, type Context } from '../routing/context.js'
import { homeOf, sameHome, touchedEnd, touchOne, type Touched } from '../routing/homes.js'
import { waysOut } from '../routing/ways-out.js'
import { Session } from '../session/session.js'
import { isSystemSchema } from '../catalog/builtins.js'
import type { AuditBook } from './book.js'
import { asSplit } from './statements.js'

export interface CatalogGround {
  readonly config: Config
  readonly database: DatabaseConfig
  readonly catalogs: ReadonlyMap<string, Catalog>
  readonly user: string
  readonly searchPath: string
}

/** Adds what is found. Gives the functions and triggers whose code could not be read whole: nobody knows what those reach. */
export function auditCatalog(ground: CatalogGround, book: AuditBook): readonly string[] {
  const { database, config, catalogs, user, searchPath } = ground
  const greeting = { parameters: new Map<string, string>(), searchPath, role: user, isolation: 'read committed', readOnly: false }
  const session = new Session({ database: database.name, user, settings: new Map(), greeting }).view
  const context = createContext({
    config,
    database: asSplit(database),
    catalogs,
    session,
    hints: null,
    inBatch: false,
    collapsed: new Set(),
  })
  const walk = new CatalogWalk(context, book)
  for (const cluster of context.clusters) {
    const catalog = catalogs.get(cluster)
    if (catalog !== undefined) walk.catalog(catalog)
  }
  return [...walk.unread].sort()
}

class CatalogWalk {
  readonly #context: Context
  readonly #book: AuditBook
  readonly unread = new Set<string>()

  constructor(context: Context, book: AuditBook) {
    this.#context = context
    this.#book = book
  }

  catalog(catalog: Catalog): void {
    for (const key of catalog.foreignKeys ?? []) this.#foreignKey(key)
    for (const unique of catalog.uniques ?? []) this.#unique(unique)
    for (const info of catalog.relations.values()) this.#view(info)
    for (const info of catalog.relations.values()) this.#onWrite(info, catalog)
    for (const { sequence, table } of catalog.sequenceUses ?? []) {
      this.#between('sequence', `default of ${table}`, this.#table(table), [this.#table(sequence)])
    }
    for (const { name, table, relations } of catalog.rules ?? []) {
      const reached = relations.map((key) => this.#table(key))
      this.#between('trigger', `rule ${name} on ${table}`, this.#table(table), reached)
    }
    this.#triggers(catalog)
    this.#functions(catalog)
  }

  /** Within a sharded set it stays on its shard only if it holds the shard keys of both. */
  #foreignKey({ name, from, to, columns }: ForeignKeyInfo): void {
    const example = `${name} of ${from} to ${to}`
    const [a, b] = [this.#table(from), this.#table(to)]
    this.#between('foreign_key', example, a, [b])
    if (a.home.kind !== 'sharded' || b.home.kind !== 'sharded' || !sameHome(a.home, b.home) || columns === undefined) return
    const targets = b.home.keyColumns
    const together = a.home.keyColumns.every((key, at) => columns.some(([own, other]) => own === key && other === targets[at]))
    if (!together)
      this.#within('foreign_key', example, a, b, `${example} does not hold the shard key of both: rows on other shards are not seen`)
  }

  /** No shard knows the rows of the others. */
  #unique({ name, table, columns }: UniqueInfo): void {
    const touched = this.#table(table)
    if (touched.home.kind !== 'sharded') return
    const missing = touched.home.keyColumns.filter((key) => !columns.includes(key))
    if (missing.length === 0) return
    const example = `${name} of ${table}`
    const reason = `${example} is unique within a shard alone: it does not hold ${missing.join(', ')}`
    this.#within(
      'shard_key',
      example,
      touched,
      touched,
      reason,
      'Put the shard key into the index, or make values that are unique by themselves: pointsman.unique_id().',
    )
  }

  /** Of a table: what its policies name. */
  #view(info: RelationInfo): void {
    const behind = info.made ?? info.behind
    if (behind === null) return
    const key = `${info.schema}.${info.name}`
    const reached = behind.relations
      .filter(({ schema }) => !isSystemSchema(schema))
      .map(({ schema, name }) => this.#table(`${schema}.${name}`))
    this.#between('view', key, this.#table(key), reached)
  }

  /** Functions of checks, defaults, generated columns and index expressions: whoever writes the table runs them. */
  #onWrite({ schema, name, partitionRoot, onWrite }: RelationInfo, catalog: Catalog): void {
    const table = this.#table(partitionRoot ?? `${schema}.${name}`)
    for (const use of onWrite) {
      const example = `${use.schema}.${use.name} in a definition of ${table.key}`
      for (const { body } of functionOf(catalog, use)) {
        if (body !== undefined) this.#between('function', example, table, this.#named(body, catalog))
      }
    }
  }

  #triggers(catalog: Catalog): void {
    for (const trigger of catalog.triggers ?? []) {
      const example = `${trigger.name} on ${trigger.table}`
      const infos = functionOf(catalog, trigger.function)
      for (const { body } of infos) {
        if (body === undefined || body.unknown) this.unread.add(`trigger ${example}`)
        if (body !== undefined) this.#between('trigger', example, this.#table(trigger.table), this.#named(body, catalog))
      }
    }
  }

  /** Those of triggers are told with these. */
  #functions(catalog: Catalog): void {
    const ofTriggers = new Set((catalog.triggers ?? []).map((trigger) => `${trigger.function.schema}.${trigger.function.name}`))
    for (const info of [...catalog.functions.values()].flat()) {
      const name = `${info.schema}.${info.name}`
      if (info.body === undefined || ofTriggers.has(name)) continue
      if (info.body.unknown) this.unread.add(`function ${name}`)
      const [first, ...others] = this.#named(info.body, catalog)
      if (first !== undefined) this.#between('function', name, first, others)
    }
  }

  /** What code names, and what the functions name that it calls. */
  #named(body: Body, catalog: Catalog, seen: Set<FunctionInfo> = new Set()): readonly Touched[] {
    const own = [...body.writes, ...body.reads].flatMap((name) => {
      const found = touchOne(this.#context, { name, access: 'read' }, false)
      return 'kind' in found || !found.known || found.home.kind === 'temporary' ? [] : [found]
    })
    const called = body.calls.flatMap((call) => {
      const infos = (catalog.functions.get(call.name) ?? []).filter(
        (info) => info.body !== undefined && !seen.has(info) && (call.schema === null || call.schema === info.schema),
      )
      return infos.flatMap((info) => {
        seen.add(info)
        return info.body === undefined ? [] : this.#named(info.body, catalog, seen)
      })
    })
    return [...own, ...called]
  }

  #table(key: string): Touched {
    const dot = key.indexOf('.')
    const name = { schema: key.slice(0, dot), name: key.slice(dot + 1) }
    return { name, access: 'read', key, ...homeOf(this.#context, key), known: true }
  }

  /** From one shard to another of the same set. */
  #within(kind: CrossingKind, example: string, from: Touched, to: Touched, reason: string, way: string = waysOut[kind]): void {
    const crossing = { kind, from: touchedEnd(from), to: touchedEnd(to), reason, way, cause: example }
    this.#book.crossing(this.#context.database.name, crossing, example, 'catalog', 0)
  }

  #between(kind: CrossingKind, example: string, from: Touched, reached: readonly Touched[]): void {
    const told = new Set<string>()
    for (const to of reached) {
      if (isEverywhere(from) || isEverywhere(to) || sameHome(from.home, to.home)) continue
      const [a, b] = [touchedEnd(from), touchedEnd(to)]
      if (told.has(b.home)) continue
      told.add(b.home)
      const reason = `${kind.replace('_', ' ')} ${example}: ${from.key} is of ${a.home}, ${to.key} of ${b.home}`
      this.#book.crossing(
        this.#context.database.name,
        { kind, from: a, to: b, reason, way: waysOut[kind], cause: example },
        example,
        'catalog',
        0,
      )
    }
  }
}

function isEverywhere({ home }: Touched): boolean {
  return home.kind === 'reference' || home.kind === 'system'
}

function functionOf(catalog: Catalog, { schema, name }: { readonly schema: string; readonly name: string }): readonly FunctionInfo[] {
  return (catalog.functions.get(name) ?? []).filter((info) => info.schema === schema)
}
