// Merging is held against the server: rows of every type that the merge knows are split over parts, each part runs its query,
// and the merged result must be, byte for byte and in both formats, what the server says of all rows together. Answers of
// which several are right (which of 1.0 and 1.00 DISTINCT keeps) are compared by number and by belonging to the table.
import fc from 'fast-check'
import pg from 'pg'
import { to as copyTo } from 'pg-copy-streams'
import t, { type Test } from 'tap'
import type { CombinedColumn, MergeSpec, SortKey } from '../../src/merge/contract.js'
import { partFormats } from '../../src/merge/formats.js'
import type { MergeColumn, Row } from '../../src/merge/merger.js'
import { generator, merge, noSpec, shown } from '../support/merging.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, { clusters: { main: {} } })
const client = new pg.Client({ connectionString: running.url(running.cluster('main').primary) })
await client.connect()
// Summer time: moments whose local times stand the other way round.
await client.query("SET TimeZone = 'Europe/Berlin'")
t.teardown(() => client.end())

const seed = Number(process.env['MERGE_SEED'] ?? 20261122)
const partCount = 3
const rowCount = 160

type Wire = 0 | 1

interface Answer {
  readonly columns: readonly MergeColumn[]
  readonly rows: Row[]
}

/** pg reads every value as text, so what is binary comes by COPY: the same bytes. */
async function ask(sql: string, format: Wire): Promise<Answer> {
  const config = { text: sql, rowMode: 'array', types: { getTypeParser: () => (value: string) => value } }
  const result = await client.query<string[]>(config as unknown as pg.QueryArrayConfig)
  const columns = result.fields.map((field) => ({ name: field.name, oid: field.dataTypeID, format }))
  if (format === 1) return { columns, rows: await copied(sql) }
  return { columns, rows: result.rows.map((row) => row.map((value: string | null) => (value === null ? null : Buffer.from(value)))) }
}

async function copied(sql: string): Promise<Row[]> {
  const chunks: Buffer[] = []
  for await (const chunk of client.query(copyTo(`COPY (${sql}) TO STDOUT (FORMAT binary)`))) chunks.push(chunk as Buffer)
  const bytes = Buffer.concat(chunks)
  const rows: Row[] = []
  let at = 19
  const value = (): Buffer | null => {
    const length = bytes.readInt32BE(at)
    at += 4 + Math.max(length, 0)
    return length < 0 ? null : bytes.subarray(at - length, at)
  }
  while (bytes.readInt16BE(at) >= 0) {
    const count = bytes.readInt16BE(at)
    at += 2
    rows.push(Array.from({ length: count }, value))
  }
  return rows
}

/** `@` in the text stands for the table. The parts run `part`, the server answers `whole`. */
interface Question {
  readonly whole: string
  readonly part?: string
  readonly spec?: Partial<MergeSpec>
}

async function both({ whole, part = whole, spec = {} }: Question, format: Wire): Promise<{ merged: Row[]; server: Row[] }> {
  const server = await ask(whole.replaceAll('@', 'whole'), format)
  const parts: Answer[] = []
  for (let index = 0; index < partCount; index++) {
    parts.push(await ask(part.replaceAll('@', `(SELECT * FROM whole WHERE part = ${index}) AS w`), format))
  }
  const columns = parts[0]!.columns
  const merged = merge({ spec, columns, client: server.columns, parts: parts.map(({ rows }) => rows), seed })
  return { merged, server: server.rows }
}

const key = (column: number, more: Partial<SortKey> = {}): SortKey => {
  const descending = more.descending ?? false
  return { column, descending, nullsFirst: descending, collation: 'bytes', ...more }
}

// ---- values

const digits = (least: number, most: number): fc.Arbitrary<string> =>
  fc.array(fc.integer({ min: 0, max: 9 }), { minLength: least, maxLength: most }).map((all) => all.join(''))
const numeric = fc.oneof(
  fc.constantFrom(
    'NaN',
    'Infinity',
    '-Infinity',
    '0',
    '-0.00',
    '1.0',
    '1.00',
    '1',
    '1e100',
    '-1e100',
    '1e-100',
    '10000',
    '9999',
    '0.0001',
    '99999999',
  ),
  fc
    .tuple(fc.constantFrom('', '-'), digits(1, 30), digits(0, 50))
    .map(([sign, whole, part]) => `${sign}${whole}${part === '' ? '' : `.${part}`}`),
  fc
    .tuple(fc.constantFrom('', '-'), digits(1, 3), digits(0, 2))
    .map(([sign, whole, part]) => `${sign}${whole}${part === '' ? '' : `.${part}`}`),
)
const whole = (low: bigint, high: bigint): fc.Arbitrary<string> =>
  fc.oneof(fc.constantFrom(low, high, 0n, 1n, 10n, 9n), fc.bigInt(low, high), fc.bigInt(low < 0n ? -20n : 0n, 20n)).map(String)
