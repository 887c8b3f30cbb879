// doors/processes/supervisor.ts — several processes on one port. The supervisor accepts clients and hands each to the worker
// that has fewest; it serves none itself. What must hold for all workers together goes through it: server connections
// (permit-broker.ts), cancels, what operators ask and set (the fleet), the configuration, the admin port.
//
//   clients ─▶ supervisor ─▶ worker 1 ─┐
//                       └──▶ worker 2 ─┴─▶ servers, never more connections than pool.max together
//
// A worker that dies is replaced; its clients lose their connections, nobody else notices.
import type { Server } from 'node:net'
import type { Config } from '../../config/config.js'
import type { Observer } from '../../observe/events.js'
import type { FleetAnswer, Json } from '../../runtime/fleet.js'
import type { ReloadAnswer } from '../../runtime/control.js'
import type { ClusterLag } from '../../topology/lag.js'
import { createSupervisorMetrics, type SupervisorMetrics } from '../../metrics/supervisor.js'
import type { Readiness } from '../admin/readiness.js'
import { Entrance, type Handed, type Places } from '../cli/entrance.js'
import type { ConfigSource } from '../cli/config-file.js'
import { CommandError, exit } from '../cli/io.js'
import type { Program, Sourced } from '../cli/program.js'
import { workerOfKey } from '../proxy/backend-keys.js'
import type { CancelCall } from '../proxy/login.js'
import { Comebacks } from './comebacks.js'
import { cancelBody, cancelFrom } from './handover.js'
import { Gone } from './link.js'
import { PermitBroker, turnMs } from './permit-broker.js'
import type { Orders } from './orders.js'
import { WorkerProcess, type Arrival } from './worker-process.js'

export interface SupervisorParts {
  readonly config: Config
  readonly source: ConfigSource
  readonly observer: Observer
  readonly replaces: boolean
  readonly environment: Readonly<Record<string, string | undefined>>
  /** What the console of a worker may order of the whole program. */
  readonly orders: Orders
  readonly cancelElsewhere: (call: CancelCall) => Promise<void>
}

/** What a worker is told when it has started. */
export interface Briefing {
  readonly workers: number
  readonly source: ConfigSource
  readonly generation: number
}

/** For one worker to answer. */
const answerMs = 10_000
/** Past the grace that its clients have. */
const lastMs = 5_000
/** A longer one would end at once. */
const longestTimerMs = 2 ** 31 - 1
/** Clients that wait while no worker serves. */
const maxWaiting = 1_000

export class Supervisor implements Program {
  readonly #parts: SupervisorParts
  readonly #entrance: Entrance
  readonly #workers = new Map<number, WorkerProcess>()
  readonly #metrics: SupervisorMetrics
  readonly #waiting: Arrival[] = []
  readonly #broker: PermitBroker
  readonly #comebacks = new Comebacks()
  #ticking: NodeJS.Timeout | null = null
  #config: Config
  #source: ConfigSource
  #generation = 1
  /** What operators have set, as last told by a worker. */
  #state: Json = null
  #leaving = false

