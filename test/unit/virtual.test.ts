// Virtual partitions as values: which shapes a rollout takes, what OFF and the way back mean, which tables patterns mean; and the
// parts of the audit that need no server: baselines, logs.
import t from 'tap'
import { compare, holds, nextBaseline, readBaseline } from '../../src/audit/baseline.js'
import { AuditBook } from '../../src/audit/book.js'
import { htmlReport } from '../../src/audit/html.js'
import { loggedStatements } from '../../src/audit/log-lines.js'
import { StatementAudit } from '../../src/audit/statements.js'
import type { DatabaseConfig } from '../../src/config/config.js'
import { fits, overlap } from '../../src/config/glob.js'
import { homeFor } from '../../src/config/home-for.js'
import { validateConfig } from '../../src/config/validate.js'
import { withVirtual } from '../../src/config/with-virtual.js'
import type { Crossing } from '../../src/observe/crossing.js'
import { standing } from '../../src/routing/virtual.js'
import { givenCatalogs, givenConfig } from '../support/plan-given.js'
import { understanding } from '../support/understanding.js'

const clusters = { main: { user: 'app', nodes: ['h:1'] } }

function read(app: object): ReturnType<typeof validateConfig> {
  const auth = { method: 'trust', users: [{ name: 'app' }] }
  return validateConfig(
    { version: 1, auth, clusters, databases: { app: { default: 'main', owner: 'core', ...app } } },
    { env: {}, readFile: () => '' },
  )
}

function databaseOf(app: object): DatabaseConfig {
  const result = read(app)
  const database = result.ok ? result.config.databases.get('app') : undefined
  if (database === undefined) throw new Error(JSON.stringify(result))
  return database
}

const media = { cluster: 'main', owner: 'media', tables: ['images'], virtual: true }

t.test('a rollout takes its share of the shapes, and always the same ones', (t) => {
  const of = (rollout: string): readonly string[] => {
    const database = databaseOf({ partitions: { media: { ...media, mode: 'refuse', rollout } } })
    return Array.from({ length: 2000 }, (_, n) => `select ${String(n)} from t`).filter(
      (key) => !standing(database, key).relaxed.has('partition media'),
    )
  }
  const quarter = of('25%')
  t.ok(quarter.length > 400 && quarter.length < 600, String(quarter.length))
  t.same(of('25%'), quarter)
  t.equal(of('0%').length, 0)
  t.equal(of('100%').length, 2000)
  const half = new Set(of('50%'))
  t.ok(
    quarter.every((key) => half.has(key)),
    'more of the share keeps those that it had',
  )
  t.equal(quarter[0], 'select 0 from t', 'whatever process asks, and whenever')
  t.end()
})

t.test('modes and the way back', (t) => {
  const database = databaseOf({ partitions: { media: { ...media, mode: 'refuse' } } })
  t.same([...standing(database, 'x').relaxed], [])
  const config = { databases: new Map([['app', database]]) } as unknown as Parameters<typeof withVirtual>[0]
  const { changed, found } = withVirtual(config, 'media', { mode: 'off', rollout: 100, by: 'ops' })
  t.equal(found, 1)
  const off = changed.databases.get('app')
  t.same([...(off === undefined ? [] : standing(off, 'x').off)], ['partition media'])
  t.equal(withVirtual(config, 'other', { mode: 'off', rollout: 100, by: 'ops' }).found, 0)
  t.end()
})

t.test('reads of a partition begin with what the database says', (t) => {
  const reads = { default: { max_staleness: '5s' } }
  const bounded = { media: { cluster: 'main', owner: 'm', tables: ['images'], reads: { consistency: 'bounded' } } }
  t.ok(read({ reads, partitions: bounded }).ok, 'the bound is there')
  t.notOk(read({ partitions: bounded }).ok, 'there is none')
  const kept = { media: { ...bounded.media, reads: { cache: '60s' } } }
  t.match(read({ partitions: kept }).warnings, [{ path: 'databases.app.partitions.media.reads.cache', message: /never kept/ }])
  t.end()
})

