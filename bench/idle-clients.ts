// bench/idle-clients.ts — many clients in one process: each logs in (trust), runs one query, and stays.
// `node idle-clients.ts PORT COUNT`; prints `ready` when all have, and ends with its standard input.
import { connect } from 'node:net'
import { encodeQuery } from '../src/protocol/query.js'
import { encodeStartupMessage } from '../src/protocol/startup.js'

const [port = '', count = ''] = process.argv.slice(2)
const atOnce = 64
const readyForQuery = 0x5a
const query = encodeQuery('SELECT 1')

/** Resolves when the client has its answer. */
function client(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: Number(port), noDelay: true })
    let ready = 0
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('a client was sent away')))
    socket.on('connect', () =>
      socket.write(
        encodeStartupMessage([
          ['user', 'app'],
          ['database', 'app'],
        ]),
      ),
    )
    socket.on('data', (chunk) => {
      // Every one of these replies ends with ReadyForQuery, 6 bytes long.
      if (chunk.at(-6) !== readyForQuery) return
      ready += 1
      if (ready === 1) socket.write(query)
      else resolve()
    })
  })
}

let left = Number(count)
async function some(): Promise<void> {
  while (left > 0) {
    left -= 1
    await client()
  }
}

await Promise.all(Array.from({ length: atOnce }, some))
console.log('ready')
process.stdin.resume().on('end', () => process.exit(0))
