// doors/proxy/joint.ts — what a transaction on several clusters (execute/joint.ts) is to a client of the proxy: its holds are the parts, and
// go back to where they belong when all of it has ended.
import { PointsmanError } from '../../errors/error.js'
import type { JointOwner } from '../../execute/joint.js'
import type { ClientState } from './client-state.js'
import type { Generations } from './generations.js'
import type { Hold } from './hold.js'
import { databaseOf } from './login.js'

/** What it asks of the client's connections. */
interface JointHolds {
  readonly home: Hold | null
  on(cluster: string): Hold | undefined
  drop(hold: Hold, reason: string): void
  endWrite(hold: Hold, now: number): void
  /** The transaction has ended there, and everywhere. */
  endedOn(hold: Hold, failed: boolean): void
}

export function jointOwner(state: ClientState, generations: Generations, holds: JointHolds): JointOwner<Hold> {
  const { runtime, session } = state

  const giveBack = (hold: Hold, stands: boolean): void => {
    if (!hold.lost && hold.status === 'I') return holds.endedOn(hold, !stands)
    // What the session kept on that connection has gone with it.
    const kept = hold.pins.size > 0
    holds.drop(hold, 'lost at the end of a transaction on several clusters')
    if (kept) state.endWith(new PointsmanError('connection_lost', { values: { node: hold.route.node, cluster: hold.cluster } }))
  }

  return {
    session,
    get home() {
      return holds.home
    },
    get lockTimeoutMs() {
      return databaseOf(generations.current.config, session.database)?.twoPhase?.lockTimeoutMs ?? 0
    },
    get apart() {
      return (databaseOf(generations.current.config, session.database)?.twoPhase ?? null) === null
    },
    get reserved() {
      return state.cursors?.reserved() ?? []
    },
    on: (cluster) => holds.on(cluster),
    commit: (participants) => runtime.twoPhase.commit(session.database, participants),
    engage: (parts) => {
      // The client may leave meanwhile.
      const generation = generations.current
      for (const hold of parts) hold.engaged = true
      return (stands, spoilt) => {
        for (const hold of parts) {
          hold.engaged = false
          const { writing, cluster, definedSomething } = hold
          if (stands && writing && !hold.lost) generation.writeAcknowledged(cluster, state.now())
          holds.endWrite(hold, state.now())
          if (definedSomething) {
            hold.definedSomething = false
            state.proved.changed(cluster)
            generation.catalogChanged(cluster)
          }
          if (spoilt.has(hold)) hold.closes ??= 'settings of a transaction that was not committed'
          giveBack(hold, stands)
        }
        state.bus?.settled(true, !stands, false)
      }
    },
  }
}
