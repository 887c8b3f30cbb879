// runtime/directory-cache.ts — directories (`by: directory`) as they were last read. plan() only looks here; what it does not
// find it names (RefusePlan.lookup), the door has it asked for, and plans again. Answers are read from the primary of the
// directory's cluster by simple queries on a connection of its own; they are used for `ttl` at most, a key that is not there
// for a second, and forgotten at once on a NOTIFY of the channel, on forget(), and when that connection is lost.
import { PointsmanError } from '../errors/error.js'
import type { Config } from '../config/config.js'
import { BodyReader } from '../protocol/body-reader.js'
import { connectServer } from '../server/connect-server.js'
import type { ReplySink, ServerConnection } from '../server/contract.js'
import type { Directories } from '../sharding/directories.js'
import { keyText } from '../sharding/key.js'
import { readKeys } from '../sharding/read-keys.js'
import type { DirectoryTable, Sharded } from '../sharding/sharded.js'
import type { Topology } from '../topology/topology.js'

export interface DirectoryCacheParts {
  readonly config: () => Config
  readonly topology: () => Topology
  /** Process-monotonic ms. */
  readonly now: () => number
  /** It does not keep the process alive. */
  readonly background: boolean
}

/** What a plan lacks. */
export interface DirectoryLookup {
  readonly sharded: Sharded
  readonly keys: readonly (readonly string[])[]
}

interface Entry {
  /** null: the directory has none that is good. */
  readonly shard: number | null
  readonly until: number
}

/** What one set's directory said. */
interface Known {
  /** The node that was asked. After a failover nobody listens any more to what is told of these. */
  readonly primary: string
  readonly entries: Map<string, Entry>
}

/** How long a key is taken not to be there. */
const absentMs = 1_000
const connectMs = 10_000

export class DirectoryCache implements Directories {
  readonly #parts: DirectoryCacheParts
  /** By the set, which is another one in another configuration. In the order of last asking. */
  readonly #known = new Map<Sharded, Known>()
  readonly #connections = new Map<string, Promise<ServerConnection>>()
  readonly #closing = new AbortController()
  /** How often something was forgotten. */
  #forgotten = 0

  constructor(parts: DirectoryCacheParts) {
    this.#parts = parts
  }

  find(sharded: Sharded, key: readonly string[]): number | null | undefined {
    const known = this.#known.get(sharded)
    if (known === undefined || sharded.function.by !== 'directory') return undefined
    const primary = this.#primary(sharded.function.directory)
    if (primary !== null && primary !== known.primary) return undefined
    const entry = known.entries.get(nameOf(key))
    return entry === undefined || entry.until <= this.#parts.now() ? undefined : entry.shard
  }

  /** Reads these keys. Rejects where the directory cannot be asked. */
  async ask({ sharded, keys }: DirectoryLookup, database: string): Promise<void> {
    const { function: placing } = sharded
    if (placing.by !== 'directory') return
    const { directory } = placing
    // What is forgotten while the question is on its way must not come back with its answer.
    const forgotten = this.#forgotten
    const askedAt = this.#parts.now()
    const primary = this.#primary(directory)
    const rows = await this.#read(directory, keys, database)
    if (this.#forgotten !== forgotten || primary === null || this.#primary(directory) !== primary) return
    const known = this.#of(sharded, primary)
    const found = new Map<string, string | null>()
    for (const row of rows) {
      const name = nameOf(row.slice(0, -1).map((text) => text ?? ''))
      // Two rows for one key: none of them counts.
      found.set(name, found.has(name) && found.get(name) !== row.at(-1) ? null : (row.at(-1) ?? null))
    }
    for (const key of keys) {
      const shard = shardFrom(found.get(nameOf(key)) ?? null, sharded)
      keep(
        known,
        nameOf(key),
        { shard, until: askedAt + (shard === null ? Math.min(absentMs, directory.ttlMs) : directory.ttlMs) },
        directory,
      )
    }
  }

  /** Forgets all, or what came from one directory, or one key of it as its columns' texts, however they are written. */
  forget(table: Pick<DirectoryTable, 'cluster' | 'table'> | null = null, key: readonly string[] | null = null): void {
    this.#forgotten++
    for (const [sharded, known] of this.#known) {
      const directory = sharded.function.by === 'directory' ? sharded.function.directory : null
      if (table !== null && (directory?.cluster !== table.cluster || directory.table !== table.table)) continue
      const name = key === null ? null : asKept(sharded, key)
      if (name === null) this.#known.delete(sharded)
      else known.entries.delete(name)
    }
  }

  close(): void {
    this.#closing.abort(new PointsmanError('shutting_down'))
    for (const connection of this.#connections.values()) connection.then((one) => one.close()).catch(() => undefined)
  }

  #primary({ cluster }: DirectoryTable): string | null {
    return this.#parts.topology().clusters.get(cluster)?.primary?.id ?? null
  }

  #of(sharded: Sharded, primary: string): Map<string, Entry> {
    const before = this.#known.get(sharded)
    const known = before?.primary === primary ? before : { primary, entries: new Map<string, Entry>() }
    this.#known.set(sharded, known)
    // Sets of configurations that are gone are the oldest.
    for (const other of this.#known.keys()) {
      if (this.#known.size <= maxSets) break
      this.#known.delete(other)
    }
    return known.entries
  }

  async #read(directory: DirectoryTable, keys: readonly (readonly string[])[], database: string): Promise<Rows> {
    const columns = directory.keys.map(quoted)
    const values = keys.map((key) => `(${key.map(literal).join(', ')})`).join(', ')
    const dot = directory.table.indexOf('.')
    const table = `${quoted(directory.table.slice(0, dot))}.${quoted(directory.table.slice(dot + 1))}`
    const listed = [...columns, quoted(directory.shard)].map((column) => `${column}::text`).join(', ')
    try {
      const connection = await this.#connection(directory, database)
      const { rows } = await connection.query(`SELECT ${listed} FROM ${table} WHERE (${columns.join(', ')}) IN (${values})`)
      return rows
    } catch (error) {
      if (error instanceof PointsmanError) throw error
      // The server's own message may quote the key.
      const sqlstate = (error as { readonly sqlstate?: unknown }).sqlstate
      const why = typeof sqlstate === 'string' ? `SQLSTATE ${sqlstate}` : 'it cannot be reached'
      throw new PointsmanError('cluster_unreachable', {
        values: { cluster: directory.cluster, why: `its directory ${directory.table}: ${why}` },
      })
    }
  }

