// config/json-schema.ts — the JSON schema of pointsman.yaml, for editors. Generated from schema.ts, never written by hand.
import { z } from 'zod'
import { configSchema } from './schema.js'

/** The library takes functions, a file holds none: `{}`, which stands for one, would allow anything. */
function withoutFunctions({ jsonSchema }: { jsonSchema: { anyOf?: object[] } }): void {
  if (jsonSchema.anyOf === undefined) return
  jsonSchema.anyOf = jsonSchema.anyOf.filter((arm) => Object.keys(arm).length > 0)
}

/** As `pointsman schema` prints it (and config/pointsman.schema.json holds it). */
export function jsonSchema(): object {
  const generated = z.toJSONSchema(configSchema, {
    io: 'input',
    target: 'draft-2020-12',
    unrepresentable: 'any',
    override: withoutFunctions,
  })
  return { $schema: generated.$schema, title: 'pointsman.yaml', ...generated }
}
