// Clients that are gone, and servers that then say nothing, or more than they were asked: no server connection is kept for one who
// has left, and none is given back twice. Between the proxy and a real server stands a relay that keeps back what the server says.
import { createServer, connect, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { until } from '../../src/embedded/until.js'
import { WireClient } from '../support/wire-client.js'
import { withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, { clusters: { main: { seed: 'CREATE TABLE items (id int)' } } })

/** Keeps what the server says from the moment on at which `word` was asked there. */
class Relay {
  #word: string | null = null
  #kept: Buffer[] = []
  #keptOn: Socket | null = null
  readonly #sockets = new Set<Socket>()
  readonly #server = createServer((near) => this.#relay(near))

  static async start(): Promise<Relay> {
    const relay = new Relay()
    await once(relay.#server.listen(0, '127.0.0.1'), 'listening')
    t.teardown(() => {
      for (const socket of relay.#sockets) socket.destroy()
      relay.#server.close()
    })
    return relay
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** From the connection on which `word` is asked next nothing comes any more. */
  silence(word: string): void {
    this.#word = word
    this.#kept = []
    this.#keptOn = null
  }

  /** What has come there since then. */
  get kept(): Buffer {
    return Buffer.concat(this.#kept)
  }

  get silent(): boolean {
    return this.#keptOn !== null
  }

  /** It is let through, `more` with it, in one piece. */
  speak(more = ''): void {
    this.#keptOn?.write(Buffer.concat([this.kept, Buffer.from(more, 'latin1')]))
    this.#keptOn = null
  }

  #relay(near: Socket): void {
    const far = connect(running.cluster('main').primary.port, '127.0.0.1')
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => other.destroy())
    }
    near.on('data', (chunk: Buffer) => {
      if (this.#word !== null && chunk.includes(this.#word)) {
        this.#word = null
        this.#keptOn = near
      }
      far.write(chunk)
    })
    far.on('data', (chunk: Buffer) => {
      if (this.#keptOn === near) this.#kept.push(chunk)
      else near.write(chunk)
    })
  }
}

const relay = await Relay.start()
const { port, proxy, runtime, events } = await withProxy(t, {
  version: 1,
  auth: { method: 'trust', users: [{ name: 'app' }] },
  clusters: {
    main: {
      dbname: 'app',
      user: 'app',
      password: 'app',
      tls: { mode: 'disable' },
      nodes: [`127.0.0.1:${String(relay.port)}`],
      pool: { max: 2 },
    },
  },
  databases: { app: { default: 'main' } },
  lanes: { enabled: false },
})
const busy = (): number => runtime.snapshot().pools.reduce((sum, pool) => sum + pool.busy, 0)
const nothingIsKept = async (): Promise<void> => {
  await until('no client is there', () => Promise.resolve(proxy.clients().length === 0))
  await until('no connection is lent', () => Promise.resolve(busy() === 0))
}

/** The proxy has noticed when it has closed its own end. */
const leaves = async (client: WireClient): Promise<void> => {
  client.end()
  await client.closed()
  await turn()
}

t.test('one who left while it was logged in: what it had sent with its login runs nowhere for ever', { timeout: 30_000 }, async (t) => {
  const client = await WireClient.open(t, port)
  relay.silence("current_setting('search_path')")
  client.startup()
  client.query('SELECT id FROM items /* never answered */')
  await until('its login waits', () => Promise.resolve(relay.silent))
  await leaves(client)
  await until('the answer is there', () => Promise.resolve(relay.kept.length > 0))
  relay.speak()
  relay.silence('never answered')
  await nothingIsKept()
})

t.test('a server that says more than it was asked, behind its reply to a write of one who has left', { timeout: 30_000 }, async (t) => {
  const client = await WireClient.login(t, port)
  relay.silence('INSERT INTO items')
  client.query('INSERT INTO items VALUES (1)')
  await until('it runs', () => Promise.resolve(relay.kept.length > 0))
  await leaves(client)
  relay.speak('Z\0\0\0\x05I')
  await nothingIsKept()
  t.same(
    events('log').filter(({ level }) => level === 'error'),
    [],
  )
})