t.test('patterns', (t) => {
  t.ok(fits('billing_*', 'billing_x') && fits('*', '') && fits('a*b*c', 'a-b-b-c') && fits('x', 'x'))
  t.notOk(fits('billing_*', 'bill') || fits('a*a', 'a') || fits('a*b*c', 'a-c') || fits('x', 'y'))
  t.ok(overlap('a*', '*b') && overlap('*', 'x') && overlap('a*c', 'ab*'))
  t.notOk(overlap('a*', 'b*') || overlap('x', 'y') || overlap('*a', '*b'))
  const database = databaseOf({
    partitions: {
      users: { cluster: 'main', owner: 'u', tables: ['billing_users'] },
      billing: { cluster: 'main', owner: 'b', tables: ['billing_*'], schemas: ['billing'] },
      archive: { cluster: 'main', owner: 'a', tables: ['billing.old_*'] },
    },
  })
  const partition = (key: string): unknown => {
    const home = homeFor(database, key)
    return home?.kind === 'partition' ? home.partition : null
  }
  t.equal(partition('public.billing_users'), 'users', 'a name goes before a pattern')
  t.equal(partition('public.billing_x'), 'billing')
  t.equal(partition('billing.old_x'), 'archive', 'a pattern goes before a schema')
  t.equal(partition('billing.x'), 'billing')
  t.equal(partition('public.other'), null)
  const wrong = (app: object): readonly string[] => {
    const result = read(app)
    return result.ok ? [] : result.problems.map(({ message }) => message)
  }
  const two = { a: { cluster: 'main', tables: ['x_*'] }, b: { cluster: 'main', tables: ['*_y'] } }
  t.match(wrong({ partitions: two }), [/a table may fit both "x_\*" of partition a and "\*_y" of partition b/])
  t.match(wrong({ partitions: { a: { cluster: 'main', schemas: ['pg_catalog'] } } }), [/is a schema of the system/])
  t.match(wrong({ partitions: { a: { cluster: 'main', tables: ['x'], mode: 'log' } } }), [/"mode" means nothing here/])
  t.match(wrong({ partitions: { a: { ...media, rollout: '25%' } } }), [/"rollout" means nothing here/])
  t.end()
})

const crossing: Crossing = {
  kind: 'join',
  from: { home: 'cluster main', owner: 'core', object: 'public.users' },
  to: { home: 'partition media', owner: 'media', object: 'public.images' },
  reason: '<b>because</b>',
  way: 'apart',
}

t.test('the baseline', (t) => {
  const book = new AuditBook()
  book.crossing('app', crossing, 'select 1', 'log')
  const looked = new Set(['log', 'catalog'] as const)
  const { findings } = book.data()
  const accepted = nextBaseline(findings, [], looked, { issue: 'https://i/1', expires: '2027-01-31' })
  const compared = (list: typeof accepted, day: string, seen = looked as ReadonlySet<'log' | 'catalog' | 'traffic'>) =>
    compare(findings, list, day, seen)
  t.ok(holds(compared(accepted, '2027-01-31')), 'the last day counts')
  t.equal(compared(accepted, '2027-02-01').expired.length, 1)
  t.equal(compared([], '2027-01-01').fresh.length, 1)
  t.notOk(holds(compared(nextBaseline(findings, [], looked, { issue: '', expires: '' }), '2027-01-01')))
  t.equal(compare([], accepted, '2027-01-01', looked).gone.length, 1)
  t.equal(compare([], accepted, '2027-01-01', new Set(['catalog'] as const)).gone.length, 0, 'nobody looked')
  t.equal(nextBaseline([], accepted, looked, { issue: '', expires: '' }).length, 0, 'what is gone is taken off')
  t.same(readBaseline({ version: 1, accepted }), accepted)
  t.match(readBaseline({ accepted: [{ id: 'x', expires: 'soon' }] }), /accepted\[0\]: expires is not a day/)
  t.match(readBaseline({ accepted: [{ id: 'x', expires: '2027-02-30' }] }), /accepted\[0\]: expires is not a day/, 'it would never be over')
  t.match(readBaseline([]), /no list/)
  t.end()
})

