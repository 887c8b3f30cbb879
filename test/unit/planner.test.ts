// What the golden plans cannot show: the cache follows what changes, batches of the extended protocol, the order of
// precedence, and that no value ever gets into a plan.
import t from 'tap'
import type { Catalog } from '../../src/catalog/catalog.js'
import { readRoute } from '../../src/doors/verify/client.js'
import type { PolicyOverride } from '../../src/consistency/policy.js'
import type { PlanInput } from '../../src/routing/input.js'
import type { OnePlan, Plan } from '../../src/routing/plan.js'
import { plan, planBatch } from '../../src/routing/planner.js'
import { printPlan, printRoute, printTaken } from '../../src/routing/print.js'
import type { SessionView } from '../../src/session/view.js'
import { inputOf } from '../support/plan-corpus.js'
import { givenSession, type Given, type GivenSession } from '../support/plan-given.js'
import { understanding } from '../support/understanding.js'

const understand = await understanding()
const input = (sql: string, given: Given = {}): PlanInput => inputOf({ comment: '', sql, given }, understand)
const run = (sql: string, given: Given = {}): Plan => plan(input(sql, given))

function one(made: Plan): OnePlan {
  if (made.kind !== 'one') throw new Error(`${made.kind}: ${JSON.stringify(made)}`)
  return made
}

t.test('a known statement gets the same object', (t) => {
  const given = input('SELECT * FROM users WHERE id = 1')
  const other = { ...given, understood: understand('SELECT * FROM users WHERE id = 2'), session: givenSession() }
  t.equal(plan(given), plan(other), 'another literal, another session that reads alike')
  t.equal(one(run('SELECT * FROM comments WHERE image_id = 7')).shard, 23)
  t.equal(one(run('SELECT * FROM comments WHERE image_id = 8')).shard, 21, 'the key is no part of what is kept')
  const keyed = (key: string): PlanInput => input('SELECT * FROM comments', { session: { set: { shardKey: key } } })
  t.equal(one(plan(keyed('7'))).shard, 23)
  t.equal(one(plan(keyed('8'))).shard, 21, 'nor is a supplied one')
  t.end()
})

t.test('a changed catalog is a new answer', (t) => {
  const given = input('SELECT karma_sql(1)')
  t.equal(one(plan(given)).role, 'replica')
  const main = given.catalogs.get('main')
  if (main === undefined) throw new Error('no catalog')
  const functions = new Map(main.functions)
  functions.set(
    'karma_sql',
    (functions.get('karma_sql') ?? []).map((info) => ({ ...info, volatility: 'volatile' as const })),
  )
  const changed: Catalog = { ...main, generation: 2, functions }
  t.equal(one(plan({ ...given, catalogs: new Map([...given.catalogs, ['main', changed]]) })).role, 'primary')
  t.equal(one(plan(given)).role, 'replica', 'the old one is not spoiled')
  t.end()
})

t.test('a trigger that a write inside WITH fires counts, whatever the statement itself does to the table', (t) => {
  const planned = (sql: string): string => {
    const given = input(sql)
    const main = given.catalogs.get('main')
    const [touch] = main?.functions.get('touch') ?? []
    if (main === undefined || touch === undefined) throw new Error('no catalog')
    const body = { reads: [], writes: [{ schema: 'public', name: 'images' }], calls: [], unknown: false }
    const functions = new Map(main.functions).set('told', [{ ...touch, name: 'told', body }])
    const called = { schema: 'public', name: 'told' }
    const triggers = [{ name: 'tell', table: 'public.users', events: ['delete'] as const, function: called }]
    return plan({ ...given, catalogs: new Map([...given.catalogs, ['main', { ...main, functions, triggers }]]) }).kind
  }
  t.equal(planned('INSERT INTO users (id) VALUES (1)'), 'one')
  t.equal(planned('DELETE FROM users'), 'refuse')
  t.equal(planned('WITH gone AS (DELETE FROM users RETURNING id) INSERT INTO users (id) SELECT id FROM gone'), 'refuse')
  t.end()
})

t.test('what a plan depends on in a session', (t) => {
  const routes = (session: GivenSession): string => printRoute(run('SELECT * FROM users', { session }), null)
  const seen = new Map<string, string>()
  const sessions: Readonly<Record<string, GivenSession>> = {
    plain: {},
    user: { user: 'reporting' },
    path: { searchPath: ['hr'] },
    temporary: { temporary: ['users'], pins: { main: 'temporary table' } },
    pinned: { pins: { main: 'listen' } },
    strong: { set: { consistency: 'strong' } },
    local: { local: { maxStalenessMs: 1 } },
    open: { transaction: 'open', at: { cluster: 'main', role: 'replica' } },
    deferred: { transaction: 'deferred' },
    serializable: { needsPrimary: true },
    lexing: { understood: false },
    cluster: { set: { cluster: 'media' } },
  }
  for (const [name, session] of Object.entries(sessions)) {
    const printed = routes(session)
    t.equal(seen.get(printed), undefined, `${name}: ${printed}`)
    seen.set(printed, name)
  }
  t.end()
})

