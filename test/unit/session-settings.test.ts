// Settings of a session: what PostgreSQL would have after every SET, ROLLBACK and RESET, and how they are said again.
import fc from 'fast-check'
import t from 'tap'
import { Session } from '../../src/session/session.js'
import { fit, replayChanges, replaySql } from '../../src/session/replay.js'
import {
  connectionSettings,
  effective,
  resolveChange,
  settle,
  startSettings,
  type SettingsEvent,
  type SettingsState,
} from '../../src/session/settings.js'
import type { TransactionState } from '../../src/session/transaction.js'
import type { TransactionView } from '../../src/session/view.js'

const set = (name: string, value: string | null, local = false): SettingsEvent => ({ kind: 'change', change: { name, value, local } })
const after = (state: SettingsState, ...events: SettingsEvent[]): SettingsState => events.reduce(settle, state)
const startup = startSettings(new Map([['timezone', 'UTC']]))

t.test('startup settings are what RESET goes back to', async (t) => {
  t.equal(effective(after(startup, set('timezone', 'CET'), set('timezone', null)), 'timezone'), 'UTC')
  t.equal(effective(after(startup, set('timezone', 'CET'), set('work_mem', '1MB'), set('all', null)), 'timezone'), 'UTC')
  t.equal(effective(after(startup, set('work_mem', '1MB'), set('all', null)), 'work_mem'), undefined)
})

t.test('ROLLBACK and ROLLBACK TO undo, COMMIT and RELEASE keep', async (t) => {
  const begun = after(startup, set('a', '1'), { kind: 'begin' }, set('a', '2'), { kind: 'savepoint', name: 's' }, set('a', '3'))
  t.equal(effective(begun, 'a'), '3')
  t.equal(effective(after(begun, { kind: 'rollback-to', name: 's' }), 'a'), '2')
  t.equal(effective(after(begun, { kind: 'rollback-to', name: 's' }, set('a', '4'), { kind: 'rollback-to', name: 's' }), 'a'), '2')
  t.equal(effective(after(begun, { kind: 'release', name: 's' }, { kind: 'commit' }), 'a'), '3')
  t.equal(effective(after(begun, { kind: 'rollback' }), 'a'), '1')
  t.equal(effective(after(begun, { kind: 'commit' }, { kind: 'rollback' }), 'a'), '3', 'a second end changes nothing')
})

t.test('SET LOCAL ends with its transaction and hides only while it lasts', async (t) => {
  const begun = after(startup, set('a', '1'), { kind: 'begin' }, set('a', '2', true))
  t.equal(effective(begun, 'a'), '2')
  t.equal(effective(after(begun, { kind: 'commit' }), 'a'), '1')
  t.equal(effective(after(begun, set('a', '3'), { kind: 'commit' }), 'a'), '3', 'a later SET wins')
  t.equal(effective(after(startup, set('a', '2', true)), 'a'), undefined, 'outside a transaction it does nothing')
})

t.test('what belongs to the transaction is not carried on', async (t) => {
  t.equal(effective(after(startup, set('transaction_read_only', 'on')), 'transaction_read_only'), undefined)
})

t.test('role and session_authorization', async (t) => {
  const both = after(startup, set('session_authorization', 'bob'), set('role', 'writer'))
  t.equal(effective(after(both, set('all', null)), 'role'), 'writer', 'RESET ALL leaves them')
  t.equal(effective(after(both, { kind: 'discard' }), 'role'), undefined, 'DISCARD ALL does not')
  t.equal(effective(after(both, set('session_authorization', null)), 'role'), undefined, 'a new session user has no role')
  const changes = replayChanges(
    new Map([
      ['role', 'writer'],
      ['session_authorization', 'bob'],
      ['work_mem', '1MB'],
    ]),
    new Map([['role', 'x']]),
  )
  t.same(
    changes.map(({ name, value }) => [name, value]),
    [
      ['role', null],
      ['work_mem', '1MB'],
      ['session_authorization', 'bob'],
      ['role', 'writer'],
    ],
  )
})

