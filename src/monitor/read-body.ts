// monitor/read-body.ts — facts of a statement → facts of a view, policy or check. The texts come from a connection whose
// search_path is empty, so a bare name in them is one of pg_catalog and nothing else.
import type { BodyFacts } from '../catalog/build.js'
import type { Name, Statement } from '../sql/statement.js'

/** Understands a text, as sql/ does: its statements, or null. */
export type ReadText = (text: string) => readonly Statement[] | null

export function readBody(text: string, readText: ReadText): BodyFacts | null {
  const statements = readText(text)
  const [statement] = statements ?? []
  if (statement === undefined || statements?.length !== 1) return null
  return {
    writes: statement.writes || statement.relations.some(({ access }) => access !== 'read'),
    relations: statement.relations.map(({ name }) => qualified(name)),
    functions: statement.functions.map(({ name, args }) => ({ ...qualified(name), args })),
    operators: statement.operators.map(qualified),
    types: statement.types.map(qualified),
  }
}

function qualified({ schema, name }: Name): { readonly schema: string; readonly name: string } {
  return { schema: schema ?? 'pg_catalog', name }
}
