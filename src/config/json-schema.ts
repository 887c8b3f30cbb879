// config/json-schema.ts — the JSON schema of pointsman.yaml, for editors. Generated from schema.ts, never written by hand.
import { z } from 'zod'
import { configSchema } from './schema.js'

/** As `pointsman schema` prints it (and config/pointsman.schema.json holds it). */
export function jsonSchema(): object {
  const generated = z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12' })
  return { $schema: generated.$schema, title: 'pointsman.yaml', ...generated }
}
