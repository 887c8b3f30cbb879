// Which cookies and headers of a request count, and which responses may carry a token.
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import t from 'tap'
import { give, readCarrier, receive } from '../../src/doors/library/token-carrier.js'

const carrier = readCarrier()

function request(headers: Readonly<Record<string, string>>, method = 'GET'): IncomingMessage {
  return Object.assign(new IncomingMessage(new Socket()), { headers, method })
}

t.test('what a request brings', (t) => {
  const cookie = 'a=1; __rw=p1.x;__rw.0a="p1.y" ; __rwx=no; x__rw=no; __rw.0b=; broken; =p1.z'
  t.same(receive(carrier, request({ cookie, 'x-db-token': 'p1.h, p1.i' })), {
    tokens: ['p1.x', 'p1.y', 'p1.h', 'p1.i'],
    cookies: ['__rw', '__rw.0a', '__rw.0b'],
  })
  t.same(receive(carrier, request({})), { tokens: [], cookies: [] })
  t.same(receive(readCarrier({ cookie: null, header: null }), request({ cookie, 'x-db-token': 'p1.h' })), { tokens: [], cookies: [] })
  t.end()
})

t.test('more than anybody should have counts as a token that cannot be read', (t) => {
  const many = Array.from({ length: 40 }, (_, n) => `__rw.${String(n)}=p1.${String(n)}`).join('; ')
  const { tokens, cookies } = receive(carrier, request({ cookie: many }))
  t.equal(tokens.length, 33)
  t.notMatch(tokens.at(-1), /^p1\./)
  t.equal(cookies.length, 32, 'so many are taken away at once: a flood of names is no flood of headers')
  t.end()
})

t.test('no cache that others read gets a token', (t) => {
  const given = (method: string, headers: Readonly<Record<string, string>>): string | null | undefined => {
    const response = new ServerResponse(request({}, method))
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    const may = give(carrier, 'p1.x', { tokens: [], cookies: [] }, { response, method, secure: true })
    t.equal(may, response.hasHeader('set-cookie') && response.hasHeader('x-db-token'))
    t.equal(!may, !response.hasHeader('set-cookie') && !response.hasHeader('x-db-token'))
    return may ? (response.getHeader('cache-control') as string | undefined) : null
  }
  const refused: Readonly<Record<string, string>>[] = [
    { 'cache-control': 'public' },
    { 'cache-control': 'max-age=1, S-MaxAge=60' },
    { 'cache-control': 'Public, private' },
    { 'cdn-cache-control': 'max-age=60' },
    { 'cache-control': 'private', 'surrogate-control': 'max-age=60' },
  ]
  for (const headers of refused) t.equal(given('GET', headers), null, JSON.stringify(headers))
  t.equal(given('GET', {}), 'private')
  t.equal(given('HEAD', {}), 'private')
  t.equal(given('POST', {}), undefined, 'kept by nobody anyway')
  t.equal(given('POST', { expires: 'Thu, 01 Jan 2099 00:00:00 GMT' }), 'private')
  t.equal(given('POST', { 'cache-control': 'max-age=9' }), 'max-age=9, private')
  t.equal(given('GET', { 'cache-control': 'no-cache' }), 'no-cache, private', 'what is asked for again is kept meanwhile')
  t.equal(given('GET', { 'cache-control': 'private="set-cookie"' }), 'private="set-cookie", private')
  t.equal(given('GET', { 'cache-control': 'private, max-age=9' }), 'private, max-age=9')
  t.equal(given('GET', { 'cache-control': 'no-store' }), 'no-store')
  t.end()
})

t.test('cookies of the application stay, and those that came are taken away', (t) => {
  const response = new ServerResponse(request({}))
  response.setHeader('Set-Cookie', 'own=1')
  give(carrier, 'p1.x', { tokens: ['p1.w'], cookies: ['__rw.0a'] }, { response, method: 'GET', secure: true })
  t.match(response.getHeader('set-cookie'), [
    'own=1',
    /^__rw\.[0-9a-f]{8}=p1\.x; Max-Age=900; Path=\/; SameSite=Lax; HttpOnly; Secure$/,
    '__rw.0a=; Max-Age=0; Path=/; SameSite=Lax; HttpOnly; Secure',
  ])
  t.end()
})