t.test('SET quotes the members of a list of names, set_config() takes it as it stands', async (t) => {
  const value = (texts: string[], viaFunction: boolean): string | null | undefined =>
    resolveChange(
      { name: 'search_path', scope: 'session', viaFunction, value: texts.map((text) => ({ kind: 'text' as const, text })) },
      () => undefined,
    )?.value
  t.equal(value(['a', 'B c', '$user'], false), 'a, "B c", "$user"')
  t.equal(value(['a, "B c"'], true), 'a, "B c"')
  t.equal(value([''], false), '""')
  t.equal(
    resolveChange({ name: 'work_mem', scope: 'local', viaFunction: true, value: [{ kind: 'param', number: 1 }] }, () => undefined),
    null,
    'an unknown parameter makes it unknown',
  )
})

t.test('the replay makes any connection into what the client has, and is one statement of plain ASCII', async () => {
  const settings = fc.dictionary(
    fc.constantFrom('a', 'b', 'role', 'session_authorization', 'pointsman.cluster'),
    fc.string({ unit: 'binary' }),
    { maxKeys: 4 },
  )
  const property = fc.property(settings, settings, (wantedRecord, actualRecord) => {
    const wanted = new Map(Object.entries(wantedRecord))
    const actual = new Map(Object.entries(actualRecord))
    const changes = replayChanges(wanted, actual)
    let state = connectionSettings(actual)
    for (const { name, value } of changes) state = settle(state, { kind: 'change', change: { name, value, local: false } })
    const expected = [...wanted].filter(([name]) => !name.startsWith('pointsman.')).sort()
    if (JSON.stringify([...state.values].sort()) !== JSON.stringify(expected)) return false
    if ((fit(wanted, actual) === 0) !== (changes.length === 0)) return false
    return /^[\x20-\x7e]*$/.test(replaySql(changes))
  })
  fc.assert(property, { numRuns: 500 })
})

t.test('a view tells whether the end of the transaction may change search_path', async (t) => {
  const settled = (...events: SettingsEvent[]): boolean => {
    const greeting = { parameters: new Map(), searchPath: 'public', role: 'app', isolation: 'read committed', readOnly: false }
    const session = new Session({ database: 'app', user: 'app', settings: new Map([['search_path', 'app']]), greeting })
    session.settings = after(session.settings, ...events)
    return session.view.searchPathSettled
  }
  const begin: SettingsEvent = { kind: 'begin' }
  t.equal(settled(), true)
  t.equal(settled(set('search_path', 'hr')), true)
  t.equal(settled(set('search_path', 'hr'), begin, set('work_mem', '1MB')), true)
  t.equal(settled(begin, set('search_path', 'hr')), false, 'ROLLBACK brings it back')
  t.equal(settled(begin, set('search_path', 'hr', true)), false, 'COMMIT ends SET LOCAL')
  t.equal(settled(begin, set('role', 'other')), false, '$user is another')
  t.equal(settled(begin, set('search_path', 'hr'), { kind: 'commit' }), true)
})

t.test('a view is of the transaction at hand, however much one before was like it', async (t) => {
  const greeting = { parameters: new Map(), searchPath: 'public', role: 'app', isolation: 'read committed', readOnly: false }
  const session = new Session({ database: 'app', user: 'app', settings: new Map(), greeting, joins: true })
  const home = { cluster: 'main', node: 'n:1', role: 'primary' } as const
  const mode = { readOnly: null, isolation: null, snapshot: false }
  const open = { kind: 'open', status: 'T', home, joined: [], mode, overrides: {} } as const
  const seen = (state: TransactionState): TransactionView => {
    session.transaction = state
    return session.view.transaction
  }
  t.equal(seen({ ...open, mode: { ...mode, isolation: 'repeatable read' } }).needsPrimary, false)
  t.equal(seen({ ...open, mode: { ...mode, isolation: 'serializable' } }).needsPrimary, true, 'replicas have no such transactions')
  const overrides = { maxStalenessMs: 1 }
  t.same([seen(open).overrides, seen({ ...open, overrides }).overrides], [{}, overrides])
  t.same([seen(open).constraints, seen({ ...open, mode: { ...mode, constraints: true } }).constraints], [false, true])
  t.same([seen(open).joined, seen({ ...open, joined: ['main', 'other'] }).joined], [[], ['main', 'other']])
  t.same([seen(open).home?.place, seen({ ...open, home: { ...home, place: 'here' } }).home?.place], [undefined, 'here'])
  t.same([seen(open).readOnly, seen({ ...open, mode: { ...mode, readOnly: true } }).readOnly], [false, true])
})
