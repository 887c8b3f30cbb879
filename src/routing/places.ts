// routing/places.ts — the homes that statements of one transaction touch, where homes are virtual: they all are on one server
// yet, so that only their labels tell them apart.
import type { Context } from './context.js'
import type { Touched } from './homes.js'
import { refuse } from './make.js'
import type { RefusePlan } from './plan.js'
import { waysOut } from './ways-out.js'

/** Refuses where two of the places differ. null as a place: it is at home everywhere. */
export function twoPlaces(context: Context, places: readonly (string | null)[], touched: readonly Touched[]): RefusePlan | null {
  const [first, second] = new Set(places.flatMap((place) => (place === null ? [] : [inTruth(context, place)])))
  if (first === undefined || second === undefined) return null
  const message = `the transaction has touched ${first}, and this statement belongs to ${second}`
  const end = (place: string, object: string | null): { home: string; owner: string | null; object: string | null } => {
    const home = labelOf(place)
    return { home, owner: ownerOf(context, home), object }
  }
  return refuse('other-cluster', {
    message,
    hint: waysOut.transaction,
    tables: touched.map((one) => one.key),
    crossing: {
      kind: 'transaction',
      from: end(first, null),
      to: end(second, touched[0]?.key ?? null),
      reason: message,
      way: waysOut.transaction,
    },
  })
}

/** Without the shard. */
function labelOf(place: string): string {
  return place.replace(/ shard \d+$/, '')
}

function inTruth({ collapsed, database }: Context, place: string): string {
  const label = labelOf(place)
  if (!collapsed.has(label)) return place
  const [kind, ...rest] = label.split(' ')
  const name = rest.join(' ')
  const cluster = kind === 'partition' ? database.partitions.get(name)?.cluster : database.sharded.get(name)?.clusters[0]
  return `cluster ${cluster ?? database.default}`
}

function ownerOf({ database }: Context, label: string): string | null {
  const name = label.slice(label.indexOf(' ') + 1)
  if (label.startsWith('partition ')) return database.partitions.get(name)?.owner ?? null
  return label.startsWith('sharded ') ? (database.sharded.get(name)?.owner ?? null) : database.owner
}