  private constructor(parts: SupervisorParts) {
    const { config, source, replaces, observer } = parts
    this.#parts = parts
    this.#config = config
    this.#source = source
    this.#metrics = createSupervisorMetrics(observer, () => this.#serving().length)
    this.#broker = new PermitBroker({
      grant: (worker, key) => this.#workers.get(worker)?.link.tell('permit.granted', key),
      reclaim: (worker, key, which) => this.#workers.get(worker)?.link.tell(`permit.${which}`, key),
      enough: (worker, key) => this.#workers.get(worker)?.link.tell('permit.enough', key),
    })
    let token = config.admin?.token ?? null
    this.#entrance = new Entrance({
      config,
      accept: (socket, local) => this.#accept({ socket, local }),
      paused: true,
      replaces,
      admin: {
        token: () => (token = (this.#config.admin ?? { token }).token),
        metrics: { contentType: this.#metrics.contentType, text: () => this.#allMetrics() },
        readiness: () => this.#readiness(),
        lag: (cluster) => this.#lag(cluster),
      },
      onError: ({ message }) => this.#log('error', 'the listener failed', { error: message }),
    })
  }

  /** All workers serve; no port is open. Rejects with words for the user where one cannot start. */
  static async create(parts: SupervisorParts): Promise<Supervisor> {
    const supervisor = new Supervisor(parts)
    const { workers } = parts.config.listen
    try {
      await Promise.all(Array.from({ length: workers }, (_, index) => supervisor.#started(index + 1, false)))
      return supervisor
    } catch (error) {
      await supervisor.close(0)
      throw error
    }
  }

  get listening(): Entrance['listening'] {
    return this.#entrance.listening
  }

  get admin(): Entrance['admin'] {
    return this.#entrance.admin
  }

  adopt(what: 'tcp' | 'admin', server: Server): void {
    if (what === 'tcp') this.#entrance.adoptTcp(server)
    else this.#entrance.adoptAdmin(server)
  }

  listen(): Promise<void> {
    return this.#entrance.open()
  }

  config(): Config {
    return this.#config
  }

  generation(): number {
    return this.#generation
  }

  handed(places: Places): Handed {
    return this.#entrance.handed(places)
  }

  async ready(): Promise<boolean> {
    return (await this.#readiness()).ready
  }

  // ---- the configuration

  /** All workers take it, or none. */
  async reload(next: Sourced): Promise<ReloadAnswer> {
    const body = next.source as unknown as Json
    try {
      const problems = (await this.#ask('reload.prove', body)).flatMap((answer) => answer.body as readonly string[])
      if (problems.length > 0) return this.#told({ outcome: 'refused', problems })
    } catch (error) {
      return this.#told({ outcome: 'refused', problems: [messageOf(error)] })
    }
    const before = { config: this.#config, source: this.#source }
    // A worker that is started from here on starts with it.
    this.#config = next.config
    this.#source = next.source
    try {
      const outcomes = (await this.#ask('reload.apply', body)).map((answer) => answer.body as ReloadAnswer['outcome'])
      if (!outcomes.includes('refused')) {
        const outcome = outcomes.includes('applied') ? 'applied' : 'unchanged'
        if (outcome === 'applied') this.#generation += 1
        return this.#told({ outcome, problems: [] })
      }
      throw new Error('a worker refused what it had taken for good')
    } catch (error) {
      this.#config = before.config
      this.#source = before.source
      await this.#ask('reload.apply', before.source as unknown as Json).catch(() => undefined)
      return this.#told({ outcome: 'refused', problems: [messageOf(error)] })
    }
  }

  #told(answer: ReloadAnswer): ReloadAnswer {
    this.#parts.observer.emit('config.reloaded', { outcome: answer.outcome, generation: this.#generation, problems: answer.problems })
    return answer
  }

  // ---- what operators have set

  async give(): Promise<Json> {
    for (const { link } of this.#serving()) {
      const state = await link.ask('fleet.give', null, answerMs).catch(() => null)
      if (state === null) continue
      this.#state = state
      break
    }
    return this.#state
  }

  async take(state: Json): Promise<void> {
    this.#state = state
    await Promise.all(this.#serving().map(({ link }) => link.ask('fleet.take', state, answerMs)))
  }

  // ---- the end

  async retire(drainMs: number, handedOver: boolean): Promise<void> {
    this.#leaving = true
    await this.#entrance.stop(handedOver)
    await this.#entrance.close()
    this.#dispatch()
    await Promise.all([...this.#workers.values()].map((worker) => worker.handedAll()))
    await this.#tellAll('retire', drainMs)
    this.#metrics.close()
  }

  async close(graceMs: number): Promise<void> {
    this.#leaving = true
    await this.#entrance.stop(false)
    for (const { socket } of this.#waiting.splice(0)) socket.destroy()
    const timer = setTimeout(() => this.kill(), Math.min(graceMs + lastMs, longestTimerMs))
    await this.#tellAll('end', graceMs)
    clearTimeout(timer)
    if (this.#ticking !== null) clearInterval(this.#ticking)
    await this.#entrance.close()
    this.#metrics.close()
  }

  /** At once: what of the workers is left ends with this process. */
  kill(): void {
    for (const worker of this.#workers.values()) worker.kill()
  }

  async #tellAll(what: 'retire' | 'end', ms: number): Promise<void> {
    const all = [...this.#workers.values()]
    for (const { link } of all) link.tell(what, ms)
    await Promise.all(all.map(({ ended }) => ended))
  }

  // ---- clients

  #accept(arrival: Arrival): void {
    arrival.socket.on('error', () => undefined)
    if (this.#waiting.length >= maxWaiting) arrival.socket.destroy()
    else {
      this.#waiting.push(arrival)
      this.#dispatch()
    }
  }

  /** Each to the worker that has fewest. */
  #dispatch(): void {
    const serving = this.#serving()
    if (serving.length === 0) return
    for (const arrival of this.#waiting.splice(0)) {
      let least = serving[0]
      for (const worker of serving) if (least === undefined || worker.clients < least.clients) least = worker
      least?.give(arrival)
    }
  }

  async cancel(call: CancelCall): Promise<boolean> {
    const worker = this.#workers.get(workerOfKey(call.pid))
    if (worker?.serving !== true) return false
    return (await worker.link.ask('cancel', cancelBody(call), answerMs).catch(() => false)) === true
  }

  /** From a worker that has no such client. */
  async #cancelFor(worker: number, call: CancelCall): Promise<Json> {
    if (workerOfKey(call.pid) !== worker && (await this.cancel(call))) return true
    await this.#parts.cancelElsewhere(call)
    return true
  }

  // ---- workers

  #serving(): readonly WorkerProcess[] {
    return [...this.#workers.values()].filter(({ serving }) => serving)
  }

  /** Resolves when it serves. `again`: it takes the place of one that has ended. */
  #started(number: number, again: boolean): Promise<void> {
    const worker = new WorkerProcess(number, this.#parts.environment)
    let since: number | null = null
    this.#workers.set(number, worker)
    this.#connect(worker)
    return new Promise((resolve, reject) => {
      worker.link.answer('serving', () => {
        worker.serving = true
        since = performance.now()
        this.#dispatch()
        resolve()
        return null
      })
      void worker.ended.then(({ code, signal }) => {
        this.#ended(worker)
        // A program whose first workers cannot start ends instead.
        if (since !== null || again) this.#startAgain(number, since === null ? 0 : performance.now() - since)
        // It has said itself what was wrong.
        const why = `worker ${String(number)} ended with ${signal ?? String(code)}`
        reject(new CommandError(code === exit.usage ? exit.usage : exit.no, why))
      })
    })
  }

  #connect({ worker, link }: WorkerProcess): void {
    const { orders } = this.#parts
    link.answer('hello', () => {
      const briefing: Briefing = { workers: this.#config.listen.workers, source: this.#source, generation: this.#generation }
      return briefing as unknown as Json
    })
    link.answer('fleet.ask', async (body) => {
      const { topic, body: asked } = body as { readonly topic: string; readonly body: Json }
      return (await this.#ask(topic, asked)) as unknown as Json
    })
    link.answer('fleet.carried', () => this.give())
    link.answer('fleet.state', (state) => {
      this.#state = state
      return null
    })
    link.answer('cancel', (call) => this.#cancelFor(worker, cancelFrom(call)))
    link.answer('permit.take', (body) => {
      const { key, max } = body as { readonly key: string; readonly max: number }
      this.#broker.take(worker, key, max, performance.now())
      this.#tick()
      return null
    })
    link.answer('permit.withdraw', (key) => {
      this.#broker.withdraw(worker, key as string, performance.now())
      return null
    })
    link.answer('permit.give', (key) => {
      this.#broker.give(worker, key as string, performance.now())
      return null
    })
    link.answer('order.reload', async () => (await orders.reload()) as unknown as Json)
    link.answer('order.restart', async () => {
      await orders.restart()
      return null
    })
    link.answer('order.shutdown', (mode) => {
      orders.shutdown(mode as 'now' | 'servers' | 'clients')
      return null
    })
  }

  #tick(): void {
    this.#ticking ??= setInterval(() => {
      this.#broker.tick(performance.now())
      if (this.#broker.waiting || this.#ticking === null) return
      clearInterval(this.#ticking)
      this.#ticking = null
    }, turnMs / 2).unref()
  }

  #ended(ended: WorkerProcess): void {
    const { worker } = ended
    ended.serving = false
    this.#workers.delete(worker)
    this.#broker.gone(worker, performance.now())
    this.#waiting.push(...ended.takeBack())
    this.#dispatch()
  }

  #startAgain(worker: number, servedMs: number): void {
    if (this.#leaving) return
    const delay = this.#comebacks.delay(worker, servedMs)
    this.#metrics.replaced()
    this.#log('error', 'a worker ended, and is replaced', { worker, seconds: Math.round(servedMs / 1000), again_in_ms: delay })
    setTimeout(() => this.#replace(worker), delay).unref()
  }

  #replace(worker: number): void {
    if (this.#leaving) return
    this.#started(worker, true).then(
      () => this.#log('info', 'a worker serves again', { worker }),
      // Where it fails it has been told, and is tried again.
      () => undefined,
    )
  }

  /** Every worker that serves; those that are being started hear it as well, and are not waited for. */
  async #ask(topic: string, body: Json): Promise<readonly FleetAnswer[]> {
    const answers = [...this.#workers.values()].map(async ({ worker, link, serving }): Promise<FleetAnswer | null> => {
      if (!serving) {
        link.tell('fleet.asked', { topic, body })
        return null
      }
      try {
        return { worker, body: await link.ask('fleet.asked', { topic, body }, answerMs) }
      } catch (error) {
        if (error instanceof Gone) return null
        throw new Error(`worker ${String(worker)}: ${messageOf(error)}`, { cause: error })
      }
    })
    const settled = (await Promise.all(answers)).filter((answer) => answer !== null)
    return settled.sort((a, b) => a.worker - b.worker)
  }

  // ---- the admin port

  async #allMetrics(): Promise<string> {
    return this.#metrics.merged((await this.#ask('metrics', null)).map(({ body }) => body as string))
  }

  async #readiness(): Promise<Readiness> {
    const all = (await this.#ask('readiness', null)).map(({ body }) => body as unknown as Readiness)
    if (all.length === 0) return { ready: false, missing: ['no worker serves'] }
    return { ready: all.every(({ ready }) => ready), missing: [...new Set(all.flatMap(({ missing }) => missing))] }
  }

  /** The answer of the worker that knows least good. */
  async #lag(cluster: string): Promise<ClusterLag | null> {
    const all = (await this.#ask('lag', cluster)).map(({ body }) => body as unknown as ClusterLag | null)
    let worst: ClusterLag | null = null
    for (const lag of all) if (lag !== null && (worst === null || (lag.worstMs ?? Infinity) > (worst.worstMs ?? Infinity))) worst = lag
    return worst
  }

  #log(level: 'info' | 'error', message: string, fields: Readonly<Record<string, unknown>>): void {
    this.#parts.observer.emit('log', { level, message, fields })
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
