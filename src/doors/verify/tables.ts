// doors/verify/tables.ts — the tables of a run, in a schema of their own: made before it, read at its end, dropped after it.
// All through the library's own routers: where they cannot write, neither could the sessions.
import { setTimeout as sleep } from 'node:timers/promises'
import type { RoutedPool } from '../library/public.js'
import type { Survivor } from './check.js'
import { probe, schema, setupStatements, survivorsQuery, teardownStatement } from './workload.js'

/** The tables cannot be made; says where and why. */
export class SetupError extends Error {
  override readonly name = 'SetupError'
}

/** The catalog is read again soon after DDL; without it everything goes to the primary, which is right, but shows little. */
const catalogMs = 10_000
/** After a failover the primary may be a moment away. */
const tries = 40
const pauseMs = 250

export class Tables {
  readonly #routers: ReadonlyMap<string, RoutedPool>
  /** Of each database: its default cluster, where new tables lie. */
  readonly #homes: ReadonlyMap<string, string>
  readonly #say: (text: string) => void
  readonly #made: string[] = []

  constructor(routers: ReadonlyMap<string, RoutedPool>, homes: ReadonlyMap<string, string>, say: (text: string) => void) {
    this.#routers = routers
    this.#homes = homes
    this.#say = say
  }

  async make(registers: number): Promise<void> {
    for (const [database, router] of this.#routers) {
      try {
        for (const statement of setupStatements(registers)) {
          await router.query(this.#at(database, statement))
          if (statement.startsWith('CREATE SCHEMA')) this.#made.push(database)
        }
        await known(router)
      } catch (error) {
        throw new SetupError(refusal(database, error))
      }
    }
  }

  /** A schema concerns every cluster of its database; these tables are on one. */
  #at(database: string, statement: string): string {
    return statement.includes(' SCHEMA ') ? `/* pointsman: cluster=${this.#homes.get(database) ?? ''} */ ${statement}` : statement
  }

  async survivors(): Promise<readonly Survivor[]> {
    const all = [...this.#routers].map(async ([database, router]) => {
      const rows = (await retried(router, survivorsQuery)) as readonly Omit<Survivor, 'database'>[]
      return rows.map((row) => ({ ...row, database }))
    })
    return (await Promise.all(all)).flat()
  }

  /** Drops what it made. Never rejects: what stays is told. */
  async drop(): Promise<void> {
    for (const [database, router] of this.#routers) {
      if (!this.#made.includes(database)) continue
      await retried(router, this.#at(database, teardownStatement)).catch((error: unknown) =>
        this.#say(`schema ${schema} in database ${database} could not be dropped: ${messageOf(error)}`),
      )
    }
  }
}

async function known(router: RoutedPool): Promise<void> {
  for (const deadline = performance.now() + catalogMs; performance.now() < deadline;) {
    const plan = await router.explain(probe)
    if (plan.kind === 'one' && plan.role === 'replica') return
    await sleep(50)
  }
}

async function retried(router: RoutedPool, text: string): Promise<readonly unknown[]> {
  for (let tried = 1; ; tried++) {
    try {
      const { rows }: { readonly rows: readonly unknown[] } = await router.query({ text, consistency: 'strong' })
      return rows
    } catch (error) {
      if (tried === tries) throw error
      await sleep(pauseMs)
    }
  }
}

function refusal(database: string, error: unknown): string {
  const there = (error as { readonly code?: unknown } | null)?.code === '42P06'
  const hint = there ? `; another run may be under way, or one was killed: then drop it with ${teardownStatement}` : ''
  return `cannot make schema ${schema} in database ${database}: ${messageOf(error)}${hint}`
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
