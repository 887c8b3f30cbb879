// test/support/plan-corpus.ts — the golden corpus: every statement of test/plans/*.json with what is given and the plan it
// must get. Whoever plans (the planner, the proxy, the library) can be run through it.
import { readdirSync, readFileSync } from 'node:fs'
import type { PlanDescription } from '../../src/routing/print.js'
import type { PlanInput } from '../../src/routing/input.js'
import type { Understood } from '../../src/sql/statement.js'
import { givenCatalogs, givenConfig, givenParameters, givenSession, type Given } from './plan-given.js'

export interface Fixture {
  readonly comment: string
  readonly given?: Given
  readonly sql: string
  readonly plan?: PlanDescription
}

export interface FixtureFile {
  /** `reads` */
  readonly theme: string
  readonly path: string
  readonly fixtures: readonly Fixture[]
}

const folder = new URL('../plans/', import.meta.url)

export function readCorpus(): readonly FixtureFile[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'))
  return names.sort().map((name) => {
    const path = new URL(name, folder).pathname
    return { theme: name.slice(0, -'.json'.length), path, fixtures: JSON.parse(readFileSync(path, 'utf8')) as readonly Fixture[] }
  })
}

/** Everything that plan() reads, for one fixture. */
export function inputOf(fixture: Fixture, understand: (text: string) => Understood): PlanInput {
  const given = fixture.given ?? {}
  const name = given.config ?? 'demo'
  return {
    understood: understand(fixture.sql),
    parameters: givenParameters(given.parameters),
    session: givenSession(given.session),
    catalogs: givenCatalogs(given.catalog ?? 'demo', name),
    ...givenConfig(name),
  }
}
