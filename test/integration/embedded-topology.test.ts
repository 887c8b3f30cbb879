// Every verb does to a real server what its name says. One topology for the whole file; the tests run in order and each
// leaves the cluster as the next one needs it.
import { connect } from 'node:net'
import t from 'tap'
import { isAlive } from '../../src/embedded/processes.js'
import { until } from '../../src/embedded/until.js'
import { withTopology } from '../support/topology.js'

const seed = 'CREATE TABLE notes (id int PRIMARY KEY); INSERT INTO notes SELECT generate_series(1, 10)'
const running = await withTopology(t, {
  clusters: {
    main: { replicas: 1, seed: [seed, 'CREATE VIEW many AS SELECT count(*) FROM notes'], prepare: 'CREATE EXTENSION citext' },
    other: { dbname: 'elsewhere', settings: { work_mem: '1234kB' }, files: { 'note.txt': 'kept' } },
  },
})
const main = running.cluster('main')
const other = running.cluster('other')
const primary = main.primary
const replica = main.replica()
const count = async (node = replica): Promise<number> => Number((await node.sql('SELECT count(*) AS n FROM notes'))[0]?.['n'])

t.test('a cluster is what its description says', async (t) => {
  t.equal(await count(), 10, 'the seed reached the replica')
  t.same(await replica.sql('SELECT pg_is_in_recovery() AS r'), [{ r: 't' }])
  t.same(await primary.sql('SELECT pg_is_in_recovery() AS r'), [{ r: 'f' }])
  t.same(await primary.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'notes'"), [{ tableowner: 'app' }])
  t.same(await primary.sql("SELECT 1 AS found FROM pg_extension WHERE extname = 'citext'"), [{ found: '1' }])
  t.same(await primary.sql('SELECT application_name, state FROM pg_stat_replication'), [{ application_name: 'main-1', state: 'streaming' }])
  t.same(await other.primary.sql('SELECT current_database() AS d'), [{ d: 'elsewhere' }])
  t.same(await other.primary.sql('SHOW work_mem'), [{ work_mem: '1234kB' }])
  t.same(await other.primary.sql("SELECT pg_read_file('note.txt') AS text"), [{ text: 'kept' }])
  t.throws(() => running.cluster('none'), /no cluster none/)
})

t.test('clusters have system identifiers of their own, a replica has that of its primary', async (t) => {
  const identifier = async (node = primary): Promise<unknown> =>
    (await node.sql('SELECT system_identifier FROM pg_control_system()'))[0]?.['system_identifier']
  t.equal(await identifier(replica), await identifier(primary))
  t.not(await identifier(other.primary), await identifier(primary))
})

t.test('over TCP everybody proves a password with SCRAM, on loopback only', async (t) => {
  t.same(await primary.sql('SHOW listen_addresses'), [{ listen_addresses: '127.0.0.1' }])
  t.match(running.url(primary), `postgresql://app:app@127.0.0.1:${String(primary.port)}/app`)
  const authentication = await askAuthentication(primary.port)
  t.equal(authentication, 10, 'the server asks for SASL')
})

t.test('a replica whose replay is paused receives and does not apply', async (t) => {
  await replica.pauseReplay()
  await primary.sql('INSERT INTO notes VALUES (11)')
  await until('the replica has received it', async () => {
    const [row] = await primary.sql('SELECT 1 FROM pg_stat_replication WHERE flush_lsn >= pg_current_wal_lsn()')
    return row !== undefined
  })
  t.equal(await count(), 10)
  await replica.resumeReplay()
  await main.waitCaughtUp()
  t.equal(await count(), 11)
})

t.test('a replica whose link is cut receives nothing, until it is restored', async (t) => {
  await replica.cutLink()
  await primary.sql('INSERT INTO notes VALUES (12)')
  t.same(await primary.sql('SELECT 1 FROM pg_stat_replication'), [])
  t.equal(await count(), 11)
  await replica.restart()
  t.equal(await count(), 11, 'a restart does not mend the link')
  await replica.restoreLink()
  await main.waitCaughtUp()
  t.equal(await count(), 12)
})

t.test('stop, start and restart keep the port and the data', async (t) => {
  const { port, pid } = primary
  await primary.stop()
  t.notOk(primary.running)
  t.equal(await accepts(port), false)
  await primary.start()
  t.equal(primary.port, port)
  t.not(primary.pid, pid)
  await primary.restart('immediate')
  t.equal(await count(primary), 12)
  await primary.start()
  t.ok(primary.running, 'starting what runs does nothing')
})

t.test('kill9 takes the server and all its processes at once', async (t) => {
  const session = await replica.open()
  const [backend] = await session.query('SELECT pg_backend_pid() AS pid')
  const { pid } = replica
  await replica.kill9()
  t.notOk(replica.running)
  t.equal(await isAlive(Number(pid)), false)
  t.equal(await isAlive(Number(backend?.['pid'])), false)
  await t.rejects(session.query('SELECT 1'))
  session.close()
  await replica.start()
  await main.waitCaughtUp()
  t.equal(await count(), 12)
})

t.test('a frozen server keeps its connections and does not answer, until it is thawed', async (t) => {
  const session = await replica.open()
  await replica.freeze()
  let answered = false
  const answer = session.query('SELECT 1 AS one').then((rows) => {
    answered = true
    return rows
  })
  t.equal(await accepts(replica.port), true, 'the system still accepts for it')
  t.equal(answered, false)
  await replica.thaw()
  t.same(await answer, [{ one: '1' }])
  session.close()
})

t.test('killBackend ends one connection, or makes the server restart itself', async (t) => {
  const [first, second] = [await replica.open(), await replica.open()]
  const pid = async (session = first): Promise<number> => Number((await session.query('SELECT pg_backend_pid() AS pid'))[0]?.['pid'])
  await replica.killBackend(await pid(first))
  // What the server said may come before what is sent, or after that has failed.
  await t.rejects(first.query('SELECT 1'), { code: /^(57P01|EPIPE|ECONNRESET)$/ })
  t.same(await second.query('SELECT 1 AS one'), [{ one: '1' }])
  await replica.killBackend(await pid(second), 'kill')
  await t.rejects(second.query('SELECT 1'))
  await until('the server is up again', () => replica.sql('SELECT 1').then(() => true, () => false)) // prettier-ignore
  first.close()
  second.close()
})

t.test('a replica can be added while the primary is written to', async (t) => {
  const writer = { writing: true }
  const writes = (async () => {
    for (let id = 1000; writer.writing; id++) await primary.sql(`INSERT INTO notes VALUES (${String(id)})`)
  })()
  const added = await main.addReplica()
  writer.writing = false
  await writes
  await main.waitCaughtUp()
  t.equal(await count(added), await count(primary))
  t.equal(added.id, 'main-2')
  t.equal(main.replicas.length, 2)
})

t.test('waitCaughtUp says who does not catch up', async (t) => {
  const [first] = main.replicas
  await first!.stop()
  await main.waitCaughtUp()
  t.pass('a stopped replica is not waited for')
  await first!.start()
})

t.test('a promoted replica is the primary, others can follow it, and the old one can come back as a replica', async (t) => {
  const [first, second] = main.replicas
  await primary.kill9()
  await first!.promote()
  t.equal(main.primary, first)
  t.same(await first!.sql('SELECT pg_is_in_recovery() AS r'), [{ r: 'f' }])
  await second!.follow(first!)
  await first!.sql('INSERT INTO notes VALUES (99)')
  await main.waitCaughtUp()
  t.same(await second!.sql('SELECT id FROM notes WHERE id = 99'), [{ id: '99' }])
  await primary.start()
  t.same(await primary.sql('SELECT id FROM notes WHERE id = 99'), [], 'the old primary knows nothing of it')
  await primary.rebuild(first!)
  await main.waitCaughtUp()
  t.same(await primary.sql('SELECT id FROM notes WHERE id = 99'), [{ id: '99' }])
  t.equal(main.replicas.length, 2)
})

t.test('what a server writes to its log can be read', async (t) => {
  t.match(await primary.log(500), /ready to accept/)
})

/** Sends a startup packet and gives the kind of authentication that the server asks for. */
function askAuthentication(port: number): Promise<number> {
  const body = Buffer.from('user\0app\0database\0app\0\0')
  const packet = Buffer.alloc(8 + body.length)
  packet.writeInt32BE(packet.length, 0)
  packet.writeInt32BE(0x30000, 4)
  body.copy(packet, 8)
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(packet))
    socket.once('error', reject)
    socket.once('data', (data: Buffer) => {
      socket.destroy()
      resolve(data.readInt32BE(5))
    })
  })
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => {
      resolve(false)
    })
  })
}