const float = (maximum: string): fc.Arbitrary<string> =>
  fc.oneof(
    fc.constantFrom('NaN', 'Infinity', '-Infinity', '0', '-0', '1e-30', maximum, `-${maximum}`, '0.1', '123456789'),
    fc
      .float({ noDefaultInfinity: true, noNaN: true, min: Math.fround(-1e30), max: Math.fround(1e30) })
      .map((value) => (Math.abs(value) < 1e-30 ? '0' : String(value))),
    fc.integer({ min: -5, max: 5 }).map(String),
  )
const two = (high: number): fc.Arbitrary<string> => fc.integer({ min: 0, max: high }).map((value) => String(value).padStart(2, '0'))
const clock = fc
  .tuple(two(23), two(59), two(59), fc.constantFrom('', '.5', '.000001', '.999999', '.120000'))
  .map(([h, m, s, f]) => `${h}:${m}:${s}${f}`)
const day = fc
  .tuple(
    fc.oneof(fc.integer({ min: 1, max: 9999 }), fc.integer({ min: 1999, max: 2001 })),
    fc.integer({ min: 1, max: 12 }),
    fc.integer({ min: 1, max: 28 }),
  )
  .map(([y, m, d]) => `${String(y).padStart(4, '0')}-${String(m).padStart(2, '0')}-${String(d).padStart(2, '0')}`)
const zone = fc.constantFrom('+00', '-11', '+05:30', '+13:45', '-00:00:01', '+15:59:59')
const ancient = fc.constantFrom('0001', '0044', '4712', '0999').map((year) => `${year}-03-20`)
const clean = fc.tuple(day, clock, zone).map(([d, c, z]): [string, string, string, string] => [d, c, z, ''])
const bc = fc.tuple(ancient, clock, zone).map(([d, c, z]): [string, string, string, string] => [d, c, z, ' BC'])
const moment = (show: (day: string, clock: string, zone: string) => string): fc.Arbitrary<string> =>
  fc.oneof(clean, clean, bc).map(([d, c, z, era]) => show(d, c, z) + era)
const letters = fc.array(
  fc.constantFrom('a', 'B', 'b', ' ', 'ä', 'é', '€', '𐍈', '\uffff', '_', '-', '0', '"', '\\', ',', '{', 'NULL', '\n'),
  { maxLength: 6 },
)
const hex = (least: number, most: number): fc.Arbitrary<string> =>
  fc.uint8Array({ minLength: least, maxLength: most }).map((bytes) => Buffer.from(bytes).toString('hex'))
const interval = fc.oneof(
  fc.constantFrom(
    'infinity',
    '-infinity',
    '0',
    '1 month',
    '30 days',
    '29 days 24:00:00',
    '-1 month +1 day',
    '1 year -1 day',
    '00:00:00.000001',
    '720:00:00',
  ),
  fc
    .tuple(fc.integer({ min: -40, max: 40 }), fc.integer({ min: -70, max: 70 }), fc.constantFrom('', '-', '+'), clock)
    .map(([months, days, sign, time]) => `${months} months ${days} days ${sign}${time}`),
)
const address = fc.oneof(
  fc
    .tuple(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.constantFrom('', '/8', '/24', '/31', '/0'))
    .map(([a, bits]) => `${a.join('.')}${bits}`),
  fc.constantFrom(
    '10.0.0.0/8',
    '10.0.0.1',
    '10.0.0.0/9',
    '10.0.0.0',
    '::',
    '::1',
    '::ffff:1.2.3.4',
    '2001:db8::1/64',
    '2001:db8::/32',
    'fe80::1:0:0:1/10',
    '1::',
  ),
)
const network = fc.constantFrom(
  '10.0.0.0/8',
  '10.0.0.0/9',
  '10.1.0.0/16',
  '0.0.0.0/0',
  '192.168.1.0/24',
  '::/0',
  '2001:db8::/32',
  '2001:db8::/33',
  '1.2.3.4/32',
)
const listOf = (element: fc.Arbitrary<string>): fc.Arbitrary<string> => {
  const quoted = fc.option(element, { freq: 5 }).map((value) => (value === null ? 'NULL' : JSON.stringify(value)))
  const flat = fc.array(quoted, { maxLength: 4 }).map((all) => `{${all.join(',')}}`)
  const bounded = fc
    .tuple(fc.integer({ min: -1, max: 1 }), fc.array(quoted, { minLength: 1, maxLength: 3 }))
    .map(([low, all]) => `[${low}:${low + all.length - 1}]={${all.join(',')}}`)
  const square = fc.tuple(quoted, quoted, quoted, quoted).map(([a, b, c, d]) => `{{${a},${b}},{${c},${d}}}`)
  return fc.oneof(flat, flat, bounded, square)
}

