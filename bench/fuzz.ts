// bench/fuzz.ts — mutated transcripts by the million: what test/faults/fuzz.test.ts does with one seed, as often as one likes. Most
// cases run within this process (frames, replies, logins, lanes); two in a hundred over sockets, with canaries beside them.
//
//   npm run bench:fuzz -- --cases 1000000 --seed 7          node … bench/fuzz.ts --only server --from 1234 --cases 1 --seed 7
//
// It ends with 1 at the first case that fails, and says how to have that one again. Over sockets the order of things is not the
// seed's: there a case may need several runs.
import { parseArgs } from 'node:util'
import { startTopology } from '../src/embedded/topology.js'
import { parts } from '../test/support/fuzz-parts.js'
import { caseRandom } from '../test/support/fuzz.js'
import { numbersSeed, wireFuzz, type Way, type WireFuzz } from '../test/support/fuzz-wire.js'

const { values: options } = parseArgs({
  options: {
    cases: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    /** One way only: a name below. */
    only: { type: 'string' },
    /** The first case's number. */
    from: { type: 'string', default: '0' },
  },
})
const seed = Number(options.seed)
const from = Number(options.from)
const cases = Number(options.cases)
const ways: Readonly<Record<Way, number>> = { client: 0.012, server: 0.006, scram: 0.002 }
/** Between two looks at the proxies. */
const batch = 500
const inProcess = 1 - Object.values(ways).reduce((sum, share) => sum + share, 0)

const ends: (() => unknown)[] = []
try {
  console.log(`seed ${String(seed)}`)
  if (options.only === undefined || options.only in parts) await withinProcess()
  if (options.only === undefined || options.only in ways) await overSockets()
} catch (error) {
  console.error(error)
  process.exitCode = 1
} finally {
  for (const end of ends.reverse()) await end()
}

async function withinProcess(): Promise<void> {
  const chosen = Object.entries(parts).filter(([name]) => options.only === undefined || options.only === name)
  const each = options.only === undefined ? Math.ceil((cases * inProcess) / chosen.length) : cases
  for (const [name, part] of chosen) {
    const since = performance.now()
    for (let number = from; number < from + each; number++) {
      try {
        await part(caseRandom(seed, name, number))
      } catch (error) {
        throw new Error(`--only ${name} --seed ${String(seed)} --from ${String(number)} --cases 1`, { cause: error })
      }
      // What they leave to the event loop (a socket's end, a timer) has its turn, and is not kept until all are through.
      if (number % batch === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    told(name, each, since)
  }
}

async function overSockets(): Promise<void> {
  const running = await startTopology({ clusters: { main: { seed: numbersSeed } } })
  ends.push(() => running.stop())
  const fuzz = await wireFuzz({ teardown: (end) => void ends.push(end) }, running, seed)
  const chosen = (Object.keys(ways) as Way[]).filter((way) => options.only === undefined || options.only === way)
  for (const way of chosen) await oneWay(fuzz, way, options.only === undefined ? Math.ceil(cases * ways[way]) : cases)
  const { replies, onLanes, changed } = await fuzz.finish()
  console.log(
    `canaries checked ${String(replies)} replies; lanes served ${String(onLanes)} requests; ${String(changed)} replies of a server were changed`,
  )
}

async function oneWay(fuzz: WireFuzz, way: Way, count: number): Promise<void> {
  const since = performance.now()
  for (let done = 0; done < count; done += batch) {
    await fuzz.run(way, from + done, Math.min(batch, count - done))
    await fuzz.settled()
  }
  told(way, count, since)
}

function told(way: string, count: number, since: number): void {
  const seconds = ((performance.now() - since) / 1000).toFixed(1)
  const memory = (process.memoryUsage().rss / 1024 / 1024).toFixed(0)
  console.log(`${way}: ${String(count)} cases in ${seconds} s, none failed (${memory} MB)`)
}
