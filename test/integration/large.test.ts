// Values of 200 MB through `pointsman serve`, in both directions and by every way there is, and the memory of its process meanwhile.
// Rows and COPY data pass in pieces. A statement and its parameters must be there as a whole before it is known where they
// belong (the key may come last), so they take their size in memory; how much that may be is limits.max_message_bytes.
import t, { type Test } from 'tap'
import { Served } from '../support/served.js'
import { WireClient } from '../support/wire-client.js'
import { withTopology } from '../support/topology.js'

const big = 200 * 1024 * 1024
/** Far less than a value, and more than a garbage collector needs to wake up. */
const allowed = 100 * 1024 * 1024
/** The pieces that came, the whole of them, and the text of a statement. */
const whole = 3 * big + allowed

const running = await withTopology(t, {
  clusters: {
    main: {
      // The row is read and taken apart by the server, and then thrown away.
      seed: `CREATE TABLE lengths (n int); CREATE TABLE sink (v text);
CREATE FUNCTION measure() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO lengths VALUES (length(NEW.v)); RETURN NULL; END';
CREATE TRIGGER measure BEFORE INSERT ON sink FOR EACH ROW EXECUTE FUNCTION measure();`,
    },
  },
})
const { primary } = running.cluster('main')
const served = await Served.start(
  t,
  `version: 1
listen: { port: 0 }
admin: { port: 0 }
auth: { method: trust, users: [{ name: app }] }
clusters:
  main: { dbname: app, user: app, password: app, tls: { mode: disable }, nodes: [${JSON.stringify(primary.address)}] }
databases:
  app: { default: main }
`,
)

/** How much the process grew at most while `work` ran. */
async function growth(work: () => Promise<unknown>): Promise<number> {
  const before = served.memory() ?? 0
  let most = before
  const timer = setInterval(() => (most = Math.max(most, served.memory() ?? 0)), 10)
  try {
    await work()
  } finally {
    clearInterval(timer)
  }
  return most - before
}

/** `value` in the middle of a message, in pieces as the socket takes them. */
async function sendLarge(client: WireClient, type: string, before: Buffer, after: Buffer): Promise<void> {
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeUInt32BE(4 + before.length + big + after.length, 1)
  client.raw(Buffer.concat([head, before]))
  const piece = Buffer.alloc(1024 * 1024, 'x')
  for (let sent = 0; sent < big; sent += piece.length) if (!client.raw(piece)) await client.drained()
  client.raw(after)
}

const lengths = async (): Promise<unknown> => {
  const rows = await primary.sql('SELECT n FROM lengths')
  await primary.sql('TRUNCATE lengths')
  return rows
}
const text = (value: string): Buffer => Buffer.from(`${value}\0`)
const int16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255])
const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

type Work = (t: Test, client: WireClient) => Promise<void>

const passed: Readonly<Record<string, Work>> = {
  'a row of a simple query': async (t, client) => {
    client.query(`SELECT repeat('x', ${String(big)})`)
    await client.until('ReadyForQuery')
    t.ok(client.passed > big)
  },
  'a row of a prepared statement': async (t, client) => {
    client.send('Parse "" "SELECT repeat(\'x\', $1)" 0', `Bind "" "" 0 1 "${String(big)}" 0`, 'Execute "" 0', 'Sync')
    await client.until('ReadyForQuery')
    t.ok(client.passed > big)
  },
  'COPY to the client': async (t, client) => {
    client.query(`COPY (SELECT repeat('x', ${String(big)})) TO STDOUT`)
    await client.until('ReadyForQuery')
    t.ok(client.passed > big)
  },
  'COPY from the client': async (t, client) => {
    client.query('COPY sink FROM STDIN')
    await client.until('CopyInResponse')
    await sendLarge(client, 'd', Buffer.alloc(0), Buffer.from('\n'))
    client.send('CopyDone')
    t.match(await client.until('ReadyForQuery'), [/CommandComplete/, 'ReadyForQuery I'])
    t.same(await lengths(), [{ n: String(big) }])
  },
}

const collected: Readonly<Record<string, Work>> = {
  'a parameter': async (t, client) => {
    client.send('Parse "" "INSERT INTO sink VALUES ($1)" 0')
    await sendLarge(client, 'B', Buffer.concat([text(''), text(''), int16(0), int16(1), int32(big)]), int16(0))
    client.send('Execute "" 0', 'Sync')
    t.match(await client.until('ReadyForQuery'), ['ParseComplete', 'BindComplete', /CommandComplete/, 'ReadyForQuery I'])
    t.same(await lengths(), [{ n: String(big) }])
  },
  'a literal': async (t, client) => {
    await sendLarge(client, 'Q', Buffer.from("INSERT INTO sink VALUES ('"), text("')"))
    t.match(await client.until('ReadyForQuery'), [/CommandComplete/, 'ReadyForQuery I'])
    t.same(await lengths(), [{ n: String(big) }])
  },
}

const skip = served.memory() === null ? 'the system does not tell how much memory a process has' : false
for (const [cases, limit] of [
  [passed, allowed],
  [collected, whole],
] as const) {
  for (const [what, work] of Object.entries(cases)) {
    t.test(what, { skip }, async (t) => {
      const client = await WireClient.login(t, served.port)
      const grown = await growth(() => work(t, client))
      t.ok(grown < limit, `grew by ${String(grown >> 20)} MB`)
      client.destroy()
    })
  }
}
