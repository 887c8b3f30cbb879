// execute/primary.ts — the one proved primary: at once, once, or waited for. The wait is for a failover, so it is measured
// from when the primary was lost: who comes later than `failover.wait` after that is told at once, not after another wait.
//
//   lost ─────────── failover.wait ───────────▶│
//          write ────── waits in its turn ─────▶│ refused        ▲ a later write is refused as it comes
import { PointsmanError } from '../errors/error.js'
import type { Lease, PooledConnection } from '../pool/contract.js'
import type { NodeSnapshot } from '../topology/topology.js'
import type { Grant } from './contract.js'
import { serverIsFull, type Search, type Step } from './search.js'

/** A monitor that does not answer is not waited for any longer than this, in ms. */
const askMs = 1_000

/** A lease on the proved primary within the call; null where that takes waiting, or others wait for it. */
export function primaryAtOnce<C extends PooledConnection>(search: Search<C>): Grant<C> | null {
  const { primary, timeline } = search.snapshot
  if (primary === null || search.lines.waits(search.request.identity.key) || !search.believed(primary)) return null
  const fits = ({ evidence }: C): boolean => isPrimary(evidence, timeline)
  const lease = search.leaseAtOnce(primary, fits)
  if (lease === null) return null
  if (fits(lease.connection)) return search.grant(lease, 'primary', 'first')
  lease.destroy('opened while its server had another role')
  return null
}

/** A connection that was waited for, if its server is still the proved primary and was that when it was opened; null: it was given back or ended. */
export function primaryOf<C extends PooledConnection>(search: Search<C>, lease: Lease<C>): Grant<C> | null {
  const { primary, timeline } = search.snapshot
  if (primary?.id !== lease.node) lease.destroy('its server is not the primary any more')
  else if (!isPrimary(lease.connection.evidence, timeline)) lease.destroy('opened while its server had another role')
  else if (!search.believed(primary)) lease.release(null)
  else return search.grant(lease, 'primary', 'first')
  return null
}

/** A lease on the proved primary; null where there is none, or it cannot be reached. `ended`: called when the lease ends. */
export async function primary<C extends PooledConnection>(
  search: Search<C>,
  step: Step,
  ended: readonly (() => void)[] = [],
): Promise<Grant<C> | null> {
  for (;;) {
    const found = search.snapshot.primary
    const node = found === null || search.believed(found) ? found : await askedAgain(search, found)
    if (node === null) return null
    const { timeline } = search.snapshot
    const fits = ({ evidence }: C): boolean => isPrimary(evidence, timeline)
    const lease = await search.lease(node, fits)
    if (lease === null) return null
    if (search.snapshot.primary?.id !== node.id) {
      lease.destroy('its server is not the primary any more')
      continue
    }
    if (fits(lease.connection)) return search.grant(lease, 'primary', step, ended)
    // Opened before its server was promoted, or while it was the primary of an older timeline. The next one may be newer.
    const fresh = lease.connection.evidence.openedAt >= search.request.invokedAt
    lease.destroy('opened while its server had another role')
    if (fresh) return null
  }
}

/**
 * primary(), waiting for one in turn up to `failover.wait`. `meanwhile`: another way out, tried whenever the topology has
 * changed. Rejects with what the client is to be told.
 */
export async function primaryOrFail<C extends PooledConnection>(
  search: Search<C>,
  step: Step,
  ended: readonly (() => void)[] = [],
  meanwhile: () => Promise<Grant<C> | null> = () => Promise.resolve(null),
): Promise<Grant<C>> {
  const { lines, parts, request } = search
  const login = request.identity.key
  const since = parts.now()
  const turn = lines.turn()
  let behind = lines.waits(login)
  for (;;) {
    const grant = behind ? null : ((await primary(search, step, ended)) ?? (await meanwhile()))
    if (grant !== null) return grant
    const left = deadline(search, since) - parts.now()
    if (left <= 0) throw noPrimary(search)
    await lines.wait(login, turn, left, request.signal)
    behind = false
  }
}

function deadline<C extends PooledConnection>({ snapshot, cluster }: Search<C>, since: number): number {
  return Math.min(since, snapshot.headlessSince ?? since) + cluster.failover.waitMs
}

/** A role that was told too long ago is asked for again: the monitor was held up, or this whole process was. */
async function askedAgain<C extends PooledConnection>(search: Search<C>, { id }: NodeSnapshot): Promise<NodeSnapshot | null> {
  await search.limited(search.parts.monitor.checkNow(search.cluster.id, id), askMs)
  const { primary: now } = search.snapshot
  return now !== null && search.believed(now) ? now : null
}

function noPrimary<C extends PooledConnection>(search: Search<C>): unknown {
  const { snapshot, lastError, cluster, parts, request } = search
  if (serverIsFull(lastError)) return lastError
  const { headlessSince } = snapshot
  const since = headlessSince === null ? '' : ` It was lost ${seconds(parts.now() - headlessSince)} ago;`
  return new PointsmanError(request.plan.writes ? 'read_only_no_primary' : 'no_primary_for_read', {
    values: { cluster: cluster.id },
    detail: `${since} failover.wait is ${seconds(cluster.failover.waitMs)}.`.trimStart(),
    cause: lastError,
  })
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`
}

/** It was opened on a server that was the primary of this timeline, or of a newer one. */
export function isPrimary(evidence: PooledConnection['evidence'], timeline: number | null): boolean {
  return !evidence.inRecovery && (timeline === null || evidence.timeline === null || evidence.timeline >= timeline)
}
