// test/support/answers-schema.ts — the tables and rows of AnswersWorld: NULLs, duplicates, ties, negative and very large keys, empty
// strings, text in two collations, numerics of many scales, not-a-number, infinity, arrays, an enum; and TPC-H's tables, small. No two
// numbers are equal and written differently (1.5, 1.50): which of them stands for a group PostgreSQL leaves open.

export const answersSchema = `
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE comments (image_id bigint NOT NULL, id int NOT NULL, author text COLLATE "C", body text, score numeric, price numeric(8,2),
  weight float8, at timestamptz, day date, seen boolean, tags text[], mood mood, kind varchar(10) COLLATE "C", small smallint, uid uuid,
  PRIMARY KEY (image_id, id));
CREATE TABLE votes (image_id bigint NOT NULL, id int NOT NULL, comment_id int, value int, voter text COLLATE "C", cast_at timestamp,
  took interval, PRIMARY KEY (image_id, id));
CREATE TABLE notes (tag text NOT NULL, id int NOT NULL, body text, n numeric(10,3), PRIMARY KEY (tag, id));
CREATE TABLE countries (code text COLLATE "C" PRIMARY KEY, name text, area numeric, continent text COLLATE "C");
CREATE TABLE users (id int PRIMARY KEY, name text, country text COLLATE "C", age int);
CREATE TABLE region (r_regionkey int PRIMARY KEY, r_name char(25) COLLATE "C", r_comment varchar(152));
CREATE TABLE nation (n_nationkey int PRIMARY KEY, n_name char(25) COLLATE "C", n_regionkey int, n_comment varchar(152));
CREATE TABLE supplier (s_suppkey int PRIMARY KEY, s_name char(25) COLLATE "C", s_address varchar(40), s_nationkey int, s_phone char(15),
  s_acctbal numeric(15,2), s_comment varchar(101));
CREATE TABLE customer (c_custkey int PRIMARY KEY, c_name varchar(25) COLLATE "C", c_address varchar(40), c_nationkey int,
  c_phone char(15) COLLATE "C", c_acctbal numeric(15,2), c_mktsegment char(10) COLLATE "C", c_comment varchar(117));
CREATE TABLE part (p_partkey int PRIMARY KEY, p_name varchar(55), p_mfgr char(25) COLLATE "C", p_brand char(10) COLLATE "C",
  p_type varchar(25) COLLATE "C", p_size int, p_container char(10) COLLATE "C", p_retailprice numeric(15,2), p_comment varchar(23));
CREATE TABLE partsupp (ps_partkey int, ps_suppkey int, ps_availqty int, ps_supplycost numeric(15,2), ps_comment varchar(199),
  PRIMARY KEY (ps_partkey, ps_suppkey));
CREATE TABLE orders (o_orderkey bigint PRIMARY KEY, o_custkey int, o_orderstatus char(1) COLLATE "C", o_totalprice numeric(15,2),
  o_orderdate date, o_orderpriority char(15) COLLATE "C", o_clerk char(15), o_shippriority int, o_comment varchar(79));
CREATE TABLE lineitem (l_orderkey bigint, l_partkey int, l_suppkey int, l_linenumber int, l_quantity numeric(15,2),
  l_extendedprice numeric(15,2), l_discount numeric(15,2), l_tax numeric(15,2), l_returnflag char(1) COLLATE "C",
  l_linestatus char(1) COLLATE "C", l_shipdate date, l_commitdate date, l_receiptdate date, l_shipinstruct char(25) COLLATE "C",
  l_shipmode char(10) COLLATE "C", l_comment varchar(44), PRIMARY KEY (l_orderkey, l_linenumber));
`