interface Sort {
  readonly type: string
  readonly values: fc.Arbitrary<string>
  /** Not to be had in text. */
  readonly binaryOnly?: true
}

const text = letters.map((all) => all.join(''))
const types: readonly Sort[] = [
  { type: 'bool', values: fc.constantFrom('t', 'f') },
  { type: 'int2', values: whole(-32768n, 32767n) },
  { type: 'int4', values: whole(-2147483648n, 2147483647n) },
  { type: 'int8', values: whole(-(2n ** 63n), 2n ** 63n - 1n) },
  { type: 'oid', values: whole(0n, 2n ** 32n - 1n) },
  { type: 'float4', values: float('3.4028235e38') },
  { type: 'float8', values: float('1.7976931348623157e308') },
  { type: 'numeric', values: numeric },
  { type: 'text COLLATE "C"', values: text },
  { type: 'varchar(9) COLLATE "C"', values: text.map((value) => Array.from(value).slice(0, 9).join('')) },
  { type: 'char(4) COLLATE "C"', values: letters.map((all) => all.slice(0, 3).join('').slice(0, 3).trimEnd()) },
  { type: 'name', values: text },
  { type: '"char"', values: fc.constantFrom('a', 'b', 'Z', '~', '\\200', '\\377', '', ' ') },
  { type: 'bytea', values: hex(0, 4).map((value) => `\\x${value}`) },
  { type: 'uuid', values: fc.oneof(fc.uuid(), hex(16, 16)) },
  {
    type: 'date',
    values: fc.oneof(
      fc.constantFrom('infinity', '-infinity', '5874897-12-31', '4713-01-01 BC'),
      moment((d) => d),
    ),
  },
  { type: 'time', values: fc.oneof(fc.constantFrom('24:00:00', '00:00:00'), clock) },
  {
    type: 'timetz',
    values: fc.oneof(
      fc.constantFrom('12:00:00+00', '13:00:00+01', '11:00:00-01', '17:30:00+05:30'),
      fc.tuple(clock, zone).map((all) => all.join('')),
    ),
  },
  {
    type: 'timestamp',
    values: fc.oneof(
      fc.constantFrom('infinity', '-infinity', '294276-12-31 23:59:59.999999'),
      moment((d, c) => `${d} ${c}`),
    ),
  },
  {
    type: 'timestamptz',
    values: fc.oneof(
      fc.constantFrom(
        'infinity',
        '-infinity',
        '294270-01-01 00:00:00+00',
        '2024-10-27 00:30:00+00',
        '2024-10-27 01:15:00+00',
        '2024-10-27 00:59:59.5+00',
      ),
      moment((d, c, z) => `${d} ${c}${z}`),
    ),
  },
  { type: 'interval', values: interval },
  { type: 'inet', values: address },
  { type: 'cidr', values: network },
  { type: 'macaddr', values: hex(6, 6) },
  { type: 'macaddr8', values: hex(8, 8) },
  { type: 'bit(9)', values: fc.integer({ min: 0, max: 511 }).map((value) => value.toString(2).padStart(9, '0')) },
  { type: 'varbit', values: fc.array(fc.constantFrom('0', '1'), { maxLength: 12 }).map((all) => all.join('')) },
  { type: 'pg_lsn', values: fc.constantFrom('0/0', '0/A', '1/0', 'FFFFFFFF/FFFFFFFF', '0/FFFFFFFF', '16/B374D848') },
  { type: 'money', values: fc.constantFrom('0', '-1.50', '1.50', '92233720368547758.07', '-3'), binaryOnly: true },
  { type: 'int4[]', values: listOf(whole(-100n, 100n)) },
  { type: 'text[] COLLATE "C"', values: listOf(text.filter((value) => !value.includes('\n'))) },
  { type: 'numeric[]', values: listOf(numeric) },
  { type: 'float8[]', values: listOf(float('1e300')) },
  { type: 'timestamptz[]', values: listOf(fc.tuple(day, clock, zone).map(([d, c, z]) => `${d} ${c}${z}`)) },
]

