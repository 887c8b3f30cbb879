// test/support/answers-statements.ts — generated statements over the tables of AnswersWorld: reads of many shapes that no key puts
// on one shard, and some that one does; writes with a key and without.
import fc from 'fast-check'
import type { Question } from './answers-compare.js'

type Pick = <T>(...choices: readonly T[]) => T

interface World {
  readonly pick: Pick
  readonly values: (string | null)[]
}

/** An entry of FROM: what it reads, what makes its rows unique, what can be said about its columns. */
interface Source {
  readonly text: string
  readonly unique: readonly string[]
  readonly columns: Columns
}

interface Columns {
  readonly key: readonly string[]
  readonly whole: readonly string[]
  readonly number: readonly string[]
  readonly bytes: readonly string[]
  readonly text: readonly string[]
  readonly other: readonly string[]
}

export const questions: fc.Arbitrary<Question> = fc.gen().map((gen) => {
  const pick: Pick = (...choices) => choices[gen(fc.nat, { max: choices.length - 1 })] as never
  const world: World = { pick, values: [] }
  const make = pick(
    ...[plain, plain, plain, plain, distinct, distinctOn, grouped, grouped, grouped, totals, totals, windowed],
    ...[setOperation, setOperation, keyed, nested, write, write],
  )
  const made = make(world)
  return { ...made, values: world.values }
})

/** The same ones for the same seed. */
export function generated(seed: number, count: number): readonly Question[] {
  return fc.sample(questions, { seed, numRuns: count })
}

type Made = Omit<Question, 'values'>

// ---- tables

function commentsAs(alias: string): Source {
  const c = (name: string): string => (alias === '' ? name : `${alias}.${name}`)
  return {
    text: alias === '' ? 'comments' : `comments ${alias}`,
    unique: [c('image_id'), c('id')],
    columns: {
      key: [c('image_id')],
      whole: [
        c('id'),
        c('small'),
        `${c('id')} * 2`,
        `-${c('id')}`,
        `length(${c('author')})`,
        `cardinality(${c('tags')})`,
        `${c('image_id')} % 3`,
      ],
      number: [
        c('score'),
        c('price'),
        `${c('score')} + ${c('price')}`,
        `round(${c('price')}, 1)`,
        `${c('price')} / 3`,
        `coalesce(${c('score')}, 0)`,
      ],
      bytes: [c('author'), c('kind'), `${c('author')} || ${c('kind')}`, `coalesce(${c('author')}, '~')`, `${c('body')} COLLATE "C"`],
      text: [c('body'), `lower(${c('body')})`, `${c('mood')}::text`],
      other: [
        ...[c('at'), c('day'), c('seen'), c('tags'), c('mood'), c('weight'), c('uid'), `${c('score')} IS NULL`, `${c('at')} - ${c('at')}`],
        ...[
          `${c('day')} + 1`,
          `date_trunc('day', ${c('at')}, 'UTC')`,
          `extract(day FROM ${c('day')})`,
          `${c('tags')}[1]`,
          `NOT ${c('seen')}`,
        ],
        ...[
          `CASE WHEN ${c('id')} > 2 THEN ${c('author')} END`,
          `to_jsonb(${c('tags')})`,
          `(${c('id')}, ${c('kind')})`,
          `${c('weight')} * 2`,
        ],
      ],
    },
  }
}

function votesAs(alias: string): Source {
  const v = (name: string): string => (alias === '' ? name : `${alias}.${name}`)
  return {
    text: alias === '' ? 'votes' : `votes ${alias}`,
    unique: [v('image_id'), v('id')],
    columns: {
      key: [v('image_id')],
      whole: [v('id'), v('value'), `abs(${v('value')})`, v('comment_id'), `${v('value')} + ${v('id')}`],
      number: [`${v('value')} * 1.5`, `${v('value')}::numeric / 7`],
      bytes: [v('voter'), `upper(${v('voter')})`],
      text: [`${v('voter')} COLLATE "default"`],
      other: [v('cast_at'), `${v('cast_at')}::date`, v('took'), `${v('value')} > 0`],
    },
  }
}

