// test/support/plan-given.ts — what the plan fixtures take as given: configs, hand-made catalogs modelled on the demo, and
// sessions, all by name, so that a fixture is a line of SQL and a few words. Doors run the same corpus through here.
import { readFileSync } from 'node:fs'
import type { Catalog, ColumnInfo, FunctionInfo, HiddenCall, RelationInfo, Volatility } from '../../src/catalog/catalog.js'
import type { Config, DatabaseConfig } from '../../src/config/config.js'
import { validateConfig } from '../../src/config/validate.js'
import type { ParameterSource, ParameterValue } from '../../src/routing/input.js'
import type { SessionView, TransactionView } from '../../src/session/view.js'

export type ConfigName =
  'tried' | 'demo' | 'single' | 'virtual' | 'list' | 'refuse' | 'two-sharded' | 'cached' | 'two-phase' | 'no-scatter' | 'coordinated'
export type CatalogName = 'demo' | 'none' | 'volatile-cast'

/** One parameter: text, NULL, `?` as an object for not known yet, or a value of a declared type (binary as hex). */
export type GivenParameter =
  | string
  | null
  | { readonly unknown: true }
  | { readonly text: string; readonly oid: number }
  | { readonly hex: string; readonly oid: number }

export interface GivenSession {
  readonly user?: string
  readonly pooling?: SessionView['pooling']
  readonly bus?: true
  readonly searchPath?: readonly string[] | null
  readonly searchPathSettled?: false
  readonly understood?: false
  readonly unicode?: false
  readonly temporary?: readonly string[]
  readonly pins?: Readonly<Record<string, string>>
  readonly local?: SessionView['local']
  readonly set?: SessionView['session']
  /** `deferred`: BEGIN was answered, nothing sent. `failed`: after an error, before anything was sent. Else `open`/`broken` on `at`. */
  readonly transaction?: 'deferred' | 'failed' | 'open' | 'broken'
  readonly at?: { readonly cluster: string; readonly role: 'primary' | 'replica'; readonly place?: string }
  readonly readOnly?: true
  readonly needsPrimary?: true
  readonly isolated?: true
  readonly constraints?: true
  readonly joined?: readonly string[]
  readonly spreads?: boolean
  readonly overrides?: TransactionView['overrides']
}

export interface Given {
  readonly config?: ConfigName
  readonly catalog?: CatalogName
  readonly session?: GivenSession
  readonly parameters?: readonly GivenParameter[]
}

const clusters = {
  main: { user: 'app', nodes: ['10.0.0.1:5432', '10.0.0.2:5432'] },
  media: { user: 'app', nodes: ['10.0.1.1:5432'] },
  comments_0: { user: 'app', nodes: ['10.0.2.1:5432'] },
  comments_1: { user: 'app', nodes: ['10.0.3.1:5432'] },
  whole: { user: 'app', nodes: ['10.0.4.1:5432'] },
}

const reads = {
  default: { consistency: 'session', max_staleness: '5s', on_unmet: ['wait 30ms', 'primary'] },
  users: { reporting: { consistency: 'any' } },
  tables: { images: { consistency: 'any' }, accounts: { consistency: 'strong', enforce: true }, events: { max_staleness: '1m' } },
}

const comments = {
  clusters: ['comments_0', 'comments_1'],
  shards: 64,
  by: 'hash',
  key_type: 'bigint',
  owner: 'comments-team',
  tables: {
    comments: 'image_id',
    comment_votes: 'image_id',
    comment_overview: 'image_id',
    comment_authors: 'image_id',
    comment_guards: 'image_id',
  },
}

const demo = {
  default: 'main',
  owner: 'core-team',
  partitions: { media: { cluster: 'media', owner: 'media-team', tables: ['images', 'image_tags', 'image_overview', 'image_stats'] } },
  sharded: { comments },
  reference: ['countries'],
  functions: { 'public.audit_stable': 'write', uuid_generate_v4: 'read' },
  reads,
}

