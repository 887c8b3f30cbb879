// Parts of authentication by themselves: addresses, what slows guessing down, keys that are held, rows that an auth_query gives.
import t from 'tap'
import { inRange, isLoopbackRange, parseAddress, parseRange } from '../../src/config/address-range.js'
import { secretIn } from '../../src/doors/proxy/auth-query.js'
import { LoginFailures } from '../../src/doors/proxy/login-failures.js'
import { inspect } from 'node:util'
import { LoginKeys } from '../../src/server/login-keys.js'

t.test('addresses and ranges', async (t) => {
  const within = (range: string, address: string): boolean => {
    const [parsed, bytes] = [parseRange(range), parseAddress(address)]
    if (parsed === null || bytes === null) throw new Error(`${range} or ${address} is none`)
    return inRange(parsed, bytes)
  }
  for (const [range, address] of [
    ['10.0.0.0/8', '10.255.0.1'],
    ['10.0.0.0/8', '::ffff:10.1.2.3'],
    ['0.0.0.0/0', '1.2.3.4'],
    ['192.168.1.7', '192.168.1.7'],
    ['192.168.1.128/25', '192.168.1.200'],
    ['::/0', '2001:db8::1'],
    ['2001:db8::/32', '2001:db8:ffff::1'],
    ['::1', '0:0:0:0:0:0:0:1'],
    ['fe80::/10', 'fe80::1%eth0'],
    ['64:ff9b::1.2.3.0/120', '64:ff9b::102:3ff'],
  ] as const) {
    t.ok(within(range, address), `${address} in ${range}`)
  }
  for (const [range, address] of [
    ['10.0.0.0/8', '11.0.0.1'],
    ['0.0.0.0/0', '::1'],
    ['::/0', '1.2.3.4'],
    ['::/0', '::ffff:1.2.3.4'],
    ['192.168.1.128/25', '192.168.1.127'],
    ['2001:db8::/33', '2001:db8:8000::1'],
  ] as const) {
    t.notOk(within(range, address), `${address} not in ${range}`)
  }
  const none = [
    '',
    '10.0.0',
    '10.0.0.0.0',
    '10.0.0.256',
    '010.0.0.1',
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.1.0.0/8',
    '10.0.0.0/-1',
  ]
  for (const text of [
    ...none,
    '::1::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    ':1',
    '::/129',
    '12345::',
    '::1.2.3',
    '1.2.3.4::',
    'localhost',
    'all',
    '::1/8',
  ]) {
    t.equal(parseRange(text), null, text)
  }
  for (const text of ['127.0.0.0/8', '127.0.0.1', '127.1.0.0/16', '::1', '::1/128']) t.ok(isLoopbackRange(parseRange(text)!), text)
  for (const text of ['126.0.0.0/7', '0.0.0.0/0', '::/127', '::/0', '10.0.0.1']) t.notOk(isLoopbackRange(parseRange(text)!), text)
})

t.test('failed logins: later each time, and successes among them as late', async (t) => {
  let now = 0
  const delays: number[] = []
  const due: ((value?: unknown) => void)[] = []
  const failures = new LoginFailures(
    () => now,
    (ms) => {
      delays.push(ms)
      return new Promise((resolve) => due.push(resolve))
    },
  )
  const told: string[] = []
  const failed = (user: string, delay = 500): void =>
    void failures.failed('10.0.0.1', user, delay).then((it) => told.push(`${user} ${String(it)}`))
  t.equal(failures.succeeded('10.0.0.1', 'app', 500), null, 'who has not failed is told at once')
  for (let time = 0; time < 6; time++) failed('app')
  t.same(delays, [500, 1000, 2000, 4000, 4000, 4000])
  t.equal(failures.held, 6)
  t.equal(failures.succeeded('10.0.0.1', 'ops', 500), null, 'another user')
  t.equal(failures.succeeded('10.0.0.2', 'app', 500), null, 'the same user from somewhere else')
  const late = failures.succeeded('10.0.0.1', 'app', 500)
  t.equal(delays.at(-1), 4000)
  t.same(told, [], 'nobody has been told anything')
  for (const tell of due.splice(0)) tell()
  t.equal(await late, true)
  t.equal(failures.held, 0)
  t.equal(told.length, 6)
  t.equal(failures.succeeded('10.0.0.1', 'app', 500), null, 'all is forgiven')
  failed('app')
  now = 60_000
  failed('app')
  t.same(delays.slice(-2), [500, 500], 'and forgotten after a while')
  failed('slow', 9000)
  failed('slow', 9000)
  t.equal(delays.at(-1), 10_000, 'nobody waits longer')
  failed('hurried', 0)
  t.equal(delays.at(-1), 10_000, 'no delay at all')
})

t.test('failed logins: so many at once that they are told nothing', async (t) => {
  let delays = 0
  const failures = new LoginFailures(
    () => 0,
    () => {
      delays += 1
      return new Promise(() => undefined)
    },
  )
  for (let user = 0; user < 1000; user++) void failures.failed('10.0.0.1', `user ${String(user)}`, 500)
  t.equal(await failures.failed('10.0.0.1', 'one more', 500), false)
  t.equal(await failures.succeeded('10.0.0.1', 'user 7', 500), false, 'what would tell that the guess was right')
  t.equal(delays, 1000)
})

t.test('keys are held by clients, and gone with the last of them', async (t) => {
  const scram = () =>
    ({
      kind: 'scram',
      keys: { salt: Buffer.from('salt'), iterations: 1, clientKey: Buffer.from('client secret'), serverKey: Buffer.from('server secret') },
    }) as const
  const [first, second] = [scram(), scram()]
  const keys = new LoginKeys('keys 1')
  t.equal(keys.scram, null)
  keys.hold(first)
  keys.hold(second)
  t.equal(keys.scram?.clientKey.toString(), 'client secret')
  t.notMatch(second.keys.clientKey.toString(), /secret/, 'one copy is enough')
  t.notMatch(inspect(keys, { depth: 9, showHidden: true }) + JSON.stringify(keys), /secret|clientKey/)
  keys.release()
  t.ok(keys.held)
  t.not(keys.scram, null)
  keys.release()
  t.notOk(keys.held)
  t.equal(keys.scram, null)
  t.notMatch(`${first.keys.clientKey.toString()}${first.keys.serverKey.toString()}`, /secret/)
  keys.hold({ kind: 'md5', stored: 'md5abc' })
  t.equal(keys.md5, 'md5abc', 'the next client fills it again')
})

t.test('rows of an auth_query', async (t) => {
  t.equal(secretIn([['app', 'x']], 'app'), 'x')
  t.equal(secretIn([['app', 'x', 'more']], 'app'), 'x')
  const nothing: (string | null)[][][] = [[], [['app']], [['app', null]], [['App', 'x']], [[null, 'x']], [['app', 'x'], ['app', 'y']]] // prettier-ignore
  for (const rows of nothing) t.equal(secretIn(rows, 'app'), null, JSON.stringify(rows))
})
