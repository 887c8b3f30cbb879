import { readFileSync } from 'node:fs'
import t from 'tap'
import { diffConfig, describeDiff } from '../../src/config/diff.js'
import { jsonSchema } from '../../src/config/json-schema.js'
import { redact } from '../../src/config/redact.js'
import { suggest } from '../../src/config/suggest.js'
import type { Config } from '../../src/config/config.js'
import { validateConfig } from '../../src/config/validate.js'
import { parseConfigText } from '../../src/config/yaml.js'
import { makeAuthority } from '../support/certificates.js'

const authority = makeAuthority()
const example = readFileSync(new URL('../../config/pointsman.example.yaml', import.meta.url), 'utf8')
const minimal = readFileSync(new URL('../../config/minimal.yaml', import.meta.url), 'utf8')
const names = [
  'APP_PASSWORD',
  'REPORTING_PASSWORD',
  'OPS_PASSWORD',
  'ONCALL_PASSWORD',
  'PG_PASSWORD',
  'MONITOR_PASSWORD',
  'ADMIN_TOKEN',
  'TOKEN_KEY',
]
const env = Object.fromEntries(names.map((name) => [name, `SECRET-${name}`]))
const readFile = (path: string): string => {
  if (path.endsWith('.pem')) return `SECRET-PEM\n${authority.cert}${authority.key}`
  return 'SECRET-FILE\n'
}

function configOf(text: string): Config {
  const result = parseConfigText(text, { env, readFile })
  if (!result.ok) throw new Error(JSON.stringify(result.problems))
  return result.config
}

t.test('the example holds every key, and is right', async (t) => {
  const result = parseConfigText(example, { env, readFile })
  t.ok(result.ok)
  t.same(result.warnings, [])
  const config = configOf(example)
  const app = config.databases.get('app')!
  t.same(app.homes.get('public.images'), { kind: 'partition', partition: 'media', cluster: 'media', owner: 'media-team' })
  t.match(app.homes.get('public.comments'), { kind: 'sharded', keyColumns: ['image_id'], owner: 'comments-team' })
  t.same(app.homes.get('public.countries'), { kind: 'reference' })
  const comments = app.sharded.get('comments')!
  t.equal(comments.map.length, 64)
  t.same([comments.map[31], comments.map[32]], ['comments_0', 'comments_1'])
  t.same(app.sharded.get('regions')?.function, { by: 'list', values: new Map([['de', 0], ['at', 0], ['ch', 0], ['us', 1], ['ca', 1]]) }) // prettier-ignore
  t.same(app.reads.default, { consistency: 'session', maxStalenessMs: 5000, onUnmet: [{ step: 'wait', ms: 30 }, { step: 'primary', limit: null }], cutOff: 'serve', maxTxAgeMs: 0 }) // prettier-ignore
  t.same(app.reads.tables.get('public.images'), { consistency: 'any', cacheMs: 60_000, enforce: false })
  t.same(app.reads.tables.get('public.accounts'), { consistency: 'strong', enforce: true })
  t.same([...app.functions], [['reporting.refresh_totals', 'write'], ['legacy_lookup', 'read']]) // prettier-ignore
  t.same(config.clusters.get('main')?.nodes[1], {
    id: '10.0.0.2:5432',
    host: '10.0.0.2',
    port: 5432,
    weight: 2,
    zone: 'a',
    subscriber: false,
  })
  t.equal(config.clusters.get('comments_1')?.dbname, 'comments', 'merged maps may be overridden')
  t.equal(config.limits.maxParseBytes, 2 ** 20)

  const written = new Set(example.match(/[a-z_]+(?=:)/g))
  const missing = keysOf(jsonSchema()).filter((key) => !written.has(key))
  t.same(missing, [], 'every key of the schema stands in the example')
})

t.test('the plain pooler', async (t) => {
  const config = configOf(minimal)
  t.equal(config.databases.get('*')?.default, 'main')
  t.equal(config.clusters.get('main')?.dbname, null)
  t.equal(config.admin, null)
  t.same(config.listen, {
    host: '127.0.0.1',
    port: 6432,
    unix: null,
    tls: null,
    maxClients: 10_000,
    clientLifetimeMs: null,
    workers: 1,
    graceMs: 10_000,
    drainMs: 60_000,
  })
  t.same([config.tokens, config.cache, config.chaos], [{ key: null }, { maxBytes: 64 * 2 ** 20, maxResultBytes: 2 ** 20 }, null])
  t.match(config.clusters.get('main'), { lsnSource: 'insert', position: { kind: 'wal' }, readOnly: null })
})

