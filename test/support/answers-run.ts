// test/support/answers-run.ts — asks questions of the proxy over an AnswersWorld and counts, by kind, what was answered and what was
// refused. A write that is refused is taken back where everything is; after one that ran, the tables are compared.
import type pg from 'pg'
import { ask, judge, ways, type Question, type Verdict, type Way } from './answers-compare.js'
import { layouts, wholeOf, type AnswersWorld, type Layout } from './answers-world.js'

export interface Counts {
  answered: number
  failed: number
  refused: number
  unequal: number
}

const none: Readonly<Counts> = { answered: 0, failed: 0, refused: 0, unequal: 0 }

export interface Unequal {
  readonly layout: Layout
  readonly way: Way
  readonly question: Question
  readonly why: string
}

const written = ['comments', 'votes', 'notes', 'users', 'countries', 'orders', 'lineitem'] as const

export class AnswersRun {
  readonly #world: AnswersWorld
  readonly #clients: ReadonlyMap<Layout, pg.Client>
  readonly counts: Map<string, Counts> = new Map()
  readonly unequal: Unequal[] = []
  /** Reason of a refusal → how often. */
  readonly reasons: Map<string, number> = new Map()
  readonly refused: { readonly layout: Layout; readonly question: Question; readonly why: string }[] = []

  constructor(world: AnswersWorld, clients: ReadonlyMap<Layout, pg.Client>) {
    this.#world = world
    this.#clients = clients
  }

  /** Connects to each layout through a proxy. */
  static async connect(world: AnswersWorld, connect: (database: string) => Promise<pg.Client>): Promise<AnswersRun> {
    const clients = new Map<Layout, pg.Client>()
    for (const layout of layouts) clients.set(layout, await connect(layout))
    return new AnswersRun(world, clients)
  }

  /** Asks one question of one layout. */
  async run(question: Question, layout: Layout, way: Way): Promise<Verdict> {
    const client = this.#clients.get(layout)
    if (client === undefined) throw new Error(`no ${layout}`)
    const whole = await this.#world.direct(wholeOf(layout))
    const writes = question.kind.startsWith('write') || question.kind.endsWith('writes')
    if (writes) await whole.query('BEGIN')
    const [wanted, got] = await Promise.all([ask(whole, question, way), ask(client, question, way)])
    let verdict = judge(question, wanted, got)
    if (writes) await whole.query('code' in got ? 'ROLLBACK' : 'COMMIT')
    if (writes && verdict.verdict === 'answered') verdict = await this.#compareTables(question, layout)
    this.#count(question, layout, way, verdict)
    return verdict
  }

  async #compareTables(question: Question, layout: Layout): Promise<Verdict> {
    for (const table of written.filter((name) => question.sql.includes(name))) {
      const { whole, spread } = await this.#world.contents(table, layout)
      if (whole.join('\n') !== spread.join('\n')) {
        const more = spread.filter((row) => !whole.includes(row)).slice(0, 3)
        const less = whole.filter((row) => !spread.includes(row)).slice(0, 3)
        return { verdict: 'unequal', why: `rows of ${table} afterwards\nonly ours: ${more.join('; ')}\nonly whole: ${less.join('; ')}` }
      }
    }
    return { verdict: 'answered' }
  }

  #count(question: Question, layout: Layout, way: Way, verdict: Verdict): void {
    const kind = layout === 'parts' ? `${question.kind} (partitions)` : question.kind
    const counts = this.counts.get(kind) ?? { ...none }
    this.counts.set(kind, counts)
    counts[verdict.verdict]++
    if (verdict.verdict === 'unequal') this.unequal.push({ layout, way, question, why: verdict.why })
    if (verdict.verdict !== 'refused') return
    this.refused.push({ layout, question, why: verdict.why })
    const reason = verdict.why.replace(/^.*?, and /, '').replace(/public\.\w+|"\w+"/g, '…')
    this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1)
  }

  /** Of all that was asked of these kinds. Both failing alike counts as answered: that is what one server says. */
  share(kinds: readonly string[]): number {
    const counts = kinds.map((kind) => this.counts.get(kind) ?? none)
    const sum = (of: (one: Counts) => number): number => counts.reduce((total, one) => total + of(one), 0)
    return (
      sum(({ answered, failed }) => answered + failed) /
      Math.max(
        1,
        sum((one) => one.answered + one.failed + one.refused + one.unequal),
      )
    )
  }

  /** A table of numbers, by kind. */
  table(): string {
    const lines = [...this.counts.keys()].sort().map((kind) => {
      const { answered, failed, refused, unequal } = this.counts.get(kind) ?? none
      const numbers = [answered, failed, refused, unequal].map((n) => String(n).padStart(9))
      return `${kind.padEnd(34)}${numbers.join('')}${(this.share([kind]) * 100).toFixed(1).padStart(8)} %`
    })
    return [`${'kind'.padEnd(34)} answered  same error refused unequal   share`, ...lines].join('\n')
  }
}

/** Ways and layouts in turn, each with each. */
export function turn(n: number): { readonly layout: Layout; readonly way: Way } {
  return { layout: layouts[n % layouts.length] ?? 'two', way: ways[Math.floor(n / layouts.length) % ways.length] ?? 'simple' }
}
