// What may be typed at the console, and what is refused; no clients, no servers.
import t from 'tap'
import { commandForms, readConsole } from '../../src/doors/proxy/console-command.js'

t.test('commands', (t) => {
  t.same(readConsole(' ; show Nodes;\n-- a comment\nSHOW pools ; '), [
    { kind: 'show', table: 'nodes' },
    { kind: 'show', table: 'pools' },
  ])
  t.same(readConsole("read only main on 'it''s late; wait'"), [
    { kind: 'read-only', cluster: 'main', on: true, message: "it's late; wait" },
  ])
  t.same(readConsole('READ ONLY ON'), [{ kind: 'read-only', cluster: null, on: true, message: null }])
  t.same(readConsole('READ ONLY "on" OFF'), [{ kind: 'read-only', cluster: 'on', on: false, message: null }])
  t.same(readConsole('ALLOW STALE 60s FOR 1.5h ON comments_0'), [
    { kind: 'allow-stale', cluster: 'comments_0', maxMs: 60_000, forMs: 5_400_000 },
  ])
  t.same(readConsole("ALLOW STALE '500 ms' FOR 10m"), [{ kind: 'allow-stale', cluster: null, maxMs: 500, forMs: 600_000 }])
  t.same(readConsole('ALLOW STALE OFF ON main'), [{ kind: 'forbid-stale', cluster: 'main' }])
  t.same(readConsole('  -- nothing'), [])
  t.end()
})

t.test('what cannot be read is refused whole, and says what was expected', (t) => {
  const wrong = [
    ['SELECT 1', /at "SELECT": expected SHOW, READ, ALLOW/],
    ['SHOW', /at the end of the command: expected HELP, NODES/],
    ['SHOW NODES please', /expected the end of the command/],
    ['READ ONLY main', /expected ON, OFF/],
    ["READ ONLY 'main' ON", /expected the name of a cluster/],
    ["READ ONLY main OFF 'why'", /expected the end/],
    ['READ ONLY ON because', /expected a message in 'quotes'/],
    ['ALLOW STALE 60 FOR 10m', /at "60": expected a duration/],
    ['ALLOW STALE 0 FOR 10m', /expected a duration/],
    ['ALLOW STALE 60s', /expected FOR/],
    ['ALLOW STALE 60s FOR 400d', /lasts a day at most/],
    ['ALLOW STALE 60s FOR 10m main', /expected ON/],
    ["READ ONLY ON 'open", /a quote is not closed/],
    ['SHOW NODES; DROP TABLE users', /at "DROP"/],
  ] as const
  for (const [text, message] of wrong) t.throws(() => readConsole(text), { code: '42601', message }, text)
  t.end()
})

t.test('SHOW HELP lists what can be read', (t) => {
  for (const [form] of commandForms) {
    const [plain, full] = [form.replaceAll(/\[[^\]]*\]/g, ''), form.replaceAll(/[[\]]/g, '').replace('cluster', 'main')]
    t.equal(readConsole(plain).length, 1, plain)
    t.equal(readConsole(full).length, 1, full)
  }
  t.end()
})
