// test/support/moving-rows.ts — statements that change a shard key, asked of a sharded table and of one on a single server with the same
// rows. `@` is the table, `#a` and `#b` are keys of two clusters, `#c` is a second one of a's.

/** A table with columns of all kinds. */
export function kinds(table: string): string {
  return `CREATE TABLE ${table} (id bigint NOT NULL, seq int GENERATED ALWAYS AS IDENTITY, gone int, word varchar(8) DEFAULT 'none',
    amount numeric(8, 2), half numeric, mood mood, size size, tags text[], doc jsonb, raw bytea, at timestamptz DEFAULT '2001-01-01',
    due interval, wide float8, ok boolean, code char(4) COLLATE "C", "Odd Name" text, u uuid, j json, ip inet, span int4range, moods mood[],
    twice numeric GENERATED ALWAYS AS (amount * 2) STORED, next bigint GENERATED ALWAYS AS (id + 1) VIRTUAL,
    CONSTRAINT ${table}_small CHECK (amount < 1000), UNIQUE (id, word)); ALTER TABLE ${table} DROP COLUMN gone;`
}

export const types = `CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE DOMAIN size AS int CHECK (value > 0);`

/** Tables with keys of other kinds, and those that do not move. */
export const others = `CREATE TABLE pairs (id bigint, region text, n int, PRIMARY KEY (id, region));
  CREATE TABLE spans (id bigint PRIMARY KEY, n int); CREATE TABLE lands (land text PRIMARY KEY, n int);
  CREATE TABLE bases (id bigint, region text, PRIMARY KEY (id, region));
  CREATE TABLE lines (id bigint, region text, n int, FOREIGN KEY (id, region) REFERENCES bases (id, region));
  CREATE TABLE fired (id bigint PRIMARY KEY); CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
  CREATE TRIGGER fire BEFORE INSERT ON fired FOR EACH ROW EXECUTE FUNCTION fire();
  CREATE TABLE guarded (id bigint PRIMARY KEY); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
  CREATE TABLE ruled (id bigint PRIMARY KEY); CREATE RULE r AS ON DELETE TO ruled DO INSTEAD NOTHING;
  CREATE TABLE parted (id bigint PRIMARY KEY) PARTITION BY HASH (id); CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 1, REMAINDER 0);
  CREATE TABLE mixed (id bigint PRIMARY KEY, whole lands); CREATE TABLE named (id bigint PRIMARY KEY, regard regclass);
  CREATE FUNCTION counted() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM pg_catalog.pg_class';
  CREATE TABLE checked_by (id bigint PRIMARY KEY, CHECK (counted() > 0));
  CREATE TABLE other_unique (id bigint, code int UNIQUE); CREATE TABLE refers (id bigint PRIMARY KEY, code int REFERENCES other_unique (code));`

/** Sharded by `id`, and refused. */
export const still: readonly string[] = ['fired', 'guarded', 'ruled', 'parted', 'mixed', 'named', 'checked_by', 'other_unique', 'refers']

/** Four rows of each key. */
export function rowsOf(keys: readonly number[]): string {
  const rows = keys.flatMap((key, k) =>
    [1, 2, 3, 4].map((n) => {
      const seq = 1000 + 10 * k + n
      return `(${String(key)}, ${String(seq)}, 'w${String(k)}${String(n)}', ${String(n)}.50, ${String(n)}::numeric / 3, 'glad', ${String(n)}, '{a,"b c",NULL}',
       '{"n": ${String(n)}}', '\\x00ff27', '2024-02-29 12:00:00.123456+03', '1 mon -2 days 03:04:05.6', 0.1::float8 + ${String(n)}e-17, NULL, 'c', 'it''s',
       '11111111-1111-1111-1111-111111111111', '{"b" : 1,  "a": 2}', '10.0.0.1/24', '[1,5)', '{glad,sad}')`
    }),
  )
  return `INSERT INTO @ (id, seq, word, amount, half, mood, size, tags, doc, raw, at, due, wide, ok, code, "Odd Name", u, j, ip, span, moods)
    OVERRIDING SYSTEM VALUE VALUES ${rows.join(', ')}`
}

