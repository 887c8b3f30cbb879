// doors/proxy/named-text.ts — a Query that names prepared statements (named.ts), statement by statement: what each of them is planned
// as, what must stand on a connection before it, and the text for that connection. Of several statements a later one may use
// what an earlier one prepares, so the names are followed through the text.
import { preparedLists, type ListSpan } from '../../sql/prepared-list.js'
import { statementRange } from '../../sql/understand.js'
import type { Understood } from '../../sql/statement.js'
import type { PreparedNames } from '../../server/contract.js'
import type { ClientStatement, Session } from '../../session/session.js'
import type { ParameterText } from '../../session/settings.js'
import type { Planned } from './core-contract.js'
import { listing, mostListed } from './listed-statements.js'
import { namingOf, nobody, type Naming } from './named.js'
import { plannedNaming } from './naming-replies.js'
import type { Renamed } from './renaming.js'

export interface NamedPart {
  readonly understood: Understood
  /** Where the statement begins in the whole text. */
  readonly start: number
  readonly naming: Naming | null
  /** What its name stood for when its turn came; null: nothing. */
  readonly before: ClientStatement | null
  readonly planned: Planned
  readonly parameter: ParameterText
  /** Where it reads pg_prepared_statements, and what the client sees there. */
  readonly lists: readonly ListSpan[]
  readonly listed: readonly ClientStatement[]
}

const noParameter: ParameterText = () => undefined

/** What no server need plan counts as a statement that belongs anywhere. */
export function partsOf(session: Session, whole: Understood, understand: (text: string) => Understood): readonly NamedPart[] {
  const count = whole.shape.statements?.length ?? 0
  const names = new Map(session.prepared)
  return Array.from({ length: count }, (_, index) => {
    const { start, end } = count === 1 ? { start: 0, end: whole.text.length } : statementRange(whole, index)
    const understood = count === 1 ? whole : understand(whole.text.slice(start, end))
    const naming = namingOf(session, understood, understand, names)
    const name = nameOf(naming)
    const before = name === null ? null : (names.get(name) ?? null)
    if (naming !== null) follow(names, naming)
    const named = plannedNaming(understood, naming)
    const planned = named ?? { understood: naming === null ? understood : understand('SELECT 1'), parameters: null }
    const lists = naming === null && understood.shape.names ? preparedLists(understood) : []
    const listed = lists.length === 0 ? [] : [...names.values()].filter(({ name: its }) => its !== '')
    return { understood, start, naming, before, planned, parameter: named?.text ?? noParameter, lists, listed }
  })
}

/** PREPARE or EXECUTE of what calls pointsman.unique_id(). */
export function asksIds({ naming, before }: NamedPart): boolean {
  return naming?.kind === 'prepare' ? naming.definition.ids !== undefined : naming?.kind === 'execute' && before?.ids !== undefined
}

/** The name that a statement is about; null: none, or all. */
export function nameOf(naming: Naming | null): string | null {
  if (naming === null) return null
  return naming.kind === 'prepare' ? naming.definition.name : naming.name
}

function follow(names: Map<string, ClientStatement>, naming: Naming): void {
  if (naming.kind === 'prepare' && !names.has(naming.definition.name)) names.set(naming.definition.name, naming.definition)
  if (naming.kind !== 'deallocate') return
  if (naming.name === null) names.clear()
  else names.delete(naming.name)
}

/** What must stand on a connection before the text is sent: what it uses and does not prepare itself. */
export function neededBy(parts: readonly NamedPart[]): ReadonlySet<ClientStatement> {
  const own = new Set(parts.map(({ naming }) => (naming?.kind === 'prepare' ? naming.definition : null)))
  return new Set(parts.flatMap(({ before }) => (before === null || own.has(before) ? [] : [before])))
}

/** What it is to tell of without using it: good to have on the connection, and some of it may not stand any more. */
export function listedBy(parts: readonly NamedPart[]): ReadonlySet<ClientStatement> {
  const own = new Set(parts.map(({ naming }) => (naming?.kind === 'prepare' ? naming.definition : null)))
  return new Set(parts.flatMap(({ listed }) => listed.slice(0, mostListed)).filter((statement) => !own.has(statement)))
}

/** The text for one connection. `names`: what each part's name is there. */
export interface NamedText {
  readonly renames: readonly Renamed[]
  readonly names: ReadonlyMap<NamedPart, string>
}

/** `version`: of the server, as it says itself. */
export function textFor(parts: readonly NamedPart[], known: PreparedNames, version: string): NamedText {
  const renames: Renamed[] = []
  const names = new Map<NamedPart, string>()
  const reserved = new Map<ClientStatement, string>()
  for (const part of parts) {
    const { naming, before, start, lists, listed } = part
    const rows = lists.length === 0 ? [] : listed.map((its) => ({ its, own: reserved.get(its) ?? known.get(its.key) ?? nobody }))
    for (const { start: from, end, aliased } of lists) {
      const to = listing(rows, version, aliased)
      renames.push({ start: start + from, end: start + end, from: '', to, bare: true })
    }
    const from = nameOf(naming)
    const span = naming?.span ?? null
    if (naming === null || from === null || span === null) continue
    if (naming.kind === 'prepare' && before === null) reserved.set(naming.definition, known.reserve())
    const meant = before ?? (naming.kind === 'prepare' ? naming.definition : null)
    const to = meant === null ? nobody : (reserved.get(meant) ?? known.get(meant.key) ?? nobody)
    names.set(part, to)
    renames.push({ start: start + span.start, end: start + span.end, from, to })
  }
  return { renames, names }
}
