// sql/walk.ts — walks queries and expressions and tells the collector what it meets. Queries know scopes and levels;
// expressions are walked generically, so that nothing inside them is passed over: a node this file does not know is walked
// like all others, and counts as a write.
import { bind } from './bindings.js'
import { Collector, type OpenEntry } from './collector.js'
import { bound, type From, joinFlows, joinedPlaces, mergedBy, noPlaces, nothing, together } from './from.js'
import type { LiteralIndex } from './literal-index.js'
import { lockFunctions, sequenceFunctions, splitName } from './naming-functions.js'
import { isTransparent, outputOf, putOut } from './outputs.js'
import { type Cte, type Places, type Scope, cteOf, within } from './scope.js'
import type { Access, Output } from './statement.js'
import {
  type Fields,
  type Node,
  as,
  fields,
  integer,
  list,
  nameOf,
  rangeName,
  stringConstant,
  stringNode,
  strings,
  text,
  unwrap,
} from './tree.js'

/** Fields whose type is fixed, so that the tree does not wrap them, and that facts are taken from. (One field is called `constructor`: a Map.) */
const fixedTypes: ReadonlyMap<string, string> = new Map(
  Object.entries({
    relation: 'RangeVar',
    rel: 'RangeVar',
    sequence: 'RangeVar',
    view: 'RangeVar',
    pktable: 'RangeVar',
    constrrel: 'RangeVar',
    table: 'RangeVar',
    typevar: 'RangeVar',
    identitySequence: 'RangeVar',
    typeName: 'TypeName',
    argType: 'TypeName',
    returnType: 'TypeName',
    ofTypename: 'TypeName',
    datatype: 'TypeName',
    sourcetype: 'TypeName',
    targettype: 'TypeName',
    storedtype: 'TypeName',
    type_name: 'TypeName',
    larg: 'SelectStmt',
    rarg: 'SelectStmt',
    funccall: 'FuncCall',
  }),
)

/** Nodes inside queries that only hold others. A node that is neither here nor handled counts as a write. */
const harmless: ReadonlySet<string> = new Set(
  (
    'Integer Float Boolean String BitString List A_Const Alias BoolExpr NamedArgExpr CaseWhen CoalesceExpr MinMaxExpr RowExpr ' +
    'SQLValueFunction XmlExpr XmlSerialize NullTest BooleanTest SetToDefault CurrentOfExpr CollateClause A_Star A_Indices ' +
    'A_ArrayExpr ResTarget MultiAssignRef SortBy WindowDef GroupingSet GroupingFunc InferClause IndexElem ReturningOption ' +
    'TypeCast RangeSubselect RangeFunction RangeTableFunc RangeTableFuncCol JsonFormat JsonReturning JsonValueExpr ' +
    'JsonIsPredicate JsonBehavior JsonOutput JsonArgument JsonFuncExpr JsonTablePathSpec JsonTable JsonTableColumn JsonKeyValue ' +
    'JsonParseExpr JsonScalarExpr JsonSerializeExpr JsonObjectConstructor JsonArrayConstructor JsonArrayQueryConstructor ' +
    'JsonAggConstructor JsonObjectAgg JsonArrayAgg ColumnDef DefElem MergeSupportFunc RoleSpec CTESearchClause CTECycleClause'
  ).split(' '),
)

/** One walk over one statement. */
export class Walk {
  readonly facts: Collector = new Collector()
  readonly literals: LiteralIndex
  /** How a relation counts that is named outside of a query: null inside queries, where each place says it. */
  readonly #outside: Access | null
  #levels = 0
  #places = 0
  /** Queries whose output conditions outside speak of. */
  readonly #wanted = new Set<Fields>()

  constructor(literals: LiteralIndex, outside: Access | null = null) {
    this.literals = literals
    this.#outside = outside
  }

  /** Any value of the tree: nodes, plain structs, lists, scalars. */
  any(value: unknown, scope: Scope | null): void {
    if (typeof value !== 'object' || value === null) return
    if (Array.isArray(value)) {
      for (const item of value) this.any(item, scope)
      return
    }
    const node = unwrap(value)
    if (node === null) this.fields(value as Fields, scope)
    else this.node(node, scope)
  }

