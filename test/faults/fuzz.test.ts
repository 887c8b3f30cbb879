// Mutated transcripts of clients and of servers, within this process: nothing crashes, and nobody is given another's bytes. bench/fuzz.ts
// does it with other seeds, as often as one likes, and over sockets too; a case that fails says how to have it again.
import t from 'tap'
import { parts } from '../support/fuzz-parts.js'
import { caseRandom } from '../support/fuzz.js'

const seed = Number(process.env['FUZZ_SEED'] ?? 20261122)
const inProcess = 4_000

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
