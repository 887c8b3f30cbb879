// A proxy as a program of its own, which kills itself (kill -9) when its n-th two-phase commit comes to a step. Started by
// test/faults/two-phase.test.ts: its arguments are the configuration as JSON, the step (`prepare main`; '' for none) and n.
import { validateConfig } from '../../src/config/validate.js'
import { createProxy } from '../../src/doors/proxy/proxy.js'
import { createObserver } from '../../src/observe/observer.js'
import { createRuntime } from '../../src/runtime/create-runtime.js'
import { createConnect } from '../../src/server/connect-server.js'
import type { ServerConnection } from '../../src/server/contract.js'

const [, , text = '{}', wanted = '', nth = '1'] = process.argv
const result = validateConfig(JSON.parse(text), { env: {}, readFile: () => '' })
if (!result.ok) throw new Error(JSON.stringify(result.problems))
const now = (): number => performance.now()
const observer = createObserver()
let seen = 0
observer.on('two-phase.step', ({ step, cluster }) => {
  if (`${step} ${cluster}` === wanted && ++seen === Number(nth)) process.kill(process.pid, 'SIGKILL')
})
const runtime = await createRuntime<ServerConnection>({
  config: result.config,
  observer,
  connect: (cluster) => createConnect((id) => (id === cluster.id ? cluster : undefined), { now }),
  now,
  random: Math.random,
})
const proxy = await createProxy({ runtime, observer, now })
console.log(String(proxy.addresses[0]?.port ?? 0))
// Whoever started it has ended.
process.stdin.on('end', () => process.exit(0)).resume()
