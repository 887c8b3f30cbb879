// doors/proxy/core.ts — the pure core as this door uses it: the parser loaded, one shape cache for all clients.
import type { Config } from '../../config/config.js'
import { plan, planBatch } from '../../routing/planner.js'
import { printRoute, printTaken } from '../../routing/print.js'
import { loadSql } from '../../sql/parser.js'
import { createUnderstanding } from '../../sql/understand.js'
import { DescribedReads } from '../../execute/described-reads.js'
import type { Core } from './core-contract.js'

export async function loadCore({ limits }: Config): Promise<Core> {
  await loadSql()
  const understanding = createUnderstanding(limits)
  return {
    understand: (text) => understanding.understand(text),
    plan,
    planBatch,
    printRoute,
    printTaken,
    stats: () => understanding.stats(),
    described: new DescribedReads(({ original, part, parameters }) => original.length + part.length + 8 * parameters.length),
    shapes: () => understanding.shapes(),
  }
}
