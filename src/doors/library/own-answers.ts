// doors/library/own-answers.ts — statements that no server is asked: a BEGIN that waits for what follows it, settings of Pointsman, plans.
import type { SessionFloors } from '../../consistency/floors.js'
import { PointsmanError } from '../../errors/error.js'
import type { RouteTaken } from '../../execute/contract.js'
import type { AnswerPlan, Plan } from '../../routing/plan.js'
import { takeToken, tokenOf, tokenResolved } from '../../runtime/session-token.js'
import { tokenSetting } from '../../session/route-settings.js'
import { settleStatement } from '../../session/session.js'
import { effective, settle } from '../../session/settings.js'
import { tokensIn } from '../../session/tokens-in.js'
import { defer, deferBegin, fail, idle, recover } from '../../session/transaction.js'
import { commandResult, textResult } from './answers.js'
import type { Core } from './core.js'
import { asTold, type Holds } from './holds.js'
import type { PgResult } from './pg-client.js'
import type { Status } from './pg-connection.js'
import { parameterText, type Request } from './request.js'
import { transactionFacts, type Settling } from './settling.js'

/** A token that needs a sample waits for it no longer than this. */
const tokenMs = 1000

export interface OwnAnswersParts {
  readonly core: Core
  readonly floors: SessionFloors
  readonly holds: Holds
  readonly settling: Settling
  /** Of the client's last statement; null: there was none. */
  readonly lastRoute: { readonly plan: Plan; readonly route: RouteTaken | null } | null
  readonly status: () => Status | null
}

export class OwnAnswers {
  readonly #parts: OwnAnswersParts

  constructor(parts: OwnAnswersParts) {
    this.#parts = parts
  }

  async answer(request: Request, { answer }: AnswerPlan, config: object): Promise<PgResult> {
    const { pg } = this.#parts.core
    switch (answer.what) {
      case 'empty':
        return commandResult(pg, null)
      case 'begin-deferred':
        return this.#begin(request)
      case 'end-deferred':
        return this.#endDeferred(answer.tag)
      case 'deferred':
        return this.#defer(request, answer.tag)
      case 'set':
        this.takeTokens(request)
        this.#parts.settling.settings(request, [commandResult(pg, 'SET')])
        return commandResult(pg, answer.change.value === null ? 'RESET' : 'SET')
      case 'show':
        return textResult(pg, config, answer.name, [await this.#show(request, answer.name)], 'SHOW')
      case 'explain':
        return textResult(pg, config, 'QUERY PLAN', request.ground.planner.printRoute(answer.plan, null).split('\n'), 'EXPLAIN')
      case 'joint':
        return this.#control(answer)
      case 'deallocate':
        return commandResult(pg, answer.name === null ? 'DEALLOCATE ALL' : 'DEALLOCATE')
    }
  }

  /** Of a transaction on several clusters. */
  async #control(control: Extract<AnswerPlan['answer'], { what: 'joint' }>): Promise<PgResult> {
    const { joint } = this.#parts.holds
    await joint.run(control)
    try {
      return commandResult(this.#parts.core.pg, joint.result())
    } catch (error) {
      throw asTold(error)
    }
  }

  #begin(request: Request): PgResult {
    const session = this.#parts.holds.session
    const facts = transactionFacts(request.understood.shape.statements?.[0])
    if (session === null || facts === null) {
      throw new PointsmanError('feature_not_supported', {
        values: { what: 'BEGIN outside a checked-out client: its statements would go to different connections' },
        hint: 'Use const client = await pool.connect(), and release it after COMMIT or ROLLBACK.',
      })
    }
    session.transaction = deferBegin(request.query.text, facts)
    session.settings = settle(session.settings, { kind: 'begin' })
    return commandResult(this.#parts.core.pg, request.query.text.trimStart().toLowerCase().startsWith('start') ? 'START' : 'BEGIN')
  }

  #endDeferred(tag: 'COMMIT' | 'ROLLBACK'): PgResult {
    const session = this.#parts.holds.session
    if (session !== null) {
      const failed = this.#parts.status() === 'E'
      session.transaction = idle
      session.settings = settle(session.settings, { kind: tag === 'ROLLBACK' || failed ? 'rollback' : 'commit' })
      return commandResult(this.#parts.core.pg, failed ? 'ROLLBACK' : tag)
    }
    return commandResult(this.#parts.core.pg, tag)
  }

  #defer(request: Request, tag: string): PgResult {
    const session = this.#parts.holds.session
    const statement = request.understood.shape.statements?.[0]
    if (session === null || statement === undefined) return commandResult(this.#parts.core.pg, tag)
    const facts = transactionFacts(statement)
    const name = facts?.op === 'rollback-to' ? (facts.name ?? '') : null
    const back = name === null ? null : recover(session.transaction, name)
    if (name !== null && back === null) {
      session.transaction = fail(session.transaction)
      throw new PointsmanError('undefined_savepoint', { values: { name } })
    }
    session.transaction = back ?? defer(session.transaction, request.query.text, facts)
    session.settings = settleStatement(session.settings, statement, tag, parameterText(request.parameters))
    return commandResult(this.#parts.core.pg, tag)
  }

  async #show({ ground }: Request, name: Extract<AnswerPlan['answer'], { what: 'show' }>['name']): Promise<string | null> {
    if (name === tokenSetting) {
      const bearer = { floors: this.#parts.floors, database: ground.database, generation: ground.generation }
      await tokenResolved(bearer, tokenMs)
      return tokenOf(bearer)
    }
    if (name === 'pointsman.last_route') {
      return this.#parts.lastRoute === null ? null : ground.planner.printTaken(this.#parts.lastRoute.plan, this.#parts.lastRoute.route)
    }
    return this.#parts.holds.session === null ? null : (effective(this.#parts.holds.session.settings, name) ?? null)
  }

  /** A token counts from its receipt, whatever becomes of the statement; one that cannot be used is no error. */
  takeTokens({ ground, understood, parameters }: Request): void {
    const bearer = { floors: this.#parts.floors, database: ground.database, generation: ground.generation }
    for (const text of tokensIn(understood, parameterText(parameters))) {
      const problem = takeToken(bearer, text, this.#parts.core.now())
      if (problem !== null)
        this.#parts.core.observer.emit('log', { level: 'warn', message: `a token was not used: ${problem}`, fields: {} })
    }
  }
}
