// The scripted peers keep each other to their scripts.
import t from 'tap'
import { scriptedClient, scriptedServer, trustLogin } from '../support/scripted-peer.js'

const login = ['F SSLRequest', 'B byte "N"', ...trustLogin]
const toServer = login.map((line) => line.replace('F StartupMessage', 'F StartupMessage "user" "joe"'))

t.test('a conversation', async (t) => {
  const server = await scriptedServer([
    ...login,
    'F Parse "s" "SELECT $1" 1 23',
    'F ?',
    'B DataRow 2 "é" NULL',
    'B ReadyForQuery T',
    'F Terminate',
    'closed',
  ])
  t.teardown(() => server.close())
  const client = [
    ...toServer,
    'F Parse "s" "SELECT $1" 1 23',
    'F Bind "" "s" 0 2 "1" NULL 1 0',
    'B ?',
    'B ReadyForQuery T',
    'F Terminate',
    'close',
  ]
  t.same(await scriptedClient(server.port, client), ['DataRow 2 "é" NULL'])
  await server.done
})

t.test('what is not in the script', async (t) => {
  const server = await scriptedServer([...login, 'F Query "SELECT 1"'], [...login, 'close'])
  t.teardown(() => server.close())
  await scriptedClient(server.port, [...toServer, 'F Query "SELECT 2"'])
  await t.rejects(scriptedClient(server.port, [...toServer, 'B ReadyForQuery T']), /closed the connection/)
  await t.rejects(server.done, /expected Query "SELECT 1", got Query "SELECT 2"/)
})
