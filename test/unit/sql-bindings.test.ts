// Key bindings: what binds an entry to a key and, above all, what does not.
import t, { type Test } from 'tap'
import { bindings, only, operand, understand } from '../support/sql-brief.js'
import { literalText } from '../../src/sql/literal-text.js'

function table(t: Test, rows: readonly (readonly [string, string])[]): void {
  for (const [sql, expected] of rows) t.equal(bindings(sql), expected, sql)
  t.end()
}

t.test('what binds', (t) => {
  table(t, [
    ['SELECT * FROM c WHERE k = 7', 'c: k=#0'],
    ['SELECT * FROM c WHERE 7 = k', 'c: k=#0'],
    ['SELECT * FROM c WHERE k = 0', 'c: k=#0'],
    ['SELECT * FROM c WHERE k = -7', 'c: k=-#0'],
    ['SELECT * FROM c WHERE k = -0', 'c: k=-#0'],
    ['SELECT * FROM c WHERE k = - -7', 'c: k=#0'],
    ['SELECT * FROM c WHERE k = - /* - */ (7)', 'c: k=-#0'],
    ['SELECT * FROM c WHERE k = (-(-(7)))', 'c: k=#0'],
    ['SELECT * FROM c WHERE k = 5000000000', 'c: k=#0'],
    ['SELECT * FROM c WHERE k = -5000000000', 'c: k=-#0'],
    ["SELECT 'ä😀', * FROM c WHERE 'é' = x AND k = 7", 'c: x=#1 k=#2'],
    ["SELECT 'ä😀', * FROM c WHERE k = /* ü */ -7", 'c: k=-#1'],
    ['SELECT * FROM c WHERE k = $1', 'c: k=$1'],
    ['SELECT * FROM c WHERE k = $1::bigint', 'c: k=$1::int8'],
    ["SELECT * FROM c WHERE k = '7'::int8 AND x = CAST(8 AS text)", 'c: k=#0::int8 x=#1::text'],
    ["SELECT * FROM c WHERE k = bigint '7'", 'c: k=#0::int8'],
    ['SELECT * FROM c WHERE k = 7::public.mytype', 'c: k=#0::public.mytype'],
    ['SELECT * FROM c WHERE k = NULL', 'c: k=null'],
    ['SELECT * FROM c WHERE k IN (1, $2, NULL)', 'c: k=#0|$2|null'],
    ['SELECT * FROM c WHERE k IN (1)', 'c: k=#0'],
    ['SELECT * FROM c WHERE k = ANY($1)', 'c: k=$1[]'],
    ['SELECT * FROM c WHERE k = ANY($1::bigint[])', 'c: k=$1[]::int8[]'],
    ["SELECT * FROM c WHERE k = ANY('{1,2}')", 'c: k=#0[]'],
    ["SELECT * FROM c WHERE k = ANY('{1,2}'::int[])", 'c: k=#0[]::int4[]'],
    ['SELECT * FROM c WHERE k = ANY(ARRAY[1, $1, -2])', 'c: k=#0|$1|-#1'],
    ['SELECT * FROM c WHERE k = ANY(ARRAY[1,2]::bigint[])', 'c: k=#0::int8|#1::int8'],
    ['SELECT * FROM c WHERE k = SOME(ARRAY[1])', 'c: k=#0'],
    ['SELECT * FROM c WHERE k OPERATOR(pg_catalog.=) 7', 'c: k=#0'],
    ['SELECT * FROM c WHERE a AND (b AND k = 7)', 'c: k=#0'],
    ['SELECT * FROM c WHERE k = 7 AND k = 8', 'c: k=#0 k=#1'],
    ['SELECT * FROM c WHERE (k, x) = (1, 2)', 'c: k=#0 x=#1'],
    ['SELECT * FROM c WHERE (k, x) IN ((1, 2), (3, 4))', 'c: k=#0|#2 x=#1|#3'],
    ['SELECT * FROM s.c WHERE s.c.k = 7', 's.c: k=#0'],
    ['SELECT * FROM c AS d WHERE d.k = 7', 'd: k=#0'],
    ['SELECT * FROM c JOIN v ON c.k = 7 AND v.k = 7', 'c: k=#0; v: k=#1'],
    ['SELECT * FROM c, v WHERE c.k = 7', 'c: k=#0; v:'],
    // Whose column an unqualified name is, the catalog knows.
    ['SELECT * FROM c, v WHERE k = 7', 'c: k=#0; v: k=#0'],
    ['SELECT * FROM c JOIN v USING (k) WHERE k = 7', 'c: k=#0; v: k=#0'],
    ['SELECT * FROM c LEFT JOIN v ON v.k = 7', 'c:; v: k=#0'],
    ['SELECT * FROM c RIGHT JOIN v ON c.k = 7', 'c: k=#0; v:'],
    ['SELECT * FROM c LEFT JOIN v ON true WHERE v.k = 7', 'c:; v: k=#1'],
    ['SELECT * FROM c FULL JOIN v ON true WHERE c.k = 7', 'c: k=#1; v:'],
    ['SELECT * FROM c TABLESAMPLE system (10) WHERE k = 7', 'c: k=#1'],
    ['UPDATE c SET x = 1 WHERE k = 7', 'c: k=#1'],
    ['UPDATE c AS d SET x = v.x FROM v WHERE d.k = 7 AND v.k = 7', 'd: k=#0; v: k=#1'],
    ['DELETE FROM c USING v WHERE c.k = 7 AND v.k = c.k', 'c: k=#0; v:'],
    ['MERGE INTO c USING v ON c.k = 7 AND v.k = 7 WHEN MATCHED THEN DELETE', 'c: k=#0; v: k=#1'],
    ['WITH q AS (SELECT * FROM c WHERE k = 7) SELECT * FROM q', 'c: k=#0'],
    ['SELECT 1 WHERE EXISTS (SELECT 1 FROM c WHERE k = 7)', 'c: k=#2'],
    ['EXPLAIN SELECT * FROM c WHERE k = 7', 'c: k=#0'],
    ['DECLARE d CURSOR FOR SELECT * FROM c WHERE k = 7', 'c: k=#0'],
  ])
})

