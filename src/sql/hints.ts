// sql/hints.ts — `pointsman: name=value, …` comments → Hints (DESIGN §3). Block comments and line comments alike; several
// comments add up. What cannot be read is a problem for the planner to refuse, never something to pass over.
import { parseDuration } from '../consistency/duration.js'
import { parseSwitch } from './switch.js'
import type { Hints } from './statement.js'

type Level = NonNullable<Hints['consistency']>
const levels: ReadonlySet<string> = new Set<Level>(['strong', 'session', 'bounded', 'any'])
/** Those that take a value. */
const names: ReadonlySet<string> = new Set(['consistency', 'max_staleness', 'shard_key', 'cluster', 'sticky_writes'])

/** One `name`, `name=value`, `name='value'` or `name="value"`; a quote inside quotes is doubled. */
const item = /\s*([A-Za-z_]+)\s*(?:=\s*(?:'((?:[^']|'')*)'|"((?:[^"]|"")*)"|([^,\s'"]*)))?\s*(?:,|$)/y

/** The bodies of a text's hint comments, what follows `pointsman:`. */
export function readHints(bodies: readonly string[]): Hints {
  const found = new Map<string, string>()
  const problems: string[] = []
  for (const body of bodies) readBody(body.trim(), found, problems)
  return Object.freeze({
    consistency: consistency(found, problems),
    maxStalenessMs: staleness(found, problems),
    shardKey: found.get('shard_key') ?? null,
    cluster: found.get('cluster') ?? null,
    stickyWrites: stickyWrites(found, problems),
    explain: found.has('explain'),
    problems: Object.freeze(problems),
  })
}

function readBody(body: string, found: Map<string, string>, problems: string[]): void {
  item.lastIndex = 0
  while (item.lastIndex < body.length) {
    const match = item.exec(body)
    if (match === null) {
      problems.push('a hint comment is name=value, name=value, …')
      return
    }
    const name = (match[1] ?? '').toLowerCase()
    const value = match[2]?.replaceAll("''", "'") ?? match[3]?.replaceAll('""', '"') ?? match[4]
    add(name, value, found, problems)
  }
}

function add(name: string, value: string | undefined, found: Map<string, string>, problems: string[]): void {
  if (name === 'explain') {
    if (value !== undefined) problems.push('hint explain takes no value')
    found.set(name, '')
  } else if (!names.has(name)) {
    problems.push(`unknown hint ${name}; known are ${[...names].join(', ')}, explain`)
  } else if (value === undefined || (value === '' && name !== 'shard_key')) {
    problems.push(`hint ${name} needs a value`)
  } else if (found.has(name) && found.get(name) !== value) {
    problems.push(`hint ${name} is given twice with different values`)
  } else found.set(name, value)
}

function consistency(found: ReadonlyMap<string, string>, problems: string[]): Hints['consistency'] {
  const text = found.get('consistency')
  if (text === undefined) return null
  const level = text.toLowerCase()
  if (levels.has(level)) return level as Level
  problems.push('hint consistency must be strong, session, bounded or any')
  return null
}

function staleness(found: ReadonlyMap<string, string>, problems: string[]): number | null {
  const text = found.get('max_staleness')
  if (text === undefined) return null
  const ms = parseDuration(text)
  if (ms === null) problems.push('hint max_staleness must be a duration such as 200ms, 5s or 1m')
  return ms
}

function stickyWrites(found: ReadonlyMap<string, string>, problems: string[]): boolean | null {
  const text = found.get('sticky_writes')
  if (text === undefined) return null
  const on = parseSwitch(text)
  if (on === null) problems.push('hint sticky_writes must be on or off')
  return on
}
