// What a connection is asked after unseen changes, how the answer is read, and texts about a client's own process number.
import t from 'tap'
import { customNames, inspectionSql, mentionedNames, readFindings, unseenChanges } from '../../src/session/inspection.js'
import { greatestServerPid, ownCallOf, ownText, signalOf } from '../../src/session/client-pids.js'
import { understanding } from '../support/understanding.js'

const understand = await understanding()
const pid = 1_409_286_273

t.test('what is found', async (t) => {
  const rows = [
    ['setting', 'TimeZone', 'UTC'],
    ['setting', 'role', 'other'],
    ['user', 'app', null],
    ['lock', null, null],
    ['temporary', null, null],
    ['relation', 'tt', null],
  ]
  t.same(readFindings(rows, 'app'), {
    settings: new Map([
      ['timezone', 'UTC'],
      ['role', 'other'],
    ]),
    locks: true,
    temporary: true,
    temporaryRelations: ['tt'],
    cursors: false,
  })
  t.equal(readFindings(rows, 'boss').settings.get('session_authorization'), 'app', 'not as whom it has logged in')
})

t.test('what nobody saw', async (t) => {
  const known = new Map([
    ['a', '1'],
    ['b', '2'],
    ['app.x', ''],
  ])
  const found = new Map([
    ['a', '1'],
    ['c', '3'],
  ])
  t.same(unseenChanges(found, known), [
    { name: 'c', value: '3' },
    { name: 'b', value: null },
  ])
})

t.test('settings of one’s own are asked for by name', async (t) => {
  t.same(mentionedNames("SELECT set_config('App.Tenant', $1, false), pg_catalog.now() FROM public.items"), ['app.tenant', 'public.items'])
  t.equal(mentionedNames(Array.from({ length: 200 }, (_, i) => `a.b${String(i)}`).join(' ')).length, 32)
  t.same(customNames(new Map([['a.b', '1']]), new Map([['work_mem', '1']])), ['a.b'])
  t.notMatch(inspectionSql([]), 'VALUES')
  t.match(inspectionSql(["x'y.z"]), "(VALUES (E'x''y.z'))")
})

t.test('texts about a client’s number', async (t) => {
  const text = (sql: string): string | null => {
    const understood = understand(sql)
    const call = ownCallOf(understood)
    return call === null ? null : (ownText(call, understood, pid)?.text ?? null)
  }
  t.equal(text('SELECT pg_backend_pid()'), `SELECT ${String(pid)} AS "pg_backend_pid"`)
  t.equal(text('select pg_catalog.pg_backend_pid() as "Me"'), `SELECT ${String(pid)} AS "Me"`)
  t.equal(text(`SELECT pg_cancel_backend(${String(pid)})`), 'SELECT true AS "pg_cancel_backend"')
  t.equal(text('SELECT pg_terminate_backend(pg_backend_pid())'), 'SELECT true AS "pg_terminate_backend"')
  t.equal(text(`SELECT pg_terminate_backend(${String(pid)}, 100)`), 'SELECT true AS "pg_terminate_backend"')
  t.match(text('SELECT pg_terminate_backend($1, 100)'), / ELSE pg_catalog.pg_terminate_backend\(\$1::pg_catalog.int4, 100\) END /)
  t.match(text('SELECT pg_terminate_backend($1)'), /^SELECT CASE WHEN \$1::pg_catalog\.int4 > 4194304 THEN true ELSE /)
  for (const sql of [
    'SELECT pg_cancel_backend(4711)',
    `SELECT pg_cancel_backend(${String(greatestServerPid)})`,
    'SELECT pg_cancel_backend(-1409286273)',
    'SELECT pg_backend_pid() FROM pg_stat_activity',
    'SELECT pg_backend_pid(), 1',
    'SELECT pg_cancel_backend(pg_backend_pid())',
    `SELECT pg_cancel_backend(${String(pid)}, 1)`,
    `SELECT pg_terminate_backend(${String(pid)}, -1)`,
    `SELECT pg_terminate_backend(${String(pid)}, 'soon')`,
    `SELECT pg_terminate_backend(${String(pid)}, $1)`,
    'SELECT pg_backend_pid() WHERE true',
    'SELECT own.pg_backend_pid()',
    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity',
    'SELECT 1; SELECT pg_backend_pid()',
  ])
    t.equal(text(sql), null, sql)
})

t.test('a signal is for a client’s number only', async (t) => {
  const understood = understand('SELECT pg_cancel_backend($1)')
  const call = ownCallOf(understood)
  const own = call === null ? null : ownText(call, understood, pid)
  if (own === null) throw new Error('it is a call about a number')
  t.same(
    signalOf(own, () => String(pid)),
    { kind: 'cancel', pid },
  )
  t.equal(
    signalOf(own, () => '4711'),
    null,
  )
  t.equal(
    signalOf(own, () => null),
    null,
  )
  t.equal(
    signalOf(own, () => '99999999999'),
    null,
  )
})