export interface Asked {
  readonly sql: string
  /** `#a` stands for the key itself. */
  readonly values?: readonly unknown[]
}

/** Answered as by one server. */
export const answered: readonly Asked[] = [
  { sql: "UPDATE @ SET id = #b WHERE id = #a AND word = 'w01'" },
  { sql: 'UPDATE @ SET id = #b WHERE id = #a AND amount > 900 RETURNING *' },
  { sql: 'UPDATE @ SET id = #a WHERE id = #b RETURNING *' },
  {
    sql: 'UPDATE @ SET id = #b, amount = amount + half, word = word || code WHERE id = #a AND amount > 2 RETURNING id, amount, word, twice, next AS "Next", 1 + 1',
  },
  {
    sql: 'UPDATE @ AS t SET id = #a, "Odd Name" = upper(t."Odd Name") || t.tags[2] WHERE t.id = #b AND t.word LIKE \'%c\' RETURNING t.*, t.id + 1',
  },
  {
    sql: 'UPDATE public.@ SET id = #b, (half, amount) = ROW (id, 7.005), ok = amount = 1.5, (wide, word) = (DEFAULT, DEFAULT) WHERE @.id = #a AND size = 1 RETURNING @.word, half, amount, ok, wide, next',
  },
  {
    sql: "UPDATE @ SET id = #a, mood = 'sad', size = size + 1, tags = tags || 'd'::text, doc = doc || '{\"m\": 1}', due = due * 2, at = at + interval '1 day' WHERE id = #b RETURNING mood, moods, size, tags, doc, due, at, j, raw",
  },
  { sql: "UPDATE @ SET id = '#b' WHERE id = #a AND (word = 'none' OR amount < 1) AND true" },
  { sql: 'UPDATE ONLY @ SET id = #a, next = DEFAULT WHERE id IN (#b) RETURNING next' },
  { sql: 'UPDATE @ SET id = #b WHERE id IN (#a, #c) RETURNING id, seq' },
  { sql: 'UPDATE @ SET id = #c WHERE id IN (#b, #a) RETURNING id, seq' },
  { sql: 'UPDATE @ SET id = #b WHERE id IN (#a, #b, #c) AND amount < 4 RETURNING seq, word' },
  { sql: 'UPDATE @ SET id = #c, half = half + 1 WHERE id IN (#b, #c) RETURNING seq, half, mood' },
  { sql: 'UPDATE @ SET id = #b WHERE id = #c AND amount < 4' },
  { sql: 'UPDATE @ SET id = #b WHERE id = #b AND amount < 4 RETURNING seq' },
  { sql: 'UPDATE @ SET id = #c WHERE id = #a' },
  { sql: 'UPDATE @ SET id = #a WHERE id = #b RETURNING seq', values: [] },
  { sql: 'UPDATE @ SET id = $2 WHERE id = $1 RETURNING id, word', values: ['#a', '#b'] },
  {
    sql: 'UPDATE @ SET id = $1, amount = $3, word = $4 || word, tags = $5 WHERE id = $2 AND amount > $6 RETURNING *, $7::text AS said',
    values: ['#a', '#b', '12.345', 'x', ['p', 'q'], '3', 'hello'],
  },
  { sql: 'UPDATE @ SET id = $1 WHERE id = $2 AND ok = $3 RETURNING id', values: ['#a', '#b', true] },
  {
    sql: 'UPDATE @ SET id = $1, ok = $3, doc = $4, u = $5 WHERE id = $2',
    values: ['#a', '#b', null, '{"z":[1]}', '22222222-2222-2222-2222-222222222222'],
  },
  // Types that each server numbers for itself.
  {
    sql: 'UPDATE @ SET id = $1, mood = $3, size = $4, moods = $5 WHERE id = $2 AND mood = $6 RETURNING seq, mood, size',
    values: ['#b', '#a', 'sad', '7', '{sad}', 'glad'],
  },
  { sql: 'UPDATE @ SET id = $1, mood = $3 WHERE id = $2 AND size = $4 RETURNING seq, mood', values: ['#a', '#b', 'glad', '7'] },
  // Errors, in the server's own words.
  { sql: 'UPDATE @ SET id = #b, amount = 5000 WHERE id = #a' },
  { sql: "UPDATE @ SET id = #b, word = 'far too long' WHERE id = #a" },
  { sql: "UPDATE @ SET id = #b, word = 'same' WHERE id = #a" },
  { sql: 'UPDATE @ SET id = #b, size = size - 100 WHERE id = #a' },
  { sql: 'UPDATE @ SET id = #b, amount = amount / 0 WHERE id = #a' },
  { sql: 'UPDATE @ SET id = #b, seq = 5 WHERE id = #a' },
  { sql: 'UPDATE @ SET id = #b, twice = 5 WHERE id = #a' },
  { sql: 'UPDATE @ SET id = #b, amount = word WHERE id = #a' },
  { sql: 'UPDATE @ SET id = #b, none = 1 WHERE id = #a' },
  { sql: 'UPDATE @ SET id = #b, amount = count(*) WHERE id = #a' },
  { sql: 'UPDATE @ SET id = #b, amount = generate_series(1, 3) WHERE id = #a' },
  { sql: "UPDATE @ SET id = #b, amount = 'x' WHERE id = #a" },
  { sql: 'UPDATE @ SET id = #b WHERE id = #a RETURNING none' },
  { sql: 'UPDATE @ SET id = $1, amount = $3 WHERE id = $2', values: ['#b', '#a', 'x'] },
]