/** A table of rows over all parts, groups 0 to 4 (and NULL), a tenth of the values NULL; one part has fewer rows than the others. */
async function fill(type: string, values: fc.Arbitrary<string>): Promise<void> {
  const random = generator(seed)
  const sample = fc.sample(values, { seed, numRuns: rowCount })
  await client.query(`DROP TABLE IF EXISTS whole; CREATE TEMP TABLE whole (part int, id int, g int, v ${type})`)
  await client.query({
    text: `INSERT INTO whole SELECT p, i, NULLIF(g, 5), v::${type.replace(/ COLLATE.*/, '')} FROM unnest($1::int[], $2::int[], $3::int[], $4::text[]) AS u (p, i, g, v)`,
    values: [
      sample.map(() => Math.min(random(2 * partCount - 1), partCount - 1)),
      sample.map((_, index) => index),
      sample.map(() => random(6)),
      sample.map((value) => (random(10) === 0 ? null : value)),
    ],
  })
}

for (const { type, values, binaryOnly } of types) {
  t.test(type, async (t) => {
    await fill(type, values)
    for (const format of binaryOnly ? ([1] as const) : ([0, 1] as const)) {
      for (const [words, more] of [
        ['v', {}],
        ['v DESC', { descending: true }],
        ['v NULLS FIRST', { nullsFirst: true }],
        ['v DESC NULLS LAST', { descending: true, nullsFirst: false }],
      ] as const) {
        const { merged, server } = await both(
          { whole: `SELECT v, id FROM @ ORDER BY ${words}, id`, spec: { order: [key(0, more), key(1)] } },
          format,
        )
        t.strictSame(shown(merged), shown(server), `ORDER BY ${words}, format ${format}`)
      }
      const limited = await both(
        {
          whole: 'SELECT id FROM @ ORDER BY v, id LIMIT 20 OFFSET 13',
          part: 'SELECT id, v FROM @ ORDER BY v, id LIMIT 33',
          spec: { order: [key(1), key(0)], hidden: 1, limit: { kind: 'value', value: 20n }, offset: { kind: 'value', value: 13n } },
        },
        format,
      )
      t.strictSame(shown(limited.merged), shown(limited.server), `LIMIT and OFFSET, format ${format}`)
      await distinct(t, format)
      await extremes(t, format, type)
    }
  })
}

async function distinct(t: Test, format: Wire): Promise<void> {
  const all = new Set(shown((await ask('SELECT v FROM whole', format)).rows))
  for (const [order, adjacent] of [
    ['', false],
    ['ORDER BY v', true],
  ] as const) {
    const { merged, server } = await both(
      {
        whole: `SELECT DISTINCT v FROM @ ${order}`,
        spec: { order: order === '' ? [] : [key(0)], distinct: { keys: null, collation: 'bytes', adjacent } },
      },
      format,
    )
    t.equal(merged.length, server.length, `DISTINCT ${order}, format ${format}`)
    t.ok(shown(merged).every((row) => all.has(row)))
  }
  const on = await both(
    {
      whole: 'SELECT DISTINCT ON (v) id FROM @ ORDER BY v, id',
      part: 'SELECT DISTINCT ON (v) id, v FROM @ ORDER BY v, id',
      spec: {
        hidden: 1,
        order: [key(1), key(0)],
        distinct: { keys: [{ column: 1, collation: 'bytes' }], collation: 'bytes', adjacent: true },
      },
    },
    format,
  )
  t.strictSame(shown(on.merged), shown(on.server), `DISTINCT ON, format ${format}`)
  const keys = [{ column: 0, collation: 'deterministic' }] as const
  const groups = await both(
    {
      whole: 'SELECT count(*), min(id), count(DISTINCT g) FROM @ GROUP BY v ORDER BY min(id)',
      part: 'SELECT v, count(*), min(id), g FROM @ GROUP BY v, g',
      spec: {
        group: {
          keys,
          columns: [
            { kind: 'count', column: 1 },
            { kind: 'min', column: 2, collation: 'unknown' },
            { kind: 'countDistinct', column: 3, collation: 'unknown' },
          ],
        },
        partsSorted: false,
        order: [key(1)],
        output: [0, 1, 2],
        described: 'original',
      },
    },
    format,
  )
  t.strictSame(shown(groups.merged), shown(groups.server), `GROUP BY, format ${format}`)
  const counted = await both(
    {
      whole: 'SELECT g, count(DISTINCT v) FROM @ GROUP BY g ORDER BY g DESC NULLS LAST',
      part: 'SELECT g, v FROM @ GROUP BY g, v ORDER BY g DESC NULLS LAST',
      spec: {
        group: {
          keys: [{ column: 0, collation: 'unknown' }],
          columns: [
            { kind: 'key', column: 0 },
            { kind: 'countDistinct', column: 1, collation: 'deterministic' },
          ],
        },
        order: [key(0, { descending: true, nullsFirst: false })],
        output: [0, 1],
        described: 'original',
      },
    },
    format,
  )
  t.strictSame(shown(counted.merged), shown(counted.server), `count(DISTINCT), format ${format}`)
}