function notesAs(alias: string): Source {
  return {
    text: `notes ${alias}`,
    unique: [`${alias}.tag COLLATE "C"`, `${alias}.id`],
    columns: {
      key: [`${alias}.tag COLLATE "C"`],
      whole: [`${alias}.id`],
      number: [`${alias}.n`, `${alias}.n * 3`],
      bytes: [`${alias}.body COLLATE "C"`],
      text: [`${alias}.body`, `${alias}.tag`],
      other: [`${alias}.n > 2`],
    },
  }
}

function together(left: Source, right: Source, text: string): Source {
  const of = (name: keyof Columns): readonly string[] => [...left.columns[name], ...right.columns[name]]
  return {
    text,
    unique: [...left.unique, ...right.unique],
    columns: { key: of('key'), whole: of('whole'), number: of('number'), bytes: of('bytes'), text: of('text'), other: of('other') },
  }
}

function source(world: World): Source {
  const { pick } = world
  const [c, v] = [commentsAs('c'), votesAs('v')]
  return pick(
    () => commentsAs(''),
    () => c,
    () => c,
    () => c,
    () => v,
    () => notesAs('n'),
    () => together(c, v, `comments c JOIN votes v ON v.image_id = c.image_id AND v.id ${pick('=', '<', '>')} c.id`),
    () => together(c, v, `comments c ${pick('LEFT', 'RIGHT', 'FULL', '')} JOIN votes v ON v.image_id = c.image_id AND v.id = c.id`),
    () => together(c, v, `comments c, votes v`),
    () => ({ ...c, text: `comments c JOIN countries k ON k.code = c.kind` }),
    () => ({ ...c, text: `comments c LEFT JOIN countries k ON k.code = c.kind AND k.area > 100000` }),
    () => ({ ...c, text: `(SELECT * FROM comments WHERE ${condition(world, commentsAs(''))}) c` }),
    () => ({ ...c, text: `comments c JOIN users u ON u.country = c.kind AND u.id < 3`, unique: [...c.unique, 'u.id'] }),
  )()
}

// ---- expressions

const kinds = ['key', 'whole', 'number', 'bytes', 'text', 'other'] as const

function expression(world: World, { columns }: Source): string {
  const { pick } = world
  return pick(...columns[pick(...kinds)])
}

/** What can be sorted by. */
function sortable(world: World, { columns }: Source): string {
  const { pick } = world
  return pick(...columns[pick('key', 'whole', 'number', 'bytes', 'bytes', 'other', pick('other', 'text'))])
}

function number(world: World, value: string, type = ''): string {
  if (world.pick(0, 0, 1) === 0) return value
  world.values.push(value)
  return `$${String(world.values.length)}${type}`
}

function condition(world: World, from: Source): string {
  const { pick } = world
  const { columns } = from
  const [first = ''] = columns.key
  const simple = [
    () => `${pick(...columns.whole)} ${pick('>', '<', '=', '<>', '>=')} ${pick('0', '1', '2', '3')}`,
    () => `${pick(...columns.number)} ${pick('>', '<', '<=')} ${number(world, pick('0', '1.5', '-3'), '::numeric')}`,
    () => `${pick(...columns.bytes)} ${pick('>', '<', '=', 'LIKE')} ${pick("'a%'", "'bob'", "'de'", "''")}`,
    () => `${pick(...columns.other)} IS ${pick('', 'NOT ')}NULL`,
    () => `${pick(...columns.bytes)} IN ('ann', 'bob', 'de')`,
    () => `${expression(world, from)} IS NOT NULL`,
    () => (first.includes('tag') ? `${first} > 'A'` : `${first} BETWEEN ${pick('-3', '1', '5')} AND ${pick('7', '12', '200')}`),
    () => (first.includes('tag') ? `n.tag IN ('a', 'b')` : `${first} IN (${pick('1, 2, 3', '7, 8', '-3, 0, 17, 101', '9999')})`),
    () =>
      first.includes('tag')
        ? 'true'
        : `EXISTS (SELECT 1 FROM votes w WHERE w.image_id = ${first === 'image_id' ? 'comments.image_id' : first} AND w.value > 0)`,
    () =>
      first.includes('tag')
        ? 'true'
        : `${first} ${pick('', 'NOT ')}IN (SELECT w.image_id FROM votes w WHERE w.value ${pick('> 1', 'IS NULL')})`,
  ]
  const one = pick(...simple)()
  const more = pick(0, 0, 1, 2)
  return more === 0 ? one : more === 1 ? `${one} AND ${pick(...simple)()}` : `(${one} OR ${pick(...simple)()})`
}