t.test('what binds nothing', (t) => {
  table(t, [
    ['SELECT * FROM c WHERE k = 7 OR x', 'c:'],
    ['SELECT * FROM c WHERE NOT k = 7', 'c:'],
    ['SELECT * FROM c WHERE (k = 7) IS TRUE', 'c:'],
    ['SELECT * FROM c WHERE k <> 7', 'c:'],
    ['SELECT * FROM c WHERE k > 7', 'c:'],
    ['SELECT * FROM c WHERE k NOT IN (7)', 'c:'],
    ['SELECT * FROM c WHERE k BETWEEN 7 AND 7', 'c:'],
    ['SELECT * FROM c WHERE k = ALL($1)', 'c:'],
    ['SELECT * FROM c WHERE k <> ANY($1)', 'c:'],
    ['SELECT * FROM c WHERE k = ANY(SELECT 7)', 'c:'],
    ['SELECT * FROM c WHERE k = (SELECT 7)', 'c:'],
    ['SELECT * FROM c WHERE k = f(7)', 'c:'],
    ['SELECT * FROM c WHERE k = 7 + 1', 'c:'],
    ['SELECT * FROM c WHERE k = +7', 'c:'],
    ['SELECT * FROM c WHERE k = x', 'c:'],
    ['SELECT * FROM c WHERE k::text = 7', 'c:'],
    ['SELECT * FROM c WHERE k = \'x\' COLLATE "C"', 'c:'],
    ['SELECT * FROM c WHERE k COLLATE "C" = \'x\'', 'c:'],
    ['SELECT * FROM c WHERE k OPERATOR(my.=) 7', 'c:'],
    ["SELECT * FROM c WHERE k = 'abcdef'::varchar(3)", 'c:'],
    ['SELECT * FROM c WHERE k = 7::int::bigint', 'c:'],
    ['SELECT * FROM c WHERE k = -7::bigint', 'c:'],
    ['SELECT * FROM c WHERE k IN (1, f(2))', 'c:'],
    ['SELECT * FROM c WHERE k = ANY($1::text)', 'c:'],
    ['SELECT * FROM c WHERE (k, x) IN ((1, 2), (3, f(4)))', 'c: k=#0|#2'],
    ['SELECT * FROM c WHERE c[1] = 7', 'c:'],
    ['SELECT * FROM c HAVING k = 7', 'c:'],
    ['SELECT k = 7 FROM c', 'c:'],
    // The other side of an outer join keeps its rows whatever ON says.
    ['SELECT * FROM c LEFT JOIN v ON c.k = 7', 'c:; v:'],
    ['SELECT * FROM c RIGHT JOIN v ON v.k = 7', 'c:; v:'],
    ['SELECT * FROM c FULL JOIN v ON c.k = 7 AND v.k = 7', 'c:; v:'],
    ['SELECT * FROM c a, c b WHERE a.k = 7', 'a: k=#0; b:'],
    ['SELECT * FROM c WHERE k = 7 UNION SELECT * FROM c', 'c: k=#0; c:'],
    ['SELECT * FROM (SELECT * FROM c) d WHERE d.k = 7', 'c:'],
    ['SELECT * FROM c WHERE EXISTS (SELECT 1 FROM v WHERE c.k = 7)', 'c:; v:'],
    // Here image_id may be any column of c.
    ['SELECT * FROM c AS d(k, x) WHERE k = 7', 'd:'],
    ['SELECT * FROM (c JOIN v ON true) AS j(k, x) WHERE k = 7', 'c:; v:'],
    ['SELECT * FROM c WHERE public.c.k = 7', 'c:'],
    ['UPDATE c SET k = 7', 'c:'],
    ['DELETE FROM c WHERE CURRENT OF cur', 'c:'],
    ['INSERT INTO c (k) SELECT 7', 'c:'],
    ['MERGE INTO c USING v ON c.k = 7 AND v.k = 7 WHEN NOT MATCHED BY SOURCE THEN DELETE', 'c:; v: k=#1'],
    ['MERGE INTO c USING v ON c.k = 7 AND v.k = 7 WHEN NOT MATCHED THEN INSERT VALUES (1)', 'c: k=#0; v:'],
  ])
})

