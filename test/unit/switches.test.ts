// What operators switch: that it is told once, ends by itself, and is told to have ended on time.
import t from 'tap'
import { Switches } from '../../src/execute/switches.js'
import { until } from '../../src/embedded/until.js'
import type { Events } from '../../src/observe/events.js'
import { createObserver } from '../../src/observe/observer.js'

function started(): { readonly switches: Switches; readonly told: Events['switch.changed'][]; readonly clock: { now: number } } {
  const clock = { now: 0 }
  const observer = createObserver()
  const told: Events['switch.changed'][] = []
  observer.on('switch.changed', (event) => told.push(event))
  return { switches: new Switches(observer, () => clock.now), told, clock }
}

t.test('allow stale ends by itself, also where the timer fires before the clock says so', async (t) => {
  const { switches, told, clock } = started()
  switches.setAllowStale('main', 60_000, 5, 'ops')
  t.match(switches.allowStale('main'), { maxMs: 60_000, by: 'ops' })
  await new Promise((resolve) => setTimeout(resolve, 10))
  t.equal(told.length, 1, 'the clock has not moved: it still holds')
  t.ok(switches.allowStale('main'))
  clock.now = 5
  t.equal(switches.allowStale('main'), null, 'the clock alone ends it')
  await until('its end is told', () => Promise.resolve(told.length === 2))
  t.match(told[1], { on: false, switch: 'allow_stale', by: 'pointsman' })
  t.equal(switches.snapshot().allowStale.size, 0)
})

t.test('longer than a timer can be, replaced, and switched off', async (t) => {
  const { switches, told } = started()
  switches.setAllowStale('main', 1_000, 1e11, 'ops')
  await new Promise((resolve) => setTimeout(resolve, 5))
  t.ok(switches.allowStale('main'))
  switches.setAllowStale('main', 2_000, 1_000, 'ops')
  switches.setAllowStale('main', null, 0, 'ops')
  switches.setAllowStale('main', null, 0, 'ops')
  t.equal(switches.allowStale('main'), null)
  t.same(
    told.map(({ on }) => on),
    [true, true, false],
    'what changes nothing is not told',
  )
  switches.close()
})

t.test('read-only, by cluster', (t) => {
  const { switches, told } = started()
  switches.setReadOnly('main', { message: 'moving', by: 'ops' }, 'ops')
  t.match(switches.readOnly('main'), { message: 'moving' })
  t.equal(switches.readOnly('media'), null)
  switches.setReadOnly('media', null, 'ops')
  switches.setReadOnly('main', null, 'ops')
  t.equal(switches.readOnly('main'), null)
  t.same(
    told.map(({ cluster, on, detail }) => [cluster, on, detail]),
    [
      ['main', true, 'moving'],
      ['main', false, ''],
    ],
  )
  t.end()
})