  /** All fields of a node or plain struct. */
  fields(struct: Fields, scope: Scope | null): void {
    for (const name in struct) {
      const value = struct[name]
      if (typeof value !== 'object' || value === null) continue
      const fixed = fixedTypes.get(name) ?? ('relname' in value ? 'RangeVar' : undefined)
      const inner = fixed === undefined || Array.isArray(value) || unwrap(value) !== null ? null : fields(value)
      if (fixed === undefined || inner === null) this.any(value, scope)
      else this.node({ tag: fixed, fields: inner }, scope)
    }
  }

  node(node: Node, scope: Scope | null): void {
    const { tag, fields: inner } = node
    switch (tag) {
      case 'SelectStmt':
        return this.select(inner, scope)
      case 'InsertStmt':
        this.innerWrites.push(node)
        return this.insert(inner, scope)
      case 'UpdateStmt':
        this.innerWrites.push(node)
        return this.update(inner, scope)
      case 'DeleteStmt':
        this.innerWrites.push(node)
        return this.delete(inner, scope)
      case 'MergeStmt':
        this.innerWrites.push(node)
        return this.merge(inner, scope)
      case 'RangeVar':
        if (inner['relpersistence'] === 't' || inner['schemaname'] === 'pg_temp') this.facts.temporary = true
        return this.facts.relation(rangeName(inner), this.#outside ?? 'read')
      case 'TypeName':
        return this.#type(inner)
      case 'ColumnRef':
        return this.#column(inner)
      case 'ParamRef':
        this.facts.param(integer(inner['number']))
        return
      case 'FuncCall':
        this.#function(inner)
        break
      case 'A_Expr':
        this.#operator(inner)
        break
      case 'SubLink':
        this.#sublink(inner)
        break
      case 'CaseExpr':
        if (inner['arg'] !== undefined) this.facts.operator({ schema: null, name: '=' })
        break
      case 'SortBy':
        this.#named('operator', inner['useOp'])
        break
      case 'A_Indirection':
        this.#attributes(list(inner['indirection']))
        break
      case 'GroupingSet':
        this.facts.nullable = true
        break
      case 'JoinExpr':
        break
      default:
        if (!harmless.has(tag) && this.#outside === null) this.facts.writes = true
    }
    this.fields(inner, scope)
  }

  // ---- queries

  select(select: Fields, outer: Scope | null): void {
    const whole = this.#ctes(fields(select['withClause']), outer)
    const level = ++this.#levels
    const from = this.#from(list(select['fromClause']), level, whole)
    const scope = within(from.places, whole)
    this.#bind(select['whereClause'], from.entries, scope)
    const into = fields(select['intoClause'])
    if (into !== null) this.#into(into)
    if (list(select['lockingClause']).length > 0) this.#locking(list(select['lockingClause']), from.entries)
    const arms = [fields(select['larg']), fields(select['rarg'])].filter((arm) => arm !== null)
    if (this.#wanted.has(select)) for (const arm of arms) this.#wanted.add(arm)
    this.#rest(select, new Set(['withClause', 'fromClause', 'lockingClause', 'intoClause']), scope)
    if (this.#wanted.has(select)) this.#expose(select, arms, scope, from.places)
  }

  #expose(select: Fields, arms: readonly Fields[], scope: Scope, places: Places): void {
    const { exposed } = this.facts
    const own = places.named.map(({ place }) => place)
    const below = arms.map((arm) => exposed.get(arm))
    exposed.set(select, {
      arms: arms.length === 0 ? [putOut(select, scope, own, this.literals)] : below.flatMap((one) => one?.arms ?? []),
      transparent: isTransparent(select) && below.every((one) => one?.transparent !== false),
    })
  }

  insert(insert: Fields, outer: Scope | null): void {
    const scope = this.#ctes(fields(insert['withClause']), outer)
    this.#target(fields(insert['relation']), ++this.#levels)
    const select = as('SelectStmt', insert['selectStmt'])
    if (select !== null) this.#wanted.add(select)
    // What ON CONFLICT and RETURNING name (the target, `excluded`) is not followed.
    this.#rest(insert, new Set(['withClause', 'relation', 'selectStmt']), within(this.#unknown(null), scope))
    this.any(insert['selectStmt'], scope)
  }

  /** What the query of an INSERT puts out, by position; null: cannot be told, or may be NULL where its table has a value. */
  selected(select: unknown): readonly (readonly Output[])[] | null {
    const exposed = this.facts.exposed.get(as('SelectStmt', select) ?? {})
    if (exposed === undefined || this.facts.nullable || exposed.arms.some(({ star }) => star !== null)) return null
    return exposed.arms.map(({ columns }) => Object.freeze(columns.map(({ output }) => output)))
  }

  /** The table of a COPY. */
  copied(range: Fields, access: 'read' | 'write'): void {
    this.facts.relation(rangeName(range), access)
    this.#entry(range, ++this.#levels, access)
  }

  update(update: Fields, outer: Scope | null): void {
    this.#modify(update, list(update['fromClause']), 'fromClause', outer)
  }

  delete(statement: Fields, outer: Scope | null): void {
    this.#modify(statement, list(statement['usingClause']), 'usingClause', outer)
  }

  merge(merge: Fields, outer: Scope | null): void {
    const scope = this.#ctes(fields(merge['withClause']), outer)
    const level = ++this.#levels
    const target = this.#target(fields(merge['relation']), level)
    const source = this.#from([merge['sourceRelation']], level, scope)
    const inner = within(together(target, source).places, scope)
    this.#bindMerge(merge, target.entries, source.entries, inner)
    this.#mergeSource = within(source.places, scope)
    this.#rest(merge, new Set(['withClause', 'relation', 'sourceRelation']), inner)
  }

  #mergeSource: Scope | null = null
  /** Writes below the statement itself. */
  readonly innerWrites: Node[] = []

  /** A value that an INSERT of MERGE gives, which only its source has a part in. */
  merged(value: unknown): Output {
    return this.facts.nullable ? { kind: 'other' } : outputOf(value, this.#mergeSource, this.literals)
  }

  /** A row that fails ON is still acted on by WHEN NOT MATCHED of its own side, so ON then binds nothing there. */
  #bindMerge(merge: Fields, target: readonly OpenEntry[], source: readonly OpenEntry[], scope: Scope): void {
    const kinds = list(merge['mergeWhenClauses']).map((clause) => as('MergeWhenClause', clause)?.['matchKind'])
    const entries = [
      ...(kinds.includes('MERGE_WHEN_NOT_MATCHED_BY_SOURCE') ? [] : target),
      ...(kinds.includes('MERGE_WHEN_NOT_MATCHED_BY_TARGET') ? [] : source),
    ]
    this.#bind(merge['joinCondition'], entries, scope)
  }

  #modify(statement: Fields, from: readonly unknown[], fromField: string, outer: Scope | null): void {
    const scope = this.#ctes(fields(statement['withClause']), outer)
    const level = ++this.#levels
    const target = this.#target(fields(statement['relation']), level)
    const all = together(target, this.#from(from, level, scope, target.places))
    const inner = within(all.places, scope)
    this.#bind(statement['whereClause'], all.entries, inner)
    this.#rest(statement, new Set(['withClause', 'relation', fromField]), inner)
  }

  #bind(condition: unknown, entries: readonly OpenEntry[], scope: Scope | null): void {
    const { facts, literals } = this
    bind(condition, { entries, scope, literals, flow: (flow) => facts.flows.push(flow), derive: (select) => this.#derive(select) })
  }

  /** The table that a statement writes; a CTE of its name does not shadow it. */
  #target(range: Fields | null, level: number): From {
    this.facts.writes = true
    if (range === null) return nothing
    this.facts.relation(rangeName(range), 'write')
    return this.#entry(range, level, 'write')
  }

  #rest(struct: Fields, done: ReadonlySet<string>, scope: Scope | null): void {
    const rest: Record<string, unknown> = {}
    for (const name in struct) if (!done.has(name)) rest[name] = struct[name]
    this.fields(rest, scope)
  }

  /** Walks the CTEs and returns the scope of the statement they stand before. */
  #ctes(clause: Fields | null, outer: Scope | null): Scope | null {
    if (clause === null) return outer
    const all = list(clause['ctes']).map((cte) => as('CommonTableExpr', cte) ?? {})
    const recursive = clause['recursive'] === true
    const names = new Map(all.map((cte) => [text(cte['ctename']) ?? '', this.#cte(cte, recursive)]))
    const whole: Scope = { names, outer }
    all.forEach((cte, i) => {
      // Without RECURSIVE a CTE sees only those before it.
      const scope = recursive ? whole : { names: new Map([...names].slice(0, i)), outer }
      this.any(cte['ctequery'], scope)
      this.any(cte['search_clause'], scope)
      this.any(cte['cycle_clause'], scope)
    })
    return whole
  }

  #cte(cte: Fields, recursive: boolean): Cte {
    const select = recursive ? null : as('SelectStmt', cte['ctequery'])
    if (select !== null) this.#wanted.add(select)
    return { select, columns: strings(cte['aliascolnames']) ?? [], references: 0 }
  }

  // ---- FROM

  /** `before`: what stands on the left and LATERAL may name. */
  #from(items: readonly unknown[], level: number, scope: Scope | null, before: Places = noPlaces): From {
    let all = nothing
    let seen = before
    for (const item of items) {
      const from = this.#fromItem(item, level, scope, seen)
      all = together(all, from)
      seen = joinedPlaces(seen, from.places)
    }
    return all
  }

  #fromItem(item: unknown, level: number, scope: Scope | null, before: Places): From {
    const node = unwrap(item)
    if (node === null) return nothing
    switch (node.tag) {
      case 'RangeVar':
        return this.#range(node.fields, level, scope)
      case 'JoinExpr':
        return this.#join(node.fields, level, scope, before)
      case 'RangeTableSample':
        return this.#sample(node.fields, level, scope, before)
      case 'RangeSubselect':
        return this.#subselect(node, level, scope, before)
      default:
        this.node(node, within(before, scope))
        return { entries: [], places: this.#unknown(text(fields(node.fields['alias'])?.['aliasname'])) }
    }
  }

  #range(range: Fields, level: number, scope: Scope | null): From {
    const name = rangeName(range)
    const cte = name.schema === null ? cteOf(name.name, scope) : null
    if (cte === null) {
      this.facts.relation(name, 'read')
      return this.#entry(range, level, 'read')
    }
    cte.references++
    const alias = fields(range['alias'])
    const called = text(alias?.['aliasname']) ?? name.name
    const renamed = strings(alias?.['colnames']) ?? []
    return cte.select === null
      ? { entries: [], places: this.#unknown(called) }
      : this.#derived(cte.select, called, [...renamed, ...cte.columns.slice(renamed.length)], level, cte)
  }

  #subselect(node: Node, level: number, scope: Scope | null, before: Places): From {
    const select = as('SelectStmt', node.fields['subquery'])
    if (select !== null) this.#wanted.add(select)
    this.node(node, node.fields['lateral'] === true ? within(before, scope) : scope)
    const alias = fields(node.fields['alias'])
    // Without an alias it has no name: none is ''.
    const called = text(alias?.['aliasname']) ?? ''
    if (select === null) return { entries: [], places: this.#unknown(called) }
    return this.#derived(select, called, strings(alias?.['colnames']) ?? [], level, null)
  }

  #derived(select: Fields, alias: string, aliases: readonly string[], level: number, cte: Cte | null): From {
    const place = this.#places++
    const bindings: OpenEntry['bindings'] = []
    this.facts.derived.push({ place, bindings, select, aliases, cte })
    const relation = { schema: null, name: alias }
    const entry: OpenEntry = { relation, alias, level, access: 'derived', place, bindings, renamed: false }
    return { entries: [entry], places: { named: [{ ...relation, place }], merged: noPlaces.merged } }
  }

  /** A subquery that is an operand. */
  #derive(select: Fields): number {
    const place = this.#places++
    this.#wanted.add(select)
    this.facts.derived.push({ place, bindings: [], select, aliases: [], cte: null })
    return place
  }

