// test/support/wire-differential.ts — the same messages to a server itself and through the proxy, and what comes back of both, as
// text that can be compared. Clients are letters; through the proxy all of them share a pool of two connections, and between any
// two steps somebody else takes the one that was used last, so that each step finds another connection than the step before.
import type { Test } from 'tap'
import { WireClient } from './wire-client.js'

/** What one client sends in one write, as wire-text has it, and for what it then waits: a message, and how many of them. */
export interface Step {
  readonly by: string
  readonly send: readonly string[]
  readonly until: readonly [name: string, count: number]
}

/** `by('a', 'Sync')`: waits for as many ReadyForQuery as were asked for. */
export function by(client: string, ...send: readonly string[]): Step {
  const ends = send.filter((line) => line === 'Sync' || line.startsWith('Query ')).length
  return { by: client, send, until: ['ReadyForQuery', Math.max(1, ends)] }
}

export function query(client: string, sql: string): Step {
  return by(client, `Query ${JSON.stringify(sql)}`)
}

/** Waits for that message instead. */
export function flushed(client: string, until: string, ...send: readonly string[]): Step {
  return { by: client, send: [...send, 'Flush'], until: [until, 1] }
}

interface Players {
  readonly open: () => Promise<WireClient>
  /** Before each step. */
  readonly shuffle: () => Promise<void>
}

async function play(steps: readonly Step[], { open, shuffle }: Players): Promise<readonly string[]> {
  const clients = new Map<string, WireClient>()
  const heard: string[] = []
  for (const { by: who, send, until } of steps) {
    await shuffle()
    const client = clients.get(who) ?? (await open())
    clients.set(who, client)
    client.send(...send)
    const lines = await client.until(...until)
    heard.push(`> ${who}: ${send.join(' · ')}`, ...lines.map(comparable))
  }
  for (const client of clients.values()) client.destroy()
  return heard
}

/** Oids of tables are the server's; where in its source an error was raised, only a server tells. */
function comparable(line: string): string {
  const kept = line.startsWith('RowDescription') ? line.replace(/("(?:[^"\\]|\\.)*") [1-9]\d* /g, '$1 table ') : line
  return /^(Error|Notice)Response/.test(kept) ? kept.replace(/ ([FLR]) "(?:[^"\\]|\\.)*"/g, '') : kept
}

/** On connections of their own. */
export function playDirect(t: Pick<Test, 'teardown'>, port: number, steps: readonly Step[]): Promise<readonly string[]> {
  return play(steps, { open: () => WireClient.login(t, port), shuffle: () => Promise.resolve() })
}

export async function playThrough(t: Pick<Test, 'teardown'>, port: number, steps: readonly Step[]): Promise<readonly string[]> {
  const other = await WireClient.login(t, port)
  // Whoever begins takes the connection that was used last; whoever ends leaves it for the next step.
  const turns = ['BEGIN; SELECT 1', 'ROLLBACK']
  let turn = 0
  const shuffle = async (): Promise<void> => {
    other.query(turns[turn++ % 2] ?? '')
    await other.until('ReadyForQuery')
  }
  const heard = await play(steps, { open: () => WireClient.login(t, port), shuffle })
  other.destroy()
  return heard
}
