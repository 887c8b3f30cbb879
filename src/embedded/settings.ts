// embedded/settings.ts — the files that make a data directory a primary or a replica of a small, quiet server.
// They are written anew at every start, since ports and socket directories may change between two starts.
import { chmod, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { give, type Account } from './account.js'

/** The superuser of every embedded server, reachable through its Unix socket only. */
export const superuser = 'postgres'

/** Whom a replica follows. */
export interface Upstream {
  readonly socketDir: string
  readonly port: number
}

/** What makes one server's configuration. */
export interface ServerSettings {
  /** Shown in pg_stat_replication; also the cluster_name. */
  readonly name: string
  readonly socketDir: string
  /** Data that are thrown away need not survive the machine. */
  readonly throwAway: boolean
  /** null: a primary. */
  readonly upstream: Upstream | null
  readonly extra: Readonly<Record<string, string>>
  /** Lines of pg_hba.conf that come first. */
  readonly hba: readonly string[]
}

export async function writeSettings(account: Account, dataDir: string, settings: ServerSettings): Promise<void> {
  await writeOwned(account, join(dataDir, 'postgresql.conf'), configuration(settings))
  await writeOwned(account, join(dataDir, 'pg_hba.conf'), [...settings.hba, ...accessRules, ''].join('\n'))
  const standby = join(dataDir, 'standby.signal')
  if (settings.upstream === null) await rm(standby, { force: true })
  else await writeOwned(account, standby, '')
}

/** Writes a file that only the account may read (PostgreSQL insists on it for keys). */
export async function writeOwned(account: Account, path: string, content: string): Promise<void> {
  await writeFile(path, content, { mode: 0o600 })
  await chmod(path, 0o600)
  await give(account, path)
}

// The socket's directory can be entered by the server's account only; over TCP everybody proves a password.
const accessRules = [
  'local all all trust',
  'local replication all trust',
  'host all all 127.0.0.1/32 scram-sha-256',
  'host replication all 127.0.0.1/32 scram-sha-256',
]

function configuration(settings: ServerSettings): string {
  const values: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: settings.socketDir,
    unix_socket_permissions: '0700',
    cluster_name: settings.name,
    max_connections: '400',
    shared_buffers: '32MB',
    max_prepared_transactions: '64',
    wal_level: 'replica',
    max_wal_senders: '16',
    // Instead of slots: a replica that was cut off for a while finds what it missed, and one that never returns costs nothing.
    wal_keep_size: '512MB',
    max_wal_size: '1GB',
    min_wal_size: '32MB',
    wal_init_zero: 'off',
    checkpoint_timeout: '30min',
    // A replica that lost its primary asks again soon.
    wal_retrieve_retry_interval: '100ms',
    autovacuum: settings.throwAway ? 'off' : 'on',
    fsync: settings.throwAway ? 'off' : 'on',
    hot_standby: 'on',
    password_encryption: 'scram-sha-256',
    log_line_prefix: '%m [%p] %q%u@%d ',
    log_checkpoints: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
    lc_messages: 'C',
    ...(settings.upstream === null ? {} : { primary_conninfo: conninfo(settings.name, settings.upstream) }),
    ...settings.extra,
  }
  return Object.entries(values)
    .map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`)
    .join('')
}

function conninfo(name: string, upstream: Upstream): string {
  return `host=${upstream.socketDir} port=${String(upstream.port)} user=${superuser} application_name=${name} connect_timeout=5`
}
