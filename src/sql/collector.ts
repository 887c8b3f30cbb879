// sql/collector.ts — gathers the facts of one statement while its tree is walked; each fact once.
import { armsOf, type Exposed } from './outputs.js'
import type { Cte } from './scope.js'
import type { Access, DerivedPlace, FunctionUse, KeyBinding, KeyFlow, Name, RangeEntry, RelationUse, Statement } from './statement.js'
import type { Fields } from './tree.js'

/** A range-table entry while its query level is walked. */
export interface OpenEntry {
  readonly relation: Name
  readonly alias: string | null
  readonly level: number
  /** `derived`: a subquery, or a reference to a CTE. */
  readonly access: 'read' | 'write' | 'derived'
  readonly place: number
  readonly bindings: KeyBinding[]
  /** Its columns have other names here (alias with a column list), so nothing said of a column is sure to be its. */
  readonly renamed: boolean
}

/** A derived entry, until the query that it stands for has been walked. */
export interface OpenDerived {
  readonly place: number
  readonly bindings: readonly KeyBinding[]
  readonly select: Fields
  readonly aliases: readonly string[]
  readonly cte: Cte | null
}

type Locks = Statement['cursorsOrLocks']
const lockOrder: readonly Locks[] = ['none', 'transaction-advisory-lock', 'session-advisory-unlock', 'session-advisory-lock']

/** The facts that every kind of statement has, before they are frozen. */
export class Collector {
  writes = false
  locks = false
  readonly #params = new Map<number, number>()
  /** Calls of set_config(). */
  settingCalls = 0
  temporary = false
  readonly entries: OpenEntry[] = []
  readonly derived: OpenDerived[] = []
  readonly flows: KeyFlow[] = []
  /** What the queries put out that `derived` stands for. */
  readonly exposed: Map<Fields, Exposed> = new Map()
  /** An outer join or grouping set may make a column NULL that its table has a value for. */
  nullable = false
  readonly #relations = new Map<string, RelationUse>()
  readonly #functions = new Map<string, FunctionUse>()
  readonly #operators = new Map<string, Name>()
  readonly #types = new Map<string, Name>()
  readonly #attributes = new Set<string>()
  readonly #sequences = new Map<string, Name>()
  #advisory: Locks = 'none'

  relation(name: Name, access: Access): void {
    add(this.#relations, `${access} ${quoted(name)}`, { name, access })
  }

  function(name: Name, args: number | null): void {
    add(this.#functions, `${quoted(name)}(${String(args)}`, { name, args })
  }

  operator(name: Name): void {
    add(this.#operators, quoted(name), name)
  }

  type(name: Name): void {
    add(this.#types, quoted(name), name)
  }

  attribute(name: string): void {
    this.#attributes.add(name)
  }

  sequence(name: Name, access: Access): void {
    add(this.#sequences, quoted(name), name)
    this.relation(name, access)
  }

  param(number: number): void {
    this.#params.set(number, (this.#params.get(number) ?? 0) + 1)
  }

  advisory(locks: Locks): void {
    if (lockOrder.indexOf(locks) > lockOrder.indexOf(this.#advisory)) this.#advisory = locks
  }

  #derivedPlace({ place, bindings, select, aliases, cte }: OpenDerived): DerivedPlace {
    const exposed = this.exposed.get(select)
    const transparent = exposed?.transparent === true && (cte === null || cte.references === 1)
    return Object.freeze({ place, bindings: Object.freeze(bindings), arms: Object.freeze(armsOf(exposed, aliases)), transparent })
  }

  /** The facts, frozen, but for what only the kind of statement tells. */
  facts(): Omit<Statement, 'detail' | 'executes' | 'node' | 'ownTransaction' | 'hiddenSettings'> {
    return {
      writes: this.writes,
      locks: this.locks,
      relations: values(this.#relations),
      functions: values(this.#functions),
      operators: values(this.#operators),
      types: values(this.#types),
      attributes: Object.freeze([...this.#attributes]),
      entries: Object.freeze(this.entries.map(closed)),
      derived: Object.freeze(this.derived.map((one) => this.#derivedPlace(one))),
      flows: Object.freeze(this.flows),
      sequences: values(this.#sequences),
      params: [...this.#params.keys()].reduce((a, b) => Math.max(a, b), 0),
      repeatedParams: Object.freeze([...this.#params].flatMap(([number, uses]) => (uses > 1 ? [Object.freeze({ number, uses })] : []))),
      cursorsOrLocks: this.#advisory,
    }
  }
}

function quoted(name: Name): string {
  return name.schema === null ? JSON.stringify(name.name) : `${JSON.stringify(name.schema)}.${JSON.stringify(name.name)}`
}

function add<T extends object>(map: Map<string, T>, key: string, value: T): void {
  if (!map.has(key)) map.set(key, value)
}

function values<T>(map: ReadonlyMap<string, T>): readonly T[] {
  return Object.freeze([...map.values()])
}

function closed(entry: OpenEntry): RangeEntry {
  const { relation, alias, level, access, bindings, place } = entry
  return Object.freeze({ relation, alias, level, access: access === 'write' ? 'write' : 'read', bindings: Object.freeze(bindings), place })
}
