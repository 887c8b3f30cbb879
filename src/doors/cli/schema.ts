// doors/cli/schema.ts — `pointsman schema`.
import { jsonSchema } from '../../config/json-schema.js'
import { exit, type ExitCode, type Io } from './io.js'

export function schema(io: Io): ExitCode {
  io.out(JSON.stringify(jsonSchema(), null, 2))
  return exit.done
}
