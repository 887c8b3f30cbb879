// config/cluster-from.ts — a reference to a cluster, checked.
import type { Context } from './context.js'
import type { Path } from './locator.js'
import { didYouMean } from './suggest.js'

/** The id, or null with a problem told. */
export function clusterFrom(context: Context, path: Path, id: string, known: ReadonlySet<string>): string | null {
  if (known.has(id)) return id
  context.findings.problem({
    path,
    allowed: known.size === 0 ? 'a cluster of clusters' : [...known].join(', '),
    message: `unknown cluster ${JSON.stringify(id)}${didYouMean(id, known)}`,
  })
  return null
}