function where(world: World, from: Source): string {
  return world.pick('', ` WHERE ${condition(world, from)}`)
}

function direction(world: World): string {
  return world.pick('', ' DESC', ' ASC NULLS FIRST', ' DESC NULLS LAST', ' NULLS FIRST')
}

function limits(world: World): string {
  const { pick } = world
  return pick(
    () => '',
    () => ` LIMIT ${number(world, pick('3', '10', '0', '1000'))}`,
    () => ` LIMIT ${number(world, pick('3', '10'))} OFFSET ${number(world, pick('0', '2', '30', '5000'))}`,
    () => ` OFFSET ${pick('4', '40')}`,
    () => ` FETCH FIRST ${pick('5', '1')} ROWS ONLY`,
  )()
}

function targets(world: World, from: Source): readonly string[] {
  return Array.from({ length: world.pick(1, 2, 3, 5) }, () => expression(world, from))
}

// ---- statements

/** Rows, in an order that leaves no choice, in one that does, or in none. */
function plain(world: World): Made {
  const { pick } = world
  const from = source(world)
  const filter = where(world, from)
  const list = pick(true, true, false) ? targets(world, from) : ['*']
  const how = pick('none', 'total', 'total', 'ties')
  if (how === 'none') return made('rows', `SELECT ${list.join(', ')} FROM ${from.text}${filter}`)
  const keys = Array.from({ length: pick(1, 2) }, () => sortable(world, from))
  if (how === 'ties') {
    const order = keys.map((_, i) => `${String(i + 1)}${direction(world)}`).join(', ')
    const sql = `SELECT ${[...keys, ...targets(world, from)].join(', ')} FROM ${from.text}${filter} ORDER BY ${order}${limits(world)}`
    return { ...made('sort', sql), ties: keys.map((_, i) => i) }
  }
  const order = [...keys.map((key) => key + direction(world)), ...from.unique].join(', ')
  return made('sort', `SELECT ${list.join(', ')} FROM ${from.text}${filter} ORDER BY ${order}${limits(world)}`)
}

function made(kind: string, sql: string): Made {
  return { kind, sql, ties: null }
}

function distinct(world: World): Made {
  const { pick } = world
  const from = source(world)
  const list = Array.from({ length: pick(1, 1, 2) }, () => pick(expression, sortable)(world, from))
  const filter = where(world, from)
  const sql = `SELECT DISTINCT ${list.join(', ')} FROM ${from.text}${filter}`
  if (pick(true, false)) return made('distinct', sql)
  const order = list.map((_, i) => `${String(i + 1)}${direction(world)}`).join(', ')
  return { ...made('distinct', `${sql} ORDER BY ${order}${limits(world)}`), ties: list.map((_, i) => i) }
}

function distinctOn(world: World): Made {
  const { pick } = world
  const from = source(world)
  const on = sortable(world, from)
  const list = targets(world, from)
  const filter = where(world, from)
  const order = `${on}${direction(world)}, ${pick('', `${sortable(world, from)}${direction(world)}, `)}${from.unique.join(', ')}`
  return made('distinct on', `SELECT DISTINCT ON (${on}) ${list.join(', ')} FROM ${from.text}${filter} ORDER BY ${order}${limits(world)}`)
}

