// What is told of a configuration file: every change from the moment on in which it is watched.
import { renameSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { watchFile } from '../../src/doors/cli/watch-file.js'

t.test('a file that is changed as soon as it is watched, before anybody has looked at it', async (t) => {
  const cwd = t.testdir({ v1: { p: 'one' }, v2: { p: 'two' } })
  symlinkSync('v1', join(cwd, 'data'))
  symlinkSync('v2', join(cwd, 'next'))
  symlinkSync('data/p', join(cwd, 'p'))
  await new Promise<void>((resolve) => {
    t.teardown(watchFile(join(cwd, 'p'), resolve, { lookMs: 10, quietMs: 1 }))
    renameSync(join(cwd, 'next'), join(cwd, 'data'))
  })
  t.pass('it was told')
})

t.test('a file that comes later', async (t) => {
  const cwd = t.testdir({ v1: 'one' })
  await new Promise<void>((resolve) => {
    t.teardown(watchFile(join(cwd, 'p'), resolve, { lookMs: 10, quietMs: 1 }))
    renameSync(join(cwd, 'v1'), join(cwd, 'p'))
  })
  t.pass('it was told')
})
