// bench/pgbouncer.ts — PgBouncer in transaction mode before one server, for comparison. The binary is PGBOUNCER or the
// one on the path; it refuses to run as root, so root starts it as another user.
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, writeFile, chmod, rm } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './pgbench.js'

export interface Bouncer {
  readonly port: number
  readonly pid: number
  readonly version: string
  /** From 1.21 on protocol-level prepared statements work in transaction mode. */
  readonly prepared: boolean
  stop(): Promise<void>
}

interface Upstream {
  readonly port: number
  readonly database: string
  readonly user: string
  readonly password: string
  readonly poolSize: number
}

/** null where no PgBouncer is at hand. */
export async function startPgBouncer(upstream: Upstream): Promise<Bouncer | null> {
  const binary = process.env['PGBOUNCER'] ?? 'pgbouncer'
  const banner = await run(binary, ['--version']).catch(() => null)
  if (banner === null) return null
  const version = /PgBouncer (\d+\.\d+(?:\.\d+)?)/.exec(banner)?.[1] ?? 'unknown'
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const prepared = major > 1 || minor >= 21
  const port = await freePort()
  const dir = await mkdtemp(join(tmpdir(), 'pointsman-bouncer-'))
  await chmod(dir, 0o755)
  await writeFile(join(dir, 'users.txt'), `"${upstream.user}" "${upstream.password}"\n`, { mode: 0o644 })
  await writeFile(join(dir, 'pgbouncer.ini'), settings(upstream, port, dir, prepared), { mode: 0o644 })
  const args = process.getuid?.() === 0 ? ['-u', 'nobody', join(dir, 'pgbouncer.ini')] : [join(dir, 'pgbouncer.ini')]
  const child = spawn(binary, args, { stdio: 'ignore' })
  await listening(port, child)
  return {
    port,
    pid: child.pid ?? 0,
    version,
    prepared,
    async stop() {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
      await rm(dir, { recursive: true, force: true })
    },
  }
}

function settings(upstream: Upstream, port: number, dir: string, prepared: boolean): string {
  return [
    '[databases]',
    `${upstream.database} = host=127.0.0.1 port=${String(upstream.port)} dbname=${upstream.database}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${String(port)}`,
    'unix_socket_dir =',
    'auth_type = scram-sha-256',
    `auth_file = ${join(dir, 'users.txt')}`,
    'pool_mode = transaction',
    'max_client_conn = 20000',
    `default_pool_size = ${String(upstream.poolSize)}`,
    ...(prepared ? ['max_prepared_statements = 200'] : []),
    'ignore_startup_parameters = extra_float_digits',
    'log_connections = 0',
    'log_disconnections = 0',
    '',
  ].join('\n')
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.on('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo
      probe.close(() => {
        resolve(port)
      })
    })
  })
}

/** Resolves once something accepts on the port; rejects if the process ends first. */
export function listening(port: number, child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => {
      reject(new Error(`the process for port ${String(port)} ended with ${String(code)}`))
    })
    const attempt = (): void => {
      const socket = connect({ port, host: '127.0.0.1' })
      socket.once('connect', () => {
        socket.destroy()
        resolve()
      })
      socket.once('error', () => {
        if (child.exitCode === null) setTimeout(attempt, 50)
      })
    }
    attempt()
  })
}