t.test('what is said of consistency', async (t) => {
  const config = configOf(`
version: 1
listen: { client_lifetime: 1h }
tokens: { key: "\${TOKEN_KEY}" }
cache: { max_bytes: 512KB }
chaos: { i_know: true, kill: 10s, delay: { share: 0.1, by: 500ms }, pause: { every: 1m, for: 5s }, seed: 7 }
clusters:
  main: { user: app, nodes: [a], lsn_source: flush, read_only: moving house }
  aurora: { user: app, nodes: [b, { host: c, subscriber: true }], position: { heartbeat: ops.beat }, read_only: true }
databases:
  app:
    default: main
    partitions: { p: { cluster: aurora, tables: [t] } }
    reads:
      default: { consistency: session, cache: 0, max_tx_age: 30s }
      users: { u: { cut_off: refuse } }
      tables: { t: { cache: 60s, max_tx_age: 0 } }
`)
  t.equal(config.listen.clientLifetimeMs, 3_600_000)
  t.same(config.tokens, { key: env['TOKEN_KEY'] })
  t.same(config.cache, { maxBytes: 512 * 1024, maxResultBytes: 512 * 1024 }, 'no result is larger than the cache')
  t.same(config.chaos, { killEveryMs: 10_000, delayShare: 0.1, delayMs: 500, pauseEveryMs: 60_000, pauseMs: 5000, seed: 7 })
  t.match(config.clusters.get('main'), { lsnSource: 'flush', position: { kind: 'wal' }, readOnly: 'moving house' })
  const aurora = config.clusters.get('aurora')!
  t.same(aurora.position, { kind: 'heartbeat', schema: 'ops', table: 'beat' })
  t.equal(aurora.readOnly, 'by the configuration')
  t.same(
    aurora.nodes.map(({ subscriber }) => subscriber),
    [false, true],
  )
  const { reads } = config.databases.get('app')!
  t.same(reads.default, { consistency: 'session', cacheMs: 0, maxTxAgeMs: 30_000 })
  t.same([reads.users.get('u'), reads.tables.get('public.t')], [{ cutOff: 'refuse' }, { cacheMs: 60_000, maxTxAgeMs: 0, enforce: false }])
})

t.test('a config is frozen all the way', async (t) => {
  const config = configOf(example)
  t.throws(() => Object.assign(config.listen, { port: 1 }))
  t.throws(() => Object.assign(config.clusters.get('main')!.nodes[0]!, { port: 1 }))
  t.throws(() => (config.databases.get('app')!.sharded.get('comments')!.map as string[]).push('x'))
})

t.test('an object and its YAML give the same', async (t) => {
  const object = {
    version: 1,
    clusters: { main: { user: 'app', password: '${PG_PASSWORD}', nodes: ['h:1', { host: '::1', port: 2 }] } },
    databases: { app: { default: 'main', reads: { default: { max_staleness: '2s', on_unmet: 'error' } } } },
  }
  const fromObject = validateConfig(object, { env, readFile })
  t.same(fromObject, parseConfigText(JSON.stringify(object), { env, readFile }))
  t.ok(fromObject.ok && fromObject.config.clusters.get('main')?.nodes[1]?.id === '[::1]:2')
  const bad = validateConfig({ ...object, databases: {} }, { env, readFile })
  t.match(bad, { ok: false, problems: [{ line: null, column: null, path: 'databases' }] })
})

t.test('secrets: variables, files, and the escape', async (t) => {
  const token = (text: string) =>
    configOf(`version: 1\nadmin: { token: '${text}' }\n${minimal.slice(minimal.indexOf('clusters:'))}`).admin?.token
  t.equal(token('${ADMIN_TOKEN}'), 'SECRET-ADMIN_TOKEN')
  t.equal(token('a-${ADMIN_TOKEN}-b'), 'a-SECRET-ADMIN_TOKEN-b')
  t.equal(token('$${ADMIN_TOKEN}'), '${ADMIN_TOKEN}')
  t.equal(token('file:/run/secrets/token'), 'SECRET-FILE')
  t.equal(token('$5 plain'), '$5 plain')
})

