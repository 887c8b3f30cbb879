// pg_dump | psql, and pg_dump | pg_restore, through the proxy: a database with every kind of object comes out as it went in.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { skipWithoutDebianServer, withDebianServer } from '../support/debian-server.js'
import { runProgram } from '../support/program.js'
import { withProxy } from '../support/proxy.js'

const everyObject = readFileSync(new URL('../support/every-object.sql', import.meta.url), 'utf8')

t.test('every kind of object', { skip: skipWithoutDebianServer() }, async (t) => {
  const node = await withDebianServer(t)
  await node.sql("CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'app'", { dbname: 'postgres' })
  for (const name of ['copy', 'restored']) await node.sql(`CREATE DATABASE ${name} OWNER app`, { dbname: 'postgres' })
  const { port, events } = await withProxy(t, {
    version: 1,
    auth: { users: [{ name: 'boss', password: 'app' }] },
    clusters: { old: { monitor: { user: 'boss', password: 'app' }, tls: { mode: 'disable' }, nodes: [node.address], pool: { max: 4 } } },
    databases: { '*': { default: 'old', reads: { default: { consistency: 'session' } } } },
  })
  const run = async (name: string, to: number, args: readonly string[], input = ''): Promise<string> => {
    const { code, out, err } = await runProgram(name, to, ['-U', 'boss', ...args], input)
    // What every restored subscription and publication says on such a server.
    const said = err.replace(/^.*(WARNING: +(tables were not subscribed|wal_level is insufficient)|HINT: +Set wal_level).*\n/gm, '')
    t.same({ code, err: said.slice(0, 500) }, { code: 0, err: '' }, `${name} ${args.join(' ')}`)
    return out
  }
  // Without the random words that later minor versions put around a dump.
  const dump = async (to: number, database: string): Promise<string> =>
    (await run('pg_dump', to, [database])).replaceAll(/^\\(?:un)?restrict .*$/gm, '')

  await run('psql', port, ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', 'app'], everyObject)
  const directly = await dump(node.port, 'app')
  const made = new Set([...directly.matchAll(/; Type: ([A-Z ]+);/g)].map(([, type]) => type))
  t.ok(made.size > 45, `kinds of entries: ${String(made.size)}`)
  t.equal((await dump(port, 'app')) === directly, true, 'dumped through the proxy')

  const script = await run('pg_dump', port, ['app'])
  await run('psql', port, ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', 'copy'], script)
  t.equal(await dump(node.port, 'copy'), directly, 'and restored by psql')

  const directory = mkdtempSync(join(tmpdir(), 'pm-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  await run('pg_dump', port, ['-Fd', '-j', '3', '-f', join(directory, 'd'), 'app'])
  await run('pg_restore', port, ['-j', '3', '--exit-on-error', '-d', 'restored', join(directory, 'd')])
  t.equal(await dump(node.port, 'restored'), directly, 'and by pg_restore, over several connections')
  t.same(
    events('log').filter(({ level }) => level === 'error'),
    [],
  )
})
