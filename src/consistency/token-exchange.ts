// consistency/token-exchange.ts — the floors of a session ⇄ the text that travels, over all clusters of a database
// (CONSISTENCY §2.7). The same for both doors, so that a user may hop between them. What comes in is never trusted:
// a token that cannot be read asks of every cluster what it had when the token arrived, and is no error (I11).
import type { SessionFloors } from './floors.js'
import type { ClusterView } from './position.js'
import { decodeToken, encodeToken, maxTokenClusters, type TokenReading } from './token.js'

/** Cannot be read by anybody, on purpose: whoever receives it waits for the next sample of every cluster. */
const everything = 'p1.everything'

/**
 * What whoever comes next must see again, as a token; '' where nothing was written or read. A session on more clusters than
 * a token can carry gets one that asks for everything up to its arrival.
 */
export function exportToken(floors: SessionFloors, clusters: Iterable<ClusterView>, key: string | null): string {
  const entries = [...clusters].flatMap((view) => {
    const part = floors.exported(view)
    return part === null ? [] : [{ cluster: view.id, ...part }]
  })
  return entries.length > maxTokenClusters ? everything : encodeToken(entries, key)
}

export interface Import {
  /** The clusters of the database; what a token says of any other is passed over. */
  readonly clusters: readonly string[]
  readonly key: string | null
  /** Process-monotonic ms. */
  readonly now: number
}

/** Takes what the text says into `floors`. It only ever raises what is asked; the result says whether it could be read. */
export function importToken(floors: SessionFloors, text: string, { clusters, key, now }: Import): TokenReading {
  const reading = decodeToken(text, key)
  if (!reading.ok) for (const cluster of clusters) floors.imported(cluster, { system: '', timeline: 0, lsn: null }, now)
  else for (const { cluster, ...part } of reading.entries) if (clusters.includes(cluster)) floors.imported(cluster, part, now)
  return reading
}
