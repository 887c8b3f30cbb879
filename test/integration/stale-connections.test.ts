// Connections that died in the pool without anybody noticing, as after a failed firewall or a server's sudden end: a statement
// meets them one after another. Those that were open before it came do not use up its attempts; those opened for it do.
// The server is reached through a relay that ends a connection when a marked text passes.
import { connect, createServer, type AddressInfo } from 'node:net'
import t from 'tap'
import { withProxy } from '../support/proxy.js'
import { router, routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, { clusters: { main: { seed: 'CREATE TABLE items (id int PRIMARY KEY)' } } })
const { primary } = running.cluster('main')

const mark = 'mark_of_the_relay'
/** More than a statement has attempts. */
const idle = 6
const attempts = 4

class Relay {
  readonly server = createServer((client) => {
    const armed = this.#armed
    const [host = '', port = ''] = primary.address.split(':')
    const upstream = connect({ host, port: Number(port) })
    const end = (): void => {
      for (const socket of [client, upstream]) socket.destroy()
    }
    client.on('data', (chunk) => {
      const fresh = armed === this.#armed
      if (this.#armed === 0 || (fresh && !this.freshToo) || !chunk.includes(mark)) return void upstream.write(chunk)
      this[fresh ? 'fresh' : 'stale'] += 1
      end()
    })
    upstream.pipe(client)
    for (const socket of [client, upstream]) socket.on('error', end).on('close', end)
  })
  /** Connections ended, by whether they were opened before arm(). */
  stale = 0
  fresh = 0
  freshToo = false
  #armed = 0

  /** From now on the mark ends connections that are open now; `freshToo`: later ones as well. */
  arm(freshToo: boolean): void {
    this.#armed += 1
    this.freshToo = freshToo
    this.stale = 0
    this.fresh = 0
  }
}

const relay = new Relay()
await new Promise<void>((resolve) => relay.server.listen(0, '127.0.0.1', resolve))
t.teardown(() => relay.server.close())
const config = routerConfig(running, { default: 'main' }, (_id, cluster) => ({
  ...cluster,
  nodes: [`127.0.0.1:${String((relay.server.address() as AddressInfo).port)}`],
  pool: { max: 2 * idle, wait: '5s' },
}))

interface Client {
  query(sql: string): Promise<unknown>
}

/** As many connections as that are open and free. */
async function fill(clients: readonly Client[]): Promise<void> {
  for (const sql of ['BEGIN', 'SELECT id FROM items', 'COMMIT']) await Promise.all(clients.map((client) => client.query(sql)))
}

const { connect: login } = await withProxy(t, config)
const pool = router(t, config)
const doors = {
  proxy: await Promise.all(Array.from({ length: idle }, () => login())),
  library: await Promise.all(Array.from({ length: idle }, () => pool.connect())),
}
t.teardown(() => doors.library.forEach((client) => client.release()))

for (const [door, clients] of Object.entries(doors)) {
  const client: Client | undefined = clients[0]
  if (client === undefined) throw new Error('nobody is connected')

  t.test(`${door}: a read meets more dead connections than it has attempts, and is answered`, async (t) => {
    await fill(clients)
    relay.arm(false)
    t.match(await client.query(`SELECT count(*)::int AS n FROM items AS ${mark}`), { rows: [{ n: 0 }] })
    t.ok(relay.stale >= idle)
  })

  t.test(`${door}: so does the first statement of a transaction, whose BEGIN meets them`, async (t) => {
    await fill(clients)
    // What may still go to a replica is sent with its first statement, settings included.
    await client.query('BEGIN READ ONLY')
    await client.query(`SET LOCAL application_name = '${mark}'`)
    relay.arm(false)
    t.match(await client.query('SELECT count(*)::int AS n FROM items'), { rows: [{ n: 0 }] })
    await client.query('COMMIT')
    t.ok(relay.stale >= idle)
  })

  t.test(`${door}: a read that ends every connection it is sent on has its attempts, and no more`, async (t) => {
    await fill(clients)
    relay.arm(true)
    await t.rejects(client.query(`SELECT count(*)::int AS n FROM items AS ${mark}`), { code: '08006' })
    t.ok(relay.stale >= idle)
    t.equal(relay.fresh, attempts)
  })
}
