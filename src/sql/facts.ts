// sql/facts.ts — one statement's parse tree → Statement. One function per kind of statement; a tag that none of them
// knows throws, and then the whole text is not understood: never silently a read.
import { castType, operand } from './operands.js'
import type { LiteralIndex } from './literal-index.js'
import { ownCall } from './own-call.js'
import { selectSettings, setChange, settingRead } from './settings.js'
import type { AssignFacts, Detail, Execution, InnerWrite, InsertFacts, MergeInsert, Name, Operand, Statement } from './statement.js'
import { setTransaction, transactionFacts } from './transactions.js'
import { type Fields, type Node, as, fields, integer, list, rangeName, stringNode, strings, text, unwrap } from './tree.js'
import { type Utility, isHeld, listedRelations, namedTemporary, utilities } from './utility.js'
import { Walk } from './walk.js'

/** What only the kind of statement tells. The rest is the walk's. */
interface Told {
  readonly detail: Detail
  readonly ownTransaction?: boolean
  /** Where the kind knows better than the walk. */
  readonly writes?: boolean
  /** set_config() calls are all in `detail.settings`. */
  readonly followed?: boolean
  readonly executes?: Execution
}

type Teller = (fields: Fields, walk: Walk) => Told

/** Facts of the statement that `node` is. `literals` are those of the text it was parsed from. */
export function statementFacts(node: Node, literals: LiteralIndex): Statement {
  const whole = wholes[node.tag]
  if (whole !== undefined) return whole(node, literals)
  const utility = utilities.get(node.tag)
  const walk = new Walk(literals, utility === undefined ? null : (utility.access ?? 'define'))
  const told = utility === undefined ? teller(node.tag)(node.fields, walk) : tellUtility(node, utility, walk)
  return statement(node.tag, told, walk)
}

function statement(tag: string, told: Told, walk: Walk): Statement {
  const facts = walk.facts.facts()
  const innerWrites = walk.innerWrites.map((node) => innerWrite(node, walk))
  return Object.freeze({
    ...facts,
    ...(innerWrites.length === 0 ? {} : { innerWrites: Object.freeze(innerWrites) }),
    detail: Object.freeze(told.detail),
    executes: told.executes ?? null,
    node: tag,
    writes: told.writes ?? facts.writes,
    hiddenSettings: walk.facts.settingCalls > 0 && told.followed !== true,
    ownTransaction: told.ownTransaction ?? false,
  })
}

function teller(tag: string): Teller {
  const found = tellers[tag]
  if (found === undefined) throw new Error(`unknown statement ${tag}`)
  return found
}

// ---- statements around another one: EXPLAIN, PREPARE, DECLARE. Their facts are the inner one's.

const wholes: Readonly<Record<string, ((node: Node, literals: LiteralIndex) => Statement) | undefined>> = {
  ExplainStmt(node, literals) {
    const inner = innerFacts(node.fields['query'], literals)
    const analyze = isAnalyze(list(node.fields['options']))
    const detail: Detail = Object.freeze({ kind: 'explain', analyze, inner })
    const hiddenSettings = analyze && inner.functions.some(({ name }) => name.name === 'set_config')
    return Object.freeze({ ...inner, detail, node: node.tag, writes: analyze && inner.writes, hiddenSettings })
  },
  PrepareStmt(node, literals) {
    const inner = innerFacts(node.fields['query'], literals)
    const types = list(node.fields['argtypes']).map((type) => castType({ typeName: as('TypeName', type) }))
    const detail: Detail = Object.freeze({ kind: 'prepare', name: text(node.fields['name']) ?? '', types: Object.freeze(types), inner })
    return Object.freeze({ ...inner, detail, node: node.tag, hiddenSettings: false, ownTransaction: false })
  },
  DeclareCursorStmt(node, literals) {
    const inner = innerFacts(node.fields['query'], literals)
    const name = text(node.fields['portalname']) ?? ''
    const detail: Detail = Object.freeze({ kind: 'declare', name, hold: isHeld(node.fields['options']), inner })
    const hiddenSettings = inner.functions.some(({ name: called }) => called.name === 'set_config')
    return Object.freeze({ ...inner, detail, node: node.tag, hiddenSettings, ownTransaction: false })
  },
}

function innerFacts(query: unknown, literals: LiteralIndex): Statement {
  const node = unwrap(query)
  if (node === null) throw new Error('a statement without its query')
  return statementFacts(node, literals)
}

/** The last ANALYZE option counts; what is no boolean PostgreSQL refuses, so it may as well be true. */
function isAnalyze(options: readonly unknown[]): boolean {
  const given = options.flatMap((option) => {
    const element = as('DefElem', option)
    return element?.['defname'] === 'analyze' ? [element['arg']] : []
  })
  const last = given.at(-1)
  if (given.length === 0) return false
  const word = stringNode(last)?.toLowerCase()
  const number = as('Integer', last)
  return (
    word !== 'false' && word !== 'off' && (number === null || integer(number['ival']) !== 0) && as('Boolean', last)?.['boolval'] !== false
  )
}

