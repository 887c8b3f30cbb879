// Workers that end again and again are started again less and less often, and one that served for a while at once.
import t from 'tap'
import { Comebacks } from '../../src/doors/processes/comebacks.js'

t.test('a worker that ends early waits twice as long each time, half a minute at most', async (t) => {
  const comebacks = new Comebacks()
  t.same(
    [0, 4_999, 0].map((servedMs) => comebacks.delay(1, servedMs)),
    [100, 200, 400],
    'also where it served for a moment each time',
  )
  t.equal(comebacks.delay(2, 0), 100, 'another worker has nothing to do with it')
  for (let turn = 0; turn < 2_000; turn++) comebacks.delay(1, 0)
  t.equal(comebacks.delay(1, 0), 30_000)
  t.equal(comebacks.delay(1, 5_000), 0, 'it served for a while')
  t.equal(comebacks.delay(1, 0), 100, 'and that is forgotten then')
})
