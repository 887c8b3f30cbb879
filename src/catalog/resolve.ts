// catalog/resolve.ts — names in a text → relations, as PostgreSQL resolves them: temporary tables first, then pg_catalog
// unless the path lists it, then the path in order. What exists is asked of the caller, since a routed table need not
// exist on the cluster whose catalog resolves names.
import type { Name } from '../sql/statement.js'
import { informationRelations, isSystemSchema } from './builtins.js'

export interface NameSpace {
  /** Schemas in order; null: cannot be known. */
  readonly searchPath: readonly string[] | null
  /** Bare names of this session's temporary relations. */
  readonly temporary: ReadonlySet<string>
  /** Does `schema.name` exist, as far as config and catalogs know? */
  exists(key: string): boolean
  /** Does the schema hold anything, as far as config and catalogs know? */
  hasSchema(schema: string): boolean
}

/** `key` is `schema.name`. `unknown`: nobody knows it; `key` then is where it would be created. */
export type Resolved =
  | { readonly kind: 'temporary' | 'system' | 'known' | 'unknown'; readonly key: string }
  /** search_path cannot be known, so a bare name cannot be resolved. */
  | { readonly kind: 'unresolvable'; readonly key: string }

export function resolveRelation(name: Name, space: NameSpace): Resolved {
  if (name.schema !== null) return resolveQualified(name.schema, name.name, space)
  const listsTemporary = space.searchPath?.some((schema) => schema === 'pg_temp') ?? false
  if (!listsTemporary && space.temporary.has(name.name)) return { kind: 'temporary', key: `pg_temp.${name.name}` }
  if (space.searchPath === null) return { kind: 'unresolvable', key: name.name }
  for (const schema of space.searchPath) {
    const found = resolveIn(schema, name.name, space)
    if (found !== null) return found
  }
  // Relations of pg_catalog all begin with pg_. A user's table of such a name was found above.
  if (name.name.startsWith('pg_')) return { kind: 'system', key: `pg_catalog.${name.name}` }
  return { kind: 'unknown', key: `${creationSchema(space, space.searchPath)}.${name.name}` }
}

function resolveQualified(schema: string, name: string, space: NameSpace): Resolved {
  if (isTemporarySchema(schema)) return { kind: 'temporary', key: `pg_temp.${name}` }
  const key = `${schema}.${name}`
  // What somebody added to information_schema is as any other relation.
  if (isSystemSchema(schema) && !space.exists(key)) return { kind: 'system', key }
  return { kind: space.exists(key) ? 'known' : 'unknown', key }
}

function resolveIn(schema: string, name: string, space: NameSpace): Resolved | null {
  if (isTemporarySchema(schema)) return space.temporary.has(name) ? { kind: 'temporary', key: `pg_temp.${name}` } : null
  const key = `${schema}.${name}`
  if (space.exists(key)) return { kind: 'known', key }
  const ofSystem = schema === 'information_schema' ? informationRelations.has(name) : isSystemSchema(schema) && name.startsWith('pg_')
  return ofSystem ? { kind: 'system', key } : null
}

function isTemporarySchema(schema: string): boolean {
  return schema === 'pg_temp' || schema.startsWith('pg_temp_')
}

/** A name that CREATE makes: it goes to the first schema of the path, whatever stands further on. */
export function resolveCreated(name: Name, space: NameSpace): Resolved {
  if (name.schema !== null || space.searchPath === null) return resolveRelation(name, space)
  const key = `${creationSchema(space, space.searchPath)}.${name.name}`
  return { kind: space.exists(key) ? 'known' : 'unknown', key }
}

/** Whether a bare CREATE makes something temporary, because the path begins with pg_temp. */
export function createsTemporary(space: NameSpace): boolean {
  const first = space.searchPath?.find((schema) => isTemporarySchema(schema) || isSystemSchema(schema) || space.hasSchema(schema))
  return first !== undefined && isTemporarySchema(first)
}

/** The first schema of the path that exists. One that is empty everywhere cannot be told from one that does not (like "$user"). */
function creationSchema(space: NameSpace, searchPath: readonly string[]): string {
  const usual = searchPath.filter((schema) => !isSystemSchema(schema) && !isTemporarySchema(schema))
  return usual.find((schema) => space.hasSchema(schema)) ?? (usual.includes('public') ? 'public' : (usual[0] ?? 'public'))
}

/** Schemas in which a bare function, operator or type is looked for: never the temporary one. */
export function callPath(searchPath: readonly string[]): readonly string[] {
  return searchPath.includes('pg_catalog') ? searchPath : ['pg_catalog', ...searchPath]
}