// ---- the rest, by tag

const tellers: Readonly<Record<string, Teller | undefined>> = {
  SelectStmt(select, walk) {
    walk.select(select, null)
    const settings = selectSettings(select, walk.facts.settingCalls, walk.literals)
    const reads = settingRead(select, walk.literals)
    const own = ownCall(select, walk.literals)
    const detail: Detail = { kind: 'select', into: into(select), settings, reads, ...(own === null ? {} : { own }) }
    return { detail, followed: settings !== null }
  },
  InsertStmt(insert, walk) {
    walk.insert(insert, null)
    return { detail: { kind: 'insert', insert: insertFacts(insert, walk) } }
  },
  UpdateStmt(update, walk) {
    walk.update(update, null)
    const targets = list(update['targetList'])
    const columns = assigned(targets)
    const values = columns?.length === targets.length ? targets.map((item) => operand(as('ResTarget', item)?.['val'], walk.literals)) : null
    return { detail: { kind: 'update', assigns: { target: target(update), columns, ...(values === null ? {} : { values }) } } }
  },
  DeleteStmt(statement, walk) {
    walk.delete(statement, null)
    return { detail: { kind: 'delete', target: target(statement) } }
  },
  MergeStmt(merge, walk) {
    walk.merge(merge, null)
    return { detail: { kind: 'merge', ...mergeFacts(merge, walk) } }
  },
  CopyStmt: tellCopy,
  TransactionStmt(statement) {
    const transaction = transactionFacts(statement)
    const prepared = transaction.op === 'commit-prepared' || transaction.op === 'rollback-prepared'
    return {
      detail: { kind: 'transaction', transaction },
      writes: prepared || transaction.op === 'prepare-transaction',
      ownTransaction: prepared,
    }
  },
  VariableSetStmt: tellSet,
  VariableShowStmt: (show) => ({ detail: { kind: 'show', name: (text(show['name']) ?? '').toLowerCase() } }),
  // What it runs is known to the session, not to the text.
  ExecuteStmt(execute, walk) {
    walk.any(execute['params'], null)
    return { detail: { kind: 'execute', name: text(execute['name']) ?? '' }, writes: true, executes: execution(execute, walk.literals) }
  },
  DeallocateStmt: (statement) => ({ detail: { kind: 'deallocate', name: text(statement['name']) } }),
  DiscardStmt(discard) {
    const what = discards[text(discard['target']) ?? '']
    if (what === undefined) throw new Error('unknown kind of DISCARD')
    return { detail: { kind: 'discard', what }, ownTransaction: what === 'all' }
  },
  ListenStmt: (listen) => ({ detail: { kind: 'listen', channel: text(listen['conditionname']) ?? '' }, writes: true }),
  UnlistenStmt: (unlisten) => ({ detail: { kind: 'unlisten', channel: text(unlisten['conditionname']) } }),
  NotifyStmt: (notify) => ({ detail: { kind: 'notify', channel: text(notify['conditionname']) ?? '' }, writes: true }),
  FetchStmt: (fetch) => ({ detail: { kind: 'fetch', name: text(fetch['portalname']) ?? '' } }),
  ClosePortalStmt: (close) => ({ detail: { kind: 'close', name: text(close['portalname']) } }),
  LockStmt(lock, walk) {
    for (const range of list(lock['relations'])) walk.facts.relation(rangeName(as('RangeVar', range) ?? {}), 'lock')
    return { detail: { kind: 'lock' }, writes: true }
  },
  DoStmt: () => ({ detail: { kind: 'do' }, writes: true, ownTransaction: true }),
  CallStmt(call, walk) {
    walk.fields(call, null)
    return { detail: { kind: 'call' }, writes: true, ownTransaction: true }
  },
  LoadStmt: () => ({ detail: { kind: 'load' }, writes: true }),
}

const discards: Readonly<Record<string, 'all' | 'plans' | 'sequences' | 'temp' | undefined>> = {
  DISCARD_ALL: 'all',
  DISCARD_PLANS: 'plans',
  DISCARD_SEQUENCES: 'sequences',
  DISCARD_TEMP: 'temp',
}

function tellSet(set: Fields): Told {
  const transaction = setTransaction(set)
  if (transaction !== null) return { detail: { kind: 'transaction', transaction } }
  const change = setChange(set)
  if (change === null) throw new Error('a SET whose value cannot be followed')
  return { detail: { kind: 'set', change: Object.freeze(change) } }
}

function tellCopy(copy: Fields, walk: Walk): Told {
  const direction = copy['is_from'] === true ? 'from' : 'to'
  const end = copy['is_program'] === true ? 'program' : copy['filename'] === undefined ? 'client' : 'file'
  const relation = fields(copy['relation'])
  if (relation !== null) walk.copied(relation, direction === 'from' ? 'write' : 'read')
  walk.any(copy['query'], null)
  walk.any(copy['whereClause'], null)
  const columns = copy['attlist'] === undefined ? null : strings(copy['attlist'])
  const name = relation === null ? null : rangeName(relation)
  const detail: Detail = { kind: 'copy', direction, end, target: name, columns }
  return { detail, writes: walk.facts.writes || direction === 'from' || end !== 'client' }
}