function aggregate(world: World, from: Source): string {
  const { pick } = world
  const { columns } = from
  const filter = pick('', '', '', ` FILTER (WHERE ${pick(...columns.whole)} > 1)`)
  return pick(
    () => `count(*)${filter}`,
    () => `count(${expression(world, from)})${filter}`,
    () => `sum(${pick(...columns.whole)})${filter}`,
    () => `sum(${pick(...columns.number)})${filter}`,
    () => `avg(${pick(...columns.number, ...columns.whole)})${filter}`,
    () => `min(${sortable(world, from)})${filter}`,
    () => `max(${sortable(world, from)})${filter}`,
    () => `bool_and(${pick(...columns.whole)} > 0)`,
    () => `bool_or(${pick(...columns.number)} > 1)${filter}`,
    () => `count(DISTINCT ${sortable(world, from)})`,
    () => `coalesce(sum(${pick(...columns.whole, ...columns.number)}), 0)`,
    () => `string_agg(${pick(...columns.bytes)}, '-' ORDER BY ${from.unique.join(', ')})`,
    () => `array_agg(${pick(...columns.whole, ...columns.number)} ORDER BY ${sortable(world, from)}, ${from.unique.join(', ')})`,
    () => pick(`stddev(${pick(...columns.number)})`, `sum(${pick(...columns.whole)}) / count(*)`, `max(${pick(...columns.whole)}) - 1`),
  )()
}

function grouped(world: World): Made {
  const { pick } = world
  const from = source(world)
  const keys = Array.from({ length: pick(1, 1, 2) }, () => (pick(0, 0, 1) === 1 ? pick(...from.columns.key) : sortable(world, from)))
  const results = Array.from({ length: pick(1, 2, 3) }, () => aggregate(world, from))
  const filter = where(world, from)
  const group = pick('names', 'numbers') === 'names' ? keys.join(', ') : keys.map((_, i) => String(i + 1)).join(', ')
  const having = pick(
    '',
    '',
    '',
    ` HAVING count(*) > ${pick('1', '3')}`,
    ` HAVING sum(${pick(...from.columns.whole)}) < 5 OR min(${pick(...from.columns.whole)}) IS NULL`,
    ` HAVING ${keys[0] ?? ''} IS NOT NULL`,
  )
  const sql = `SELECT ${[...keys, ...results].join(', ')} FROM ${from.text}${filter} GROUP BY ${group}${having}`
  const how = pick('none', 'keys', 'result')
  if (how === 'none') return made('group', sql)
  const order = keys.map((_, i) => `${String(i + 1)}${direction(world)}`).join(', ')
  if (how === 'keys') return { ...made('group', `${sql} ORDER BY ${order}${limits(world)}`), ties: keys.map((_, i) => i) }
  const at = keys.length
  const byResult = `${sql} ORDER BY ${String(at + 1)}${direction(world)}, ${order}${limits(world)}`
  return { ...made('group', byResult), ties: [at, ...keys.map((_, i) => i)] }
}

function totals(world: World): Made {
  const from = source(world)
  const results = Array.from({ length: world.pick(1, 2, 4) }, () => aggregate(world, from))
  const filter = where(world, from)
  return made('aggregate', `SELECT ${results.join(', ')} FROM ${from.text}${filter}${world.pick('', '', '', ' HAVING count(*) > 2')}`)
}

