// routing/copy.ts — COPY of a sharded table. FROM STDIN: its rows go to a COPY on each cluster, all in one transaction of them; which
// row goes where is decided as they come. TO STDOUT is the SELECT of the same rows, merged, and written as COPY writes it.
import type { CopyForm } from '../protocol/copy-form.js'
import { quoted } from '../session/quote.js'
import type { Sharded } from '../sharding/sharded.js'
import { deparse } from '../sql/deparse.js'
import { parseStatements } from '../sql/parser.js'
import { unwrap, type Fields } from '../sql/tree.js'
import { refusedBroadcast, sessionAgainst, writtenOnAll } from './broadcast.js'
import type { Context } from './context.js'
import { copyForm } from './copy-form.js'
import type { CopyTarget, Routed } from './destination.js'
import { finish } from './finish.js'
import type { Touched } from './homes.js'
import { understandInner } from './inner-statement.js'
import type { PlanInput } from './input.js'
import { refuse } from './make.js'
import type { CopyKey, Plan, RefusePlan } from './plan.js'

/** `planned`: plan() itself. */
export function copyPlan(context: Context, routed: Routed, to: CopyTarget, input: PlanInput, planned: (input: PlanInput) => Plan): Plan {
  const { detail } = routed.statement
  if (detail.kind !== 'copy') throw new Error('a COPY was planned that is none')
  if (routed.outer !== routed.statement || context.inBatch) return unfit(routed, to.sharded, 'does not stand alone', 'Send it by itself.')
  const copy = copyOf(input.understood.text)
  const form = copy === null ? 'it is not understood' : copyForm(copy)
  if (typeof form === 'string') return unfit(routed, to.sharded, form, 'Leave the option out, or COPY each cluster by itself.')
  return detail.direction === 'from' ? into(context, routed, to, form) : outOf(context, routed, to, form, input, planned)
}

/** COPY (SELECT …) TO STDOUT of several shards. */
export function copySelect(
  context: Context,
  routed: Routed,
  sharded: Sharded,
  input: PlanInput,
  planned: (input: PlanInput) => Plan,
): Plan {
  const copy = copyOf(input.understood.text)
  const query = unwrap(copy?.['query'])
  const form = copy === null ? 'it is not understood' : copyForm(copy)
  const text = query === null ? null : deparse(query)
  if (typeof form === 'string' || text === null || routed.outer !== routed.statement || context.inBatch)
    return unfit(routed, sharded, typeof form === 'string' ? form : 'it cannot be followed', 'Bind the shard key in its SELECT.')
  return gathered(context, routed, text, form, input, planned)
}

function copyOf(text: string): Fields | null {
  const [parsed, another] = parseStatements(text)
  return parsed === undefined || another !== undefined || parsed.node.tag !== 'CopyStmt' ? null : parsed.node.fields
}

function unfit({ touched }: Routed, sharded: Sharded, what: string, hint: string): RefusePlan {
  return refuse('sharded-unsupported', {
    message: `COPY of ${sharded.name}, which is sharded: ${what}`,
    hint,
    owner: sharded.owner,
    tables: touched.map((one) => one.key),
  })
}

// ---- columns

/** In the order in which COPY writes them where it names none; null: not known, or not the same on every cluster. */
function columnsOf(context: Context, { sharded, table }: CopyTarget): readonly string[] | null {
  const all = sharded.clusters.map((cluster) =>
    context.catalogs
      .get(cluster)
      ?.relations.get(table.key)
      ?.columns.flatMap(({ name, generated }) => (generated === true ? [] : [name])),
  )
  const [first] = all
  return first !== undefined && all.every((names) => names?.join('\0') === first.join('\0')) ? first : null
}

// ---- FROM STDIN

const byItself = 'COPY in a transaction of its own.'