const sessions = {
  clusters: ['comments_0', 'comments_1'],
  shards: 16,
  by: 'hash',
  key_type: 'uuid',
  owner: 'auth-team',
  tables: { logins: 'id' },
}

const databases: Readonly<Record<ConfigName, object>> = {
  demo,
  single: { default: 'main', owner: 'core-team', reference: ['countries'], reads },
  // Everything still on one server, with every rule live.
  virtual: {
    ...demo,
    partitions: { media: { ...demo.partitions.media, cluster: 'main' } },
    sharded: { comments: { ...comments, clusters: ['main'] } },
  },
  // On one server too, and the rules only tried: those of the partition are logged, those of the shards hold.
  tried: {
    default: 'main',
    owner: 'core-team',
    partitions: {
      media: {
        cluster: 'main',
        owner: 'media-team',
        tables: ['images', 'image_*'],
        users: ['app'],
        reads: { consistency: 'any' },
        virtual: true,
      },
      money: { cluster: 'main', tables: ['accounts'], users: ['app'], virtual: true, mode: 'refuse' },
    },
    sharded: { comments: { ...comments, clusters: undefined, cluster: 'main', virtual: true, mode: 'refuse' } },
    reference: ['countries'],
  },
  list: {
    default: 'main',
    sharded: {
      regions: {
        clusters: ['comments_0', 'comments_1'],
        shards: 2,
        by: 'list',
        values: { 0: ['de', 'at'], 1: ['us'] },
        key_type: 'text',
        owner: 'sales-team',
        tables: { prices: 'region' },
      },
    },
    reads,
  },
  refuse: { ...demo, unparsed: 'refuse' },
  'no-scatter': { ...demo, sharded: { comments: { ...comments, scatter: 'refuse' } } },
  coordinated: { ...demo, coordinator: 'whole' },
  'two-phase': { ...demo, two_phase: true },
  'two-sharded': { ...demo, sharded: { comments, sessions } },
  cached: {
    ...demo,
    reads: { default: { consistency: 'any', cache: '60s' }, tables: { events: { cache: 0 }, countries: { cache: '10s' } } },
  },
}

const configs = new Map<ConfigName, Config>()

export function givenConfig(name: ConfigName): { readonly config: Config; readonly database: DatabaseConfig } {
  const config = configs.get(name) ?? makeConfig(name)
  configs.set(name, config)
  const database = config.databases.get('app')
  if (database === undefined) throw new Error('no database app')
  return { config, database }
}

function makeConfig(name: ConfigName): Config {
  const input = {
    version: 1,
    auth: { method: 'trust', users: [{ name: 'app' }, { name: 'reporting' }] },
    clusters,
    databases: { app: databases[name] },
  }
  const result = validateConfig(input, { env: {}, readFile: () => '' })
  if (!result.ok) throw new Error(`config ${name}: ${JSON.stringify(result.problems)}`)
  return result.config
}

const letters: Readonly<Record<string, Volatility>> = { i: 'immutable', s: 'stable', v: 'volatile' }
const kinds: Readonly<Record<string, FunctionInfo['kind']>> = { f: 'function', p: 'procedure', a: 'aggregate', w: 'window' }

function builtinFunctions(): FunctionInfo[] {
  const groups = JSON.parse(readFileSync(new URL('builtin-functions.json', import.meta.url), 'utf8')) as Record<string, string>
  return Object.entries(groups).flatMap(([group, names]) => {
    if (group === 'comment') return []
    const [kind = '', volatility = '', min = '', max = ''] = group.split(' ')
    return names.split(' ').map((name) => ({
      schema: 'pg_catalog',
      name,
      volatility: letters[volatility] ?? 'volatile',
      kind: kinds[kind] ?? 'function',
      builtin: true,
      language: 'internal',
      minArgs: Number(min),
      maxArgs: max === 'n' ? Number.POSITIVE_INFINITY : Number(max),
    }))
  })
}

