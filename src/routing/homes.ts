// routing/homes.ts — which home every relation of a statement has, and whether they are one. A home is a name of the
// config, not a server: two partitions that still share a cluster are two homes, so that the rules are live before the
// split (DESIGN §1.10). Reference tables and system catalogs are at home everywhere.
import { rootOf } from '../catalog/expand.js'
import { resolveCreated, resolveRelation } from '../catalog/resolve.js'
import { written } from '../catalog/judge.js'
import { homeFor, mayHaveHome } from '../config/home-for.js'
import type { CrossingEnd, CrossingKind } from '../observe/crossing.js'
import type { Sharded } from '../sharding/sharded.js'
import type { Access, Name, RelationUse, Statement } from '../sql/statement.js'
import type { Context } from './context.js'
import { refuse } from './make.js'
import type { RefusePlan } from './plan.js'
import { waysOut } from './ways-out.js'

export type Home =
  | { readonly kind: 'default'; readonly cluster: string; readonly owner: string | null }
  | { readonly kind: 'partition'; readonly partition: string; readonly cluster: string; readonly owner: string | null }
  | { readonly kind: 'sharded'; readonly sharded: Sharded; readonly keyColumns: readonly string[]; readonly owner: string | null }
  | { readonly kind: 'temporary'; readonly cluster: string }
  | { readonly kind: 'reference' }
  | { readonly kind: 'system' }

export interface Touched {
  readonly name: Name
  readonly access: Access
  /** `schema.name` as resolved. */
  readonly key: string
  /** The name that config speaks of: the root of a partition tree, else `key`. */
  readonly root: string
  readonly home: Home
  /** False: in no catalog and not in the config. */
  readonly known: boolean
  /** The statement does not name it: code that it runs does. */
  readonly via?: { readonly kind: 'function' | 'trigger'; readonly name: string }
}

/** The one home of a statement; `free`: it has none and could run anywhere. */
export type CommonHome =
  | { readonly kind: 'free' }
  | { readonly kind: 'at'; readonly home: Exclude<Home, { kind: 'sharded' | 'reference' | 'system' }> }
  | { readonly kind: 'sharded'; readonly sharded: Sharded; readonly owner: string | null }

/** Resolves every relation of a statement; a name that cannot be resolved and may be a routed one refuses it. */
export function touch(context: Context, statement: Statement): readonly Touched[] | RefusePlan {
  const touched: Touched[] = []
  const created = createdName(statement)
  for (const use of statement.relations) {
    const found = touchOne(context, use, use === created)
    if ('kind' in found) return found
    touched.push(found)
  }
  return followParent(context, statement, touched)
}

/** A new partition lives where its root does, unless the config lists it. */
function followParent(context: Context, statement: Statement, touched: readonly Touched[]): readonly Touched[] {
  if (statement.detail.kind !== 'ddl' || statement.detail.what !== 'create table partition of') return touched
  const [child, parent] = touched
  if (child === undefined || parent === undefined || context.database.homes.has(child.key)) return touched
  return [{ ...child, root: parent.root, home: parent.home }, ...touched.slice(1)]
}

const creates: ReadonlySet<string> = new Set([
  'create table',
  'create table partition of',
  'create table as',
  'create view',
  'create materialized view as',
  'create sequence',
  'create foreign table',
])

/** The relation that a statement creates. */
function createdName(statement: Statement): RelationUse | undefined {
  const { detail } = statement
  const makes = detail.kind === 'ddl' ? creates.has(detail.what) : detail.kind === 'select' && detail.into !== null
  return makes ? statement.relations.find((use) => use.access === 'define') : undefined
}

export function touchOne(context: Context, use: RelationUse, created: boolean): Touched | RefusePlan {
  const resolved = created ? resolveCreated(use.name, context.names) : resolveRelation(use.name, context.names)
  const { key } = resolved
  const base = { name: use.name, access: use.access, key, root: key, known: true }
  switch (resolved.kind) {
    case 'system':
      return { ...base, home: { kind: 'system' } }
    case 'temporary':
      return { ...base, home: { kind: 'temporary', cluster: temporaryCluster(context) } }
    case 'unresolvable':
      if (mayHaveHome(context.database, use.name.name, (home) => !context.collapsed.has(homeLabel(home)))) return unresolvable(use.name)
      return { ...base, known: false, home: defaultHome(context) }
    case 'known':
    case 'unknown': {
      const { root, home } = homeOf(context, key)
      const found = { ...base, root, home, known: resolved.kind === 'known' }
      return home.kind === 'default' ? (leftBehind(context, found) ?? found) : found
    }
  }
}

