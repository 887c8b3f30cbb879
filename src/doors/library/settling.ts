// doors/library/settling.ts — a statement has ended on its connection: what that means for the floors, the settings and the transaction of its
// client, whether it is to be run once more, and whether the connection goes back.
import type { SessionFloors } from '../../consistency/floors.js'
import { asOverride } from '../../consistency/policy.js'
import { PointsmanError } from '../../errors/error.js'
import { forgive, maxAttempts, rerunFor } from '../../execute/again.js'
import { readEnd } from '../../execute/read-end.js'
import { sqlstateOf } from '../../pool/failure.js'
import type { OnePlan } from '../../routing/plan.js'
import { mayCommit } from '../../session/commits.js'
import { mirrored } from '../../session/replay.js'
import { settleStatement, type Session } from '../../session/session.js'
import { settle } from '../../session/settings.js'
import { afterReady, idle, isJoint, modeAfter, modeOf } from '../../session/transaction.js'
import type { Statement, Understood } from '../../sql/statement.js'
import type { Core } from './core.js'
import type { Hold } from './hold.js'
import type { Holds } from './holds.js'
import { lossOf } from './loss.js'
import type { PgResult } from './pg-client.js'
import type { Status } from './pg-connection.js'
import { parameterText, type Answer, type Request, type SentOn } from './request.js'

export interface SettlingParts {
  readonly core: Core
  readonly floors: SessionFloors
  readonly holds: Holds
}

export class Settling {
  readonly #parts: SettlingParts

  constructor(parts: SettlingParts) {
    this.#parts = parts
  }

