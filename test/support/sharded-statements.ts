// test/support/sharded-statements.ts — statements on two pairs of sharded tables, in all the ways to say, nearly say or not
// say which key is meant. Many do not even run: then both sides must fail alike.
import fc from 'fast-check'
import type { ParameterValue } from '../../src/routing/input.js'

export interface Generated {
  readonly sql: string
  readonly parameters: readonly (ParameterValue | null)[]
  readonly writes: boolean
}

type Pick = <T>(...choices: readonly T[]) => T

interface World {
  readonly pick: Pick
  readonly parameters: (ParameterValue | null)[]
  /** The family of tables: keys are numbers, or words. */
  readonly words: boolean
  depth: number
}

/** A table in FROM, and how its columns are named. */
interface Item {
  readonly text: string
  readonly names: readonly string[]
}

export const statements: fc.Arbitrary<Generated> = fc.gen().map((gen) => {
  const pick: Pick = (...choices) => choices[gen(fc.nat, { max: choices.length - 1 })] as never
  const world: World = { pick, parameters: [], words: pick(false, false, true), depth: 0 }
  const make = pick(
    ...[simple, simple, simple, joined, joined, select, select, select, withCte, setOperation, insert, update, remove, merge],
    ...[linked, linked, linked, correlated, correlated, correlated, derived, derived, derived, moved, upserted, changedBy],
  )
  const sql = make(world)
  return { sql, parameters: world.parameters, writes: /\b(INSERT|UPDATE|DELETE|MERGE)\b/.test(sql) }
})

const key = (world: World): string => (world.words ? 'tag' : 'image_id')
const table = (world: World): string => (world.words ? world.pick('notes', 'labels') : world.pick('comments', 'votes'))

// ---- values

/** Mostly one and the same key, so that statements have a chance to be about one shard. */
function number(world: World): string {
  return world.pick('7', '7', '7', '7', '8', '1', '-3', '9007199254740993')
}

function word(world: World): string {
  return world.pick('a', 'a', 'a', 'a', 'A', 'a ', 'a ', 'a     ', 'b', 'ab', 'é')
}

function value(world: World): string {
  const { pick } = world
  if (pick(0, 0, 0, 0, 1) === 0) return world.words ? `'${word(world)}'` : number(world)
  if (pick(0, 1) === 0) return parameter(world)
  return world.words ? oddWord(world, word(world)) : oddNumber(world, number(world))
}

function oddNumber(world: World, n: string): string {
  return world.pick(
    `'${n}'`,
    `' ${n} '`,
    `${n}::int8`,
    `'${n}'::int`,
    `bigint '${n}'`,
    `CAST(${n} AS integer)`,
    `(${n})`,
    `- -${n.replace('-', '')}`,
    `-(-${n.replace('-', '')})`,
    `+${n}`,
    `${n}.0`,
    `${n}.5`,
    `${n}e0`,
    `${n}::numeric`,
    `${n}::float8`,
    `${n}::real`,
    `${n}::text`,
    `'${n}'::text`,
    `${n}::text::bigint`,
    `(SELECT ${n})`,
    `${n} + 0`,
    `0x7`,
    `0b111`,
    `007`,
    `B'111'::int`,
    `NULL`,
    `NULL::bigint`,
    `true`,
    `abs(${n})`,
  )
}

function oddWord(world: World, w: string): string {
  return world.pick(
    `E'${w}'`,
    `$$${w}$$`,
    `U&'${w}'`,
    `'${w}'::text`,
    `'${w}'::varchar`,
    `'${w}'::varchar(1)`,
    `'${w}'::char(3)`,
    `'${w}'::bpchar`,
    `'${w}'::name`,
    `'${w}' COLLATE "C"`,
    `('${w}')`,
    `'${w}' || ''`,
    `lower('${w}')`,
    `(SELECT '${w}')`,
    `'a'\n'b'`,
    `E'\\x61'`,
    `U&'!0061' UESCAPE '!'`,
    `N'${w}'`,
    `7`,
    `NULL`,
    `text '${w}'`,
  )
}