/** Its rows are among those of a table that lives elsewhere, where they would not be seen. */
function leftBehind(context: Context, child: Touched): RefusePlan | null {
  const parents = context.clusters.flatMap((cluster) => context.catalogs.get(cluster)?.relations.get(child.key)?.inherits ?? [])
  for (const key of parents) {
    const { root, home } = homeOf(context, key)
    if (home.kind === 'default' || (home.kind === 'reference' && context.clusters.length === 1)) continue
    const parent: Touched = { name: { schema: null, name: key }, access: 'read', key, root, home, known: true }
    const message = `${child.key} inherits from ${describe(parent)}, and is not itself listed there`
    const hint = `List it where ${key} is listed, so that both live together.`
    return refuse('two-homes', {
      message,
      hint,
      tables: [child.key, key],
      crossing: { kind: 'view', from: touchedEnd(child), to: touchedEnd(parent), reason: message, way: hint },
    })
  }
  return null
}

function unresolvable(name: Name): RefusePlan {
  return refuse('unresolved-name', {
    message: `the search_path of this session is not known, so ${written(name)} cannot be resolved`,
    hint: 'Write the table with its schema, or SET search_path to a plain list of schemas.',
  })
}

function temporaryCluster(context: Context): string {
  const { pins, transaction } = context.session
  for (const [cluster, reason] of pins) if (reason === 'temporary table') return cluster
  return pins.keys().next().value ?? transaction.home?.cluster ?? context.database.default
}

function defaultHome(context: Context): Home {
  return { kind: 'default', cluster: context.database.default, owner: context.database.owner }
}

/** The home of a relation by its key: as configured, as its partition root (or the table of a sequence) is, or the default. */
export function homeOf(context: Context, key: string): { readonly root: string; readonly home: Home } {
  const found = configuredHome(context, key)
  const { collapsed } = context
  return collapsed.size === 0 || !collapsed.has(homeLabel(found.home)) ? found : { root: found.root, home: inTruth(context, found.home) }
}

function configuredHome(context: Context, key: string): { readonly root: string; readonly home: Home } {
  const { database } = context
  const own = database.homes.get(key)
  if (own !== undefined) return { root: key, home: own }
  for (const cluster of context.clusters) {
    const info = context.catalogs.get(cluster)?.relations.get(key)
    const root = rootOf(info, key)
    const home = root === key ? undefined : homeFor(database, root)
    if (home !== undefined) return { root, home }
    if (info !== undefined && cluster === database.default)
      return { root, home: (root === key ? homeFor(database, key) : null) ?? defaultHome(context) }
  }
  return { root: key, home: homeFor(database, key) ?? sequenceHome(context, key) ?? defaultHome(context) }
}

/** A virtual home's tables are among the others of the cluster where they are. */
function inTruth(context: Context, home: Home): Home {
  const cluster = clusterOf(home) ?? context.database.default
  const owner = 'owner' in home ? home.owner : null
  if (cluster === context.database.default) return { kind: 'default', cluster, owner }
  const { partitions, virtual } = context.database
  const real = [...partitions.values()].find((one) => one.cluster === cluster && !virtual.has(`partition ${one.name}`))
  return real === undefined ? { kind: 'default', cluster, owner } : { kind: 'partition', partition: real.name, cluster, owner }
}

/** Sequences have no line in the config: one that exists on a single cluster, and not on the default one, lives there. */
function sequenceHome(context: Context, key: string): Home | null {
  const holders = context.clusters.filter((cluster) => context.catalogs.get(cluster)?.relations.get(key)?.kind === 'sequence')
  const [holder] = holders
  if (holder === undefined || holders.length > 1) return null
  for (const partition of context.database.partitions.values()) {
    if (partition.cluster === holder) return { kind: 'partition', partition: partition.name, cluster: holder, owner: partition.owner }
  }
  return null
}