/** min and max, where the type has them; several texts of one value are right, so the server compares. */
async function extremes(t: Test, format: Wire, type: string): Promise<void> {
  if (/^(bool|uuid|"char"|name|cidr|macaddr|macaddr8|bit|varbit|bytea)/.test(type)) return
  const columns: CombinedColumn[] = [
    { kind: 'min', column: 0, collation: 'bytes' },
    { kind: 'max', column: 1, collation: 'bytes' },
  ]
  const question = {
    whole: 'SELECT min(v), max(v) FROM @',
    spec: { group: { keys: [], columns }, output: [0, 1], described: 'original' },
  } as const
  const { merged, server } = await both(question, format)
  if (/^(numeric|float|interval|timetz|timestamptz\[)/.test(type)) {
    t.equal(merged.length, 1)
    if (format === 1) return
    const cast = type.replace(/ COLLATE.*/, '')
    const values = [...merged[0]!, ...server[0]!].map((value) => Buffer.from(value!).toString())
    const same = await client.query(`SELECT $1::${cast} = $3::${cast} AND $2::${cast} = $4::${cast} AS same`, values)
    t.equal(same.rows[0].same, true, `min and max, format ${format}`)
  } else t.strictSame(shown(merged), shown(server), `min and max, format ${format}`)
}

// ---- sums

const sums = [
  { type: 'int2', values: whole(-32768n, 32767n), avg: true },
  { type: 'int4', values: whole(-2147483648n, 2147483647n), avg: true },
  { type: 'int8', values: whole(-(2n ** 63n), 2n ** 63n - 1n), avg: true },
  { type: 'numeric', values: numeric, avg: true },
  { type: 'numeric', values: numeric.filter((value) => !/[Nf]/.test(value)), avg: true },
  { type: 'numeric(12,4)', values: fc.integer({ min: -9e7, max: 9e7 }).map((value) => `${value}.${Math.abs(value) % 10_000}`), avg: true },
  { type: 'interval', values: interval.filter((value) => !value.includes('inf')), avg: false },
]

for (const [number, { type, values, avg }] of sums.entries()) {
  t.test(`sum and avg of ${type} (${number})`, async (t) => {
    await fill(type, values)
    const divided: CombinedColumn = avg ? { kind: 'avg', sum: 2, count: 1 } : { kind: 'count', column: 1 }
    const columns: CombinedColumn[] = [{ kind: 'key', column: 0 }, { kind: 'count', column: 1 }, { kind: 'sum', column: 2 }, divided]
    const last = avg ? 'avg(v)' : 'count(v)'
    for (const format of [0, 1] as const) {
      const grouped = await both(
        {
          whole: `SELECT g, count(v), sum(v), ${last} FROM @ GROUP BY g ORDER BY g`,
          part: 'SELECT g, count(v), sum(v) FROM @ GROUP BY g',
          spec: {
            group: { keys: [{ column: 0, collation: 'unknown' }], columns },
            partsSorted: false,
            order: [key(0)],
            output: [0, 1, 2, 3],
            described: 'original',
          },
        },
        format,
      )
      t.strictSame(shown(grouped.merged), shown(grouped.server), `by g, format ${format}`)
      for (const filter of ['true', 'id = 7', 'false', 'id % 2 = 0', 'v IS NULL', 'id < 3']) {
        const alone = await both(
          {
            whole: `SELECT count(v), sum(v), ${last} FROM @ WHERE ${filter}`,
            part: `SELECT 1, count(v), sum(v) FROM @ WHERE ${filter}`,
            spec: { group: { keys: [], columns: columns.slice(1) }, output: [0, 1, 2], described: 'original' },
          },
          format,
        )
        t.strictSame(shown(alone.merged), shown(alone.server), `WHERE ${filter}, format ${format}`)
      }
    }
  })
}

t.test('averages of few numbers, of every size: the scale that division chooses', async (t) => {
  const spread = fc
    .tuple(fc.constantFrom('', '-'), digits(1, 4), fc.integer({ min: -40, max: 40 }), fc.integer({ min: 0, max: 12 }))
    .map(([sign, all, exponent]) => `${sign}${all}e${exponent}`)
  await fill('numeric', spread)
  for (let modulus = 2; modulus < 40; modulus++) {
    const { merged, server } = await both(
      {
        whole: `SELECT id % ${modulus}, avg(v), sum(v) FROM @ GROUP BY 1 ORDER BY 1`,
        part: `SELECT id % ${modulus}, sum(v), count(v) FROM @ GROUP BY 1 ORDER BY 1`,
        spec: {
          group: {
            keys: [{ column: 0, collation: 'unknown' }],
            columns: [
              { kind: 'key', column: 0 },
              { kind: 'avg', sum: 1, count: 2 },
              { kind: 'sum', column: 1 },
            ],
          },
          order: [key(0)],
          output: [0, 1, 2],
          described: 'original',
        },
      },
      modulus % 2 === 0 ? 0 : 1,
    )
    t.strictSame(shown(merged), shown(server), `modulus ${modulus}`)
  }
})

t.test('bool_and, bool_or', async (t) => {
  await fill('bool', fc.constantFrom('t', 't', 't', 't', 'f'))
  for (const format of [0, 1] as const) {
    for (const modulus of [2, 7, 50]) {
      const { merged, server } = await both(
        {
          whole: `SELECT id % ${modulus}, bool_and(v), bool_or(v) FROM @ GROUP BY 1 ORDER BY 1`,
          spec: {
            group: {
              keys: [{ column: 0, collation: 'unknown' }],
              columns: [
                { kind: 'key', column: 0 },
                { kind: 'and', column: 1 },
                { kind: 'or', column: 2 },
              ],
            },
            order: [key(0)],
            output: [0, 1, 2],
            described: 'original',
          },
        },
        format,
      )
      t.strictSame(shown(merged), shown(server), `modulus ${modulus}, format ${format}`)
    }
  }
})

// ---- arrays and texts

for (const { type, values } of [
  { type: 'text COLLATE "C"', values: text },
  { type: 'numeric', values: numeric },
  { type: 'timestamptz', values: fc.tuple(day, clock, zone).map(([d, c, z]) => `${d} ${c}${z}`) },
]) {
  t.test(`array_agg and string_agg of ${type}`, async (t) => {
    await fill(type, values)
    const isText = type.startsWith('text')
    for (const format of [0, 1] as const) {
      const { merged, server } = await both(
        {
          whole: `SELECT g, array_agg(v ORDER BY v DESC, id), ${isText ? "string_agg(v, ', ' ORDER BY v DESC, id)" : 'count(v)'} FROM @ GROUP BY g ORDER BY g`,
          part: `SELECT g, array_agg(v ORDER BY v DESC, id), array_agg(id ORDER BY v DESC, id), count(v) FROM @ GROUP BY g ORDER BY g`,
          spec: {
            group: {
              keys: [{ column: 0, collation: 'unknown' }],
              columns: [
                { kind: 'key', column: 0 },
                { kind: 'list', column: 1, order: [key(1, { descending: true }), key(2)], separator: null },
                isText
                  ? { kind: 'list', column: 1, order: [key(1, { descending: true }), key(2)], separator: ', ' }
                  : { kind: 'count', column: 3 },
              ],
            },
            order: [key(0)],
            output: [0, 1, 2],
            described: 'original',
          },
        },
        format,
      )
      t.strictSame(shown(merged), shown(server), `format ${format}`)
    }
  })
}

t.test('formats: what goes through as the client asks, the rest in binary', async (t) => {
  const spec: MergeSpec = {
    ...noSpec,
    group: {
      keys: [{ column: 0, collation: 'unknown' }],
      columns: [
        { kind: 'key', column: 0 },
        { kind: 'avg', sum: 1, count: 2 },
        { kind: 'max', column: 3, collation: 'bytes' },
      ],
    },
    output: [0, 2, 1],
  }
  t.same(partFormats(spec, 4, [0, 0, 0]), [0, 1, 1, 0])
  t.same(partFormats({ ...noSpec, hidden: 2 }, 5, [0, 1, 0]), [0, 1, 0, 1, 1])
})
