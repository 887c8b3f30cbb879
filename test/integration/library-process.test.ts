// A program that never calls pool.end() ends like one with a pg.Pool: when nothing is under way any more, and not before.
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { ConfigInput } from '../../src/config/input.js'
import { routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const program = fileURLToPath(new URL('../support/router-owner.ts', import.meta.url))
const running = await withTopology(t, { clusters: { main: { replicas: 1 } } })
const config = routerConfig(running, { default: 'main', reads: { default: { consistency: 'session' } } })

interface Started {
  readonly child: ChildProcess
  readonly said: unknown[]
  /** Its exit code; null if it had to be ended. */
  readonly ended: Promise<number | null>
}

function start(t: Test, does: string, input: ConfigInput = config): Started {
  const child = fork(program, [does, JSON.stringify(input)], { execArgv: ['--import=./scripts/typescript.mjs'] })
  t.teardown(() => child.kill('SIGKILL'))
  // Idle connections live for a minute: who is still there after half of it has waited for them, or for the monitor.
  const late = setTimeout(() => child.kill('SIGKILL'), 30_000)
  const said: unknown[] = []
  child.on('message', (message) => said.push(message))
  const ended = once(child, 'exit').then(([code]) => {
    clearTimeout(late)
    return code as number | null
  })
  return { child, said, ended }
}

t.test('it makes a router and does nothing with it', async (t) => {
  t.equal(await start(t, 'nothing').ended, 0)
})

t.test('it ends when its last statement is answered', async (t) => {
  const { said, ended } = start(t, 'queries')
  t.equal(await ended, 0)
  t.same(said, [[{ n: 1 }]])
})

t.test('it does not end while a statement waits for a server that is not there', async (t) => {
  const down = { ...config, clusters: { main: { dbname: 'app', user: 'app', nodes: ['127.0.0.1:1'], failover: { wait: '1s' } } } }
  const { said, ended } = start(t, 'waits', down)
  t.equal(await ended, 0)
  t.same(said, ['57P03'], 'not even a replica')
})

t.test('it does not end while a client listens', async (t) => {
  const { child, said, ended } = start(t, 'listens')
  await once(child, 'message')
  // Long enough for everything else to have ended: the monitor of another router has measured twice.
  await running.cluster('main').primary.sql('SELECT pg_sleep(1)')
  await running.cluster('main').primary.sql("NOTIFY news, 'hello'")
  t.equal(await ended, 0)
  t.same(said, ['listening', 'hello'])
})