t.test('INSERT: operands of every row', (t) => {
  const rows = (sql: string): unknown => {
    const { detail } = only(sql)
    return detail.kind === 'insert' ? (detail.insert.rows?.map((row) => row.map(operand).join(' ')) ?? null) : 'no insert'
  }
  t.same(rows("INSERT INTO c (k, x) VALUES (1, 'a'), ($1, DEFAULT), (-2, NULL), (f(1), 0::int8)"), [
    '#0 #1',
    '$1 default',
    '-#2 null',
    'other #4::int8',
  ])
  t.same(rows('INSERT INTO c DEFAULT VALUES'), [])
  t.equal(rows('INSERT INTO c SELECT 1'), null)
  const { detail } = only('INSERT INTO s.c AS d (k, x) VALUES (1, 2) ON CONFLICT (k) DO UPDATE SET x = 3, (y, z) = (4, 5)')
  t.match(detail, { kind: 'insert', insert: { target: { schema: 's', name: 'c' }, columns: ['k', 'x'], conflictAssigns: ['x', 'y', 'z'] } })
  t.match(only('INSERT INTO c VALUES (1)').detail, { insert: { columns: null, conflictAssigns: [] } })
  t.end()
})

t.test('columns assigned', (t) => {
  const columns = (sql: string): unknown => {
    const { detail } = only(sql)
    return detail.kind === 'update' || detail.kind === 'merge' ? detail.assigns.columns : null
  }
  t.same(columns('UPDATE c SET x = 1, (y, z) = (SELECT 1, 2), a[1] = 3, b.f = 4'), ['x', 'y', 'z', 'a', 'b'])
  t.same(columns('MERGE INTO c USING v ON true WHEN MATCHED THEN UPDATE SET k = 1 WHEN NOT MATCHED THEN INSERT VALUES (1)'), ['k'])
  t.match(only('MERGE INTO c USING v ON true WHEN NOT MATCHED THEN INSERT VALUES (1)').detail, {
    inserts: [{ columns: null, values: [{ kind: 'values' }] }],
  })
  t.match(only('MERGE INTO c USING v ON true WHEN MATCHED THEN DELETE').detail, { inserts: [] })
  t.end()
})

t.test('a shape is shared, the values are each text’s own', (t) => {
  const value = (sql: string): string => {
    const understood = understand(sql)
    const [binding] = understood.shape.statements?.[0]?.entries[0]?.bindings ?? []
    const [first] = binding?.values ?? []
    if (first?.kind !== 'literal') throw new Error(sql)
    const literal = understood.literals[first.index]
    return `${String(understood.shape.id - base)} ${first.negated ? '-' : ''}${literal === undefined ? '' : String(literalText(understood.text, literal))}`
  }
  const base = understand('SELECT * FROM shared_shape WHERE k = -0').shape.id
  t.equal(value('SELECT * FROM shared_shape WHERE k = -0'), '0 -0')
  t.equal(value('SELECT * FROM shared_shape WHERE k = -7'), '0 -7', 'zero was negated, too, when the shape was made')
  t.equal(value('select *\nfrom SHARED_SHAPE where k=/* c */-0x1F -- x'), '0 -31')
  t.not(understand('SELECT * FROM shared_shape WHERE k = 7').shape.id, base)
  t.not(understand("SELECT * FROM shared_shape WHERE k = -'7'").shape.id, base)
  t.end()
})
