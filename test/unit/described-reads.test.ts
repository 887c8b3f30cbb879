// What is kept of merged reads is bounded by what it holds, not by how long their texts are.
import t from 'tap'
import { DescribedReads } from '../../src/execute/described-reads.js'

t.test('wide descriptions of short texts push out older ones', async (t) => {
  const kept = new DescribedReads<Uint8Array>(({ length }) => length)
  const wide = 256 * 1024
  for (let i = 0; i < 100; i++) kept.keep(String(i), new Uint8Array(wide))
  const left = Array.from({ length: 100 }, (_, i) => kept.get(String(i))).filter((one) => one !== undefined)
  t.ok(left.length > 0 && left.length * wide <= 4 * 1024 * 1024, `${String(left.length)} are left`)
  t.ok(kept.get('99'), 'the newest is')
  kept.forget('99')
  t.notOk(kept.get('99'))
})