t.test('statements of a database with two_phase are planned as the proxy plans them', async (t) => {
  const { config, database } = givenConfig('two-phase')
  const book = new AuditBook()
  const understand = await understanding()
  const ground = { config, database: { ...database, name: 'app' }, catalogs: givenCatalogs('demo', 'two-phase'), understand }
  const audited = new StatementAudit({ ...ground, user: 'app', searchPath: 'public' }, book)
  for (const text of ['BEGIN', 'UPDATE users SET name = $1 WHERE id = 1', 'UPDATE images SET title = $1 WHERE id = 2', 'COMMIT'])
    audited.add(text, 1, 'log', 's')
  audited.add('UPDATE comments SET body = $1', 1, 'log', null)
  t.same(book.data().findings, [], 'a transaction of two clusters runs, and so does a write of all shards')
  audited.add('UPDATE comments SET body = random()::text', 1, 'log', null)
  t.match(book.data().findings, [{ kind: 'shard_key', reason: /for several clusters .*comments_0, comments_1/ }])
  t.same(book.data().findings.length, 1)
  audited.add('/* pointsman: cluster=media */ SELECT name FROM users', 1, 'log', null)
  const share = (name: string) => book.data().tables.find(({ table }) => table === name)
  t.match(share('public.comments'), { statements: 2, routed: 1 })
  t.match(share('public.users'), { statements: 2, routed: 1 }, 'what is refused for another reason does not run either')
})

t.test('the book counts what it knows, adds up others, and is bounded', (t) => {
  const book = new AuditBook()
  t.equal(book.crossing('app', crossing, 'select 1', 'traffic'), true)
  t.equal(book.crossing('app', crossing, 'select 1', 'log', 4), false)
  book.statement('app', ['public.t', 'public.t'], true, 3)
  t.match(book.data().tables, [{ statements: 3, routed: 3 }], 'a table that is named twice is touched once')
  const sum = new AuditBook()
  sum.add(book.data())
  sum.add(book.data())
  t.match(sum.data().findings, [{ count: 10, sources: ['log', 'traffic'] }])
  for (let n = 0; n < 6000; n++) book.crossing('app', crossing, String(n), 'traffic')
  t.equal(book.data().findings.length, 5000)
  t.equal(book.data().dropped, 1001)
  t.end()
})

t.test('logs', (t) => {
  const json = [
    '{"session_id":"s1","dbname":"app","message":"statement: SELECT 1"}',
    'nonsense',
    '{"session_id":"s1","dbname":"app","message":"duration: 0.1 ms  parse a: SELECT 2"}',
    '{"pid":7,"dbname":"b","message":"duration: 1.5 ms  execute a: SELECT 3"}',
  ].join('\n')
  t.same(loggedStatements(json), [
    { text: 'SELECT 1', session: 's1', database: 'app' },
    { text: 'SELECT 3', session: '7', database: 'b' },
  ])
  const csv = '2026-01-01 00:00:00.000 UTC,"app","app",7,"h:1",s2,1,"idle",2026-01-01,3/4,0,LOG,00000,"statement: SELECT ""x"",\n 1",,,\n'
  t.same(loggedStatements(csv), [{ text: 'SELECT "x",\n 1', session: 's2', database: 'app' }])
  const plain = ['2026-01-01 UTC [42] app@app LOG:  execute <unnamed>: SELECT', '\t4', '2026 [42] LOG:  checkpoint starting', '\tno'].join(
    '\n',
  )
  t.same(loggedStatements(plain), [{ text: 'SELECT\n4', session: '42', database: null }])
  const commas = '2026-01-01 00:00:00.000 UTC [42] LOG:  statement: SELECT a, b FROM t WHERE c IN (1, 2)\n'
  t.same(loggedStatements(commas).length, 1, 'commas make no CSV')
  t.end()
})

t.test('the page escapes all that it shows', (t) => {
  const book = new AuditBook()
  book.crossing('a"<app>', crossing, "<script>alert('x')</script>", 'log')
  book.statement('app', ['public."<t>"'], true)
  const report = {
    ...book.data(),
    database: '<app>',
    looked: ['<l>'],
    unread: ['<f>'],
    statements: { seen: 1, notUnderstood: 0 },
    baseline: null,
  }
  const html = htmlReport(report, '<now>')
  t.notMatch(html, /<script|<app>|<b>|<l>|<f>|<now>|<t>/)
  t.match(html, /&lt;script&gt;/)
  t.end()
})
