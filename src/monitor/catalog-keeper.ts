// monitor/catalog-keeper.ts — keeps one cluster's catalog: loaded when there is a server, again soon after DDL was seen,
// and looked at once a minute for DDL that passed elsewhere. A look is one number per system table; only where they differ
// is everything read, on a connection of its own, so that samples never wait behind it.
import { buildCatalog } from '../catalog/build.js'
import type { Catalog } from '../catalog/catalog.js'
import type { Observer } from '../observe/events.js'
import { somethingDefined } from '../server/definitions.js'
import { attempt } from './attempt.js'
import { fingerprintQuery, loadRows } from './catalog-queries.js'
import type { MonitorConnection } from './connection.js'
import { readBody, type ReadText } from './read-body.js'
import { readFunction } from './read-function.js'
import { within } from './within.js'

export interface KeeperParts {
  readonly cluster: string
  readonly connect: (signal: AbortSignal) => Promise<MonitorConnection>
  /** Makes the parser ready. */
  readonly reader: () => Promise<ReadText>
  readonly observer: Observer
  /** Its timer does not keep the process alive. */
  readonly background: boolean
  /** Looks at something else of the same server, each time; it may reject, which counts as a failed load. */
  readonly inspect: (query: MonitorConnection['query']) => Promise<void>
  /** A first load ended, well or not, or the catalog is a new one. */
  readonly loaded: () => void
}

const LOOK_MS = 60_000
const SOON_MS = 100
const RETRY_MS = 2_000
const CONNECT_MS = 3_000
const LOAD_MS = 30_000

export class CatalogKeeper {
  readonly #parts: KeeperParts
  readonly #stop = new AbortController()
  #catalog: Catalog | null = null
  #fingerprint: string | null = null
  #started = false
  #tried = false
  #loading = false
  /** DDL was seen while the catalog was being read. */
  #again = false
  #timer: NodeJS.Timeout | undefined

  constructor(parts: KeeperParts) {
    this.#parts = parts
  }

  /** null: not loaded yet. */
  get current(): Catalog | null {
    return this.#catalog
  }

  /** A first load has ended, well or not. */
  get tried(): boolean {
    return this.#tried
  }

  /** There is a server to load from; further calls do nothing. */
  start(): void {
    if (this.#started) return
    this.#started = true
    void this.#load()
  }

  /** Something in the cluster's schema may have changed. Several calls in a row make one load. */
  changed(): void {
    somethingDefined()
    if (!this.#started) return
    if (this.#loading) this.#again = true
    else this.#schedule(SOON_MS)
  }

  stop(): void {
    this.#stop.abort(new Error('the monitor stops'))
    clearTimeout(this.#timer)
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer)
    if (this.#stop.signal.aborted) return
    this.#timer = setTimeout(() => void this.#load(), ms)
    if (this.#parts.background) this.#timer.unref()
  }

  async #load(): Promise<void> {
    this.#loading = true
    this.#again = false
    let pause = LOOK_MS
    try {
      await this.#refresh()
    } catch (error) {
      pause = RETRY_MS
      this.#complain(error)
    }
    this.#loading = false
    if (!this.#tried) {
      this.#tried = true
      this.#parts.loaded()
    }
    this.#schedule(this.#askedAgain() ? SOON_MS : pause)
  }

  #askedAgain(): boolean {
    return this.#again
  }

  async #refresh(): Promise<void> {
    const connection = await attempt(this.#stop.signal, CONNECT_MS, this.#parts.connect)
    try {
      await within(
        this.#parts.inspect((sql) => connection.query(sql)),
        LOAD_MS,
        'looking at its settings',
      )
      await within(this.#compare(connection), LOAD_MS, 'reading the catalog')
    } finally {
      connection.close()
    }
  }

  /** The fingerprint is read first: what changes between the two is seen again by the next look. */
  async #compare(connection: MonitorConnection): Promise<void> {
    const query = (sql: string): ReturnType<MonitorConnection['query']> => connection.query(sql)
    const [row] = await query(fingerprintQuery)
    const fingerprint = row?.[0] ?? null
    if (fingerprint !== null && fingerprint === this.#fingerprint) return
    somethingDefined()
    const rows = await loadRows(query)
    const readText = await this.#parts.reader()
    if (this.#stop.signal.aborted) return
    const { cluster, observer, loaded } = this.#parts
    const generation = (this.#catalog?.generation ?? 0) + 1
    this.#catalog = buildCatalog(
      cluster,
      generation,
      rows,
      (text) => readBody(text, readText),
      (row) => readFunction(row, readText),
    )
    this.#fingerprint = fingerprint
    this.#tried = true
    observer.emit('catalog.loaded', { cluster, relations: this.#catalog.relations.size, functions: rows.functions.length, generation })
    loaded()
  }

  #complain(error: unknown): void {
    if (this.#stop.signal.aborted) return
    const reason = error instanceof Error ? error.message : String(error)
    const { cluster, observer } = this.#parts
    observer.emit('log', { level: 'warn', message: 'the catalog could not be loaded', fields: { cluster, reason } })
  }
}