function windowed(world: World): Made {
  const { pick } = world
  const from = source(world)
  const [key = ''] = from.columns.key
  const parts = pick(key, key, key, `${key}, ${pick(...from.columns.whole)}`, pick(...from.columns.bytes))
  const call = pick('row_number()', 'rank()', `sum(${pick(...from.columns.whole)})`, `lag(${expression(world, from)})`, 'count(*)')
  const order = `${sortable(world, from)}${direction(world)}, ${from.unique.join(', ')}`
  const sql = `SELECT ${from.unique.join(', ')}, ${call} OVER (PARTITION BY ${parts} ORDER BY ${order}) FROM ${from.text}${where(world, from)}`
  return made('window', `${sql}${pick('', ` ORDER BY ${from.unique.join(', ')}${limits(world)}`)}`)
}

function setOperation(world: World): Made {
  const { pick } = world
  const [c, v] = [commentsAs('c'), votesAs('v')]
  const list = pick('key', 'keys', 'number', 'bytes')
  const of = { key: ['image_id'], keys: ['image_id', 'id'], number: ['id'], bytes: ['author'] }[list]
  const other = { key: ['image_id'], keys: ['image_id', 'id'], number: ['value'], bytes: ['voter'] }[list]
  const op = pick('UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT', 'UNION')
  const right = pick(
    () => `SELECT ${other.map((name) => `v.${name}`).join(', ')} FROM votes v${where(world, v)}`,
    () => `SELECT ${of.map((name) => `c.${name}`).join(', ')} FROM comments c${where(world, c)}`,
  )
  const sql = `SELECT ${of.map((name) => `c.${name}`).join(', ')} FROM comments c${where(world, c)} ${op} ${right()}`
  if (pick(true, false)) return made('set', sql)
  return {
    ...made('set', `${sql} ORDER BY ${of.map((_, i) => `${String(i + 1)}${direction(world)}`).join(', ')}${limits(world)}`),
    ties: of.map((_, i) => i),
  }
}

const key = (world: World): string => world.pick('7', '7', '8', '-3', '0', '100', '9999')

/** On one shard by its key: anything goes. */
function keyed(world: World): Made {
  const { pick } = world
  const k = number(world, key(world), '::bigint')
  return pick(
    () => made('key-bound', `SELECT *, weight FROM comments WHERE image_id = ${k} ORDER BY id`),
    () =>
      made(
        'key-bound',
        `SELECT body, count(*), max(weight) FROM comments WHERE image_id = ${k} GROUP BY body ORDER BY body${limits(world)}`,
      ),
    () => made('key-bound', `SELECT c.id, v.id FROM comments c JOIN votes v USING (image_id) WHERE image_id = ${k} ORDER BY c.id, v.id`),
    () => made('key-bound', `WITH x AS (SELECT * FROM comments WHERE image_id = ${k}) SELECT max(body), stddev(price) FROM x`),
    () =>
      made(
        'key-bound',
        `SELECT id, rank() OVER (ORDER BY body, id) FROM comments WHERE image_id = ${k} AND ${pick('seen', 'id > 2', 'true')} ORDER BY id`,
      ),
    () =>
      made(
        'key-bound',
        `SELECT (SELECT count(*) FROM votes v WHERE v.image_id = c.image_id), c.* FROM comments c WHERE c.image_id = ${k} ORDER BY id`,
      ),
  )()
}

