// Which certificate each TLS mode accepts, by name and authority. The server speaks just enough to show that TLS was accepted.
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { createServer } from 'node:tls'
import t, { type Test } from 'tap'
import type { SslMode } from '../../src/config/config.js'
import { encodeErrorResponse } from '../../src/protocol/error-fields.js'
import { makeAuthority, type Certificate } from '../support/certificates.js'
import { failing } from '../support/failing.js'
import { openServer } from '../support/server-connection.js'

const authority = makeAuthority()
const stranger = makeAuthority('somebody else')
const reached = failing({ name: 'ServerError', message: 'reached over TLS' })
const turnedAway = failing({ key: 'node_unreachable' })

async function tlsServer(t: Pick<Test, 'teardown'>, certificate: Certificate): Promise<number> {
  const secure = createServer(certificate, (socket) => {
    socket.on('error', () => undefined)
    socket.end(encodeErrorResponse({ severity: 'FATAL', code: '57P03', message: 'reached over TLS' }))
  })
  const server = createTcpServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => {
      socket.write('S')
      secure.emit('connection', socket)
    })
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void server.close())
  return (server.address() as AddressInfo).port
}

t.test('names and authorities', async (t) => {
  const ports = {
    byName: await tlsServer(t, authority.issue('localhost', ['localhost'])),
    byAddress: await tlsServer(t, authority.issue('server', ['127.0.0.1'])),
    other: await tlsServer(t, authority.issue('db.internal', ['db.internal'])),
  }
  const open = (port: number, mode: SslMode, ca: string | null, host = '127.0.0.1'): Promise<unknown> =>
    openServer({ host, port, tls: { mode, ca } })
  for (const [name, port] of Object.entries(ports)) {
    await t.rejects(open(port, 'prefer', null), reached, `prefer: ${name}`)
    await t.rejects(open(port, 'require', null), reached, `require: ${name}`)
    await t.rejects(open(port, 'verify-ca', authority.cert), reached, `verify-ca: ${name}`)
    await t.rejects(open(port, 'verify-ca', stranger.cert), turnedAway, `verify-ca, another authority: ${name}`)
    await t.rejects(open(port, 'verify-ca', null), turnedAway, `verify-ca, the well-known authorities: ${name}`)
    await t.rejects(open(port, 'require', stranger.cert), turnedAway, `require with a ca checks it: ${name}`)
    await t.rejects(open(port, 'verify-full', stranger.cert), turnedAway, `verify-full, another authority: ${name}`)
  }
  const { cert } = authority
  await t.rejects(open(ports.byName, 'verify-full', cert, 'localhost'), reached)
  await t.rejects(open(ports.byName, 'verify-full', cert), turnedAway, 'an address is not the name localhost')
  await t.rejects(open(ports.byAddress, 'verify-full', cert), reached)
  await t.rejects(open(ports.byAddress, 'verify-full', cert, 'localhost'), turnedAway)
  await t.rejects(open(ports.other, 'verify-full', cert), turnedAway)
  await t.rejects(open(ports.other, 'verify-full', cert, 'localhost'), turnedAway)
})