// Clients that came before a reload have the old pool_mode, and the console explains for a door that listens for nobody.
t.test('sessions of another pool mode or door do not get each other’s plans', (t) => {
  t.equal(run('BEGIN', { session: { pooling: 'statement' } }).kind, 'refuse')
  t.not(run('BEGIN').kind, 'refuse')
  t.equal(one(run('LISTEN news')).pins, 'listen')
  t.match(one(run('LISTEN news', { session: { bus: true } })), { pins: null, listens: true })
  t.match(one(run('LISTEN news', { session: { bus: true, pooling: 'session' } })), { pins: 'listen', listens: false })
  const olderThan = (maxTxAgeMs: number): number | null =>
    one(run('SELECT * FROM users', { session: { overrides: { consistency: 'any', maxTxAgeMs } } })).policy.maxTxAgeMs
  t.same([olderThan(1000), olderThan(2000)], [1000, 2000])
  const reads = (unicode?: false): string => run('SELECT id FROM comments', { session: { ...(unicode === false ? { unicode } : {}) } }).kind
  t.same([reads(), reads(false), reads()], ['scatter', 'refuse', 'scatter'], 'nor of another client_encoding')
  t.end()
})

t.test('a supplied key is that of the session that asks, not of the one that asked first', (t) => {
  const insert = (set: SessionView['session']): string =>
    run("INSERT INTO comments (image_id, body) VALUES (7, 'x'), (8, 'y')", { session: { set } }).kind
  t.same([insert({}), insert({ shardKey: '7' }), insert({})], ['one', 'refuse', 'one'])
  t.end()
})

t.test('precedence: the first of these that says something wins', (t) => {
  const levels = ['transaction', 'comment', 'SET LOCAL', 'SET', 'user', 'table', 'database'] as const
  const say = (level: (typeof levels)[number], from: number): PolicyOverride =>
    levels.indexOf(level) < from ? {} : { maxStalenessMs: 1000 * (levels.indexOf(level) + 1) }
  for (const from of levels.keys()) {
    const base = input(from <= 1 ? '/* pointsman: max_staleness=2s */ SELECT * FROM users' : 'SELECT * FROM users', {
      session: { local: say('SET LOCAL', from), set: say('SET', from), overrides: say('transaction', from) },
    })
    const reads = {
      default: { consistency: 'bounded' as const, maxStalenessMs: 7000 },
      users: new Map([['app', say('user', from)]]),
      tables: new Map(from <= 5 ? [['public.users', { maxStalenessMs: 6000, enforce: false }]] : []),
    }
    const made = one(plan({ ...base, database: { ...base.database, reads } }))
    t.equal(made.policy.maxStalenessMs, 1000 * (from + 1), levels[from] ?? '')
  }
  t.end()
})

t.test('batches of the extended protocol', (t) => {
  const batch = (...texts: readonly string[]): Plan => planBatch(texts.map((text) => input(text)))
  t.match(batch(), { kind: 'answer', answer: { what: 'empty' } })
  t.match(batch('BEGIN'), { kind: 'answer', answer: { what: 'begin-deferred' } }, 'one alone is plan()')
  t.match(batch('BEGIN', 'UPDATE images SET title = $1', 'COMMIT'), { kind: 'one', cluster: 'media', role: 'primary', writes: true })
  t.match(batch('SELECT * FROM users', 'SELECT * FROM accounts'), { kind: 'one', cluster: 'main', role: 'primary', writes: false })
  t.match(batch('SELECT 1', 'SELECT * FROM images'), { kind: 'one', cluster: 'media', role: 'replica' })
  t.match(batch('SELECT * FROM users', 'SELECT * FROM images'), { kind: 'refuse', error: 'feature_not_supported' })
  t.match(batch('SELECT * FROM users', 'SELEC'), { kind: 'one', role: 'primary', writes: true }, 'not understood')
  t.match(batch('SELECT * FROM users', '/* pointsman: nonsense=1 */ SELECT 1'), { kind: 'refuse', error: 'hint_contradiction' })
  t.match(batch('/* pointsman: cluster=nowhere */ SELECT 1', 'SELECT 1'), { kind: 'refuse', error: 'hint_contradiction' })
  t.match(batch('/* pointsman: explain */ DELETE FROM users', 'SELECT 1'), { kind: 'refuse' }, 'nothing runs that was to be explained')
  const keys = (...all: readonly string[]): Plan =>
    planBatch(all.map((key) => input('INSERT INTO comments (image_id) VALUES ($1)', { parameters: [key] })))
  t.match(keys('7', '7'), { kind: 'one', cluster: 'comments_0', shard: 23 })
  t.match(keys('7', '8'), { kind: 'one', cluster: 'comments_0', shard: null }, 'two shards of one cluster')
  t.match(keys('7', '0'), { kind: 'refuse' }, 'two clusters')
  t.end()
})

