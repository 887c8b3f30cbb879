// doors/cli/demo.ts — `pointsman serve` without a config: real PostgreSQL servers from npm, kept in ./.pointsman, and a
// config for them beside, which other commands find there and which may be edited while the demo runs.
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { demoConfigPath, demoDirectory } from './config-file.js'
import type { Io } from './io.js'

/** How to log in to the demo. */
export interface DemoClient {
  readonly user: string
  readonly password: string
  readonly database: string
}

export interface Demo {
  readonly configPath: string
  readonly client: DemoClient
  stop(): Promise<void>
}

/** null: asked to stop before it stood. */
export async function startDemo(io: Io, stopped: AbortSignal): Promise<Demo | null> {
  const [{ demoConfig, demoTopology }, { startTopology }] = await Promise.all([
    import('../../embedded/demo.js'),
    import('../../embedded/topology.js'),
  ])
  const keep = demoDirectory(io)
  const say = (text: string): void => {
    if (!stopped.aborted) io.err(`${text} …`)
  }
  const stopping = (): void => io.err('stopping as soon as the servers stand; the same signal again stops at once')
  stopped.addEventListener('abort', stopping, { once: true })
  const running = await startTopology(demoTopology(), { keep, onProgress: say })
  stopped.removeEventListener('abort', stopping)
  try {
    if (stopped.aborted) {
      await running.stop()
      return null
    }
    const [listen, admin] = [await freePort(6432), await freePort(6480)]
    const configPath = demoConfigPath(io)
    await mkdir(keep, { recursive: true })
    await writeFile(configPath, `${demoConfig(running, { listen, admin })}log: { level: warn }\n`, { mode: 0o600 })
    await chmod(configPath, 0o600)
    return { configPath, client: { user: running.user, password: running.password, database: 'app' }, stop: () => running.stop() }
  } catch (error) {
    await running.stop()
    throw error
  }
}

// The usual port, or any: several demos may run at once. 0 where the usual one is taken.
function freePort(usual: number): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(0))
    probe.listen({ host: '127.0.0.1', port: usual, exclusive: true }, () => {
      probe.close(() => resolve(usual))
    })
  })
}
