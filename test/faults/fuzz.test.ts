// Mutated transcripts of clients and of servers, within this process and over sockets: nothing crashes or hangs, and nobody is given
// another's bytes. bench/fuzz.ts does it with other seeds, as often as one likes; a case that fails says how to have it again.
import t from 'tap'
import { parts } from '../support/fuzz-parts.js'
import { caseRandom } from '../support/fuzz.js'
import { numbersSeed, wireFuzz, type Way } from '../support/fuzz-wire.js'
import { withTopology } from '../support/topology.js'

const seed = Number(process.env['FUZZ_SEED'] ?? 20261122)
const inProcess = 4_000
const overSockets: Readonly<Record<Way, number>> = { client: 400, server: 300, scram: 100 }

for (const [name, part] of Object.entries(parts)) {
  t.test(`${name}: ${String(inProcess)} cases of seed ${String(seed)}`, async (t) => {
    for (let number = 0; number < inProcess; number++) {
      try {
        await part(caseRandom(seed, name, number))
      } catch (error) {
        t.error(error, `seed ${String(seed)}, ${name}, case ${String(number)}`)
        return
      }
    }
    t.pass(`${String(inProcess)} cases`)
  })
}

t.test(`over sockets, of seed ${String(seed)}: ${JSON.stringify(overSockets)}`, { timeout: 240_000 }, async (t) => {
  const running = await withTopology(t, { clusters: { main: { seed: numbersSeed } } })
  const fuzz = await wireFuzz(t, running, seed)
  for (const way of Object.keys(overSockets) as Way[]) {
    await fuzz.run(way, 0, overSockets[way])
    await fuzz.settled()
  }
  const { replies, onLanes, changed } = await fuzz.finish()
  t.ok(replies > 100 && onLanes > 10 && changed > 10, JSON.stringify({ replies, onLanes, changed }))
})