/** `$n`, new or one that is there, with and without a cast; of many types, in text and binary. */
function parameter(world: World): string {
  const { pick, parameters } = world
  const again = parameters.length > 0 && pick(true, false)
  if (!again) parameters.push(world.words ? wordParameter(world) : numberParameter(world))
  const n = again ? pick(...parameters.keys()) + 1 : parameters.length
  const casts = world.words ? ['::text', '::varchar', '::char(3)', '::name'] : ['::bigint', '::int', '::numeric', '::float8', '::text']
  return `$${String(n)}${pick('', '', '', '', '', ...casts)}`
}

function numberParameter(world: World): ParameterValue | null {
  const n = number(world)
  const big = Buffer.alloc(8)
  big.writeBigInt64BE(BigInt(n))
  const small = Buffer.alloc(4)
  small.writeInt32BE(Number(BigInt.asIntN(32, BigInt(n))))
  const tiny = Buffer.alloc(2)
  tiny.writeInt16BE(Number(BigInt.asIntN(16, BigInt(n))))
  const double = Buffer.alloc(8)
  double.writeDoubleBE(Number(n))
  return world.pick<ParameterValue | null>(
    { text: n },
    { text: n },
    { text: n },
    { text: ` ${n}` },
    { text: `${n}.0` },
    { text: n, oid: 20 },
    { text: n, oid: 23 },
    { text: n, oid: 21 },
    { text: n, oid: 25 },
    { text: n, oid: 705 },
    { text: `${n}.0`, oid: 1700 },
    { text: n, oid: 701 },
    { text: n, oid: 26 },
    { binary: big, oid: 20 },
    { binary: small, oid: 23 },
    { binary: tiny, oid: 21 },
    { binary: double, oid: 701 },
    { binary: big, oid: 0 },
    { binary: small, oid: 0 },
    null,
  )
}

function wordParameter(world: World): ParameterValue | null {
  const w = word(world)
  const oid = world.pick(0, 0, 0, 25, 1043, 1042, 19, 705)
  return world.pick<ParameterValue | null>({ text: w }, { text: w, oid }, { binary: Buffer.from(w), oid }, null)
}

function list(world: World): string {
  return Array.from({ length: world.pick(1, 1, 2, 3) }, () => value(world)).join(', ')
}

function arrayOf(world: World): string {
  const { pick } = world
  const plain = world.words ? word(world) : number(world)
  const type = world.words ? pick('text', 'varchar', 'name', 'bpchar') : pick('int', 'bigint', 'numeric', 'text')
  if (pick(0, 1, 2, 3) === 0) {
    world.parameters.push({ text: pick(`{${plain}}`, `{"${plain}"}`, `{${plain},NULL}`, '{}', `{{${plain}}}`, `[0:0]={${plain}}`) })
    return `$${String(world.parameters.length)}${pick('', '', `::${type}[]`)}`
  }
  const array = pick(`ARRAY[${list(world)}]`, `'{${plain}}'`, `'{"${plain}", NULL}'`, `'{}'`)
  return `${array}${pick('', '', `::${type}[]`)}`
}

// ---- conditions

function condition(world: World, names: readonly string[]): string {
  const { pick } = world
  if (world.depth > 3) return keyed(world, names)
  world.depth++
  const made = pick(
    () => keyed(world, names),
    () => keyed(world, names),
    () => keyed(world, names),
    () => `${condition(world, names)} AND ${condition(world, names)}`,
    () => `${condition(world, names)} AND ${condition(world, names)}`,
    () => `(${condition(world, names)} OR ${condition(world, names)})`,
    () => `NOT (${condition(world, names)})`,
    () => `${pick('', 'NOT ')}EXISTS (${select(world)})`,
    () => `${ref(world, names)} ${pick('', 'NOT ')}IN (SELECT ${ref(world, [''])} FROM ${table(world)} WHERE ${keyed(world, [''])})`,
    () => plain(world, names),
    () => `(${condition(world, names)}) ${pick('IS TRUE', '= true', 'IS NOT FALSE')}`,
    () => `CASE WHEN ${condition(world, names)} THEN ${condition(world, names)} END`,
  )()
  world.depth--
  return made
}

function ref(world: World, names: readonly string[]): string {
  const name = world.pick(...names, '')
  return name === '' ? key(world) : `${name}.${key(world)}`
}

