// doors/library/warnings.ts — what an application probably does not mean, told once each as a `log` event.
import type { Observer } from '../../observe/events.js'
import type { OnePlan } from '../../routing/plan.js'
import type { RequestContext } from './request-context.js'

export class Warnings {
  readonly #observer: Observer
  readonly #context: RequestContext
  readonly #told = new Set<string>()

  constructor(observer: Observer, context: RequestContext) {
    this.#observer = observer
    this.#context = context
  }

  /** A `session` read outside any session, while others have one: its AsyncLocalStorage was lost, or run() forgotten. */
  readWithoutSession(plan: OnePlan): void {
    if (!this.#context.used || plan.role !== 'replica' || plan.policy.consistency !== 'session') return
    this.once('a read with session consistency ran outside router.run(): it sees the writes of this process, and no token has them', {
      tables: plan.tables,
    })
  }

  /** `message` is what makes it the same warning. */
  once(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    if (this.#told.has(message)) return
    this.#told.add(message)
    this.#observer.emit('log', { level: 'warn', message, fields })
  }
}
