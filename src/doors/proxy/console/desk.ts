// doors/proxy/console/desk.ts — where all consoles of one process meet the other workers: what is shown is asked of all of them,
// what is switched holds in all of them, and a worker that comes later takes over what stands.
//
//   operator ─▶ desk ─▶ fleet.ask ─▶ desk of every worker: collect() or carryOut() ─▶ added up, told
import type { Observer } from '../../../observe/events.js'
import type { ProcessControl } from '../../../runtime/control.js'
import type { Fleet, Json } from '../../../runtime/fleet.js'
import type { Greetings } from '../greetings.js'
import type { Table } from './cells.js'
import { collect, type CollectParts } from './collect.js'
import type { ConsoleTable } from './command.js'
import { carryOut, type Deed } from './deed.js'
import { explainRoute } from './explain-route.js'
import type { Reported, ReportPart, WorkerReport } from './reports.js'
import { consoleTable, tableSpecs } from './tables.js'

export interface DeskParts extends CollectParts {
  readonly fleet: Fleet
  readonly observer: Observer
  readonly greetings: Greetings
  readonly version: string
  /** null: nobody runs the process who could do any of that. */
  readonly control: ProcessControl | null
  /** Cuts off clients of this process; gives how many. */
  readonly kill: (test: (client: { readonly pid: number; readonly database: string }) => boolean) => number
}

const reportTopic = 'console.report'
const deedTopic = 'console.do'

interface Order {
  readonly deed: Deed
  readonly by: string
}

export class Desk {
  readonly #parts: DeskParts

  constructor(parts: DeskParts) {
    this.#parts = parts
    const { fleet } = parts
    fleet.answer(reportTopic, (wanted) => collect(parts, wanted as unknown as readonly ReportPart[]) as unknown as Json)
    fleet.answer(deedTopic, (body) => this.#carryOut(body as unknown as Order))
    fleet.carry('console', { give: () => this.#standing() as unknown as Json, take: (orders) => this.#adopt(orders as unknown as Order[]) })
  }

  get parts(): DeskParts {
    return this.#parts
  }

  async show(table: ConsoleTable): Promise<Table> {
    const { runtime, version, now } = this.#parts
    const reports = await this.reports(tableSpecs[table].parts)
    const { config, topology } = { config: runtime.current().config, topology: runtime.snapshot().topology }
    const { gate, bans } = runtime
    return consoleTable(table, {
      config,
      topology,
      switches: runtime.switches.snapshot(),
      gate,
      bans,
      inDoubt: runtime.twoPhase.inDoubt(),
      version,
      now: now(),
      reports,
      catalogs: runtime.current().catalogs(),
    })
  }

  async reports(wanted: readonly ReportPart[]): Promise<readonly Reported[]> {
    if (wanted.length === 0) return []
    const answers = await this.#parts.fleet.ask(reportTopic, [...wanted])
    return answers.map(({ worker, body }) => ({ worker, report: body as unknown as WorkerReport }))
  }

  /** In every worker; gives how many were found by all of them (carryOut). */
  async order(deed: Deed, by: string): Promise<number> {
    const answers = await this.#parts.fleet.ask(deedTopic, { deed, by })
    return answers.reduce((total, { body }) => total + Number(body), 0)
  }

  explain(question: { readonly sql: string; readonly database: string | null; readonly user: string | null }, by: string): Promise<Table> {
    return explainRoute(this.#parts, question, by)
  }

  #carryOut({ deed, by }: Order): number | Promise<number> {
    const { runtime, observer, kill, control } = this.#parts
    return carryOut(deed, by, { runtime, observer, killClients: kill, setLogLevel: control?.setLogLevel ?? null })
  }

  /** What a process that comes later must be told to stand as this one does. Times are what is left of them. */
  #standing(): readonly Order[] {
    const { runtime, now } = this.#parts
    const { switches, gate, bans } = runtime
    const { readOnly, allowStale } = switches.snapshot()
    const { paused, disabled } = gate.snapshot()
    const at = now()
    const orders: Order[] = []
    for (const [id, { message, by }] of readOnly) orders.push({ deed: { do: 'read-only', clusters: [id], message }, by })
    for (const [id, { maxMs, until, by }] of allowStale) {
      orders.push({ deed: { do: 'allow-stale', clusters: [id], maxMs, forMs: Math.max(1, until - at) }, by })
    }
    for (const { virtual } of runtime.current().config.databases.values()) {
      for (const [name, { mode, rollout, by }] of virtual)
        if (by !== null) orders.push({ deed: { do: 'virtual', name, mode, rollout }, by })
    }
    for (const { kind, name, by } of paused) orders.push({ deed: { do: 'pause', target: { kind, name } }, by })
    for (const [database, by] of disabled) orders.push({ deed: { do: 'disable', database }, by })
    for (const { cluster, node, kind, until, by } of bans.snapshot()) {
      orders.push({ deed: { do: kind, cluster, node, forMs: until === null ? null : Math.max(1, until - at) }, by })
    }
    return orders
  }

  #adopt(orders: readonly Order[]): void {
    for (const order of orders) void this.#carryOut(order)
  }
}