/** Subqueries and common table expressions. */
function nested(world: World): Made {
  const { pick } = world
  const [c, v] = [commentsAs('c'), votesAs('v')]
  const inner = where(world, v)
  return pick(
    () =>
      made(
        'nested',
        `SELECT c.id, (SELECT count(*) FROM votes v WHERE v.image_id = c.image_id) FROM comments c${where(world, c)} ORDER BY c.image_id, c.id${limits(world)}`,
      ),
    () =>
      made(
        'nested',
        `WITH x AS (SELECT v.image_id, count(*) AS n FROM votes v${inner} GROUP BY v.image_id) SELECT ${pick('n, count(*)', 'x.n, sum(x.n)')} FROM x GROUP BY n`,
      ),
    () =>
      made(
        'nested',
        `SELECT c.image_id, c.id, x.n FROM comments c JOIN (SELECT v.image_id, sum(v.value) AS n FROM votes v${inner} GROUP BY 1) x USING (image_id)`,
      ),
    () => made('nested', `SELECT sum(n) FROM (SELECT count(*) AS n FROM votes v${inner} GROUP BY ${pick('v.image_id', 'v.voter')}) x`),
    () =>
      made(
        'nested',
        `SELECT c.id, l.id FROM comments c, LATERAL (SELECT * FROM votes v WHERE v.image_id = c.image_id ORDER BY v.id LIMIT 1) l ORDER BY c.image_id, c.id`,
      ),
    () =>
      made(
        'nested',
        `SELECT count(*) FROM comments c WHERE c.id > (SELECT avg(v.value) FROM votes v${pick('', ' WHERE v.image_id = c.image_id')})`,
      ),
    () => made('nested', `SELECT EXISTS (SELECT 1 FROM votes v${inner})`),
    () =>
      made(
        'nested',
        `SELECT DISTINCT x.author FROM (SELECT * FROM comments c${where(world, c)}${pick('', ' ORDER BY image_id, id LIMIT 5')}) x`,
      ),
  )()
}

let fresh = 1_000

/** Rows are added and taken away about as often. */
function write(world: World): Made {
  const { pick } = world
  const k = pick('7', '8', '-3', '0', '100', '11')
  const id = String(pick(1, 2, 3, 4, 20, 21, 22))
  const made = (sql: string): Made => ({ kind: 'write', sql, ties: null })
  const bound = `image_id = ${number(world, k, '::bigint')}`
  const returning = pick('', ' RETURNING *', ' RETURNING image_id, id, price')
  return pick(
    () => made(`INSERT INTO comments (image_id, id, author, price) VALUES (${k}, ${id}, 'new', 1.5)${returning}`),
    () =>
      made(
        `INSERT INTO comments (image_id, id, author, score) VALUES (${k}, ${id}, 'up', 2) ON CONFLICT (image_id, id) DO UPDATE SET score = excluded.score + 1${returning}`,
      ),
    () => made(`INSERT INTO votes (image_id, id, value) VALUES (${k}, ${id}, 1), (${pick(k, '1', '17')}, 30, 2) ON CONFLICT DO NOTHING`),
    () =>
      made(`UPDATE comments SET price = ${pick('price + 1', 'NULL', '2.25')}, body = 'changed' WHERE ${bound} AND id < ${id}${returning}`),
    () =>
      made(`UPDATE comments SET score = coalesce(score, 0) + 1 WHERE ${pick("author = 'bob'", 'id = 3', 'seen', 'image_id IN (1, 7, 8)')}`),
    () => made(`UPDATE comments SET image_id = ${pick(k, '5')} WHERE ${bound} AND id = ${id}`),
    () => made(`DELETE FROM comments WHERE ${bound} AND id = ${id}${returning}`),
    () => made(`DELETE FROM votes WHERE ${pick('id = 30', `id = ${id} AND value = 1`, 'value > 100')}`),
    () => made(`INSERT INTO votes SELECT image_id, id + 40, id FROM comments WHERE ${bound} ON CONFLICT DO NOTHING`),
    () =>
      made(
        `MERGE INTO comments c USING votes v ON v.image_id = c.image_id AND v.id = c.id AND c.${bound} WHEN MATCHED THEN UPDATE SET small = v.value`,
      ),
    () => made(`UPDATE comments c SET kind = 'xx' FROM votes v WHERE v.image_id = c.image_id AND v.id = c.id AND c.${bound}`),
    () => made(`INSERT INTO users VALUES (${String(fresh++)}, 'n', 'de', 3)`),
    () => made(`UPDATE countries SET area = coalesce(area, 0) + 1 WHERE code = 'at'`),
    () => made(`WITH d AS (DELETE FROM votes WHERE ${bound} AND id = ${id} RETURNING *) SELECT count(*) FROM d`),
  )()
}
