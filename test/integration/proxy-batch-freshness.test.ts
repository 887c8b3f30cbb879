// Batches that are flushed, on a replica: what is bound later is asked for as of its own time and by its own policy, and not by
// what the replica was taken for when the batch began. asyncpg prepares with a Flush, and runs when it likes.
import t, { type Test } from 'tap'
import { until } from '../../src/embedded/until.js'
import { lastRoute, withProxy } from '../support/proxy.js'
import { routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'
import { WireClient } from '../support/wire-client.js'

const seed = 'CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items VALUES (1, 0), (2, 0)'
const running = await withTopology(t, { clusters: { main: { replicas: 1, seed } } })
const main = running.cluster('main')
const maxStaleness = 300
const { port, connect } = await withProxy(t, {
  ...routerConfig(running, { default: 'main', reads: { default: { consistency: 'bounded', max_staleness: `${String(maxStaleness)}ms` } } }),
  auth: { method: 'trust' },
})

const read = 'SELECT n FROM items WHERE id = 1'
const run = (sql: string): readonly string[] => [`Parse "" ${JSON.stringify(sql)} 0`, 'Bind "" "" 0 0 0', 'Execute "" 0']
const rows = (lines: readonly string[]): readonly string[] => lines.filter((line) => /^(DataRow|ErrorResponse)/.test(line))
let last = 0

const watcher = await connect()
const reads = (role: string): Promise<void> =>
  until(`reads are on the ${role}`, async () => {
    await watcher.query(read)
    return (await lastRoute(watcher)).startsWith(role)
  })

/** A client, while the replica is good for everything. */
async function begin(t: Pick<Test, 'teardown'>): Promise<WireClient> {
  await reads('replica')
  return WireClient.login(t, port)
}

/** The replica stands still, something was written by another, and that is longer ago than any bound. Gives what was written. */
async function later(t: Pick<Test, 'teardown'>): Promise<number> {
  await main.waitCaughtUp()
  await main.replica().pauseReplay()
  t.teardown(() => main.replica().resumeReplay())
  last += 1
  await main.primary.sql(`UPDATE items SET n = ${String(last)}`)
  const written = performance.now()
  await until('it is longer ago than the bound', () => Promise.resolve(performance.now() - written > maxStaleness))
  await reads('primary')
  return last
}

t.test('I3: prepared and described with a Flush, run when the replica is too old', async (t) => {
  // The second time the description needs no server.
  for (const name of ['a', 'b']) {
    await t.test(name, async (t) => {
      const client = await begin(t)
      client.send(`Parse "${name}" ${JSON.stringify(read)} 0`, ...(name === 'a' ? [`Describe S "a"`] : []), 'Flush')
      await client.until(name === 'a' ? 'RowDescription' : 'ParseComplete')
      const now = await later(t)
      client.send(`Bind "" "${name}" 0 0 0`, 'Execute "" 0', 'Sync')
      t.same(rows(await client.until('ReadyForQuery')), [`DataRow 1 "${String(now)}"`])
    })
  }
})

t.test('I3: run and flushed, and run once more when the replica is too old', async (t) => {
  const client = await begin(t)
  client.send(...run(read), 'Flush')
  await client.until('CommandComplete')
  const now = await later(t)
  client.send(...run(read), 'Flush')
  t.same(rows(await client.until('CommandComplete')), [`DataRow 1 "${String(now)}"`])
  client.send(...run(read), 'Sync')
  t.same(rows(await client.until('ReadyForQuery')), [`DataRow 1 "${String(now)}"`])
})

t.test('I1: after a read that may be old, one that must see the own write', async (t) => {
  const client = await begin(t)
  const before = last
  const now = await later(t)
  client.query('UPDATE items SET n = n')
  await client.until('ReadyForQuery')
  client.send(...run(`/* pointsman: consistency=any, max_staleness=1h */ ${read}`), 'Flush')
  t.same(rows(await client.until('CommandComplete')), [`DataRow 1 "${String(before)}"`], 'it was on the replica')
  client.send(...run(`/* pointsman: consistency=session, max_staleness=1h */ ${read}`), 'Sync')
  t.same(rows(await client.until('ReadyForQuery')), [`DataRow 1 "${String(now)}"`])
})

t.test('an open portal goes on where it is', async (t) => {
  const client = await begin(t)
  client.send('Parse "" "SELECT n FROM items" 0', 'Bind "" "" 0 0 0', 'Execute "" 1', 'Flush')
  const before = rows(await client.until('PortalSuspended'))
  t.equal(before.length, 1)
  await later(t)
  client.send('Execute "" 0', 'Sync')
  t.same(rows(await client.until('ReadyForQuery')), before)
})

t.test('as long as the replica is good, it serves what is bound later as well', async (t) => {
  const client = await begin(t)
  const asked = `/* pointsman: max_staleness=1h */ ${read}`
  client.send(...run(asked), 'Flush')
  const first = rows(await client.until('CommandComplete'))
  client.send(...run(asked), 'Sync')
  t.same(rows(await client.until('ReadyForQuery')), first)
  client.query('SHOW pointsman.last_route')
  t.match((await client.until('ReadyForQuery')).join(), 'DataRow 1 "replica')
})
