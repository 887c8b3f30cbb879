// A listener when the primary dies and a replica is promoted: it is told what it may have missed, and hears the new primary.
import t from 'tap'
import { until } from '../../src/embedded/until.js'
import { withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, { clusters: { main: { replicas: 1, seed: 'CREATE TABLE t (id int)' } } })
const main = running.cluster('main')
const proxy = await withProxy(t, {
  version: 1,
  clusters: {
    main: {
      dbname: 'app',
      user: 'app',
      password: 'app',
      tls: { mode: 'disable' },
      nodes: main.nodes.map(({ address }) => address),
      failover: { wait: '1s' },
    },
  },
  databases: { app: { default: 'main' } },
})

t.test('a listener outlives its primary', async (t) => {
  const listener = await proxy.connect()
  const told: { channel: string; payload: string }[] = []
  listener.on('notification', ({ channel, payload = '' }) => told.push({ channel, payload }))
  await listener.query('LISTEN jobs')
  await listener.query("NOTIFY jobs, 'before'")
  t.same(told.splice(0), [{ channel: 'jobs', payload: 'before' }])
  await main.primary.kill9()
  await until('the loss is told', () => Promise.resolve(told.length === 1))
  const [replica] = main.replicas
  const late = await proxy.connect().catch(() => null)
  if (late !== null) await t.rejects(late.query('LISTEN late'), 'no primary: nothing is listened to')
  await replica?.promote()
  await until('it listens again', () => Promise.resolve(told.length === 2))
  const events = told
    .splice(0)
    .map(({ channel, payload }) => ({ channel, ...(JSON.parse(payload) as { event: string; from: string; to?: string }) }))
  t.match(events, [
    { channel: 'pointsman.bus', event: 'lost' },
    { channel: 'pointsman.bus', event: 'restored', from: events[0]?.from },
  ])
  t.ok((events[1]?.to ?? '') > (events[1]?.from ?? ''), 'with the time that may be missing')
  await replica?.sql("NOTIFY jobs, 'after'")
  await until('the new primary is heard', () => Promise.resolve(told.length === 1))
  t.same(told, [{ channel: 'jobs', payload: 'after' }])
})
