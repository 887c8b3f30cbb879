// consistency/token-exchange.ts — the floors of a session ⇄ the text that travels, over all clusters of a database
// (CONSISTENCY §2.7). The same for both doors, so that a user may hop between them. What comes in is never trusted:
// a token that cannot be read asks of every cluster what it had when the token arrived, and is no error (I11).
import type { SessionFloors } from './floors.js'
import type { ClusterView } from './position.js'
import { decodeToken, encodeToken, maxTokenClusters, type TokenEntry, type TokenReading } from './token.js'

/** Of every cluster that is not named, whatever it has when the token arrives. */
const rest: TokenEntry = { cluster: null, system: '', timeline: 0, lsn: null }

/**
 * What whoever comes next must see again, as a token; '' where nothing was written or read. Where there is more than a token
 * can carry, the clusters used last are named, and of the others everything up to the token's arrival is asked.
 */
export function exportToken(floors: SessionFloors, clusters: Iterable<ClusterView>, key: string | null): string {
  const entries = [...clusters].flatMap((view): { readonly entry: TokenEntry; readonly usedAt: number }[] => {
    const part = floors.exported(view)
    return part === null ? [] : [{ entry: { cluster: view.id, ...part }, usedAt: floors.usedAt(view.id) ?? 0 }]
  })
  const latest = entries.toSorted((a, b) => (a.usedAt === b.usedAt ? 0 : b.usedAt - a.usedAt)).map(({ entry }) => entry)
  const whole = encodeToken(latest, key)
  if (whole !== null) return whole
  for (let count = Math.min(latest.length, maxTokenClusters) - 1; count > 0; count--) {
    const token = encodeToken([...latest.slice(0, count), rest], key)
    if (token !== null) return token
  }
  return encodeToken([rest], key) ?? ''
}

export interface Import {
  /** The clusters of the database. */
  readonly clusters: readonly string[]
  readonly key: string | null
  /** Process-monotonic ms. */
  readonly now: number
  /** Every cluster of the configuration, those of other databases too; absent: there are no others. */
  readonly known?: { has(cluster: string): boolean }
  /** ClusterView.system by cluster, so that a token of another cluster of that name is told; absent: it is not told. */
  readonly system?: (cluster: string) => string | null
}

/**
 * Takes what the text says into `floors`. It only ever raises what is asked. Not ok: it could not be read, or speaks of a
 * cluster that is not known here, or of another of that name; then every cluster of the database (or, in the last case, that
 * one) is asked for all that it had at `now`. `reason` holds nothing of the text.
 */
export function importToken(floors: SessionFloors, text: string, given: Import): TokenReading {
  const { clusters, key, now } = given
  const reading = decodeToken(text, key)
  if (!reading.ok) {
    pend(floors, clusters, now)
    return reading
  }
  const named = new Set(reading.entries.map(({ cluster }) => cluster))
  for (const { cluster, ...part } of reading.entries) {
    if (cluster === null) {
      const others = clusters.filter((id) => !named.has(id))
      pend(floors, others, now)
    } else if (clusters.includes(cluster)) floors.imported(cluster, part, now)
  }
  if (reading.entries.some((entry) => unknown(entry, given))) {
    pend(floors, clusters, now)
    return { ok: false, reason: 'it speaks of a cluster that is not known here' }
  }
  if (reading.entries.some((entry) => foreign(entry, given))) return { ok: false, reason: 'it was made for other servers' }
  return reading
}

function pend(floors: SessionFloors, clusters: readonly string[], now: number): void {
  for (const cluster of clusters) floors.imported(cluster, { system: '', timeline: 0, lsn: null }, now)
}

function unknown({ cluster }: TokenEntry, { clusters, known }: Import): boolean {
  return cluster !== null && !clusters.includes(cluster) && known?.has(cluster) !== true
}

/** floors.imported() has seen to it already: what is said of another system counts for nothing but the time at which it came. */
function foreign({ cluster, system, lsn }: TokenEntry, given: Import): boolean {
  const own = cluster !== null && given.clusters.includes(cluster) ? (given.system?.(cluster) ?? null) : null
  return own !== null && lsn !== null && system !== own
}