function userFunction(name: string, volatility: Volatility, args: number, more: Partial<FunctionInfo> = {}): FunctionInfo {
  return {
    schema: 'public',
    name,
    volatility,
    kind: 'function',
    builtin: false,
    language: 'plpgsql',
    minArgs: args,
    maxArgs: args,
    ...more,
  }
}

const userFunctions: readonly FunctionInfo[] = [
  userFunction('touch', 'volatile', 1),
  userFunction('full_name', 'immutable', 2, { language: 'sql' }),
  userFunction('karma_of', 'stable', 1),
  userFunction('karma_sql', 'stable', 1, { language: 'sql' }),
  userFunction('audit_stable', 'stable', 1),
  userFunction('uuid_generate_v4', 'volatile', 0, { language: 'c' }),
  userFunction('similarity', 'immutable', 2, { language: 'c' }),
  userFunction('mixed', 'stable', 1),
  userFunction('mixed', 'volatile', 2),
  userFunction('settle', 'volatile', 1, { kind: 'procedure' }),
  userFunction('volatile_sum', 'volatile', 1, { kind: 'aggregate', language: 'internal' }),
  userFunction('lower', 'volatile', 1, { schema: 'shadow' }),
  userFunction('set_config', 'volatile', 3, { schema: 'shadow' }),
]

/** `id` and `_id` are numbers, `code` sorts by bytes, `nick` is case-insensitive, all else is text of the database's collation. */
function typeOf(column: string): Pick<ColumnInfo, 'type' | 'collation'> {
  if (column.endsWith('id')) return { type: 'bigint', collation: 'bytes' }
  if (column.endsWith('_at')) return { type: 'timestamp with time zone', collation: 'bytes' }
  if (column === 'amount') return { type: 'numeric', collation: 'bytes' }
  if (column === 'nick') return { type: 'text', collation: 'nondeterministic' }
  return { type: 'text', collation: column === 'code' ? 'bytes' : 'deterministic' }
}

function relation(key: string, kind: RelationInfo['kind'], columns: string, more: Partial<RelationInfo> = {}): [string, RelationInfo] {
  const [schema = '', name = ''] = key.split('.')
  const list = columns.split(' ').map((column) => ({ name: column, ...typeOf(column) }))
  return [
    key,
    { schema, name, kind, columns: list, partitionRoot: null, triggers: false, onWrite: [], changesWith: [], behind: null, ...more },
  ]
}

function behind(
  relations: readonly string[],
  functions: readonly string[] = [],
  more: { writes?: boolean; unknown?: boolean } = {},
): RelationInfo['behind'] {
  return {
    relations: relations.map((key) => ({ schema: key.split('.')[0] ?? '', name: key.split('.')[1] ?? '' })),
    functions: functions.map((key) => ({ schema: key.split('.')[0] ?? '', name: key.split('.')[1] ?? '', args: null })),
    writes: false,
    unknown: false,
    ...more,
  }
}

const countries = relation('public.countries', 'table', 'code name')

