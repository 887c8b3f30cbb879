// A certificate that is renewed under a running program: its files change one after the other, and nobody tells it.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import t from 'tap'
import { until } from '../../src/embedded/until.js'
import { makeAuthority } from '../support/certificates.js'
import { Served } from '../support/served.js'

t.test('cert and key are written one after the other', async (t) => {
  const authority = makeAuthority()
  const directory = mkdtempSync(join(tmpdir(), 'pm-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const write = (name: string, text: string): void => {
    writeFileSync(join(directory, `${name}.new`), text)
    renameSync(join(directory, `${name}.new`), join(directory, name))
  }
  const [first, second] = [authority.issue('first', ['127.0.0.1']), authority.issue('second', ['127.0.0.1'])]
  write('cert.pem', first.cert)
  write('key.pem', first.key)
  const tls = JSON.stringify({ cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem') })
  // No server is needed: nobody logs in.
  const served = await Served.start(
    t,
    `version: 1
listen: { port: 0, tls: ${tls} }
admin: { port: 0 }
auth: { users: [{ name: app, password: app }] }
clusters: { main: { dbname: app, user: app, password: app, nodes: ["127.0.0.1:1"] } }
databases: { app: { default: main } }
`,
  )
  const shown = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect({ port: served.port, host: '127.0.0.1', ca: authority.cert, ALPNProtocols: ['postgresql'] }, () => {
        resolve(socket.getPeerX509Certificate()?.subject ?? '')
        socket.destroy()
      })
      socket.once('error', reject)
    })
  t.equal(await shown(), 'CN=first')
  write('cert.pem', second.cert)
  const refused = () => served.events('config.reloaded').filter(({ outcome }) => outcome === 'refused')
  await until('the half of a pair is refused', () => Promise.resolve(refused().length > 0))
  t.match(refused(), [{ problems: [/listen\.tls\.key: the key does not belong to the certificate/] }])
  t.equal(await shown(), 'CN=first')
  write('key.pem', second.key)
  await until('the new certificate is shown', async () => (await shown()) === 'CN=second')
  t.ok(served.running)
})