/** Says something of the key, or nearly so. */
function keyed(world: World, names: readonly string[]): string {
  const { pick } = world
  const column = ref(world, names)
  const id = column.replace(key(world), 'id')
  return pick(
    () => `${column} = ${value(world)}`,
    () => `${column} = ${value(world)}`,
    () => `${column} = ${value(world)}`,
    () => `${value(world)} = ${column}`,
    () => `${column} IN (${list(world)})`,
    () => `${column} = ANY (${arrayOf(world)})`,
    () => `${column} OPERATOR(pg_catalog.=) ${value(world)}`,
    () => `(${column}, ${id}) = (${value(world)}, 1)`,
    () => `(${id}, ${column}) IN ((1, ${value(world)}), (2, ${value(world)}))`,
    () => `ROW(${column}) = ROW(${value(world)})`,
    () => `${column} = ${ref(world, names)}`,
    () => `${column} <> ${value(world)}`,
    () => `${column} BETWEEN ${value(world)} AND ${value(world)}`,
    () => `${column} IS NOT DISTINCT FROM ${value(world)}`,
    () => `${column} NOT IN (${list(world)})`,
    () => `${column} = ALL (${arrayOf(world)})`,
    () => `${column} IS NULL`,
    () => `${column} = ${value(world)} IS NOT FALSE`,
    () => `${column}${world.words ? ' COLLATE "C"' : ' + 0'} = ${value(world)}`,
    () => `${column}::${world.words ? 'bpchar' : 'int'} = ${value(world)}`,
    () => `coalesce(${column}, ${value(world)}) = ${value(world)}`,
    () => `(SELECT ${column}) = ${value(world)}`,
  )()
}

function plain(world: World, names: readonly string[]): string {
  const name = world.pick(...names, '')
  const dot = name === '' ? '' : `${name}.`
  const other = world.words ? [`${dot}body = 'b1'`, `${dot}short = ${parameter(world)}`] : [`${dot}score > ${parameter(world)}`]
  return world.pick(`${dot}id = 1`, `${dot}id > 0`, 'true', `${dot}body = 'b1'`, ...other)
}

// ---- FROM

function from(world: World): Item {
  const { pick } = world
  if (world.depth > 2) return one(world)
  world.depth++
  const made = pick(
    () => one(world),
    () => one(world),
    () => one(world),
    () => join(world),
    () => join(world),
    () => pair(world),
    () => nested(world),
  )()
  world.depth--
  return made
}

function one(world: World): Item {
  const { pick } = world
  const name = pick(0, 0, 0, 1) === 1 ? 'countries' : table(world)
  const alias = pick('', '', 'a', 'b', 'c', 'd')
  const first = world.words ? 'b' : 'image_id'
  if (pick(0, 0, 0, 0, 0, 0, 0, 1) === 1) return { text: `${name} AS ${alias || 'e'}(${first}, id)`, names: [alias || 'e'] }
  const only = pick('', '', '', 'public.')
  return { text: `${only}${name}${alias === '' ? '' : ` ${alias}`}`, names: [alias === '' ? name : alias] }
}

function join(world: World): Item {
  const left = from(world)
  const right = from(world)
  const names = [...left.names, ...right.names]
  const kind = world.pick('JOIN', 'JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN')
  const how = world.pick(0, 0, 0, 1) === 1 ? `USING (${key(world)})` : `ON ${both(world, names)}`
  const text = `${left.text} ${kind} ${right.text} ${how}`
  const alias = world.pick('', '', '', 'j', 'a')
  return alias === '' ? { text, names } : { text: `(${text}) AS ${alias}`, names: [alias, ...(world.pick(true, false) ? names : [])] }
}

function pair(world: World): Item {
  const left = from(world)
  const right = from(world)
  return { text: `${left.text} CROSS JOIN ${right.text}`, names: [...left.names, ...right.names] }
}

function commas(world: World): Item {
  const left = from(world)
  const right = from(world)
  return { text: `${left.text}, ${right.text}`, names: [...left.names, ...right.names] }
}

function nested(world: World): Item {
  const alias = world.pick('s', 'a', 'c')
  return { text: `${world.pick('', 'LATERAL ')}(${select(world)}) ${alias}`, names: [alias] }
}

// ---- statements

