// doors/library/planner.ts — the pure core as this door uses it: the parser loaded, one shape cache per router.
import type { Config } from '../../config/config.js'
import { plan } from '../../routing/planner.js'
import { printRoute, printTaken } from '../../routing/print.js'
import { loadSql } from '../../sql/parser.js'
import { createUnderstanding } from '../../sql/understand.js'
import type { Planner } from './core.js'

export async function loadPlanner({ limits }: Config): Promise<Planner> {
  await loadSql()
  const understanding = createUnderstanding(limits)
  return { understand: (text) => understanding.understand(text), plan, printRoute, printTaken }
}
