// A process with more clusters than Node allows one signal to have listeners without a word: nothing is said of it, since
// nothing piles up.
import t from 'tap'
import { validateConfig } from '../../src/config/validate.js'
import { createObserver } from '../../src/observe/observer.js'
import { Pool } from '../../src/pool/pool.js'
import { TwoPhaseKeeper } from '../../src/runtime/two-phase.js'
import { FakeConnection } from '../support/fake-connection.js'
import { clusterSnapshot, nodeSnapshot } from '../support/snapshots.js'

const ids = Array.from({ length: 12 }, (_, index) => `c${String(index)}`)
const warnings: string[] = []
const heard = (warning: Error): void => void warnings.push(warning.message)
process.on('warning', heard)
t.teardown(() => process.off('warning', heard))
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

t.test('recovery asks all clusters at once', async (t) => {
  const clusters = Object.fromEntries(ids.map((id) => [id, { user: 'app', nodes: ['127.0.0.1:1'] }]))
  const sharded = { s: { clusters: ids, shards: 64, key_type: 'bigint', tables: { t: 'id' } } }
  const auth = { method: 'trust', users: [{ name: 'app' }] }
  const databases = { app: { default: 'c0', two_phase: true, sharded } }
  const result = validateConfig({ version: 1, auth, clusters, databases }, { env: {}, readFile: () => '' })
  if (!result.ok) throw new Error(JSON.stringify(result.problems))
  const { config } = result
  const primary = nodeSnapshot('127.0.0.1:1', { role: 'primary' })
  const topology = { generation: 1, clusters: new Map(ids.map((id) => [id, clusterSnapshot({ id, nodes: [primary], primary })])) }
  const keeper = new TwoPhaseKeeper({
    config: () => config,
    topology: () => topology,
    observer: createObserver(),
    now: () => performance.now(),
    background: true,
  })
  t.teardown(() => keeper.close())
  await keeper.recover()
  await turn()
  t.same(warnings.splice(0), [])
})

t.test('one client has waited in many pools', async (t) => {
  const { signal } = new AbortController()
  for (const id of ids) {
    const pool = new Pool<FakeConnection>({
      node: { id, host: 'n', port: 1, weight: 1, zone: null, subscriber: false },
      identity: { cluster: id, dbname: 'app', user: 'app', password: null, key: id },
      settings: { max: 1, waitMs: 5000, queue: 10, lifetimeMs: 1e9, idleMs: 1e9, connectMs: 5000, scrubMs: 5000, reset: 'tainted' },
      connect: () => Promise.resolve(new FakeConnection(0)),
      observer: createObserver(),
      now: () => 0,
      random: () => 0.5,
      onFailure: () => undefined,
      onEmpty: () => undefined,
    })
    t.teardown(() => pool.close(0))
    const held = await pool.lease({ signal })
    const next = pool.lease({ signal })
    held.release(null)
    ;(await next).release(null)
  }
  await turn()
  t.same(warnings.splice(0), [])
})
