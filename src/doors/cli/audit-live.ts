// doors/cli/audit-live.ts — the book of a proxy that runs with the same config: asked of its console, as a user whom the config
// lets in there.
import type pg from 'pg'
import { AuditBook } from '../../audit/book.js'
import type { AuditBookData } from '../../audit/contract.js'
import type { Config } from '../../config/config.js'
import { CommandError, exit } from './io.js'

const askMs = 5_000

export async function liveBook(config: Config, database: string): Promise<AuditBookData> {
  const { auth, listen } = config
  const user = [...auth.viewers, ...auth.admins].map((name) => auth.users.get(name)).find((one) => one !== undefined)
  if (user === undefined)
    throw new CommandError(exit.usage, '--live asks the console: auth.viewers or auth.admins must list one of auth.users')
  const host = listen.unix === null && (listen.host === '0.0.0.0' || listen.host === '::') ? '127.0.0.1' : listen.host
  const { Client } = await loadPg()
  const client = new Client({
    host,
    port: listen.port,
    database: 'pointsman',
    user: user.name,
    ...(user.password === null ? {} : { password: user.password }),
    ssl: listen.tls?.mode === 'require' ? { rejectUnauthorized: false } : false,
    connectionTimeoutMillis: askMs,
    query_timeout: askMs,
  })
  try {
    await client.connect()
    const { rows } = await client.query<{ data: string }>('SHOW AUDIT_DATA')
    const book = new AuditBook()
    for (const { data } of rows) book.add(JSON.parse(data) as AuditBookData)
    const { findings, tables, dropped } = book.data()
    const own = <T extends { readonly database: string }>(all: readonly T[]): readonly T[] => all.filter((one) => one.database === database)
    return { findings: own(findings), tables: own(tables), dropped }
  } catch (error) {
    if (error instanceof CommandError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new CommandError(exit.no, `the proxy at ${host}:${String(listen.port)} cannot be asked as ${user.name}: ${reason}`)
  } finally {
    await client.end().catch(() => undefined)
  }
}

async function loadPg(): Promise<typeof pg> {
  try {
    return (await import('pg')).default
  } catch {
    throw new CommandError(exit.no, '--live works through the package pg, which is not installed: npm install pg')
  }
}