  async #connection(directory: DirectoryTable, database: string): Promise<ServerConnection> {
    const name = `${directory.cluster} ${this.#primary(directory) ?? ''} ${database} ${directory.channel ?? ''}`
    const known = this.#connections.get(name)
    if (known !== undefined) return known
    const made = this.#connect(directory, database, name)
    this.#connections.set(name, made)
    // Where it failed before it waited for anything, it was not there yet to be taken out.
    const failed = (): boolean => this.#connections.get(name) === made && this.#connections.delete(name)
    made.catch(failed)
    return made
  }

  async #connect(directory: DirectoryTable, database: string, name: string): Promise<ServerConnection> {
    const { config, now, background } = this.#parts
    const { cluster, channel } = directory
    const found = config().clusters.get(cluster)
    const primary = this.#primary(directory)
    const node = found?.nodes.find(({ id }) => id === primary)
    if (found === undefined || node === undefined) {
      throw new PointsmanError('cluster_unreachable', { values: { cluster, why: 'it has no proved primary' } })
    }
    const identity = { cluster, dbname: found.dbname ?? database, user: found.user ?? '', password: found.password, key: 'directory' }
    const startup = { application_name: 'pointsman directory' }
    const options = { now, startup, maxStatements: 0, background, positions: found }
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(connectMs)])
    const connection = await connectServer(node, found.tls, identity, options, signal)
    connection.onClosed(() => {
      this.#connections.delete(name)
      // What was told meanwhile has not been heard.
      this.forget(directory)
    })
    if (channel === null) return connection
    connection.exchange(this.#sink(directory))
    try {
      await connection.query(`LISTEN ${quoted(channel)}`)
      return connection
    } catch (error) {
      connection.close()
      throw error
    }
  }

  #sink(directory: DirectoryTable): ReplySink {
    return {
      bytes: () => true,
      ready: () => undefined,
      error: () => 'withhold',
      notification: (frame) => this.#notified(directory, frame),
      closed: () => undefined,
    }
  }

  /** The payload names a key of one column; of several columns all are forgotten. */
  #notified(directory: DirectoryTable, frame: Uint8Array): void {
    const body = new BodyReader(frame, 'NotificationResponse')
    body.int32()
    body.cstring()
    const payload = body.cstring()
    this.forget(directory, payload === '' || directory.keys.length > 1 ? null : [payload])
  }
}

type Rows = readonly (readonly (string | null)[])[]

/** Those of the present configuration and of what still drains. */
const maxSets = 256

function keep(known: Map<string, Entry>, name: string, entry: Entry, { maxEntries }: DirectoryTable): void {
  known.delete(name)
  known.set(name, entry)
  for (const oldest of known.keys()) {
    if (known.size <= maxEntries) break
    known.delete(oldest)
  }
}

function nameOf(key: readonly string[]): string {
  return key.length === 1 ? (key[0] ?? '') : JSON.stringify(key)
}

/** A key's name as find() makes it of the same key; null: it is none. */
function asKept(sharded: Sharded, texts: readonly string[]): string | null {
  const keys = readKeys(sharded, texts)
  return 'kind' in keys ? null : nameOf(keys.map(keyText))
}

function shardFrom(text: string | null, { shards }: Sharded): number | null {
  const shard = text !== null && /^[0-9]{1,5}$/.test(text) ? Number(text) : null
  return shard !== null && shard < shards ? shard : null
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function literal(text: string): string {
  return `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
}