  get #session(): Session | null {
    return this.#parts.holds.session
  }

  /** Null: this is the answer. Else nothing was given out, and it is to be sent again. */
  settle(hold: Hold, request: Request, plan: OnePlan, sent: SentOn, repeatable: boolean): 'primary' | 'elsewhere' | null {
    if (sent.status === null) return this.#settleLost(hold, request, sent, repeatable)
    if (sent.status === 'I' && isJoint(this.#session?.transaction ?? idle)) throw this.#endedAlone(hold, request)
    const rerun = repeatable && !sent.ok && request.query.kind === 'plain' ? rerunFor(sqlstateOf(sent.error), hold.route.role) : null
    if (rerun === 'primary') {
      this.#parts.core.observer.emit('read.misrouted', { cluster: hold.cluster, node: hold.route.node, shape: request.understood.shape.id })
    }
    if (hold.writing && sent.status === 'I' && sent.ok) request.ground.generation.writeAcknowledged(hold.cluster, this.#parts.core.now())
    this.#settleFloors(hold, request, plan, sent.status)
    if (sent.ok) {
      if (plan.unpins !== null) this.#parts.holds.unpin(hold, plan.unpins)
      if (plan.changesCatalog) hold.definedSomething = true
      this.settings(request, resultsOf(sent.result), hold)
    } else if (rerun === null) {
      request.outcome = sqlstateOf(sent.error) === '57014' ? 'canceled' : 'error'
    }
    if (hold.definedSomething && sent.status === 'I') {
      hold.definedSomething = false
      request.ground.generation.catalogChanged(hold.cluster)
    }
    this.#atReady(hold, request, plan, sent.status, !sent.ok)
    return rerun
  }

  #settleLost(hold: Hold, request: Request, sent: SentOn, repeatable: boolean): 'elsewhere' | null {
    const { transaction } = this.#session ?? request.ground.fresh
    const unknown = hold.writing && sent.written && (transaction.kind === 'idle' || mayCommit(request.understood))
    forgive(request, hold)
    const moves = transaction.kind !== 'open' && request.query.kind === 'plain' && sent.given !== true
    const again = moves && (!sent.written || repeatable) && request.attempts < maxAttempts
    this.lost(hold, request, again)
    if (again) return 'elsewhere'
    request.outcome = 'lost'
    if (sent.given === true) return null
    if (request.query.kind === 'submittable') return null // pg has told it
    throw lossOf(hold, unknown, sent.ok ? undefined : sent.error)
  }

  #settleFloors(hold: Hold, request: Request, plan: OnePlan, status: Status): void {
    if (status === 'I') this.#parts.holds.writeEnded(hold)
    if (!plan.readsData) return
    this.#parts.floors.readEnded(hold.cluster, readEnd(hold, request.startedAt, this.#parts.core.now()))
  }

  /** One part of a transaction on several clusters is not open any more, by nothing that was asked for. */
  #endedAlone(hold: Hold, request: Request): PointsmanError {
    const what = `the transaction has ended on cluster ${hold.cluster} alone, which nothing of it was to do`
    this.lost(hold, request, false)
    return new PointsmanError('feature_not_supported', { values: { what } })
  }

  /** What the statements that ended changed in the session, and on the connection they ran on. */
  settings(request: Request, results: readonly PgResult[], hold: Hold | null = null): void {
    const session = this.#session
    const statements = request.understood.shape.statements
    if (!statements?.some(touchesSession)) return
    if (session === null || statements.length !== results.length) {
      if (hold !== null) hold.settings = null
      return
    }
    statements.forEach((statement, index) => {
      const tag = results[index]?.command ?? ''
      session.settings = settleStatement(settle(session.settings, { kind: 'begin' }), statement, tag, parameterText(request.parameters))
      this.#noteTemporary(session, statement)
    })
    if (hold === null && session.transaction.kind === 'idle') session.settings = settle(session.settings, { kind: 'commit' })
    if (hold !== null) hold.settings = mirrored(session.settings)
  }

  #noteTemporary(session: Session, { detail, relations }: Statement): void {
    if (detail.kind === 'ddl' && detail.temporary) {
      session.addTemporary(relations.filter(({ access }) => access === 'define').map(({ name }) => name.name))
    }
    if (detail.kind === 'select' && detail.into?.temporary === true) session.addTemporary([detail.into.name.name])
  }

  #atReady(hold: Hold, request: Request, plan: OnePlan, status: Status, failed: boolean): void {
    const session = this.#session
    if (session !== null) {
      const mode = (request.understood.shape.statements ?? []).reduce(modeAfter, modeOf(session.transaction))
      if (status === 'I' && session.settings.undo.length > 0) {
        session.settings = settle(session.settings, { kind: failed ? 'rollback' : 'commit' })
        if (hold.settings !== null) hold.settings = mirrored(session.settings)
      }
      const { cluster, node, role } = hold.route
      session.transaction = afterReady(
        session.transaction,
        status,
        { cluster, node, role, place: plan.place },
        mode,
        asOverride(plan.policy),
      )
    }
    // Of several statements of which one failed nobody can say what the others set.
    if (failed && (request.understood.shape.statements?.length ?? 2) > 1) hold.settings = null
    if (session === null || (status === 'I' && hold.pins.size === 0)) this.#parts.holds.release(hold)
  }

  /** `again`: the client does not hear of it. */
  lost(hold: Hold, { understood }: Request, again: boolean): void {
    this.#parts.holds.lost(hold, { ends: endsTransaction(understood), again })
  }
}

function resultsOf(result: Answer): readonly PgResult[] {
  return result === undefined ? [] : Array.isArray(result) ? result : [result]
}

export function transactionFacts(
  statement: Statement | undefined,
): Extract<Statement['detail'], { kind: 'transaction' }>['transaction'] | null {
  return statement?.detail.kind === 'transaction' ? statement.detail.transaction : null
}

function endsTransaction({ shape }: Understood): boolean {
  return shape.statements?.some((statement) => /^(commit|rollback)$/.test(transactionFacts(statement)?.op ?? '')) === true
}

function touchesSession({ detail }: Statement): boolean {
  switch (detail.kind) {
    case 'set':
    case 'transaction':
    case 'discard':
      return true
    case 'select':
      return detail.settings === null || detail.settings.length > 0 || detail.into?.temporary === true
    case 'ddl':
      return detail.temporary
    default:
      return false
  }
}