  /** What has columns that nobody knows. */
  #unknown(name: string | null): Places {
    return { named: [{ schema: null, name, place: this.#places++ }], merged: noPlaces.merged }
  }

  #entry(range: Fields, level: number, access: 'read' | 'write'): From {
    const alias = fields(range['alias'])
    const relation = Object.freeze(rangeName(range))
    const entry: OpenEntry = {
      relation,
      alias: text(alias?.['aliasname']),
      level,
      access,
      place: this.#places++,
      bindings: [],
      renamed: list(alias?.['colnames']).length > 0,
    }
    this.facts.entries.push(entry)
    const schema = entry.alias === null ? relation.schema : null
    const name = entry.alias ?? relation.name
    const named = entry.renamed ? this.#unknown(name).named : [{ schema, name, place: entry.place }]
    return { entries: [entry], places: { named, merged: noPlaces.merged } }
  }

  #join(join: Fields, level: number, scope: Scope | null, before: Places): From {
    const left = this.#fromItem(join['larg'], level, scope, before)
    const right = this.#fromItem(join['rarg'], level, scope, joinedPlaces(before, left.places))
    const columns = strings(join['usingClause']) ?? []
    const natural = join['isNatural'] === true
    if (columns.length > 0 || natural) this.facts.operator({ schema: null, name: '=' })
    const outerJoin = join['jointype'] !== undefined && join['jointype'] !== 'JOIN_INNER'
    if (outerJoin) this.facts.nullable = true
    const inner = within(joinedPlaces(left.places, right.places), scope)
    this.#bind(join['quals'], bound(join, left.entries, right.entries), inner)
    this.any(join['quals'], inner)
    this.facts.flows.push(...joinFlows(join, columns, left, right))
    const alias = fields(join['alias'])
    // An alias of the whole hides the names inside, so from outside they mean something else; what the join's own ON has bound stays.
    if (alias !== null) return { entries: [], places: this.#unknown(text(alias['aliasname'])) }
    const all = together(left, right, mergedBy(join, columns, left, right))
    const shortcut = text(fields(join['join_using_alias'])?.['aliasname'])
    return shortcut === null ? all : { ...all, places: joinedPlaces(all.places, this.#unknown(shortcut)) }
  }

  #sample(sample: Fields, level: number, scope: Scope | null, before: Places): From {
    const method = nameOf(sample['method'])
    // Only a superuser could make another function of these names that is such a method.
    const builtin = method !== null && (method.name === 'system' || method.name === 'bernoulli')
    if (method !== null) this.facts.function(builtin ? { schema: 'pg_catalog', name: method.name } : method, null)
    this.any(sample['args'], scope)
    this.any(sample['repeatable'], scope)
    return this.#fromItem(sample['relation'], level, scope, before)
  }

  #into(into: Fields): void {
    this.facts.writes = true
    const rel = fields(into['rel'])
    if (rel !== null) this.facts.relation(rangeName(rel), 'define')
  }

  #locking(clauses: readonly unknown[], entries: readonly OpenEntry[]): void {
    this.facts.writes = true
    this.facts.locks = true
    for (const clause of clauses) {
      const named = list(as('LockingClause', clause)?.['lockedRels']).flatMap((rel) => text(as('RangeVar', rel)?.['relname']) ?? [])
      for (const entry of entries) {
        if (entry.access === 'derived') continue
        if (named.length === 0 || named.includes(entry.alias ?? entry.relation.name)) this.facts.relation(entry.relation, 'lock')
      }
    }
  }

