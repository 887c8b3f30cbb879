import t from 'tap'
import { startLog } from '../../src/doors/cli/log.js'
import { createObserver } from '../../src/observe/observer.js'
import type { LogConfig } from '../../src/config/config.js'

function start(level: LogConfig['level']) {
  const observer = createObserver()
  const lines: Record<string, unknown>[] = []
  const log = startLog(observer, level, { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) })
  return { observer, lines, log }
}

t.test('one JSON line per event, at its level', async (t) => {
  const { observer, lines, log } = start('info')
  observer.emit('node.state', { cluster: 'c', node: 'n', state: 'down', role: 'replica', reason: 'gone' })
  observer.emit('pool.opened', { cluster: 'c', node: 'n', user: 'u' })
  observer.emit('node.staleness', { cluster: 'c', node: 'n', seconds: 1 })
  observer.emit('log', { level: 'info', message: 'hello', fields: { port: 1 } })
  t.match(lines, [
    { level: 'warn', event: 'node.state', node: 'n', reason: 'gone', time: /^\d{4}-\d\d-\d\dT/ },
    { level: 'info', event: 'log', message: 'hello', port: 1 },
  ])
  t.equal(lines.length, 2)
  t.notOk('pid' in lines[0]! || 'hostname' in lines[0]!)
  log.setLevel('debug')
  observer.emit('pool.opened', { cluster: 'c', node: 'n', user: 'u' })
  t.match(lines[2], { level: 'debug', event: 'pool.opened' })
  log.close()
  observer.emit('log', { level: 'error', message: 'after', fields: {} })
  t.equal(lines.length, 3)
})

t.test('silent is silent', async (t) => {
  const { observer, lines } = start('silent')
  observer.emit('log', { level: 'error', message: 'x', fields: {} })
  t.same(lines, [])
})

t.test('a cluster that has no replicas is nothing to warn of; one that has lost them is', async (t) => {
  const { observer, lines } = start('warn')
  observer.emit('replicas.usable', { cluster: 'single', usable: 0, of: 0 })
  observer.emit('replicas.usable', { cluster: 'main', usable: 0, of: 2 })
  t.match(lines, [{ level: 'warn', cluster: 'main' }])
  t.equal(lines.length, 1)
})
