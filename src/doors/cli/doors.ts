// doors/cli/doors.ts — `serve` as one process: everything that serves clients (inside.ts) behind its own ports (entrance.ts).
import type { Server } from 'node:net'
import type { Config } from '../../config/config.js'
import { printProblem } from '../../config/findings.js'
import type { Observer } from '../../observe/events.js'
import type { ProcessControl, ReloadAnswer } from '../../runtime/control.js'
import { CarriedStates, createLoneFleet, type Json } from '../../runtime/fleet.js'
import type { Topology } from '../../topology/topology.js'
import type { CancelCall } from '../proxy/login.js'
import { Entrance, type Handed, type Places } from './entrance.js'
import { openInside, type Inside } from './inside.js'
import type { Program, Sourced } from './program.js'

export interface DoorsParts {
  readonly config: Config
  readonly observer: Observer
  readonly control: ProcessControl | null
  /** There is a process before, which hands over. */
  readonly replaces: boolean
  /** A cancel for a client of the process before. */
  readonly cancelElsewhere: (call: CancelCall) => Promise<void>
}

/** Opens all doors of a config, or none: rejects with words for the user. */
export async function openDoors(config: Config, observer: Observer): Promise<Doors> {
  const doors = await Doors.create({ config, observer, control: null, replaces: false, cancelElsewhere: () => Promise.resolve() })
  try {
    await doors.listen()
    return doors
  } catch (error) {
    await doors.close(0)
    throw error
  }
}

export class Doors implements Program {
  readonly #inside: Inside
  readonly #entrance: Entrance
  readonly #carried: CarriedStates

  private constructor(parts: DoorsParts, inside: Inside, carried: CarriedStates) {
    const { config, observer, replaces } = parts
    const { runtime, proxy, metrics } = inside
    this.#inside = inside
    this.#carried = carried
    let token = config.admin?.token ?? null
    this.#entrance = new Entrance({
      config,
      accept: (socket, local) => proxy.accept(socket, local),
      paused: false,
      replaces,
      admin: {
        // Where a reload takes the admin port out of the config it stays open until a restart: then under the token it had.
        token: () => (token = (runtime.current().config.admin ?? { token }).token),
        metrics,
        readiness: () => inside.readiness(),
        lag: (cluster) => runtime.lag(cluster),
      },
      onError: ({ message }) => observer.emit('log', { level: 'error', message: 'the listener failed', fields: { error: message } }),
    })
  }

  /** Everything but the ports. */
  static async create(parts: DoorsParts): Promise<Doors> {
    const { config, observer, control, cancelElsewhere } = parts
    const carried = new CarriedStates()
    const fleet = createLoneFleet(carried)
    const inside = await openInside({ config, observer, fleet, control, permits: null, generation: 1, cancelElsewhere })
    return new Doors(parts, inside, carried)
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
    return this.#inside.runtime.current().config
  }

  /** What is known of the servers. */
  topology(): Topology {
    return this.#inside.runtime.snapshot().topology
  }

  generation(): number {
    return this.#inside.runtime.current().number
  }

  async reload({ config }: Sourced): Promise<ReloadAnswer> {
    const result = await this.#inside.runtime.reload(config)
    return { outcome: result.outcome, problems: result.outcome === 'refused' ? result.problems.map(printProblem) : [] }
  }

  ready(): Promise<boolean> {
    return Promise.resolve(this.#inside.readiness().ready)
  }

  handed(places: Places): Handed {
    return this.#entrance.handed(places)
  }

  give(): Promise<Json> {
    return Promise.resolve(this.#carried.give())
  }

  take(state: Json): Promise<void> {
    this.#carried.take(state)
    return Promise.resolve()
  }

  cancel(call: CancelCall): Promise<boolean> {
    return Promise.resolve(this.#inside.proxy.cancel(call))
  }

  async retire(drainMs: number, handedOver: boolean): Promise<void> {
    await this.#entrance.stop(handedOver)
    await this.#entrance.close()
    // The process that takes over needs them.
    this.#inside.runtime.renew(() => true, 'another process takes over')
    await this.#inside.proxy.retire(drainMs)
    await this.#inside.close(0)
  }

  async close(graceMs: number): Promise<void> {
    await this.#entrance.stop(false)
    await this.#inside.close(graceMs)
    await this.#entrance.close()
  }
}