  // ---- expressions

  #type(type: Fields): void {
    if (type['pct_type'] !== true) this.#named('type', type['names'])
  }

  #named(what: 'operator' | 'type', value: unknown): void {
    const name = nameOf(value)
    if (name !== null) this.facts[what](name)
  }

  #column(column: Fields): void {
    this.#attributes(list(column['fields']).slice(1))
  }

  #attributes(path: readonly unknown[]): void {
    for (const part of path) {
      const name = stringNode(part)
      if (name === null) continue
      this.facts.attribute(name)
      // `(1::bigint).pg_advisory_lock` calls it.
      const locks = lockFunctions.get(name)
      if (locks !== undefined) this.facts.advisory(locks)
    }
  }

  #operator(expression: Fields): void {
    const kind = text(expression['kind']) ?? ''
    if (kind.includes('BETWEEN')) {
      for (const name of kind.startsWith('AEXPR_NOT') ? ['<', '>'] : ['>=', '<=']) this.facts.operator({ schema: null, name })
    } else this.#named('operator', expression['name'])
  }

  #sublink(link: Fields): void {
    if (link['testexpr'] === undefined) return
    if (link['operName'] === undefined) this.facts.operator({ schema: null, name: '=' })
    else this.#named('operator', link['operName'])
  }

  #function(call: Fields): void {
    const name = nameOf(call['funcname'])
    if (name === null) return
    const uncounted = call['agg_star'] === true || call['func_variadic'] === true || call['agg_within_group'] === true
    this.facts.function(name, uncounted ? null : list(call['args']).length)
    if (name.schema !== null && name.schema !== 'pg_catalog') return
    if (name.name === 'set_config') this.facts.settingCalls++
    const locks = lockFunctions.get(name.name)
    if (locks !== undefined) this.facts.advisory(locks)
    const access = sequenceFunctions.get(name.name)
    if (access !== undefined) this.#sequence(list(call['args'])[0], access)
  }

  /** `nextval('s')`, `nextval('s'::regclass)`: only a literal that stands in the key may tell. */
  #sequence(arg: unknown, access: Access): void {
    const constant = stringConstant(as('TypeCast', arg)?.['arg'] ?? arg)
    if (constant === null || !this.literals.isWhole(constant.location)) return
    const name = splitName(constant.text)
    if (name !== null) this.facts.sequence(name, access)
  }
}
