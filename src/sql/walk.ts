// sql/walk.ts — walks queries and expressions and tells the collector what it meets. Queries know scopes and levels;
// expressions are walked generically, so that nothing inside them is passed over: a node this file does not know is walked
// like all others, and counts as a write.
import { bind } from './bindings.js'
import { Collector, type OpenEntry } from './collector.js'
import type { LiteralIndex } from './literal-index.js'
import { lockFunctions, sequenceFunctions, splitName } from './naming-functions.js'
import { type Scope, isCte } from './scope.js'
import type { Access } from './statement.js'
import { type Fields, type Node, as, fields, integer, list, nameOf, rangeName, stringConstant, stringNode, text, unwrap } from './tree.js'

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
        return this.insert(inner, scope)
      case 'UpdateStmt':
        return this.update(inner, scope)
      case 'DeleteStmt':
        return this.delete(inner, scope)
      case 'MergeStmt':
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
      case 'JoinExpr':
        break
      default:
        if (!harmless.has(tag) && this.#outside === null) this.facts.writes = true
    }
    this.fields(inner, scope)
  }

  // ---- queries

  select(select: Fields, outer: Scope | null): void {
    const scope = this.#ctes(fields(select['withClause']), outer)
    const level = ++this.#levels
    const entries = this.#from(list(select['fromClause']), level, scope)
    bind(select['whereClause'], entries, this.literals)
    const into = fields(select['intoClause'])
    if (into !== null) this.#into(into)
    if (list(select['lockingClause']).length > 0) this.#locking(list(select['lockingClause']), entries)
    this.#rest(select, new Set(['withClause', 'fromClause', 'lockingClause', 'intoClause']), scope)
  }

  insert(insert: Fields, outer: Scope | null): void {
    const scope = this.#ctes(fields(insert['withClause']), outer)
    this.#target(fields(insert['relation']), ++this.#levels)
    this.#rest(insert, new Set(['withClause', 'relation']), scope)
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
    this.#bindMerge(merge, target, source)
    this.#rest(merge, new Set(['withClause', 'relation', 'sourceRelation']), scope)
  }

  /** A row that fails ON is still acted on by WHEN NOT MATCHED of its own side, so ON then binds nothing there. */
  #bindMerge(merge: Fields, target: readonly OpenEntry[], source: readonly OpenEntry[]): void {
    const kinds = list(merge['mergeWhenClauses']).map((clause) => as('MergeWhenClause', clause)?.['matchKind'])
    const bound = [
      ...(kinds.includes('MERGE_WHEN_NOT_MATCHED_BY_SOURCE') ? [] : target),
      ...(kinds.includes('MERGE_WHEN_NOT_MATCHED_BY_TARGET') ? [] : source),
    ]
    bind(merge['joinCondition'], bound, this.literals)
  }

  #modify(statement: Fields, from: readonly unknown[], fromField: string, outer: Scope | null): void {
    const scope = this.#ctes(fields(statement['withClause']), outer)
    const level = ++this.#levels
    const entries = [...this.#target(fields(statement['relation']), level), ...this.#from(from, level, scope)]
    bind(statement['whereClause'], entries, this.literals)
    this.#rest(statement, new Set(['withClause', 'relation', fromField]), scope)
  }

  /** The table that a statement writes; a CTE of its name does not shadow it. */
  #target(range: Fields | null, level: number): readonly OpenEntry[] {
    this.facts.writes = true
    if (range === null) return []
    this.facts.relation(rangeName(range), 'write')
    return [this.#entry(range, level, 'write')]
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
    const names = all.map((cte) => text(cte['ctename']) ?? '')
    const whole: Scope = { names: new Set(names), outer }
    all.forEach((cte, i) => {
      // Without RECURSIVE a CTE sees only those before it.
      const scope = clause['recursive'] === true ? whole : { names: new Set(names.slice(0, i)), outer }
      this.any(cte['ctequery'], scope)
      this.any(cte['search_clause'], scope)
      this.any(cte['cycle_clause'], scope)
    })
    return whole
  }

  // ---- FROM

  #from(items: readonly unknown[], level: number, scope: Scope | null): readonly OpenEntry[] {
    return items.flatMap((item) => this.#fromItem(item, level, scope))
  }

  #fromItem(item: unknown, level: number, scope: Scope | null): readonly OpenEntry[] {
    const node = unwrap(item)
    if (node === null) return []
    switch (node.tag) {
      case 'RangeVar':
        return this.#range(node.fields, level, scope)
      case 'JoinExpr':
        return this.#join(node.fields, level, scope)
      case 'RangeTableSample':
        return this.#sample(node.fields, level, scope)
      default:
        this.node(node, scope)
        return []
    }
  }

  #range(range: Fields, level: number, scope: Scope | null): readonly OpenEntry[] {
    const name = rangeName(range)
    if (name.schema === null && isCte(name.name, scope)) return []
    this.facts.relation(name, 'read')
    return [this.#entry(range, level, 'read')]
  }

  #entry(range: Fields, level: number, access: 'read' | 'write'): OpenEntry {
    const alias = fields(range['alias'])
    const entry: OpenEntry = {
      relation: Object.freeze(rangeName(range)),
      alias: text(alias?.['aliasname']),
      level,
      access,
      bindings: [],
      renamed: list(alias?.['colnames']).length > 0,
    }
    this.facts.entries.push(entry)
    return entry
  }

  #join(join: Fields, level: number, scope: Scope | null): readonly OpenEntry[] {
    const left = this.#fromItem(join['larg'], level, scope)
    const right = this.#fromItem(join['rarg'], level, scope)
    if (list(join['usingClause']).length > 0 || join['isNatural'] === true) this.facts.operator({ schema: null, name: '=' })
    this.any(join['quals'], scope)
    bind(join['quals'], bound(join, left, right), this.literals)
    // An alias of the whole hides the names inside, so from outside they mean something else; what the join's own ON has bound stays.
    return fields(join['alias']) === null ? [...left, ...right] : []
  }

  #sample(sample: Fields, level: number, scope: Scope | null): readonly OpenEntry[] {
    const method = nameOf(sample['method'])
    // Only a superuser could make another function of these names that is such a method.
    const builtin = method !== null && (method.name === 'system' || method.name === 'bernoulli')
    if (method !== null) this.facts.function(builtin ? { schema: 'pg_catalog', name: method.name } : method, null)
    this.any(sample['args'], scope)
    this.any(sample['repeatable'], scope)
    return this.#fromItem(sample['relation'], level, scope)
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

/** The entries that a join's ON must be true for: both sides of an inner join, the nullable side of an outer one. */
function bound(join: Fields, left: readonly OpenEntry[], right: readonly OpenEntry[]): readonly OpenEntry[] {
  switch (join['jointype']) {
    case 'JOIN_INNER':
    case undefined:
      return [...left, ...right]
    case 'JOIN_LEFT':
      return right
    case 'JOIN_RIGHT':
      return left
    default:
      return []
  }
}