/** Two or three tables, of which some are bound, here or there. */
function joined(world: World): string {
  const { pick } = world
  const literal = world.words ? `'a'` : '7'
  const bound = (): string => pick('a', 'b', 'a', 'b', 'c').concat(`.${key(world)} = ${literal}`)
  const on = pick(bound(), `${bound()} AND ${bound()}`, `a.${key(world)} = b.${key(world)}`, 'true')
  const other = pick(table(world), table(world), 'countries')
  const join = `${table(world)} a ${pick('JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN')} ${other} b ON ${on}`
  const all = pick(join, join, `(${join}) AS j, ${table(world)} a`, `(${join}) CROSS JOIN ${table(world)} c`)
  const where = pick('', ` WHERE ${bound()}`, ` WHERE ${bound()}`, ` WHERE ${bound()} AND ${bound()}`)
  return `SELECT count(*) FROM ${all}${where}`
}

// ---- keys that come from elsewhere: joins on the key, correlated subqueries, what subqueries and CTEs put out

const literalOf = (world: World): string => (world.words ? `'a'` : '7')
const anyTable = (world: World): string => world.pick(table(world), table(world), table(world), 'countries')

/** `a.k = b.k` in all the ways to say or nearly say it. */
function equal(world: World, left: string, right: string): string {
  const { pick } = world
  const k = key(world)
  const [l, r] = [pick(`${left}.${k}`, `${left}.${k}`, `${left}.${k}`, k), pick(`${right}.${k}`, `${right}.${k}`, `${right}.${k}`, k)]
  const other = world.words ? pick(`${right}.body`, `${right}.short`) : pick(`${right}.id`, `${right}.score`)
  return pick(
    `${l} = ${r}`,
    `${l} = ${r}`,
    `${l} = ${r}`,
    `${r} = ${l}`,
    `(${l}, ${left}.id) = (${r}, ${right}.id)`,
    `(${l}, 1) = (${r}, 1)`,
    `${l} OPERATOR(pg_catalog.=) ${r}`,
    `${l} IN (${r})`,
    `${l} = ANY (ARRAY[${r}])`,
    `${l} >= ${r}`,
    `${l} = ${r} OR ${left}.id = 1`,
    `NOT ${l} <> ${r}`,
    `${l} IS NOT DISTINCT FROM ${r}`,
    `${l}::text = ${r}::text`,
    `coalesce(${l}, ${literalOf(world)}) = ${r}`,
    `${l} = ${other}`,
  )
}

/** Mostly one of them is bound. */
function boundOne(world: World, names: readonly string[]): string {
  const { pick } = world
  const name = pick(...names)
  const k = `${name}.${key(world)}`
  return pick(
    `${k} = ${literalOf(world)}`,
    `${k} = ${literalOf(world)}`,
    `${k} = ${value(world)}`,
    `${k} IN (${literalOf(world)})`,
    keyed(world, names),
  )
}

function linked(world: World): string {
  const { pick } = world
  const kinds = (): string => pick('JOIN', 'JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN')
  const how = (right: string, lefts: readonly string[]): string =>
    pick(
      () => `ON ${equal(world, pick(...lefts), right)}`,
      () => `ON ${equal(world, pick(...lefts), right)}`,
      () => `ON ${equal(world, right, pick(...lefts))} AND ${boundOne(world, [...lefts, right])}`,
      () => `USING (${key(world)})`,
      () => `ON true`,
    )()
  const two = `${anyTable(world)} a ${kinds()} ${anyTable(world)} b ${how('b', ['a'])}`
  const three = pick(
    () => `${two} ${kinds()} ${anyTable(world)} c ${how('c', ['a', 'b'])}`,
    () => `${anyTable(world)} a ${kinds()} (${anyTable(world)} b ${kinds()} ${anyTable(world)} c ${how('c', ['b'])}) ${how('b', ['a'])}`,
    () => `${two}, ${anyTable(world)} c`,
    () => `${anyTable(world)} a NATURAL ${pick('', 'LEFT ')}JOIN (SELECT ${key(world)} FROM ${table(world)}) b`,
  )
  const isThree = pick(true, false)
  const from = isThree ? three() : two
  const names = ['a', 'b', ...(/\bc\b/.test(from.replaceAll('countries', '')) ? ['c'] : [])]
  const more = pick('', '', ` AND ${equal(world, pick(...names), pick(...names))}`)
  const where = pick(
    ` WHERE ${boundOne(world, names)}${more}`,
    ` WHERE ${boundOne(world, names)}${more}`,
    ` WHERE ${key(world)} = ${literalOf(world)}${more}`,
    '',
  )
  return `SELECT ${pick('count(*)', `a.${key(world)}, b.${key(world)}`, key(world), '*')} FROM ${from}${where}`
}

