// test/support/debian-server.ts — a server of PostgreSQL 15 as Debian packages it, for tools that refuse servers newer than themselves.
import { execFile } from 'node:child_process'
import { accessSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { asAccount, ownDirectory, serverAccount } from '../../src/embedded/account.js'
import { startJanitor } from '../../src/embedded/guard.js'
import { EmbeddedNode } from '../../src/embedded/node.js'
import { superuser } from '../../src/embedded/settings.js'
import { temporaryDirectory } from '../../src/embedded/temporary.js'

const run = promisify(execFile)
const directory = '/usr/lib/postgresql/15/bin'

/** The value for tap's `skip` option. */
export function skipWithoutDebianServer(): string | false {
  try {
    for (const name of ['initdb', 'postgres', 'pg_dump']) accessSync(join(directory, name))
    return false
  } catch {
    return 'PostgreSQL 15 is not installed'
  }
}

/** Starts an empty server with the role and database `app` that ends with the test. */
export async function withDebianServer(t: Pick<Test, 'teardown'>): Promise<EmbeddedNode> {
  const account = await serverAccount()
  const home = await temporaryDirectory(account, 'pointsman-', true)
  const sweep = startJanitor(home, [home])
  const binaries = { version: '15', initdb: join(directory, 'initdb'), postgres: join(directory, 'postgres') }
  const house = { account, binaries, serversDir: home, socketDir: join(home, 's'), throwAway: true }
  const node = EmbeddedNode.known(house, { id: 'old-0', cluster: 'old', dbname: 'app', settings: {}, hba: [], files: {}, port: null })
  t.teardown(async () => {
    await node.stop('immediate')
    rmSync(home, { recursive: true, force: true })
    await sweep()
  })
  await ownDirectory(account, house.socketDir)
  await ownDirectory(account, join(home, 'old-0'))
  const options = ['-U', superuser, '--auth=trust', '--no-sync', '--no-instructions', '--encoding=UTF8', '--locale=C']
  await run(binaries.initdb, ['-D', node.dataDir, ...options], { ...asAccount(account), env: { LC_ALL: 'C', TZ: 'UTC' } })
  await node.start()
  await node.sql("CREATE ROLE app LOGIN PASSWORD 'app'; GRANT pg_monitor TO app", { dbname: 'postgres' })
  await node.sql('CREATE DATABASE app OWNER app', { dbname: 'postgres' })
  return node
}
