// audit/baseline.ts — today's crossings, accepted one by one, each with the issue that will end it and the day until which
// that is waited for. What is new, expired, or accepted without either fails; what is gone should be taken off the list.
import type { AuditSource, Finding } from './contract.js'

export interface Accepted {
  readonly id: string
  readonly kind: string
  readonly between: readonly string[]
  readonly example: string
  readonly sources: readonly AuditSource[]
  /** Link; empty: nobody has said it yet. */
  readonly issue: string
  /** `2027-01-31`, the last day; empty: nobody has said it yet. */
  readonly expires: string
}

export interface Comparison {
  readonly fresh: readonly Finding[]
  readonly expired: readonly Accepted[]
  /** Accepted without an issue or a day. */
  readonly unsaid: readonly Accepted[]
  /** They do not occur any more, where they had been seen. */
  readonly gone: readonly Accepted[]
}

/** What a file says, or what is wrong with it, in words. */
export function readBaseline(value: unknown): readonly Accepted[] | string {
  const list: unknown = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)['accepted'] : undefined
  if (!Array.isArray(list)) return 'it holds no list "accepted"'
  const entries: Accepted[] = []
  for (const [index, item] of list.entries()) {
    const read = accepted(item)
    if (typeof read === 'string') return `accepted[${String(index)}]: ${read}`
    entries.push(read)
  }
  return entries
}

const sources: readonly string[] = ['traffic', 'statements', 'log', 'catalog'] satisfies readonly AuditSource[]

function accepted(item: unknown): Accepted | string {
  if (typeof item !== 'object' || item === null) return 'is not a map'
  const { id, kind, between, example, sources: seen, issue, expires } = item as Readonly<Record<string, unknown>>
  if (typeof id !== 'string' || id === '') return 'lacks its id'
  const day = expires instanceof Date ? expires.toISOString().slice(0, 10) : expires
  if (day !== undefined && day !== '' && (typeof day !== 'string' || !isDay(day))) return 'expires is not a day such as 2027-01-31'
  return {
    id,
    kind: words(kind),
    between: Array.isArray(between) ? between.map(words) : [],
    example: words(example),
    sources: Array.isArray(seen) ? (seen.filter((one) => sources.includes(words(one))) as AuditSource[]) : [],
    issue: words(issue).trim(),
    expires: typeof day === 'string' ? day : '',
  }
}

/** Days are compared as texts: what is none would never be over. */
export function isDay(text: string): boolean {
  const date = new Date(`${text}T00:00:00Z`)
  return /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text)
}

function words(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** `today`: `2027-01-31`. `looked`: what was looked at in this run. */
export function compare(
  findings: readonly Finding[],
  baseline: readonly Accepted[],
  today: string,
  looked: ReadonlySet<AuditSource>,
): Comparison {
  const known = new Set(baseline.map(({ id }) => id))
  const present = new Set(findings.map(({ id }) => id))
  const lookedAt = (entry: Accepted): boolean => entry.sources.every((source) => looked.has(source))
  return {
    fresh: findings.filter(({ id }) => !known.has(id)),
    expired: baseline.filter(({ id, expires }) => present.has(id) && expires !== '' && expires < today),
    unsaid: baseline.filter(({ issue, expires }) => issue === '' || expires === ''),
    gone: baseline.filter((entry) => !present.has(entry.id) && lookedAt(entry)),
  }
}

export function holds({ fresh, expired, unsaid }: Comparison): boolean {
  return fresh.length + expired.length + unsaid.length === 0
}

/** The list as it should be now: what still occurs (or was not looked for), and what is new with what is said of it here. */
export function nextBaseline(
  findings: readonly Finding[],
  before: readonly Accepted[],
  looked: ReadonlySet<AuditSource>,
  said: { readonly issue: string; readonly expires: string },
): readonly Accepted[] {
  const old = new Map(before.map((entry) => [entry.id, entry]))
  const present = findings.map((finding): Accepted => {
    const { id, kind, from, to, example, sources: seen } = finding
    const known = old.get(id)
    const own = known === undefined ? said : { issue: known.issue, expires: known.expires }
    return { id, kind, between: [nameOf(from), nameOf(to)], example, sources: seen, ...own }
  })
  const ids = new Set(findings.map(({ id }) => id))
  const unseen = before.filter((entry) => !ids.has(entry.id) && !entry.sources.every((source) => looked.has(source)))
  return [...present, ...unseen].sort((a, b) => (a.id < b.id ? -1 : 1))
}

function nameOf({ home, object }: Finding['from']): string {
  return object === null ? home : `${object} (${home})`
}
