// Pure look-ups over a catalog: names by search_path, functions by every candidate, views all the way down.
import t from 'tap'
import { answersServerState, showsServerState } from '../../src/catalog/builtins.js'
import type { Catalog } from '../../src/catalog/catalog.js'
import { expand } from '../../src/catalog/expand.js'
import { judgeAttribute, judgeFunction, judgeOperator, judgeType, worse } from '../../src/catalog/judge.js'
import { resolveCreated, resolveRelation, type NameSpace } from '../../src/catalog/resolve.js'
import type { FunctionUse, Name } from '../../src/sql/statement.js'
import { givenCatalogs } from '../support/plan-given.js'

const catalog = givenCatalogs('demo').get('main') as Catalog
const path = ['public']
const name = (text: string): Name => {
  const [schema, bare] = text.split('.')
  return bare === undefined ? { schema: null, name: text } : { schema: schema ?? null, name: bare }
}
const call = (text: string, args: number | null): FunctionUse => ({ name: name(text), args })

t.test('relations by name', (t) => {
  const existing = new Set(['public.users', 'hr.users', 'hr.pg_mine', 'hr.payroll'])
  const space = (searchPath: readonly string[] | null, temporary: readonly string[] = []): NameSpace => ({
    searchPath,
    temporary: new Set(temporary),
    exists: (key) => existing.has(key),
    hasSchema: (schema) => [...existing].some((key) => key.startsWith(`${schema}.`)),
  })
  const resolved = (text: string, given: NameSpace): string => {
    const { kind, key } = resolveRelation(name(text), given)
    return `${kind} ${key}`
  }
  t.equal(resolved('users', space(['public'])), 'known public.users')
  t.equal(resolved('users', space(['hr', 'public'])), 'known hr.users')
  t.equal(resolved('public.users', space(['hr'])), 'known public.users')
  t.equal(resolved('payroll', space(['app', 'public'])), 'unknown public.payroll', 'a schema that holds nothing may not exist')
  t.equal(resolved('users', space(['public'], ['users'])), 'temporary pg_temp.users', 'temporary tables first')
  t.equal(resolved('users', space(['public', 'pg_temp'], ['users'])), 'known public.users', 'unless the path lists them')
  t.equal(resolved('pg_temp.x', space(['public'])), 'temporary pg_temp.x')
  t.equal(resolved('pg_class', space(['public'])), 'system pg_catalog.pg_class')
  t.equal(resolved('pg_mine', space(['hr'])), 'known hr.pg_mine')
  t.equal(resolved('tables', space(['information_schema'])), 'system information_schema.tables')
  t.equal(resolved('users', space(null)), 'unresolvable users')
  t.equal(resolveCreated(name('users'), space(['hr', 'public'])).key, 'hr.users')
  t.equal(resolveCreated(name('payroll'), space(['app', 'public'])).key, 'public.payroll')
  t.end()
})

t.test('functions by every candidate', (t) => {
  const effect = (use: FunctionUse, searchPath: readonly string[] | null = path): string =>
    judgeFunction(catalog, new Map(), searchPath, use).effect
  t.equal(effect(call('lower', 1)), 'read')
  t.equal(effect(call('lower', 1), ['shadow']), 'write', 'both could be meant')
  t.equal(effect(call('lower', 1), null), 'write', 'the path is not known')
  t.equal(effect(call('pg_catalog.lower', 1), ['shadow']), 'read')
  t.equal(effect(call('count', null)), 'read', 'count(*)')
  t.equal(effect(call('mixed', 1)), 'read')
  t.equal(effect(call('mixed', 2)), 'write')
  t.equal(effect(call('mixed', null)), 'write', 'the number of arguments is not known')
  t.equal(effect(call('concat', 9)), 'read', 'VARIADIC')
  t.equal(effect(call('nowhere', 0)), 'write')
  t.equal(effect(call('pg_is_in_recovery', 0)), 'primary')
  t.equal(effect(call('txid_current', 0)), 'write')
  const overrides = new Map([
    ['touch', 'read'],
    ['public.karma_of', 'write'],
  ] as const)
  t.equal(judgeFunction(catalog, overrides, path, call('touch', 1)).effect, 'read')
  t.equal(judgeFunction(catalog, overrides, path, call('karma_of', 1)).effect, 'write')
  t.equal(
    judgeFunction(catalog, new Map([['nowhere', 'read']] as const), path, call('nowhere', 0)).effect,
    'read',
    'also for one that is not known',
  )
  const varies = (name: string, args: number): boolean | undefined =>
    judgeFunction(catalog, new Map([[name, 'read']] as const), path, call(name, args)).varies
  t.equal(varies('karma_of', 1), true, 'the config says that it only reads, not what it reads')
  t.equal(varies('lower', 1), false)
  t.equal(judgeAttribute(catalog, new Map(), 'touch').effect, 'write')
  t.equal(judgeAttribute(catalog, new Map(), 'name').effect, 'read')
  t.end()
})

t.test('operators and types', (t) => {
  t.equal(judgeOperator(catalog, path, name('+')).effect, 'read')
  t.equal(judgeOperator(catalog, path, name('!~>')).effect, 'write')
  t.equal(judgeOperator(catalog, ['hr'], name('!~>')).effect, 'write', 'not on the path: unknown')
  t.equal(judgeOperator(catalog, path, name('public.+')).effect, 'write', 'no such operator there')
  t.equal(judgeType(catalog, path, name('int4'), () => false).effect, 'read')
  t.equal(judgeType(catalog, path, name('_tracked'), () => false).effect, 'write')
  t.equal(judgeType(catalog, path, name('nowhere'), () => false).effect, 'write')
  t.equal(judgeType(catalog, path, name('users'), () => true).effect, 'read')
  t.end()
})

t.test('the worse of two', (t) => {
  const read = judgeFunction(catalog, new Map(), path, call('karma_of', 1))
  const write = judgeFunction(catalog, new Map(), path, call('nextval', 1))
  t.match(worse(read, write), { effect: 'write', why: { rule: 'writing-builtin' }, taints: /karma_of/, builtin: false })
  t.match(worse(write, read), { effect: 'write', why: { rule: 'writing-builtin' }, taints: /karma_of/, builtin: false })
  t.end()
})

t.test('views all the way down', (t) => {
  const found = expand(catalog, ['public.very_recent_users'])
  t.same(found.keys, ['public.very_recent_users', 'public.recent_users', 'public.users'])
  t.same(
    [...found.behind],
    [
      ['public.recent_users', 'public.very_recent_users'],
      ['public.users', 'public.recent_users'],
    ],
  )
  t.same(
    found.functions.map((use) => use.name.name),
    ['now'],
  )
  t.same(expand(catalog, ['public.loop_a']).keys, ['public.loop_a', 'public.loop_b'], 'a cycle ends')
  t.same(expand(catalog, ['public.mystery']).opaque, [{ key: 'public.mystery', reason: 'unknown' }])
  t.same(expand(undefined, ['public.users']).keys, ['public.users'], 'no catalog')
  t.end()
})

t.test('what is about the server', (t) => {
  for (const yes of ['pg_stat_activity', 'pg_statio_all_tables', 'pg_locks', 'pg_replication_slots', 'pg_settings'])
    t.ok(showsServerState(yes), yes)
  for (const no of ['pg_class', 'pg_stats', 'pg_statistic', 'pg_stats_ext', 'pg_roles']) t.notOk(showsServerState(no), no)
  t.ok(answersServerState('pg_stat_get_live_tuples'))
  t.notOk(answersServerState('pg_get_viewdef'))
  t.end()
})