/** Refused, since nothing proves that it would be the same. */
export const refused: readonly Asked[] = [
  { sql: 'UPDATE @ SET id = #b' },
  { sql: 'UPDATE @ SET id = id + 1 WHERE id = #a' },
  { sql: 'UPDATE @ SET id = #b WHERE id > #a' },
  { sql: 'UPDATE @ SET (id, amount) = (#b, 1) WHERE id = #a' },
  { sql: 'UPDATE @ SET id = #b, (half, amount) = (SELECT 1, 2) WHERE id = #a' },
  { sql: 'UPDATE @ SET id = #b, id = #b WHERE id = #a' },
  { sql: 'UPDATE @ SET id = (SELECT #b) WHERE id = #a' },
  { sql: 'UPDATE @ SET id = #b, amount = (SELECT 1) WHERE id = #a' },
  { sql: 'UPDATE @ SET id = #b FROM countries c WHERE id = #a' },
  { sql: 'WITH w AS (SELECT 1) UPDATE @ SET id = #b WHERE id = #a' },
  { sql: "UPDATE @ SET id = #b, tags[1] = 'x' WHERE id = #a" },
  { sql: 'UPDATE @ SET id = #b, doc = to_jsonb(@) WHERE id = #a' },
  { sql: 'UPDATE @ SET id = #b, "Odd Name" = current_user WHERE id = #a' },
  { sql: "UPDATE @ SET id = #b WHERE id = #a AND ctid = '(0,1)'" },
  { sql: 'UPDATE @ SET id = #b WHERE id = #a RETURNING ctid' },
  { sql: 'UPDATE @ SET id = #b WHERE id = #a RETURNING old.id' },
  { sql: 'UPDATE @ SET id = #b WHERE id = #a RETURNING WITH (OLD AS before) before.id' },
  { sql: 'UPDATE @ SET id = #b WHERE id = #a; SELECT 1' },
  { sql: 'EXPLAIN UPDATE @ SET id = #b WHERE id = #a' },
]
