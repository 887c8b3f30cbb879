// routing/cursor.ts — DECLARE of a cursor over several shards: the SELECT in it is planned as if it stood alone, and what would be merged
// is fetched bit by bit, forward only, within the transaction.
import { deparse } from '../sql/deparse.js'
import { parseStatements } from '../sql/parser.js'
import { integer, unwrap } from '../sql/tree.js'
import type { Context } from './context.js'
import type { Routed } from './destination.js'
import { finish } from './finish.js'
import type { PlanInput } from './input.js'
import { understandInner } from './inner-statement.js'
import { refuse } from './make.js'
import type { Plan, RefusePlan } from './plan.js'

/** Of DeclareCursorStmt.options. */
const [binary, scroll] = [0x1, 0x2]

/** `planned`: plan() itself. */
export function cursorPlan(context: Context, routed: Routed, input: PlanInput, planned: (input: PlanInput) => Plan): Plan {
  const { detail } = routed.outer
  if (detail.kind !== 'declare') throw new Error('a DECLARE was planned that is none')
  if (context.session.transaction.status === 'idle' && !detail.hold)
    return refuse('session-state', {
      message: 'DECLARE CURSOR can only be used in transaction blocks',
      hint: '',
      error: 'no_active_transaction',
      owner: routed.owner,
    })
  const [parsed, another] = parseStatements(input.understood.text)
  const declare = parsed?.node.tag === 'DeclareCursorStmt' && another === undefined ? parsed.node.fields : null
  const options = integer(declare?.['options'])
  const query = unwrap(declare?.['query'])
  const text = query === null ? null : deparse(query)
  if (context.inBatch || text === null) return unfit(routed, 'that cannot be followed', 'Send DECLARE by itself.')
  if (detail.hold) return unfit(routed, 'WITH HOLD', 'Fetch it within a transaction.')
  if ((options & scroll) !== 0) return unfit(routed, 'with SCROLL', 'Declare it with NO SCROLL: its rows are merged as they come.')
  if ((options & binary) !== 0) return unfit(routed, 'with BINARY', 'Leave BINARY out.')
  const plan = planned({ ...input, understood: understandInner(text, input.understood.hints) })
  if (plan.kind === 'one') return finish(context, routed, { cluster: plan.cluster, shard: plan.shard, provisional: false, why: plan.why })
  return plan.kind === 'scatter' ? Object.freeze({ ...plan, cursor: detail.name }) : plan
}

function unfit({ touched, owner }: Routed, what: string, hint: string): RefusePlan {
  return refuse('not-merged', {
    message: `a cursor ${what} over several shards is not supported`,
    hint,
    owner,
    tables: touched.map((one) => one.key),
  })
}