function correlated(world: World): string {
  const { pick } = world
  const inner = pick('b', 'b', 'b', 'a')
  const k = key(world)
  const tail = pick('', '', '', ` ORDER BY ${inner}.id, ${inner}.${k} LIMIT 1`)
  const by = pick(equal(world, inner, 'a'), equal(world, inner, 'a'), equal(world, 'a', inner), `${k} = a.${k}`)
  const from = `FROM ${table(world)} ${inner} WHERE ${by}${pick('', ` AND ${plain(world, [inner])}`)}`
  const outer = `${table(world)} a`
  const where = pick(boundOne(world, ['a']), boundOne(world, ['a']), `${k} = ${literalOf(world)}`)
  return pick(
    `SELECT a.id FROM ${outer} WHERE ${where} AND ${pick('', 'NOT ')}EXISTS (SELECT 1 ${from})`,
    `SELECT a.id FROM ${outer} WHERE ${where} AND (a.id = 1 OR EXISTS (SELECT 1 ${from}))`,
    `SELECT a.id, (SELECT count(*) ${from}) FROM ${outer} WHERE ${where}`,
    `SELECT a.id, (SELECT ${inner}.id ${from} ORDER BY 1 LIMIT 1) FROM ${outer} WHERE ${where}`,
    `SELECT a.id FROM ${outer} WHERE ${where} AND a.${k} ${pick('', '', 'NOT ')}IN (SELECT ${inner}.${k} FROM ${table(world)} ${inner}${tail})`,
    `SELECT a.id FROM ${outer} WHERE a.${k} IN (SELECT ${k} FROM ${table(world)} b WHERE ${boundOne(world, ['b'])})`,
    `SELECT a.id FROM ${outer} WHERE a.${k} = (SELECT ${k} FROM ${table(world)} b WHERE ${boundOne(world, ['b'])} ORDER BY id LIMIT 1)`,
    `SELECT a.id, x.n FROM ${outer} CROSS JOIN LATERAL (SELECT count(*) AS n ${from}) x WHERE ${where}`,
    `SELECT a.id, x.id FROM ${outer} LEFT JOIN LATERAL (SELECT ${inner}.* ${from}${tail}) x ON ${pick('true', `x.${k} = a.${k}`)} WHERE ${where}`,
    `SELECT a.id FROM ${outer} JOIN countries c ON EXISTS (SELECT 1 ${from}) WHERE ${where}`,
    `SELECT a.${k} FROM ${outer} WHERE ${where} GROUP BY a.${k} HAVING count(*) >= (SELECT count(*) ${from})`,
  )
}

/** A query that puts the key out, under some name, with or without what forbids to look into it. */
function source(world: World): { readonly text: string; readonly columns: readonly string[] } {
  const { pick } = world
  const k = key(world)
  const t = table(world)
  const name = pick(k, k, 'z')
  const as = name === k ? '' : ` AS ${name}`
  const where = pick('', '', ` WHERE ${boundOne(world, [t])}`, ` WHERE ${plain(world, [t])}`)
  const text = pick(
    () => `SELECT * FROM ${t}${where}`,
    () => `SELECT ${t}.* FROM ${t}${where}`,
    () => `SELECT ${k}${as}, id FROM ${t}${where}`,
    () => `SELECT DISTINCT ${k}${as}, id FROM ${t}${where}`,
    () => `SELECT ${k}${as}, count(*) AS id FROM ${t}${where} GROUP BY ${pick(k, k, `ROLLUP (${k})`)}`,
    () => `SELECT ${k}${as}, id FROM ${t}${where} ORDER BY ${k}, id LIMIT ${pick('1', '3', '100')}`,
    () => `SELECT ${k}${as}, row_number() OVER (ORDER BY ${k}, id) AS id FROM ${t}${where}`,
    () => `SELECT DISTINCT ON (id) ${k}${as}, id FROM ${t}${where} ORDER BY id, ${k}`,
    () =>
      `SELECT ${k}${as}, id FROM ${t}${where} ${pick('UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT')} SELECT ${k}, id FROM ${table(world)} x${pick('', ` WHERE ${boundOne(world, ['x'])}`)}`,
    () => `SELECT max(${k}) AS ${name}, 1 AS id FROM ${t}${where}`,
    () => `SELECT ${world.words ? `${k} || ''` : `${k} + 0`} AS ${name}, id FROM ${t}${where}`,
    () => `SELECT x.${k}${as}, y.id FROM ${t} x ${pick('JOIN', 'LEFT JOIN')} ${table(world)} y ON ${equal(world, 'x', 'y')}`,
    () => `SELECT ${value(world)} AS ${name}, 1 AS id`,
    () => `SELECT ${literalOf(world)} AS ${name}, id FROM countries, generate_series(1, 2) id`,
    () => `SELECT c.${k}${as}, 1 AS id FROM countries c${pick('', ` WHERE ${boundOne(world, ['c'])}`)}`,
  )()
  return { text, columns: [name, 'id'] }
}