export const answersRows = `
INSERT INTO comments SELECT k, i,
  (ARRAY['ann', 'Bob', 'bob', 'Zoe', 'é', '', NULL])[1 + abs(k * 3 + i) % 7],
  (ARRAY['alpha', 'Beta', 'beta', 'a-b', 'ab', 'Ärger', 'zeta', NULL, ''])[1 + abs(k + i * 5) % 9],
  (ARRAY[1, 1.50, -2.25, 0, 1e20, 0.000001, 'NaN', NULL, 7, 12345678901234567890.123456789])[1 + abs(k * 7 + i) % 10],
  CASE WHEN (k + i) % 5 = 0 THEN NULL ELSE ((k % 1000) * 1.25 - i * 3)::numeric(8,2) END,
  (ARRAY[0, 2.5, 1.5, 'NaN', 'Infinity', '-Infinity', 1e-3, NULL]::float8[])[1 + abs(k + i) % 8],
  CASE WHEN (k * i) % 6 = 0 THEN NULL ELSE timestamptz '2026-01-01 00:00+00' + ((k % 100) * i || ' hours')::interval END,
  CASE WHEN (k + i) % 7 = 0 THEN NULL ELSE date '2026-02-01' + ((k + i * 3) % 20)::int END,
  (ARRAY[true, false, NULL])[1 + abs(k + i) % 3],
  CASE WHEN (k + i) % 4 = 0 THEN NULL ELSE ARRAY['t' || abs(k) % 3, 'u' || i % 2] END,
  (ARRAY['sad', 'ok', 'happy', NULL]::mood[])[1 + abs(k + i * 2) % 4],
  (ARRAY['de', 'at', 'us', 'xx', NULL])[1 + abs(k + i) % 5],
  ((k % 7) * i)::smallint,
  CASE WHEN i = 3 THEN NULL ELSE md5(((k + i) % 9)::text)::uuid END
FROM unnest(ARRAY[-5, -3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 100, 101, 8999]::bigint[]) k, generate_series(1, 5) i
WHERE (k + i) % 6 <> 1;
INSERT INTO votes SELECT k, i, 1 + (k + i)::int % 5, CASE WHEN (k + i) % 4 = 0 THEN NULL ELSE (k * i)::int % 5 - 2 END,
  (ARRAY['ann', 'bob', 'eve', NULL])[1 + abs(k + i) % 4], timestamp '2026-03-01' + (k % 50 || ' minutes')::interval, (abs(k) % 40 || ' hours')::interval
FROM unnest(ARRAY[-3, 0, 1, 2, 3, 5, 7, 8, 11, 13, 17, 18, 19, 100]::bigint[]) k, generate_series(1, 4) i;
INSERT INTO notes SELECT k, i, k || i, (i * 1.125)::numeric(10,3) FROM unnest(ARRAY['a', 'A', 'a ', 'b', 'ab', '7', 'é', '']) k, generate_series(1, 4) i;
INSERT INTO countries VALUES ('de', 'Germany', 357022, 'EU'), ('at', 'austria', 83879.0, 'EU'), ('us', 'USA', 9833520, 'NA'), ('nz', NULL, NULL, 'OC');
INSERT INTO users SELECT i, 'user' || i, (ARRAY['de', 'at', 'us', NULL])[1 + i % 4], 18 + i FROM generate_series(1, 12) i;
INSERT INTO region VALUES (0, 'AFRICA', 'a'), (1, 'AMERICA', 'b'), (2, 'ASIA', 'c'), (3, 'EUROPE', 'd'), (4, 'MIDDLE EAST', 'e');
INSERT INTO nation VALUES (0, 'ALGERIA', 0, ''), (1, 'BRAZIL', 1, ''), (2, 'CANADA', 1, ''), (3, 'CHINA', 2, ''), (4, 'FRANCE', 3, ''), (5, 'GERMANY', 3, ''),
  (6, 'SAUDI ARABIA', 4, ''), (7, 'INDIA', 2, '');
INSERT INTO supplier SELECT i, 'Supplier#' || i, 'addr' || i, i % 8, '1' || i % 8 || '-' || i, 100.5 * i, CASE WHEN i % 5 = 0 THEN 'x Customer y Complaints' ELSE 'fine' END
FROM generate_series(1, 16) i;
INSERT INTO customer SELECT i, 'Customer#' || i, 'addr' || i, i % 8, (10 + i % 25)::text || '-' || i, (i * 37 % 500) - 100,
  (ARRAY['BUILDING', 'AUTOMOBILE', 'MACHINERY'])[1 + i % 3], 'c' FROM generate_series(1, 30) i;
INSERT INTO part SELECT i, (ARRAY['forest green', 'green metal', 'blue sky'])[1 + i % 3] || i, 'Manufacturer#' || i % 5,
  (ARRAY['Brand#12', 'Brand#23', 'Brand#34', 'Brand#45'])[1 + i % 4], (ARRAY['ECONOMY ANODIZED STEEL', 'PROMO BRUSHED BRASS', 'MEDIUM POLISHED TIN'])[1 + i % 3],
  (ARRAY[15, 3, 9, 14, 23, 45])[1 + i % 6], (ARRAY['SM CASE', 'MED BOX', 'LG PKG', 'MED BAG'])[1 + i % 4], 900 + i, 'p' FROM generate_series(1, 24) i;
INSERT INTO partsupp SELECT p, 1 + (p * 3 + s) % 16, (p * s * 13) % 1000, (p * 7 + s) * 1.25, 'c' FROM generate_series(1, 24) p, generate_series(0, 3) s;
INSERT INTO orders SELECT i, CASE WHEN i % 3 = 0 THEN 3 ELSE 1 + i * 7 % 30 END, (ARRAY['F', 'O', 'P'])[1 + i % 3], (i * 1237.11)::numeric % 90000,
  date '1993-01-01' + i * 23, (ARRAY['1-URGENT', '2-HIGH', '3-MEDIUM', '5-LOW'])[1 + i % 4], 'Clerk#' || i % 5, 0,
  CASE WHEN i % 7 = 0 THEN 'a special and requests b' ELSE 'plain' END FROM generate_series(1, 90) i;
INSERT INTO lineitem SELECT o, 1 + (o * 5 + l) % 24, 1 + ((1 + (o * 5 + l) % 24) * 3 + l % 4) % 16, l, 1 + (o * l * 7) % 50, ((o * 311 + l * 97) % 9000) + 0.5, (o + l) % 11 / 100.0, (o * l) % 9 / 100.0,
  (ARRAY['R', 'A', 'N'])[1 + (o + l) % 3], (ARRAY['F', 'O'])[1 + o % 2], date '1993-01-01' + o * 23 + l * 10, date '1993-01-01' + o * 23 + l * 11 - o % 9,
  date '1993-01-01' + o * 23 + l * 12, (ARRAY['DELIVER IN PERSON', 'COLLECT COD', 'NONE'])[1 + l % 3], (ARRAY['AIR', 'MAIL', 'SHIP', 'REG AIR'])[1 + (o + l) % 4], 'l'
FROM generate_series(1, 90) o, generate_series(1, 4) l WHERE (o + l) % 5 > 0;
`
