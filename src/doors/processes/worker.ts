// doors/processes/worker.ts — one of several processes that serve clients. It has no port, reads no file and heeds no signal:
// all of that is its supervisor's, which hands it clients and tells it what to do. Where the supervisor is gone, it ends too.
import type { Socket } from 'node:net'
import { setDefaultHighWaterMark } from 'node:stream'
import type { Config } from '../../config/config.js'
import { printProblem } from '../../config/findings.js'
import { createObserver } from '../../observe/observer.js'
import type { ReloadAnswer } from '../../runtime/control.js'
import type { Json } from '../../runtime/fleet.js'
import { configFrom, type ConfigSource } from '../cli/config-file.js'
import { openInside, type Inside } from '../cli/inside.js'
import { CommandError, exit, type ExitCode, type Io } from '../cli/io.js'
import { startLog, type Log } from '../cli/log.js'
import { highWaterMark } from '../proxy/listeners.js'
import { cancelBody, cancelFrom } from './handover.js'
import { Link } from './link.js'
import { WorkerPermits } from './permits.js'
import type { Briefing } from './supervisor.js'
import { workerVariable } from './worker-process.js'
import { WorkerFleet } from './worker-fleet.js'

const helloMs = 30_000
const orderMs = 90_000
const cancelMs = 10_000

/** The number of the worker that this process is to be, or null. */
export function workerNumber(io: Pick<Io, 'env'>): number | null {
  const number = io.env[workerVariable]
  return number === undefined || !process.connected ? null : Number(number)
}

/** Serves until the supervisor says that it is over, or is gone. */
export async function serveAsWorker(number: number, io: Io): Promise<ExitCode> {
  Reflect.deleteProperty(process.env, workerVariable)
  // A terminal, or whoever ends all processes of a service, sends them to every process: the supervisor says what they mean.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'] as const) process.on(signal, () => undefined)
  // Sockets that come from another process take it from here.
  setDefaultHighWaterMark(false, highWaterMark)
  const link = new Link(process)
  const briefing = (await link.ask('hello', null, helloMs)) as unknown as Briefing
  const result = await configFrom(briefing.source, io)
  if (!result.ok) throw new CommandError(exit.no, result.problems.map(printProblem).join('\n'))
  const observer = createObserver()
  const write = (line: string): void => void process.stderr.write(line)
  const log = startLog(observer, result.config.log.level, { write }, number)
  const fleet = new WorkerFleet(link, number, briefing.workers)
  const inside = await openInside({
    config: result.config,
    observer,
    fleet,
    control: {
      reload: async () => (await link.ask('order.reload', null, orderMs)) as unknown as ReloadAnswer,
      restart: async () => {
        await link.ask('order.restart', null, orderMs)
      },
      shutdown: (mode) => link.tell('order.shutdown', mode),
      setLogLevel: (level) => log.setLevel(level),
    },
    permits: new WorkerPermits(link, briefing.workers).of,
    generation: briefing.generation,
    cancelElsewhere: async (call) => {
      await link.ask('cancel', cancelBody(call), cancelMs).catch(() => false)
    },
  })
  observer.on('switch.changed', () => queueMicrotask(() => fleet.tellCarried()))
  try {
    answerFleet(fleet, inside, log, io)
    await fleet.join()
    return await serveClients(link, inside)
  } finally {
    log.close()
  }
}

function answerFleet(fleet: WorkerFleet, inside: Inside, log: Log, io: Io): void {
  const { runtime, metrics } = inside
  const made = async (body: Json): Promise<Config> => {
    const result = await configFrom(body as unknown as ConfigSource, io)
    if (!result.ok) throw new Error(result.problems.map(printProblem).join('\n'))
    return result.config
  }
  fleet.answer('reload.prove', async (body) => (await runtime.prove(await made(body))).map(printProblem))
  fleet.answer('reload.apply', async (body) => {
    const config = await made(body)
    log.setLevel(config.log.level)
    return (await runtime.reload(config, true)).outcome
  })
  fleet.answer('metrics', () => metrics.packed())
  fleet.answer('readiness', () => inside.readiness() as unknown as Json)
  fleet.answer('lag', (cluster) => runtime.lag(cluster as string) as unknown as Json)
}

/** Resolves when all have left, and everything is closed. */
function serveClients(link: Link, inside: Inside): Promise<ExitCode> {
  const { proxy, runtime } = inside
  return new Promise((resolve, reject) => {
    let ending: Promise<void> | null = null
    const end = (graceMs: number): void => {
      ending ??= inside.close(graceMs)
      ending.then(() => resolve(exit.done), reject)
    }
    link.answer('client', (local, handle) => {
      if (handle !== null) take(handle as Socket, local === true)
      link.tell('client.taken', null)
      return null
    })
    const take = (socket: Socket, local: boolean): void => {
      // Of the one given nothing is heard any more.
      const served = proxy.accept(socket, local)
      served.once('close', () => link.tell('client.left', 1))
    }
    link.answer('cancel', (call) => proxy.cancel(cancelFrom(call)))
    link.answer('end', (graceMs) => {
      end(Number(graceMs))
      return null
    })
    link.answer('retire', (drainMs) => {
      // The process that takes over needs them.
      runtime.renew(() => true, 'another process takes over')
      void proxy.retire(Number(drainMs)).then(() => end(0))
      return null
    })
    link.onGone(() => end(runtime.current().config.listen.graceMs))
    link.tell('serving', null)
  }).finally(() => link.close()) as Promise<ExitCode>
}