function derived(world: World): string {
  const { pick } = world
  const { text, columns } = source(world)
  const k = key(world)
  const [name = k] = columns
  const aliases = pick('', '', '', '(z, id)')
  const column = aliases === '' ? name : 'z'
  const bound = pick(
    `d.${column} = ${literalOf(world)}`,
    `d.${column} = ${literalOf(world)}`,
    `d.${column} IN (${list(world)})`,
    'd.id > 0',
    `${column} = ${literalOf(world)}`,
  )
  const join = pick('JOIN', 'JOIN', 'LEFT JOIN', 'RIGHT JOIN')
  const whole = pick(
    (d: string) => `SELECT d.${column}, d.id FROM ${d} WHERE ${bound}`,
    (d: string) => `SELECT count(*) FROM ${d} WHERE ${bound}`,
    (d: string) => `SELECT d.id, b.id FROM ${d} ${join} ${table(world)} b ON b.${k} = d.${column} WHERE ${bound}`,
    (d: string) =>
      `SELECT d.id, b.id FROM ${table(world)} b ${join} ${d} ON b.${k} = d.${column} WHERE ${pick(bound, boundOne(world, ['b']))}`,
    (d: string) =>
      `SELECT b.id FROM ${table(world)} b WHERE ${boundOne(world, ['b'])} AND EXISTS (SELECT 1 FROM ${d} WHERE d.${column} = b.${k})`,
    (d: string) => `SELECT e.id FROM (SELECT * FROM ${d}) e WHERE e.${column} = ${literalOf(world)}`,
  )
  if (pick(true, false)) return whole(`(${text}) d${aliases}`)
  const twice = pick('', '', ` UNION ALL SELECT 1, 1 FROM w${pick('', ` WHERE w.${column} = ${literalOf(world)}`)}`)
  return `WITH w${aliases} AS ${pick('', 'MATERIALIZED ', 'NOT MATERIALIZED ')}(${text}) ${whole('w d')}${twice}`
}

/** INSERT … SELECT. */
function moved(world: World): string {
  const { pick } = world
  const { text, columns } = source(world)
  const k = key(world)
  const [name = k] = columns
  const into = pick('votes', 'votes', 'comments')
  const target = world.words ? pick('labels', 'labels', 'notes') : into
  const filter = pick('', ` WHERE d.${name} = ${literalOf(world)}`, ` WHERE d.${name} = ${literalOf(world)}`)
  const put = pick(
    `d.${name}, d.id + 100`,
    `d.${name}, 100`,
    `${value(world)}, d.id + 200`,
    `coalesce(d.${name}, ${literalOf(world)}), 100`,
  )
  const rows = pick(`SELECT ${put} FROM (${text}) d${filter}`, `SELECT ${put} FROM ${table(world)} d WHERE ${boundOne(world, ['d'])}`, text)
  const conflict = pick('', '', ' ON CONFLICT DO NOTHING')
  return `INSERT INTO ${target} (${k}, id) ${rows}${conflict}${pick('', ` RETURNING ${k}`)}`
}