/** One home for all, or the refusal that names two that differ. `meeting`: how the statement brings two together. */
export function commonHome(touched: readonly Touched[], meeting: (a: Touched, b: Touched) => CrossingKind): CommonHome | RefusePlan {
  let first: Touched | null = null
  for (const one of touched) {
    if (one.home.kind === 'reference' || one.home.kind === 'system') continue
    first ??= one
    if (!sameHome(first.home, one.home)) return twoHomes(first, one, touched, meeting(first, one))
  }
  if (first === null) return { kind: 'free' }
  const { home } = first
  if (home.kind === 'sharded') return { kind: 'sharded', sharded: home.sharded, owner: home.owner }
  if (home.kind === 'reference' || home.kind === 'system') return { kind: 'free' }
  // A temporary table decides the connection; any other of the same cluster only the server.
  const temporary = touched.find((one) => one.home.kind === 'temporary')
  return { kind: 'at', home: temporary?.home.kind === 'temporary' ? temporary.home : home }
}

export function sameHome(a: Home, b: Home): boolean {
  if (a.kind === 'temporary' || b.kind === 'temporary') return clusterOf(a) !== null && clusterOf(a) === clusterOf(b)
  return homeLabel(a) === homeLabel(b)
}

/** The cluster of a home that has exactly one. */
export function clusterOf(home: Home): string | null {
  switch (home.kind) {
    case 'default':
    case 'partition':
    case 'temporary':
      return home.cluster
    case 'sharded':
      return home.sharded.clusters.length === 1 ? (home.sharded.clusters[0] ?? null) : null
    case 'reference':
    case 'system':
      return null
  }
}

/** `partition media`, `sharded comments`, `cluster main`, `reference`, … */
export function homeLabel(home: Home): string {
  switch (home.kind) {
    case 'partition':
      return `partition ${home.partition}`
    case 'sharded':
      return `sharded ${home.sharded.name}`
    case 'default':
      return `cluster ${home.cluster}`
    default:
      return home.kind
  }
}

/** `public.images (partition media on cluster media, owner media-team)` */
export function describe(touched: Touched): string {
  const { via } = touched
  return via === undefined ? describeHome(touched) : `${describeHome(touched)}, which ${via.kind} ${via.name} names,`
}

function describeHome(touched: Touched): string {
  const { home } = touched
  switch (home.kind) {
    case 'default':
      return `${touched.key} (cluster ${home.cluster}${owned(home.owner)})`
    case 'partition':
      return `${touched.key} (partition ${home.partition} on cluster ${home.cluster}${owned(home.owner)})`
    case 'sharded':
      return `${touched.key} (sharded ${home.sharded.name} on ${home.sharded.clusters.join(', ')}${owned(home.owner)})`
    case 'temporary':
      return `${touched.key} (temporary, on cluster ${home.cluster})`
    case 'reference':
      return `${touched.key} (reference table)`
    case 'system':
      return `${touched.key} (system catalog)`
  }
}

function owned(owner: string | null): string {
  return owner === null ? '' : `, owner ${owner}`
}

export function touchedEnd({ home, key }: Touched): CrossingEnd {
  return { home: homeLabel(home), owner: 'owner' in home ? home.owner : null, object: key }
}

export function twoHomes(a: Touched, b: Touched, touched: readonly Touched[], kind: CrossingKind, cause: string | null = null): RefusePlan {
  const message = `${describe(a)} and ${describe(b)} live in different homes`
  const via = cause ?? b.via?.name ?? a.via?.name
  return refuse('two-homes', {
    message,
    hint: 'Send one statement for each and combine the results in the application, put both tables into one partition, or declare the smaller one under `reference`.',
    tables: touched.map((one) => one.key),
    crossing: {
      ...{ kind, from: touchedEnd(a), to: touchedEnd(b), reason: message, way: waysOut[kind] },
      ...(via === undefined ? {} : { cause: via }),
    },
  })
}
