// SCRAM-SHA-256, md5, SASLprep, channel binding: known vectors, and both halves against each other.
import { createHash } from 'node:crypto'
import t from 'tap'
import { PointsmanError } from '../../src/errors/error.js'
import { serverEndPoint } from '../../src/protocol/channel-binding.js'
import { md5Response, md5ResponseOf, md5Stored } from '../../src/protocol/md5.js'
import { prepare } from '../../src/protocol/saslprep.js'
import { ScramClient } from '../../src/protocol/scram-client.js'
import { mockVerifier, scramMechanisms, ScramServer } from '../../src/protocol/scram-server.js'
import { formatVerifier, makeVerifier, parseVerifier, saltPassword } from '../../src/protocol/scram.js'
import { failing } from '../support/failing.js'

const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')
const violation = failing({ key: 'protocol_violation' })

t.test('the example of RFC 7677', (t) => {
  const server = new ScramServer(makeVerifier('pencil', salt), '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0')
  t.equal(
    server.first('n,,n=user,r=rOprNGfwEbeRWgbNEkqO'),
    'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
  )
  t.match(server.final('c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ='), {
    ok: true,
    message: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
  })
  t.end()
})

async function login(
  password: string,
  verifierPassword: string,
  tamper: (message: string) => string = (message) => message,
): Promise<boolean> {
  const server = new ScramServer(makeVerifier(verifierPassword, salt, 4096), 'servernonceservernonce')
  const client = new ScramClient('clientnonceclientnonce', null)
  const first = client.readServerFirst(server.first(client.first()))
  const outcome = server.final(client.final(await saltPassword(password, first.salt, first.iterations)))
  if (!outcome.ok) return false
  client.verifyServerFinal(tamper(outcome.message))
  return true
}

t.test('client and server', async (t) => {
  t.ok(await login('sesame', 'sesame'))
  t.notOk(await login('sesame', 'Sesame'))
  t.ok(await login('I\u00ADX', 'IX'), 'a soft hyphen is mapped to nothing')
  t.ok(await login('\u2168', 'IX'), 'compatibility characters are composed')
  t.ok(await login('p\u{1F600}w', 'p\u{1F600}w'), 'a forbidden character is taken as it stands')
  await t.rejects(
    login('sesame', 'sesame', () => 'v=AAAA'),
    violation,
    'a server that does not know the password',
  )
  await t.rejects(
    login('sesame', 'sesame', () => 'e=other-error'),
    violation,
  )
})

t.test('the proof gives away the key that proves anew wherever the verifier is the same, and nowhere else', async (t) => {
  const verifier = makeVerifier('sesame', salt)
  const proved = (server: ScramServer, final: (client: ScramClient) => string) => {
    const client = new ScramClient('C', null)
    client.readServerFirst(server.first(client.first()))
    const outcome = server.final(final(client))
    if (outcome.ok) client.verifyServerFinal(outcome.message)
    return outcome
  }
  const salted = await saltPassword('sesame', salt, verifier.iterations)
  const first = proved(new ScramServer(verifier, 'S'), (client) => client.final(salted))
  if (!first.ok) throw new Error('a right password was refused')
  const keys = { clientKey: first.clientKey, serverKey: verifier.serverKey }
  t.ok(proved(new ScramServer(verifier, 'S'), (client) => client.finalByKeys(keys)).ok)
  const others = [makeVerifier('Sesame', salt), makeVerifier('sesame', Buffer.alloc(16, 1)), makeVerifier('sesame', salt, 4097)]
  for (const other of others) t.notOk(proved(new ScramServer(other, 'S'), (client) => client.finalByKeys(keys)).ok)
})