function into(context: Context, routed: Routed, to: CopyTarget, form: CopyForm): Plan {
  const { sharded, table } = to
  const { detail } = routed.statement
  const { transaction } = context.session
  const named = detail.kind === 'copy' ? detail.columns : null
  const columns = named ?? columnsOf(context, to)
  if (columns === null) return unfit(routed, sharded, 'its columns are not the same on every cluster', 'Name the columns.')
  const key = keyOf(context, to, columns)
  if (key === null) return unfit(routed, sharded, 'it lacks the shard key', `Name all of its columns: ${keyNames(table).join(', ')}.`)
  const several = transaction.joined !== null && context.database.twoPhase !== null && sharded.clusters.length > 1
  const against = several ? sessionAgainst(context, sharded) : readsOtherwise(context)
  if (against !== null) return refusedBroadcast(routed, sharded.clusters, against.message, against.hint)
  const home = transaction.home?.cluster
  const clusters = sharded.clusters.filter((cluster) => home === undefined || several || cluster === home)
  if (clusters.length === 0) return unfit(routed, sharded, `the transaction is open on cluster ${home ?? ''}`, byItself)
  const homeFirst = [...clusters].sort((a, b) => Number(b === home) - Number(a === home))
  const said = `${table.key}: each row to its cluster, of ${clusters.join(', ')}`
  const copy = { sharded, table: table.key, form, key, columns: columns.length, several }
  return writtenOnAll(context, routed, { clusters: homeFirst, combine: 'sum', of: table.key }, { detail: said, inTurn: byItself, copy })
}

function readsOtherwise({ session }: Context): { readonly message: string; readonly hint: string } | null {
  if (session.understood) return null
  return { message: 'the session reads text in another way', hint: 'SET standard_conforming_strings = on and use client_encoding UTF8.' }
}

function keyNames({ home }: Touched): readonly string[] {
  return home.kind === 'sharded' ? home.keyColumns : []
}

function keyOf(context: Context, { sharded, table }: CopyTarget, columns: readonly string[]): readonly CopyKey[] | null {
  const infos = sharded.clusters.map((cluster) => context.catalogs.get(cluster)?.relations.get(table.key)?.columns ?? [])
  const key = keyNames(table).map((column) => ({
    column,
    position: columns.indexOf(column),
    trims: infos.some((all) => all.some(({ name, type }) => name === column && type.endsWith(')'))),
  }))
  return key.every(({ position }) => position !== -1) ? key : null
}

// ---- TO STDOUT

function outOf(
  context: Context,
  routed: Routed,
  to: CopyTarget,
  form: CopyForm,
  input: PlanInput,
  planned: (input: PlanInput) => Plan,
): Plan {
  const { detail } = routed.statement
  const { name } = to.table
  const columns = (detail.kind === 'copy' ? detail.columns : null) ?? columnsOf(context, to)
  const kinds = to.sharded.clusters.map((cluster) => context.catalogs.get(cluster)?.relations.get(to.table.key)?.kind)
  if (columns === null || kinds.some((kind) => kind !== 'table'))
    return unfit(routed, to.sharded, 'it is no plain table with the same columns on every cluster', 'Use COPY (SELECT …) TO STDOUT.')
  const from = name.schema === null ? quoted(name.name) : `${quoted(name.schema)}.${quoted(name.name)}`
  const text = `SELECT ${columns.map(quoted).join(', ')} FROM ONLY ${from}`
  return gathered(context, routed, text, form, input, planned)
}

function gathered(
  context: Context,
  routed: Routed,
  text: string,
  form: CopyForm,
  input: PlanInput,
  planned: (input: PlanInput) => Plan,
): Plan {
  const understood = understandInner(text, input.understood.hints)
  const plan = planned({ ...input, understood, parameters: null })
  if (plan.kind === 'one') return finish(context, routed, { cluster: plan.cluster, shard: plan.shard, provisional: false, why: plan.why })
  return plan.kind === 'scatter' ? Object.freeze({ ...plan, copy: form }) : plan
}
