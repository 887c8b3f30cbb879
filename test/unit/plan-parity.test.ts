// Both doors give the same plan for the same statement: the golden corpus through the library's explain() with
// JavaScript values, and through the proxy's reading of Parse and Bind.
import pg from 'pg'
import t from 'tap'
import { Conversation } from '../../src/doors/library/conversation.js'
import type { Core, Ground } from '../../src/doors/library/core.js'
import { KeepAlive } from '../../src/doors/library/keep-alive.js'
import { readQuery } from '../../src/doors/library/query-arguments.js'
import { MessageReader } from '../../src/doors/proxy/messages.js'
import { encodeBind, encodeParse } from '../../src/protocol/extended.js'
import { Frontend } from '../../src/protocol/message-types.js'
import { describePlan, printRoute, printTaken } from '../../src/routing/print.js'
import { plan } from '../../src/routing/planner.js'
import { Session, type Greeting } from '../../src/session/session.js'
import { inputOf, readCorpus, type Fixture } from '../support/plan-corpus.js'
import { understanding } from '../support/understanding.js'

const understand = await understanding()
const greeting: Greeting = {
  parameters: new Map(),
  searchPath: '"$user", public',
  role: 'app',
  isolation: 'read committed',
  readOnly: false,
}

function newSession(user = 'app'): Session {
  return new Session({ database: 'app', user, settings: new Map(), greeting })
}

/** Plain texts and NULLs: what both doors can be given. */
function valuesOf({ given }: Fixture): readonly (string | null)[] | null {
  const values = given?.parameters ?? []
  return values.every((value) => value === null || typeof value === 'string') ? values : null
}

/** A session that has done nothing: what a pool's statement, or a client's first, has. */
function isFresh({ given }: Fixture): boolean {
  return Object.keys(given?.session ?? {}).every((key) => key === 'user')
}

async function libraryPlan(fixture: Fixture, values: readonly unknown[]): Promise<unknown> {
  const { config, database, catalogs } = inputOf(fixture, understand)
  const user = fixture.given?.session?.user ?? 'app'
  const generation = { config, catalogs: () => catalogs, commitsWatched: () => false } as unknown as Ground['generation']
  const ground: Ground = { planner: { understand, plan, printRoute, printTaken }, generation, database, greeting, fresh: newSession(user) }
  const core = { pg, alive: new KeepAlive(), now: () => 0, newFloors: () => null, ground: () => Promise.resolve(ground) } as unknown as Core
  const conversation = new Conversation(core, { keeps: false, listener: null })
  return describePlan((await conversation.explain(readQuery(fixture.sql, values))).plan)
}

function proxyPlan(fixture: Fixture, values: readonly (string | null)[]): unknown {
  const input = inputOf(fixture, understand)
  if (fixture.given?.parameters === undefined) return describePlan(plan({ ...input, session: sessionOf(fixture) }))
  const reader = new MessageReader(newSession(), understand, { isReady: true, ready: () => Promise.resolve(), now: () => [] })
  reader.read(Frontend.Parse, encodeParse('', fixture.sql), 0)
  const bytes = values.map((value) => (value === null ? null : Buffer.from(value)))
  const { message } = reader.read(Frontend.Bind, encodeBind('', '', bytes), 1)
  if (message.kind !== 'bind' || message.portal === null) throw new Error('no portal')
  const { parameters, statement } = message.portal
  return describePlan(plan({ ...input, understood: statement.understood, parameters, session: sessionOf(fixture) }))
}

const sessionOf = (fixture: Fixture): Session['view'] => newSession(fixture.given?.session?.user ?? 'app').view

let compared = 0
for (const { theme, fixtures } of readCorpus()) {
  t.test(theme, async (t) => {
    for (const fixture of fixtures) {
      const values = valuesOf(fixture)
      if (values === null || !isFresh(fixture)) continue
      compared++
      t.same(await libraryPlan(fixture, values), fixture.plan, `library: ${fixture.comment}`)
      t.same(proxyPlan(fixture, values), fixture.plan, `proxy: ${fixture.comment}`)
    }
  })
}

t.test('most of the corpus was compared', (t) => {
  t.ok(compared > 300, String(compared))
  t.end()
})
