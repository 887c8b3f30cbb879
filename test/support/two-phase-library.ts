// A program with the library in it, which transfers until it kills itself (kill -9) as its n-th two-phase commit comes to a step, and
// tells each key that was committed. Started by test/faults/two-phase.test.ts: its arguments are the configuration as JSON, the step
// (`prepare main`) and n.
import pg from 'pg'
import type { ConfigInput } from '../../src/config/input.js'
import { createRouter } from '../../src/index.js'
import { moved } from './two-phase-transfer.js'

const [, , text = '{}', wanted = '', nth = '1'] = process.argv
const pool = createRouter({ pg, config: JSON.parse(text) as ConfigInput })
let seen = 0
pool.events.on('two-phase.step', ({ step, cluster }) => {
  if (`${step} ${cluster}` === wanted && ++seen === Number(nth)) process.kill(process.pid, 'SIGKILL')
})
const transfer = async (worker: number): Promise<void> => {
  const client = await pool.connect()
  for (let n = 0; ; n++) {
    const key = `${wanted} ${String(worker)} ${String(n)}`
    if ((await moved(client, key, worker)) === 'COMMIT') console.log(key)
  }
}
await Promise.all([1, 2, 3].map(transfer))