t.test('what is shown holds no secret', async (t) => {
  const text = example
    .replace('# tls:', 'tls:')
    .replace(/#   (cert|key|ca|mode):/g, '  $1:')
    .replaceAll(/\/etc\/pointsman\/\w+\.\w+/g, 'x.pem')
    .replace('# token:', 'token:')
    .replace('tokens: {} # {', 'tokens: {')
    .replace(/(?<=TOKEN_KEY\}" \}).*/, '')
    .replace('tls: { mode: prefer }', 'tls: { mode: verify-full, ca: x.pem, cert: x.pem, key: x.pem }')
    .replace(/# (- \{ name: batch), verifier: .*/, `$1, verifier: "SCRAM-SHA-256$4096:U0VDUkVU$${'A'.repeat(43)}=:${'A'.repeat(43)}=" }`)
  const config = configOf(text)
  t.ok(config.listen.tls?.key.includes('SECRET-PEM'))
  t.ok(config.auth.users.get('batch')?.verifier)
  t.match(config.tokens.key, /SECRET/)
  const shown = JSON.stringify(redact(config))
  t.notMatch(shown, /SECRET|U0VDUkVU/)
  t.match(shown, /"password":"\*\*\*"/)
  t.match(shown, /10\.0\.0\.2/)
})

t.test('the schema file is the generated one', async (t) => {
  const file = readFileSync(new URL('../../config/pointsman.schema.json', import.meta.url), 'utf8')
  t.same(JSON.parse(file), JSON.parse(JSON.stringify(jsonSchema())), 'regenerate with: pointsman schema > config/pointsman.schema.json')
})

t.test('a reload tells what differs', async (t) => {
  const old = configOf(example)
  const edit = (from: string, to: string) => diffConfig(old, configOf(example.replace(from, to)))
  t.ok(diffConfig(old, configOf(example)).unchanged)

  const added = edit('- { host: 10.0.0.3, zone: b }', '- { host: 10.0.0.3, zone: b }\n      - 10.0.0.4')
  t.same(added.cluster.get('main'), { nodes: { added: ['10.0.0.4:5432'], removed: [], changed: [] }, keys: [], reconnect: false })
  t.same(describeDiff(added), ['cluster main: node 10.0.0.4:5432 added'])
  t.same(added.databases, { added: [], removed: [], changed: [] }, 'a database is not changed by its cluster')

  const weight = edit('weight: 2', 'weight: 3')
  t.same(describeDiff(weight), ['cluster main: node 10.0.0.2:5432 changed'])
  t.equal(edit('dbname: media', 'dbname: media2').cluster.get('media')?.reconnect, true)
  t.equal(edit('max: 20 ', 'max: 21 ').cluster.get('main')?.reconnect, false)
  t.same(edit('port: 6432', 'port: 6433').notLive, ['listen.port'])
  t.same(edit('port: 6480', 'port: 6481').notLive, ['admin.port'])
  t.same(edit('reference: [countries]', 'reference: [countries, currencies]').databases.changed, ['app'])
  t.same(edit('level: info', 'level: debug').others, ['log'])
  t.same(edit('client_lifetime: 0', 'client_lifetime: 1h').others, ['listen.client_lifetime'])
  t.same(edit('tokens: {}', 'tokens: { key: a-key-of-some-length }').others, ['tokens'])
  t.same(edit('max_bytes: 64MB', 'max_bytes: 65MB').others, ['cache'])
  t.same(edit('lanes:', 'chaos: { i_know: true }\nlanes:').others, ['chaos'])
  const positions = edit('lsn_source: insert', 'lsn_source: flush')
  t.same(describeDiff(positions), ['cluster main: lsn_source changed'])
  t.equal(positions.cluster.get('main')?.reconnect, false, 'the connections stay')
  t.same(describeDiff(edit('read_only: false', 'read_only: true')), ['cluster main: read_only changed'])
  const measured = [/ lsn_source: insert.*\n *position: wal/.exec(example)?.[0] ?? '', ' position: { heartbeat: h }'] as const
  t.same(describeDiff(edit(...measured)), ['cluster main: position changed'])
  t.same(edit('admins: [ops]', 'admins: []').others, ['auth.admins'])
  t.same(edit('replication: []', 'replication: [ops]').others, ['auth.replication'])
  const secret = describeDiff(edit("name: app, password: '${APP_PASSWORD}'", 'name: app, password: SECRET-2'))
  t.same(secret, ['user app changed'], 'no secret in words')
})

t.test('did you mean', async (t) => {
  t.equal(suggest('clustres', ['clusters', 'databases']), 'clusters')
  t.equal(suggest('prot', ['host', 'port']), 'port')
  t.equal(suggest('zzz', ['host', 'port']), null)
  t.equal(suggest('', ['a']), null)
})

function keysOf(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return []
  if (Array.isArray(schema)) return schema.flatMap(keysOf)
  return Object.entries(schema).flatMap(([key, value]) => [...(key === 'properties' ? Object.keys(value as object) : []), ...keysOf(value)])
}