t.test('channel binding: by both sides or by none', async (t) => {
  const verifier = makeVerifier('sesame', salt, 1)
  const salted = await saltPassword('sesame', salt, 1)
  const [ours, theirs] = [Buffer.from('our certificate'), Buffer.from('of somebody in the middle')]
  const login = (
    server: Buffer | null,
    client: Buffer | null,
    mechanism = client === null ? 'SCRAM-SHA-256' : 'SCRAM-SHA-256-PLUS',
  ): boolean => {
    const scram = new ScramServer(verifier, 'S', server, mechanism)
    const peer = new ScramClient('C', client)
    peer.readServerFirst(scram.first(peer.first()))
    return scram.final(peer.final(salted)).ok
  }
  t.same([scramMechanisms(null), scramMechanisms(ours)], [['SCRAM-SHA-256'], ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256']])
  t.ok(login(ours, ours))
  t.ok(login(ours, null), 'a client that cannot')
  t.throws(() => login(ours, theirs), violation)
  t.throws(() => login(ours, ours, 'SCRAM-SHA-256'), violation)
  t.throws(() => login(ours, null, 'SCRAM-SHA-256-PLUS'), violation)
  t.throws(() => new ScramServer(verifier, 'S', ours).first('y,,n=,r=C'), violation, 'it could, and was told that we cannot')
  t.match(new ScramServer(verifier, 'S').first('y,,n=,r=C'), /^r=CS/, 'we cannot, indeed')
})

t.test('what a client may not send', (t) => {
  const started = (): ScramServer => {
    const server = new ScramServer(makeVerifier('x', salt, 1), 'S')
    server.first('y,,n=,r=C')
    return server
  }
  const proof = Buffer.alloc(32).toString('base64')
  for (const first of ['', 'n,,', 'n,,n=', 'p=tls-unique,,n=,r=C', 'n,a=other,n=,r=C', 'n,,n=,r=', 'n,,m=1,n=,r=C', 'x'.repeat(100_000)]) {
    t.throws(() => new ScramServer(makeVerifier('x', salt, 1), 'S').first(first), violation, `first ${first.slice(0, 30)}`)
  }
  t.throws(() => started().final(`c=biws,r=CS,p=${proof}`), violation, 'the header of another first message')
  t.throws(() => started().final(`c=eSws,r=C,p=${proof}`), violation, 'half the nonce')
  for (const final of ['', 'c=eSws,r=CS', 'c=eSws,r=CS,p=AA==', 'c=eSws,r=CS,p=!!!!', `r=CS,c=eSws,p=${proof}`]) {
    t.throws(() => started().final(final), violation, `final ${final}`)
  }
  t.same(started().final(`c=eSws,r=CS,p=${proof}`), { ok: false })
  t.throws(() => new ScramServer(makeVerifier('x', salt, 1), 'S').final(`c=eSws,r=CS,p=${proof}`), PointsmanError, 'final without first')
  t.end()
})

t.test('what a server may not send', (t) => {
  const client = (): ScramClient => new ScramClient('C', null)
  for (const first of [
    '',
    'r=CS',
    'r=C,s=AAAA,i=1',
    'r=XS,s=AAAA,i=1',
    'r=CS,s=,i=1',
    'r=CS,s=A,i=1',
    'r=CS,s=AAAA,i=0',
    'r=CS,s=AAAA,i=1e9',
    'r=CS,s=AAAA,i=999999999',
  ]) {
    t.throws(() => client().readServerFirst(first), violation, first)
  }
  t.throws(() => client().verifyServerFinal('v=AAAA'), violation, 'final before first')
  t.end()
})

t.test('verifiers as in pg_authid', (t) => {
  const text =
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU='
  t.equal(formatVerifier(makeVerifier('pencil', salt)), text)
  const parsed = parseVerifier(text)
  t.equal(parsed === null ? null : formatVerifier(parsed), text)
  for (const bad of ['', 'md5abc', text.slice(0, -5), text.replace('4096', '0'), text.replace('SHA-256', 'SHA-1'), `${text}x`])
    t.equal(parseVerifier(bad), null, bad)
  const mock = mockVerifier('nobody', Buffer.from('secret'))
  t.same(mock, mockVerifier('nobody', Buffer.from('secret')), 'the same salt for the same name')
  t.notSame(mock.salt, mockVerifier('somebody', Buffer.from('secret')).salt)
  t.end()
})

t.test('channel binding goes into the proof', async (t) => {
  const client = new ScramClient('C', Buffer.from('certificate hash'))
  t.equal(client.mechanism, 'SCRAM-SHA-256-PLUS')
  t.equal(client.first(), 'p=tls-server-end-point,,n=,r=C')
  client.readServerFirst('r=CS,s=AAAA,i=1')
  const final = client.final(await saltPassword('x', Buffer.from('AAAA', 'base64'), 1))
  const bound = Buffer.concat([Buffer.from('p=tls-server-end-point,,'), Buffer.from('certificate hash')]).toString('base64')
  t.ok(final.startsWith(`c=${bound},r=CS,p=`))
})

t.test('the hash of a certificate follows its signature', (t) => {
  const certificate = (oid: string): Buffer => {
    const id = Buffer.concat([Buffer.from([0x06, oid.length / 2]), Buffer.from(oid, 'hex')])
    const algorithm = Buffer.concat([Buffer.from([0x30, id.length]), id])
    const body = Buffer.concat([Buffer.from([0x30, 0x81, 0x80]), Buffer.alloc(0x80), algorithm])
    return Buffer.concat([Buffer.from([0x30, 0x81, body.length]), body])
  }
  const cases = {
    '2a864886f70d01010b': 'sha256',
    '2a864886f70d010105': 'sha256',
    '2a8648ce3d040303': 'sha384',
    '2a864886f70d01010d': 'sha512',
  }
  for (const [oid, hash] of Object.entries(cases)) {
    const der = certificate(oid)
    t.same(serverEndPoint(der), createHash(hash).update(der).digest(), hash)
  }
  t.equal(serverEndPoint(certificate('2b6570')), null, 'Ed25519 has none')
  for (let length = 0; length < 40; length++) t.equal(serverEndPoint(certificate('2a864886f70d01010b').subarray(0, length)), null)
  t.end()
})

t.test('md5', (t) => {
  t.equal(md5Stored('joe', 'secret'), `md5${createHash('md5').update('secretjoe').digest('hex')}`)
  const bytes = Buffer.from([1, 2, 254, 255])
  t.equal(md5Response('joe', 'secret', bytes), md5ResponseOf(md5Stored('joe', 'secret'), bytes))
  const inner = createHash('md5').update('secretjoe').digest('hex')
  t.equal(md5Response('joe', 'secret', bytes), `md5${createHash('md5').update(inner).update(bytes).digest('hex')}`)
  t.end()
})

t.test('SASLprep', (t) => {
  // RFC 4013 §3
  t.equal(prepare('I\u00ADX'), 'IX')
  t.equal(prepare('user'), 'user')
  t.equal(prepare('USER'), 'USER')
  t.equal(prepare('\u00AA'), 'a')
  t.equal(prepare('\u2168'), 'IX')
  t.equal(prepare('\u0007'), '\u0007', 'prohibited: as it stands')
  t.equal(prepare('\u0627\u0031'), '\u0627\u0031', 'bidirectional rule broken: as it stands')
  t.equal(prepare('a\u00A0b'), 'a b')
  t.end()
})
