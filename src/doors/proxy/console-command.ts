// doors/proxy/console-command.ts — what may be said to the console, as data. A command that cannot be read is refused
// whole; nothing of it has happened then.
import { parseDuration } from '../../consistency/duration.js'
import { PointsmanError } from '../../errors/error.js'
import { consoleStatements, type Token } from './console-words.js'

/** What nobody switches off must end while somebody still knows of it. */
const longestAllowStaleMs = 86_400_000

export const tables = ['help', 'nodes', 'clusters', 'pools', 'switches', 'version'] as const
export type ConsoleTable = (typeof tables)[number]

/** `cluster` null: all of them. */
export type ConsoleCommand =
  | { readonly kind: 'show'; readonly table: ConsoleTable }
  /** `message` null: a message of ours. */
  | { readonly kind: 'read-only'; readonly cluster: string | null; readonly on: boolean; readonly message: string | null }
  | { readonly kind: 'allow-stale'; readonly cluster: string | null; readonly maxMs: number; readonly forMs: number }
  | { readonly kind: 'forbid-stale'; readonly cluster: string | null }

/** Every form with one line of explanation, for SHOW HELP and the docs. */
export const commandForms: readonly (readonly [form: string, does: string])[] = [
  ['SHOW HELP', 'these commands'],
  ['SHOW NODES', 'every server: role, state, proved lag, position, why it is not used'],
  ['SHOW CLUSTERS', 'every cluster: primary, timeline, usable replicas, switches'],
  ['SHOW POOLS', 'server connections by node and user'],
  ['SHOW SWITCHES', 'what operators have switched on, and what the configuration has'],
  ['SHOW VERSION', 'the version of Pointsman'],
  ["READ ONLY [cluster] ON ['message']", 'writes are refused with 25006 and the message; what has begun to write may finish'],
  ['READ ONLY [cluster] OFF', 'writes go through again'],
  [
    'ALLOW STALE 60s FOR 10m [ON cluster]',
    'reads that nothing meets may be answered by a replica proved to be at most so old, for so long',
  ],
  ['ALLOW STALE OFF [ON cluster]', 'ends that at once'],
]

/** Throws 42601. */
export function readConsole(text: string): readonly ConsoleCommand[] {
  return consoleStatements(text).map((tokens) => {
    const reader = new Reader(tokens)
    const command = readCommand(reader)
    reader.end()
    return command
  })
}

function readCommand(reader: Reader): ConsoleCommand {
  switch (reader.keyword(['SHOW', 'READ', 'ALLOW'])) {
    case 'SHOW':
      return { kind: 'show', table: reader.keyword(tables.map((name) => name.toUpperCase())).toLowerCase() as ConsoleTable }
    case 'READ':
      return readOnly(reader)
    default:
      return allowStale(reader)
  }
}

function readOnly(reader: Reader): ConsoleCommand {
  reader.keyword(['ONLY'])
  const cluster = reader.isKeyword('ON') || reader.isKeyword('OFF') ? null : reader.name()
  const on = reader.keyword(['ON', 'OFF']) === 'ON'
  return { kind: 'read-only', cluster, on, message: on && !reader.over ? reader.string() : null }
}

function allowStale(reader: Reader): ConsoleCommand {
  reader.keyword(['STALE'])
  if (reader.isKeyword('OFF')) {
    reader.keyword(['OFF'])
    return { kind: 'forbid-stale', cluster: onCluster(reader) }
  }
  const maxMs = reader.duration()
  reader.keyword(['FOR'])
  const forMs = reader.duration()
  if (forMs > longestAllowStaleMs) throw new PointsmanError('console_syntax', { values: { what: 'ALLOW STALE lasts a day at most' } })
  return { kind: 'allow-stale', cluster: onCluster(reader), maxMs, forMs }
}

function onCluster(reader: Reader): string | null {
  if (reader.over) return null
  reader.keyword(['ON'])
  return reader.name()
}

/** Takes one token after another; each method throws 42601 where something else stands. */
class Reader {
  readonly #tokens: readonly Token[]
  #at = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  get over(): boolean {
    return this.#at === this.#tokens.length
  }

  isKeyword(keyword: string): boolean {
    const token = this.#tokens[this.#at]
    return token?.kind === 'word' && token.upper === keyword
  }

  keyword(allowed: readonly string[]): string {
    const token = this.#tokens[this.#at]
    if (token?.kind !== 'word' || !allowed.includes(token.upper)) throw this.#unexpected(allowed.join(', '))
    this.#at += 1
    return token.upper
  }

  /** Of a cluster. */
  name(): string {
    const token = this.#tokens[this.#at]
    if (token === undefined || token.kind === 'string') throw this.#unexpected('the name of a cluster')
    this.#at += 1
    return token.text
  }

  string(): string {
    const token = this.#tokens[this.#at]
    if (token?.kind !== 'string') throw this.#unexpected("a message in 'quotes'")
    this.#at += 1
    return token.text
  }

  duration(): number {
    const token = this.#tokens[this.#at]
    const ms = token === undefined || token.kind === 'name' ? null : parseDuration(token.text)
    if (ms === null || ms <= 0) throw this.#unexpected('a duration such as 60s')
    this.#at += 1
    return ms
  }

  end(): void {
    if (!this.over) throw this.#unexpected('the end of the command')
  }

  #unexpected(wanted: string): PointsmanError {
    const found = this.#tokens[this.#at]?.text
    const where = found === undefined ? 'at the end of the command' : `at "${found.slice(0, 64)}"`
    return new PointsmanError('console_syntax', { values: { what: `syntax error ${where}: expected ${wanted}` } })
  }
}
