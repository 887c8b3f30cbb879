// bench/pipe.ts — the floor that any Node proxy stands on: a TCP server that copies bytes both ways and looks at none.
// Run as a process of its own: `node pipe.js LISTEN_PORT TARGET_PORT` (0: the system chooses); prints the port.
import { connect, createServer, type AddressInfo } from 'node:net'

const [listenPort = '0', targetPort = ''] = process.argv.slice(2)
const server = createServer({ noDelay: true }, (client) => {
  const upstream = connect({ port: Number(targetPort), host: '127.0.0.1', noDelay: true })
  client.pipe(upstream).pipe(client)
  client.on('error', () => upstream.destroy())
  upstream.on('error', () => client.destroy())
  client.on('close', () => upstream.destroy())
  upstream.on('close', () => client.destroy())
})
server.listen(Number(listenPort), '127.0.0.1', 4096, () => {
  console.log((server.address() as AddressInfo).port)
})
process.stdin.resume().on('end', () => process.exit(0)) // the owner is gone