/** MERGE whose source says the key. */
function upserted(world: World): string {
  const { pick } = world
  const k = key(world)
  const v = pick(literalOf(world), literalOf(world), value(world))
  const from = pick(
    `(VALUES (${v}, 1)) AS s(${k}, id)`,
    `(VALUES (${v}, 1), (${pick(literalOf(world), value(world))}, 300)) AS s(${k}, id)`,
    `(SELECT ${v} AS ${k}, ${pick('1', '300')} AS id) s`,
    `(SELECT ${k}, id + ${pick('0', '300')} AS id FROM ${table(world)} x WHERE ${boundOne(world, ['x'])}) s`,
    `${table(world)} s`,
  )
  const on = pick(
    `m.${k} = s.${k} AND m.id = s.id`,
    `(m.${k}, m.id) = (s.${k}, s.id)`,
    `m.id = s.id`,
    `m.${k} = s.${k} AND m.id = s.id AND ${boundOne(world, ['m', 's'])}`,
  )
  const put = pick(`s.${k}`, `s.${k}`, k, literalOf(world), value(world), `coalesce(s.${k}, ${literalOf(world)})`)
  const actions = [
    `WHEN MATCHED THEN UPDATE SET id = m.id + 10`,
    `WHEN MATCHED THEN DELETE`,
    `WHEN NOT MATCHED THEN INSERT (${k}, id) VALUES (${put}, s.id)`,
    `WHEN NOT MATCHED THEN INSERT (id, ${k}) VALUES (s.id, ${put})`,
    `WHEN NOT MATCHED BY SOURCE AND m.${k} = ${literalOf(world)} THEN DELETE`,
  ]
  const target = world.words ? 'notes' : 'comments'
  return `MERGE INTO ${target} m USING ${from} ON ${on} ${pick(...actions)} ${pick('', pick(...actions))}`
}

/** UPDATE and DELETE by another table. */
function changedBy(world: World): string {
  const { pick } = world
  const other = pick(`${table(world)} b`, `(${source(world).text}) b`, 'countries b')
  const where = `${equal(world, 'a', 'b')} AND ${boundOne(world, ['a', 'b'])}`
  const sub = `EXISTS (SELECT 1 FROM ${table(world)} b WHERE ${equal(world, 'b', 'a')})`
  return pick(
    `UPDATE ${table(world)} a SET id = a.id + 20 FROM ${other} WHERE ${where}`,
    `UPDATE ${table(world)} a SET id = a.id + (SELECT count(*) FROM ${table(world)} b WHERE ${equal(world, 'b', 'a')}) WHERE ${boundOne(world, ['a'])}`,
    `DELETE FROM ${table(world)} a USING ${other} WHERE ${where}`,
    `DELETE FROM ${table(world)} a WHERE ${boundOne(world, ['a'])} AND ${sub}${pick('', ' RETURNING a.id')}`,
  )
}

/** One table and one condition, so that every odd value gets its turn. */
function simple(world: World): string {
  const item = one(world)
  const column = ref(world, item.names)
  const odd = world.words ? oddWord(world, word(world)) : oddNumber(world, number(world))
  const other = world.pick(odd, odd, parameter(world))
  const where = world.pick(
    `${column} = ${other}`,
    `${other} = ${column}`,
    `${column} IN (${other}, ${value(world)})`,
    keyed(world, item.names),
  )
  return `SELECT ${world.pick('count(*)', '*')} FROM ${item.text} WHERE ${where}`
}

function select(world: World): string {
  const { pick } = world
  const item = pick(false, false, false, true) ? commas(world) : from(world)
  const where = pick(true, true, true, true, false) ? ` WHERE ${both(world, item.names)}` : ''
  const column = ref(world, item.names)
  const targets = pick(
    () => 'count(*)',
    () => column,
    () => `${column}, count(*)`,
    () => `sum(${column.replace(key(world), 'id')}), max(${column})`,
    () => `(SELECT count(*) FROM ${table(world)} WHERE ${keyed(world, [''])}), 1`,
    () => `DISTINCT ${column}`,
    () => `${column}, rank() OVER (ORDER BY ${column})`,
  )()
  const group = targets === `${column}, count(*)` ? ` GROUP BY ${column}${pick('', ` HAVING ${keyed(world, item.names)}`)}` : ''
  return `SELECT ${targets} FROM ${item.text}${where}${group}`
}

/** Often every name is bound, else nearly nothing would be compared. */
function both(world: World, names: readonly string[]): string {
  const { pick } = world
  const literal = world.words ? `'a'` : '7'
  const bound = (some: readonly string[]): string => some.map((name) => `${name}.${key(world)} = ${literal}`).join(' AND ')
  return pick(
    () => condition(world, names),
    () => `${bound(names)} AND ${condition(world, names)}`,
    () => bound(names),
    () => bound(names.filter((_, i) => i === 0 || pick(true, false))),
    () => bound([pick(...names)]),
  )()
}

