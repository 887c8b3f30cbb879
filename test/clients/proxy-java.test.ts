// pgjdbc in all its query modes, through the proxy.
import { delimiter, join } from 'node:path'
import t from 'tap'
import { javaProgram } from '../support/client-tools.js'
import { withClients } from '../support/clients.js'
import { findCommand } from '../support/commands.js'

const { folder, skip } = await javaProgram('Pgjdbc', 'org.postgresql:postgresql:42.7.7')
const run = skip === false ? await withClients(t) : null

t.test('pgjdbc', { skip }, (t) => {
  const classes = [folder ?? '', join(folder ?? '', 'driver.jar')].join(delimiter)
  return run?.(t, {
    command: findCommand('java') ?? 'java',
    args: ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', classes, 'Pgjdbc'],
  })
})
