import t from 'tap'
import { createObserver } from '../../src/observe/observer.js'

t.test('listeners hear what they asked for, until they leave', async (t) => {
  const observer = createObserver()
  const heard: string[] = []
  const off = observer.on('crossing', (event) => heard.push(event.kind))
  observer.emit('crossing', { database: 'd', kind: 'join' })
  observer.emit('pool.opened', { cluster: 'c', node: 'n', user: 'u' })
  off()
  off()
  observer.emit('crossing', { database: 'd', kind: 'late' })
  t.same(heard, ['join'])
})

t.test('a listener that throws breaks neither the emitter nor the others, and is told once', async (t) => {
  const observer = createObserver()
  const heard: string[] = []
  const logged: string[] = []
  observer.on('crossing', () => {
    throw new Error('mine')
  })
  observer.on('crossing', (event) => heard.push(event.kind))
  observer.on('log', (event) => {
    logged.push(event.message)
    throw new Error('a log that is broken')
  })
  observer.emit('crossing', { database: 'd', kind: 'a' })
  observer.emit('crossing', { database: 'd', kind: 'b' })
  t.same(heard, ['a', 'b'])
  t.same(logged, ['a listener failed'])
})

t.test('a listener may leave while it is called', async (t) => {
  const observer = createObserver()
  const heard: number[] = []
  const off = observer.on('crossing', () => off())
  observer.on('crossing', () => heard.push(1))
  observer.emit('crossing', { database: 'd', kind: 'a' })
  t.same(heard, [1])
})