function execution(execute: Fields, literals: LiteralIndex): Execution {
  const args = list(execute['params']).map((value) => operand(value, literals))
  return Object.freeze({ name: text(execute['name']) ?? '', args: Object.freeze(args) })
}

function tellUtility(node: Node, utility: Utility, walk: Walk): Told {
  const what = typeof utility.what === 'string' ? utility.what : utility.what(node.fields)
  const ownTransaction = utility.ownTransaction?.(node.fields) ?? false
  const access = utility.access ?? 'define'
  walk.fields(node.fields, null)
  for (const parts of listedRelations(node.tag, node.fields))
    walk.facts.relation({ schema: parts.at(-2) ?? null, name: parts.at(-1) ?? '' }, access)
  if (utility.kind === 'utility') return { detail: { kind: 'utility', what, ownTransaction }, writes: true, ownTransaction }
  const temporary = utility.creates === true && (walk.facts.temporary || namedTemporary(node.fields))
  const execute = as('ExecuteStmt', node.fields['query'])
  const executes = execute === null ? {} : { executes: execution(execute, walk.literals) }
  return { detail: { kind: 'ddl', what, temporary, ownTransaction }, writes: true, ownTransaction, ...executes }
}

// ---- details of DML

function target(statement: Fields): Name {
  return rangeName(fields(statement['relation']) ?? {})
}

/** Columns of a SET list; an assignment without a column's name makes all of it unreadable. */
function assigned(targets: readonly unknown[]): readonly string[] | null {
  const columns: string[] = []
  for (const item of targets) {
    const name = text(as('ResTarget', item)?.['name'])
    if (name === null) return null
    if (!columns.includes(name)) columns.push(name)
  }
  return Object.freeze(columns)
}

/** SELECT INTO stands in the leftmost arm of a set operation. */
function into(select: Fields): { readonly name: Name; readonly temporary: boolean } | null {
  const left = fields(select['larg'])
  const rel = fields(fields(select['intoClause'])?.['rel'])
  if (rel === null) return left === null ? null : into(left)
  return Object.freeze({ name: rangeName(rel), temporary: rel['relpersistence'] === 't' || rel['schemaname'] === 'pg_temp' })
}

function insertFacts(insert: Fields, walk: Walk): InsertFacts {
  const columns = insert['cols'] === undefined ? null : assigned(list(insert['cols']))
  const conflict = list(fields(insert['onConflictClause'])?.['targetList'])
  const rows = insertRows(insert, walk.literals)
  return Object.freeze({
    target: target(insert),
    columns,
    rows,
    selected: rows === null ? walk.selected(insert['selectStmt']) : null,
    conflictAssigns: assigned(conflict) ?? [],
  })
}

function innerWrite({ tag, fields: inner }: Node, walk: Walk): InnerWrite {
  if (tag === 'InsertStmt') {
    const insert = insertFacts(inner, walk)
    return Object.freeze({ kind: 'insert', insert, assigns: insert.conflictAssigns })
  }
  if (tag === 'UpdateStmt') return Object.freeze({ kind: 'update', insert: null, assigns: assigned(list(inner['targetList'])) })
  if (tag === 'DeleteStmt') return Object.freeze({ kind: 'delete', insert: null, assigns: [] })
  return Object.freeze({ kind: null, insert: null, assigns: null })
}

function insertRows(insert: Fields, literals: LiteralIndex): readonly (readonly Operand[])[] | null {
  const source = insert['selectStmt']
  // OVERRIDING USER VALUE: what is given for an identity column is not what is stored.
  if (source === undefined || insert['override'] === 'OVERRIDING_USER_VALUE') return Object.freeze([])
  const rows = as('SelectStmt', source)?.['valuesLists']
  if (rows === undefined) return null
  return Object.freeze(list(rows).map((row) => Object.freeze(list(as('List', row)?.['items']).map((value) => operand(value, literals)))))
}

function mergeFacts(merge: Fields, walk: Walk): { readonly assigns: AssignFacts; readonly inserts: readonly MergeInsert[] } {
  const clauses = list(merge['mergeWhenClauses']).map((clause) => as('MergeWhenClause', clause) ?? {})
  const updates = clauses.filter((clause) => clause['commandType'] === 'CMD_UPDATE').flatMap((clause) => list(clause['targetList']))
  const inserts = clauses.filter((clause) => clause['commandType'] === 'CMD_INSERT').map((clause) => mergeInsert(clause, walk))
  return { assigns: { target: target(merge), columns: assigned(updates) }, inserts: Object.freeze(inserts) }
}

function mergeInsert(clause: Fields, walk: Walk): MergeInsert {
  const columns = clause['targetList'] === undefined ? null : assigned(list(clause['targetList']))
  const told = clause['values'] !== undefined && clause['override'] !== 'OVERRIDING_USER_VALUE'
  return Object.freeze({ columns, values: told ? Object.freeze(list(clause['values']).map((value) => walk.merged(value))) : null })
}