const relations: Readonly<Record<string, readonly (readonly [string, RelationInfo])[]>> = {
  main: [
    countries,
    relation('public.users', 'table', 'id name email country karma created_at'),
    relation('public.accounts', 'table', 'id user_id balance'),
    relation('public.audited', 'table', 'id note', { triggers: true }),
    relation('public.defaulted', 'table', 'id note', { onWrite: [{ schema: 'public', name: 'touch' }] }),
    relation('public.audited_view', 'view', 'id note', { behind: behind(['public.audited']) }),
    relation('public.guarded', 'table', 'id owner_id', { behind: behind(['public.accounts'], ['pg_catalog.current_setting']) }),
    relation('public.touchy', 'table', 'id', { behind: behind([], ['public.touch']) }),
    relation('public.events', 'partitioned', 'id at'),
    relation('public.events_2026', 'table', 'id at', { partitionRoot: 'public.events' }),
    relation('public.recent_users', 'view', 'id name', { behind: behind(['public.users'], ['pg_catalog.now']) }),
    relation('public.very_recent_users', 'view', 'id name', { behind: behind(['public.recent_users']) }),
    relation('public.ticket_view', 'view', 'n', { behind: behind(['public.tickets_seq'], ['pg_catalog.nextval']) }),
    relation('public.touch_view', 'view', 'id', { behind: behind(['public.users'], ['public.touch']) }),
    relation('public.activity', 'view', 'pid', { behind: behind(['pg_catalog.pg_stat_activity']) }),
    relation('public.mystery', 'view', 'id', { behind: behind([], [], { unknown: true }) }),
    relation('public.crossing_view', 'view', 'id', { behind: behind(['public.users', 'public.images']) }),
    relation('public.comment_peek', 'view', 'id', { behind: behind(['public.comments']) }),
    relation('public.loop_a', 'view', 'id', { behind: behind(['public.loop_b']) }),
    relation('public.loop_b', 'view', 'id', { behind: behind(['public.loop_a']) }),
    relation('public.country_names', 'view', 'name', { behind: behind(['public.countries']) }),
    relation('public.daily', 'materialized', 'day n', { behind: null }),
    relation('public.elsewhere', 'foreign', 'id'),
    relation('public.old_pictures', 'table', 'id user_id title bytes', { inherits: ['public.images'] }),
    relation('public.old_users', 'table', 'id name', { inherits: ['public.users'] }),
    relation('public.tickets_seq', 'sequence', 'last_value'),
    relation('public.users_id_seq', 'sequence', 'last_value'),
    relation('hr.users', 'table', 'id salary'),
    relation('hr.payroll', 'table', 'id amount'),
  ],
  media: [
    countries,
    relation('public.images', 'partitioned', 'id user_id title bytes'),
    relation('public.images_2026', 'table', 'id user_id title bytes', { partitionRoot: 'public.images' }),
    relation('public.image_tags', 'table', 'image_id tag'),
    relation('public.image_overview', 'view', 'id n', { behind: behind(['public.images', 'public.media_internal'], ['pg_catalog.count']) }),
    relation('public.image_stats', 'materialized', 'day n'),
    relation('public.media_internal', 'table', 'id'),
    relation('public.images_user_id', 'index', 'user_id', { partitionRoot: 'public.images' }),
    relation('public.images_id_seq', 'sequence', 'last_value'),
  ],
  comments_0: commentRelations(),
  comments_1: commentRelations(),
  whole: [countries, relation('public.comments', 'foreign', 'image_id id user_id body created_at')],
}

function commentRelations(): (readonly [string, RelationInfo])[] {
  return [
    countries,
    relation('public.comments', 'table', 'image_id id user_id body created_at'),
    relation('public.comments_user_id', 'index', 'user_id', { partitionRoot: 'public.comments' }),
    relation('public.comment_votes', 'table', 'image_id comment_id user_id'),
    relation('public.comment_authors', 'table', 'image_id user_id nick'),
    relation('public.comment_guards', 'table', 'image_id user_id', {
      behind: behind(['public.countries'], ['pg_catalog.current_setting']),
    }),
    relation('public.comment_overview', 'view', 'image_id n', { behind: behind(['public.comments'], ['pg_catalog.count']) }),
    relation('public.old_talk', 'table', 'image_id id body', { inherits: ['public.comments'] }),
    relation('public.prices', 'table', 'region amount'),
    relation('public.logins', 'table', 'id user_id'),
  ]
}

function hidden(schema: string, name: string, volatility: Volatility): [string, readonly HiddenCall[]] {
  return [name, [{ schema, name, volatility }]]
}