function withCte(world: World): string {
  const name = world.pick('w', 'comments', 'votes', 'notes')
  return `WITH ${name} AS ${world.pick('', 'MATERIALIZED ')}(${select(world)}) ${select(world)}`
}

function setOperation(world: World): string {
  const last = one(world)
  const operation = world.pick('UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT')
  return `${select(world)} ${operation} SELECT ${ref(world, last.names)} FROM ${last.text} WHERE ${both(world, last.names)}`
}

function insert(world: World): string {
  const { pick } = world
  const into = table(world)
  const columns = pick(`(${key(world)}, id)`, `(${key(world)}, id)`, `(id, ${key(world)})`, '')
  const row = (): string => {
    const [k, id] = [value(world), pick('100', '101', '1')]
    if (columns.startsWith('(id')) return `(${id}, ${k})`
    if (columns !== '') return `(${k}, ${id})`
    return into === 'votes' ? `(${id}, ${k})` : into === 'notes' ? `('x', ${k}, ${id})` : `(${k}, ${id}, 'x')`
  }
  const source = pick(
    () => `VALUES ${row()}`,
    () => `VALUES ${row()}`,
    () => `VALUES ${row()}, ${row()}`,
    () => `SELECT ${key(world)}, id FROM ${table(world)} WHERE ${keyed(world, [''])}`,
    () => `${pick('OVERRIDING USER VALUE ', 'OVERRIDING SYSTEM VALUE ')}VALUES ${row()}`,
  )()
  const conflict = pick(
    '',
    '',
    ' ON CONFLICT DO NOTHING',
    ` ON CONFLICT (${key(world)}, id) DO UPDATE SET body = 'y'`,
    ` ON CONFLICT (${key(world)}, id) DO UPDATE SET ${key(world)} = ${value(world)}`,
  )
  const returning = pick('', ` RETURNING *`, ` RETURNING (SELECT count(*) FROM ${table(world)} WHERE ${keyed(world, [''])})`)
  return `INSERT INTO ${into} ${columns} ${source}${conflict}${returning}`
}

function update(world: World): string {
  const { pick } = world
  const target = table(world)
  const alias = pick('', 'u')
  const name = alias === '' ? target : alias
  const other = pick(true, false, false) ? one(world) : null
  const names = [name, ...(other?.names ?? [])]
  const set = pick(
    `id = 50`,
    `body = 'z'`,
    `${key(world)} = ${value(world)}`,
    `id = (SELECT count(*) FROM ${table(world)} WHERE ${keyed(world, [''])})`,
  )
  return `UPDATE ${target} ${alias} SET ${set}${other === null ? '' : ` FROM ${other.text}`} WHERE ${both(world, names)}${pick('', ' RETURNING 1')}`
}

function remove(world: World): string {
  const { pick } = world
  const target = table(world)
  const other = pick(true, false, false) ? one(world) : null
  const where = both(world, [target, ...(other?.names ?? [])])
  return `DELETE FROM ${target}${other === null ? '' : ` USING ${other.text}`} WHERE ${where}${pick('', ` RETURNING ${target}.id`)}`
}

function merge(world: World): string {
  const { pick } = world
  const target = table(world)
  const source = pick(
    () => one(world),
    () => nested(world),
  )()
  const names = ['m', ...source.names]
  const actions = [
    `WHEN MATCHED THEN UPDATE SET id = m.id + 10`,
    `WHEN MATCHED AND ${keyed(world, names)} THEN DELETE`,
    `WHEN NOT MATCHED THEN DO NOTHING`,
    `WHEN NOT MATCHED BY SOURCE THEN DELETE`,
    `WHEN NOT MATCHED BY SOURCE AND ${keyed(world, ['m'])} THEN DELETE`,
    `WHEN NOT MATCHED THEN INSERT (${key(world)}, id) VALUES (${value(world)}, 200)`,
  ]
  const chosen = pick(...actions)
  return `MERGE INTO ${target} m USING ${source.text} ON ${both(world, names)} ${chosen}${pick('', ` ${pick(...actions)}`)}`
}
