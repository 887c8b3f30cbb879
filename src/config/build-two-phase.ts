// config/build-two-phase.ts — `two_phase`: may a transaction write on several clusters of the database, and how long the parts
// of it wait. Recovery logs in by itself, and finishes only what its own login has prepared: so every cluster needs a user.
import { parseDuration } from '../consistency/duration.js'
import { clustersOf } from './clusters-of.js'
import type { Config, TwoPhaseConfig } from './config.js'
import type { Context } from './context.js'
import type { DatabaseInput, Partly } from './input.js'
import type { Path } from './locator.js'

const defaults: TwoPhaseConfig = { lockTimeoutMs: 10_000, graceMs: 30_000, retentionMs: 600_000 }
const leastGraceMs = 1_000

export function buildTwoPhase(context: Context, path: Path, input: Partly<DatabaseInput>['two_phase']): TwoPhaseConfig | null {
  if (input === undefined || input === false) return null
  if (input === true) return defaults
  const ms = (text: string | 0 | undefined, otherwise: number): number =>
    text === undefined ? otherwise : (parseDuration(String(text)) ?? otherwise)
  const graceMs = ms(input.grace, defaults.graceMs)
  const built: TwoPhaseConfig = {
    lockTimeoutMs: ms(input.lock_timeout, defaults.lockTimeoutMs),
    graceMs,
    retentionMs: ms(input.retention, Math.max(defaults.retentionMs, 2 * graceMs)),
  }
  if (graceMs < leastGraceMs) {
    context.findings.problem({
      path: [...path, 'grace'],
      allowed: 'at least 1s',
      message: 'a transaction that is being committed would be taken for one whose coordinator is gone',
    })
  }
  if (built.retentionMs < 2 * graceMs) {
    context.findings.problem({
      path: [...path, 'retention'],
      allowed: 'at least twice `grace`',
      message: 'a decision could be forgotten before everybody has heard of it',
    })
  }
  return built
}

/** Who recovers must be able to log in without a client: to a database with a name, as a user of the cluster's own. */
export function checkTwoPhase(context: Context, config: Config): void {
  for (const database of config.databases.values()) {
    if (database.twoPhase === null) continue
    const path = ['databases', database.name, 'two_phase']
    if (database.name === '*') {
      context.findings.problem({ path, allowed: 'a database with a name', message: '"two_phase" is for one database: "*" may be any' })
      continue
    }
    const clusters = clustersOf(database)
    if (clusters.length === 1) {
      context.findings.warning({
        path,
        allowed: 'a database of several clusters',
        message: '"two_phase" does nothing where there is one cluster',
      })
    }
    for (const id of clusters) {
      if (config.clusters.get(id)?.user !== null) continue
      context.findings.problem({
        path,
        allowed: 'a user for every cluster of the database',
        message: `cluster ${id} has no "user": what a crash leaves behind could not be ended`,
      })
    }
  }
}