t.test('no value gets into a plan', (t) => {
  const secret = '99887766'
  const texts: readonly (readonly [string, Given])[] = [
    [`SELECT * FROM users WHERE name = '${secret}'`, {}],
    [`SELECT * FROM comments WHERE image_id = ${secret}`, {}],
    [`SELECT * FROM comments WHERE image_id = '${secret}x'`, {}],
    ['SELECT * FROM comments WHERE image_id = $1', { parameters: [`${secret}x`] }],
    [`/* pointsman: shard_key=${secret}x */ SELECT * FROM comments`, {}],
    [`SELECT 'a' '${secret}'`, {}],
    [`SELECT * FROM users WHERE '${secret}' SELEC`, {}],
    [`SET pointsman.consistency = '${secret}'`, {}],
    [`SET pointsman.cluster = '${secret}'`, {}],
    [`SELECT * FROM prices WHERE region = '${secret}'`, { config: 'list' }],
    [`SELECT * FROM users WHERE '${secret}' SELEC`, { config: 'refuse' }],
    ['SELECT 1', { session: { set: { cluster: secret } } }],
  ]
  for (const [sql, given] of texts) {
    const made = run(sql, given)
    t.notOk(JSON.stringify({ why: made.why, message: made.kind === 'refuse' ? made.message : '' }).includes(secret), sql)
    t.notOk(printPlan(made).includes(secret), sql)
  }
  t.end()
})

t.test('a plan prints itself', (t) => {
  const made = run('SELECT * FROM comments WHERE image_id = 7')
  const route = { node: '10.0.2.1:5432', role: 'replica', boundMs: 119.6, step: 'wait', why: made.why } as const
  t.equal(
    printRoute(made, route),
    'replica 10.0.2.1:5432 of comments_0 shard 23 (bound 120 ms, after wait): shard-key: comments shard 23 on cluster comments_0; read: session, at most 5s old',
  )
  t.equal(printTaken(made, route), printRoute(made, route))
  for (const step of ['first', 'wait', 'primary', 'stale', 'degraded', 'cache'])
    for (const boundMs of [120, null])
      t.same(readRoute(printRoute(made, { ...route, step, boundMs })), { node: route.node, role: route.role, step, boundMs }, step)
  t.match(
    printTaken(made, null),
    /^nowhere \(planned: replica of comments_0 shard 23: shard-key/,
    'what no server was found for ran nowhere',
  )
  t.match(printRoute(run('BEGIN'), null), /^answered by Pointsman: begin-deferred/)
  t.match(printRoute(run('UPDATE comments SET body = NULL'), null), /^refused \(0A000\): shard-key-missing/)
  t.match(printRoute(run('SELECT * FROM comments'), null), /^merged from the replicas of comments_0, comments_1: scatter: /)
  t.equal(
    printPlan(made),
    [
      'replica of comments_0 shard 23',
      '  policy: session, at most 5s old',
      '  tables: public.comments',
      '  owner: comments-team',
      '  why:',
      '    shard-key: comments shard 23 on cluster comments_0',
      '    read: session, at most 5s old',
    ].join('\n'),
  )
  t.match(printPlan(run('SELECT * FROM users, images')), /^refused: 0A000 public\.users[^]*hint: /)
  t.match(printPlan(run('/* pointsman: explain */ DO $$ $$')), /^primary of main\n {2}writes, taints the connection \(DO\)/)
  t.match(printPlan(run('LISTEN x')), /pins the session \(listen\)/)
  t.end()
})

t.test('plans cannot be changed', (t) => {
  for (const sql of ['SELECT 1', 'BEGIN', 'SELECT * FROM comments']) {
    const made = run(sql)
    t.ok(Object.isFrozen(made) && Object.isFrozen(made.why), sql)
  }
  t.end()
})
