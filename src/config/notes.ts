// config/notes.ts — what zod does not know of a schema: what is allowed there in words, and what the contract names but
// this version does not do. A registry of our own, so that none of it leaks into the JSON schema.
import { z } from 'zod'

export interface Note {
  /** Completes "… must be". */
  readonly allowed?: string
  /** Values that are known but not built yet: `true`, `range`, … */
  readonly later?: (value: unknown) => boolean
  /** Keys of an object that are known but not built yet. */
  readonly laterKeys?: readonly string[]
  /** Its value never appears in a message. */
  readonly secret?: boolean
}

export const notes: z.core.$ZodRegistry<Note> = z.registry<Note>()

/** Adds a note, and a description for the JSON schema. */
export function noted<S extends z.ZodType>(schema: S, note: Note, description?: string): S {
  const described = description === undefined ? schema : schema.describe(description)
  notes.add(described, note)
  return described
}

/** The note at `path` below `schema`, seen through optional, union, record and list; {} where there is none. */
export function noteAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): Note {
  return notesOf(schemasAt(schema, path))
}

/** Keys that an object at `path` may have; [] if none is expected there. */
export function keysAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): readonly string[] {
  return schemasAt(schema, path).flatMap((found) => {
    const def = definition(found)
    return def.type === 'object' ? Object.keys(def.shape) : []
  })
}

/** True where a text may be a secret, also one that a person put a level too high; and where nothing is expected. */
export function mayHoldSecret(schema: z.core.$ZodType, path: readonly PropertyKey[]): boolean {
  const found = schemasAt(schema, path)
  return found.length === 0 || found.some(holdsSecret)
}

function holdsSecret(schema: z.core.$ZodType): boolean {
  if (notes.get(schema)?.secret === true) return true
  const def = definition(schema)
  if (def.type === 'object') return Object.values(def.shape).some((inner) => unwrapped(inner).some(holdsSecret))
  if (def.type === 'record') return unwrapped(def.valueType).some(holdsSecret)
  return def.type === 'array' && unwrapped(def.element).some(holdsSecret)
}

function notesOf(schemas: readonly z.core.$ZodType[]): Note {
  return Object.assign({}, ...schemas.map((schema) => notes.get(schema) ?? {})) as Note
}

// All schemas that describe the place, outermost first: a wrapper and what it wraps, every arm of a union.
function schemasAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): readonly z.core.$ZodType[] {
  let here = unwrapped(schema)
  for (const key of path) here = here.flatMap((one) => below(one, key)).flatMap(unwrapped)
  return here
}

function unwrapped(schema: z.core.$ZodType): z.core.$ZodType[] {
  const def = definition(schema)
  if (def.type === 'optional') return [...unwrapped(def.innerType), schema]
  if (def.type === 'union') return [...def.options.flatMap(unwrapped), schema]
  return [schema]
}

function below(schema: z.core.$ZodType, key: PropertyKey): z.core.$ZodType[] {
  const def = definition(schema)
  if (def.type === 'record') return [def.valueType]
  if (def.type === 'array') return [def.element]
  if (def.type !== 'object') return []
  const found = Object.hasOwn(def.shape, key) ? def.shape[String(key)] : undefined
  return found === undefined ? [] : [found]
}

type Definition =
  | z.core.$ZodOptionalDef
  | z.core.$ZodUnionDef
  | z.core.$ZodRecordDef
  | z.core.$ZodArrayDef
  | z.core.$ZodObjectDef
  | { readonly type: 'other' }

function definition(schema: z.core.$ZodType): Definition {
  return schema._zod.def as Definition
}
