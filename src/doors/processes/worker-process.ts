// doors/processes/worker-process.ts — one worker as its supervisor sees it: started, serving, gone. Clients are handed to it
// one after another, each when it has taken the one before: whoever waits here when it dies goes to another worker.
import { spawn, type ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { Link } from './link.js'

export interface Arrival {
  readonly socket: Socket
  readonly local: boolean
}

export interface WorkerEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class WorkerProcess {
  readonly worker: number
  readonly link: Link
  readonly ended: Promise<WorkerEnd>
  readonly #child: ChildProcess
  readonly #waiting: Arrival[] = []
  /** Handed to it, and not told to have left. */
  #clients = 0
  #handing = false
  #handedAll: (() => void) | null = null
  serving = false

  /** The same program, told by its environment that it is a worker. */
  constructor(worker: number, environment: Readonly<Record<string, string | undefined>>) {
    this.worker = worker
    this.#child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { ...environment, [workerVariable]: String(worker) },
    })
    this.link = new Link(this.#child)
    this.ended = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => resolve({ code, signal }))
      this.#child.once('error', () => resolve({ code: null, signal: null }))
    })
    this.link.answer('client.taken', () => {
      this.#handing = false
      this.#hand()
      return null
    })
    this.link.answer('client.left', (n) => {
      this.#clients -= Number(n)
      return null
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** How many clients it has, for those that come to be spread. */
  get clients(): number {
    return this.#clients + this.#waiting.length
  }

  give(arrival: Arrival): void {
    this.#waiting.push(arrival)
    if (!this.#handing) this.#hand()
  }

  /** Those that it has not been handed. */
  takeBack(): readonly Arrival[] {
    return this.#waiting.splice(0)
  }

  /** Resolves when it has taken everybody who was given to it. */
  async handedAll(): Promise<void> {
    if (!this.#handing) return
    const all = new Promise<void>((resolve) => (this.#handedAll = resolve))
    await Promise.race([all, this.ended])
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #hand(): void {
    const next = this.#waiting.shift()
    if (next === undefined) {
      this.#handedAll?.()
      return
    }
    if (next.socket.destroyed) {
      this.#hand()
      return
    }
    this.#handing = true
    this.#clients += 1
    this.link.tell('client', next.local, next.socket)
  }
}

/** Set to its number in a worker's environment. */
export const workerVariable = 'POINTSMAN_WORKER'
