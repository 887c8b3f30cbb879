// doors/processes/handover.ts — a restart: the same command line is started once more, and takes over.
//
//   old: SIGUSR2 ─▶ starts the new one, and serves on
//   new: reads its config ─▶ servers looked at, ready as the old one is ─▶ what operators have set ─▶ the sockets ─▶ serves
//   old: accepts nobody any more ─▶ its clients leave, or are asked to after listen.drain ─▶ ends
//
// If the new one fails before it serves, it is gone and nothing has changed. A cancel for a client of the old one reaches the
// new one, and is passed on while the old one lives.
import { spawn } from 'node:child_process'
import type { Server } from 'node:net'
import type { Json } from '../../runtime/fleet.js'
import type { Handed, Places } from '../cli/entrance.js'
import type { CancelCall } from '../proxy/login.js'
import { Link } from './link.js'

/** Set in the environment of a process that takes over. */
const takesOverVariable = 'POINTSMAN_TAKES_OVER'
const startMs = 60_000
const cancelMs = 10_000

/** What the process that is replaced can do for its successor. */
export interface HandoverParts {
  readonly ready: () => Promise<boolean>
  readonly give: () => Promise<Json>
  readonly handed: (places: Places) => Handed
  readonly cancel: (call: CancelCall) => Promise<boolean>
}

/** Starts the successor; resolves when it serves. Rejects with words where it does not: then it is gone. */
export async function handOver(parts: HandoverParts): Promise<Successor> {
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, [takesOverVariable]: String(process.pid) },
  })
  const link = new Link(child)
  link.answer('takeover.hello', async () => ({ ready: await parts.ready() }))
  link.answer('takeover.state', () => parts.give())
  link.answer('takeover.sockets', (places) => {
    const { tcp, admin } = parts.handed(places as unknown as Places)
    if (tcp !== null) link.tell('takeover.tcp', null, tcp)
    if (admin !== null) link.tell('takeover.admin', null, admin)
    return null
  })
  link.answer('cancel', (call) => parts.cancel(cancelFrom(call)))
  let timer: NodeJS.Timeout | undefined
  try {
    await new Promise<void>((resolve, reject) => {
      link.answer('takeover.serving', () => {
        resolve()
        return null
      })
      timer = setTimeout(() => reject(new Error(`the new process was not ready within ${String(startMs / 1000)} s`)), startMs)
      child.once('error', reject)
      child.once('exit', (code, signal) => reject(new Error(`the new process ended with ${signal ?? String(code)}`)))
    })
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  } finally {
    clearTimeout(timer)
  }
  // It lives on by itself.
  child.unref()
  return { pid: child.pid ?? 0, close: () => link.close() }
}

export interface Successor {
  readonly pid: number
  close(): void
}

/** The process that this one was started to replace. */
export class Predecessor {
  readonly pid: number
  readonly #link: Link

  private constructor(pid: number, link: Link) {
    this.pid = pid
    this.#link = link
  }

  /** null: this process was started like any other. */
  static find(environment: NodeJS.ProcessEnv): Predecessor | null {
    const pid = environment[takesOverVariable]
    if (pid === undefined || !process.connected) return null
    // Whoever is started from here is no successor of anybody.
    Reflect.deleteProperty(environment, takesOverVariable)
    const link = new Link(process)
    process.channel?.unref()
    return new Predecessor(Number(pid), link)
  }

  /** Whether the one before could serve all databases when this one came. */
  async ready(): Promise<boolean> {
    return ((await this.#link.ask('takeover.hello', null, startMs)) as { readonly ready: boolean }).ready
  }

  /** What operators have set there. */
  state(): Promise<Json> {
    return this.#link.ask('takeover.state', null, startMs)
  }

  /** Its listening sockets, one after another; `adopt` must take them within the call. */
  async sockets(places: Places, adopt: (what: 'tcp' | 'admin', server: Server) => void): Promise<void> {
    for (const what of ['tcp', 'admin'] as const) {
      this.#link.answer(`takeover.${what}`, (_body, handle) => {
        if (handle !== null) adopt(what, handle as Server)
        return null
      })
    }
    await this.#link.ask('takeover.sockets', { ...places }, startMs)
  }

  /** From here on it is this process that serves; the other one drains. */
  serving(): void {
    this.#link.tell('takeover.serving', null)
  }

  /** False: no client of the one before, or of those before it; or they are gone. */
  async cancel(call: CancelCall): Promise<boolean> {
    if (this.#link.gone) return false
    return (await this.#link.ask('cancel', cancelBody(call), cancelMs).catch(() => false)) === true
  }
}

export function cancelBody({ pid, secret }: CancelCall): Json {
  return { pid, secret: Buffer.from(secret).toString('base64') }
}

export function cancelFrom(body: Json): CancelCall {
  const { pid, secret } = body as { readonly pid: number; readonly secret: string }
  return { pid, secret: Buffer.from(secret, 'base64') }
}
