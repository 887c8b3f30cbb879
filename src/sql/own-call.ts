// sql/own-call.ts — SELECTs that are nothing but one call about a client's own process number: pg_backend_pid(),
// pg_cancel_backend(…), pg_terminate_backend(…). The proxy gives its clients numbers of its own (session/client-pids.ts).
import type { LiteralIndex } from './literal-index.js'
import { operand } from './operands.js'
import type { OwnCall } from './statement.js'
import { type Fields, as, list, nameOf, text } from './tree.js'

/** What a SELECT may have besides its target list. */
const harmlessFields: ReadonlySet<string> = new Set(['targetList', 'limitOption', 'op'])
const callFields: ReadonlySet<string> = new Set(['funcname', 'args', 'funcformat', 'location'])

/** null: anything else. A name without a schema is taken for the built-in one: nobody shadows it but who means to. */
export function ownCall(select: Fields, literals: LiteralIndex): OwnCall | null {
  if (Object.keys(select).some((name) => !harmlessFields.has(name)) || select['op'] !== 'SETOP_NONE') return null
  const targets = list(select['targetList'])
  const target = as('ResTarget', targets[0])
  const call = as('FuncCall', target?.['val'])
  if (call === null || targets.length !== 1 || Object.keys(call).some((field) => !callFields.has(field))) return null
  const name = nameOf(call['funcname'])
  if (name === null || (name.schema !== null && name.schema !== 'pg_catalog')) return null
  const column = text(target?.['name']) ?? name.name
  const args = list(call['args'])
  if (name.name === 'pg_backend_pid') return args.length === 0 ? Object.freeze({ kind: 'pid', column }) : null
  const kind = name.name === 'pg_cancel_backend' ? 'cancel' : name.name === 'pg_terminate_backend' ? 'terminate' : null
  if (kind === null || args.length < 1 || args.length > (kind === 'terminate' ? 2 : 1)) return null
  const timeout = args.length === 2 ? operand(args[1], literals) : null
  // A query that cancels itself runs on the server all the same, and is cancelled there.
  if (kind === 'terminate' && isOwnPid(args[0])) return Object.freeze({ kind, column, pid: self, timeout })
  const pid = operand(args[0], literals)
  return pid.kind === 'literal' || pid.kind === 'param' ? Object.freeze({ kind, column, pid, timeout }) : null
}

const self = Object.freeze({ kind: 'self' })

function isOwnPid(node: unknown): boolean {
  const call = as('FuncCall', node)
  if (call === null || Object.keys(call).some((field) => !callFields.has(field)) || list(call['args']).length > 0) return false
  const name = nameOf(call['funcname'])
  return name?.name === 'pg_backend_pid' && (name.schema === null || name.schema === 'pg_catalog')
}