function catalog(cluster: string, known: readonly (readonly [string, RelationInfo])[], volatileImplicitCast: boolean): Catalog {
  const functions = new Map<string, FunctionInfo[]>()
  for (const info of [...builtinFunctions(), ...userFunctions]) functions.set(info.name, [...(functions.get(info.name) ?? []), info])
  return {
    cluster,
    generation: 1,
    serverVersion: 180004,
    functions,
    relations: new Map(known),
    operators: new Map([hidden('shadow', '=', 'immutable'), hidden('public', '<=>', 'immutable'), hidden('public', '!~>', 'volatile')]),
    types: new Map([hidden('public', 'email', 'immutable'), hidden('public', 'tracked', 'volatile')]),
    volatileImplicitCast,
    eventTriggers: false,
    keyEquals: ['shadow'],
    collation: 'deterministic',
    foreignKeys: [
      {
        ...{ name: 'of_author', from: 'public.comment_votes', to: 'public.comment_authors' },
        columns: [
          ['image_id', 'image_id'],
          ['user_id', 'user_id'],
        ],
      },
    ],
  }
}

const catalogs = new Map<string, ReadonlyMap<string, Catalog>>()

/** `virtual`: everything is on main. */
export function givenCatalogs(name: CatalogName, config: ConfigName = 'demo'): ReadonlyMap<string, Catalog> {
  const key = `${name} ${config === 'virtual' || config === 'single' || config === 'tried' ? 'one' : 'many'}`
  const made = catalogs.get(key) ?? makeCatalogs(name, key.endsWith('one'))
  catalogs.set(key, made)
  return made
}

/** What one server holds, if it holds all. */
function everywhereButWhole(): (readonly [string, RelationInfo])[] {
  return Object.entries(relations).flatMap(([cluster, known]) => (cluster === 'whole' ? [] : known))
}

function makeCatalogs(name: CatalogName, allOnMain: boolean): ReadonlyMap<string, Catalog> {
  if (name === 'none') return new Map()
  if (allOnMain) return new Map([['main', catalog('main', everywhereButWhole(), name === 'volatile-cast')]])
  return new Map(Object.entries(relations).map(([cluster, known]) => [cluster, catalog(cluster, known, name === 'volatile-cast')]))
}

export function givenSession(given: GivenSession = {}): SessionView {
  const { transaction, at } = given
  return {
    database: 'app',
    user: given.user ?? 'app',
    pooling: given.pooling ?? 'transaction',
    bus: given.bus ?? false,
    spreads: given.spreads ?? false,
    transaction: {
      status: transaction === undefined ? 'idle' : transaction === 'failed' || transaction === 'broken' ? 'failed' : 'open',
      home: at === undefined ? null : { cluster: at.cluster, node: '10.0.0.1:5432', role: at.role, place: at.place ?? null },
      readOnly: given.readOnly ?? false,
      needsPrimary: given.needsPrimary ?? false,
      isolated: given.isolated ?? false,
      constraints: given.constraints ?? false,
      joined: given.joined ?? null,
      overrides: given.overrides ?? {},
    },
    searchPath: given.searchPath === undefined ? ['app', 'public'] : given.searchPath,
    searchPathSettled: given.searchPathSettled ?? true,
    understood: given.understood ?? true,
    unicode: given.unicode ?? true,
    local: given.local ?? {},
    session: given.set ?? {},
    temporary: new Set(given.temporary ?? []),
    pins: new Map(Object.entries(given.pins ?? {})),
  }
}

export function givenParameters(given: readonly GivenParameter[] | undefined): ParameterSource | null {
  if (given === undefined) return null
  return { get: (n) => givenParameter(given[n - 1]) }
}

function givenParameter(value: GivenParameter | undefined): ParameterValue | null | undefined {
  if (value === undefined || value === null) return value
  if (typeof value === 'string') return { text: value }
  if ('unknown' in value) return undefined
  return 'hex' in value ? { binary: Buffer.from(value.hex, 'hex'), oid: value.oid } : value
}
