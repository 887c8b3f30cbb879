// Keys and shards: vectors that PostgreSQL 18 confirmed (satisfies_hash_partition), and how keys are read.
import t from 'tap'
import { readBinaryKeyArray, readKeyArray, splitArray } from '../../src/sharding/key-array.js'
import { readBinaryKey, typeOfArrayOid, typeOfOid } from '../../src/sharding/key-binary.js'
import { keyText, readKey, type Key } from '../../src/sharding/key.js'
import { readKeys, readWholeKey } from '../../src/sharding/read-keys.js'
import { shardOf } from '../../src/sharding/shard-of.js'
import type { KeyRange, KeyType, ShardBy, Sharded } from '../../src/sharding/sharded.js'

function sharded(keyType: KeyType, shards: number, by: ShardBy = { by: 'hash' }): Sharded {
  return {
    name: 's',
    shards,
    map: Array<string>(shards).fill('c'),
    clusters: ['c'],
    function: by,
    keyTypes: [keyType],
    owner: null,
    tables: new Map(),
  }
}

function shard(keyType: KeyType, text: string, shards: number): number | string {
  const key = readKey(keyType, text)
  if (key.kind === 'problem') return key.problem
  const placed = shardOf(sharded(keyType, shards), [key])
  return placed.kind === 'placement' ? placed.shard : placed.kind === 'problem' ? placed.problem : 'a lookup'
}

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'))
}

t.test('hash agrees with PARTITION BY HASH', (t) => {
  const vectors: readonly (readonly [KeyType, string, number, number])[] = [
    ['smallint', '-32768', 2, 1],
    ['smallint', '31420', 16, 15],
    ['smallint', '29701', 1048576, 456898],
    ['integer', '-1', 3, 2],
    ['integer', '2147483647', 4, 3],
    ['integer', '-788611017', 64, 46],
    ['integer', '-694920555', 1048576, 2214],
    ['bigint', '0', 2, 0],
    ['bigint', '-1', 3, 2],
    ['bigint', '9223372036854775807', 4, 2],
    ['bigint', '-9223372036854775808', 16, 15],
    ['bigint', '2147483648', 64, 54],
    ['bigint', '-2147483649', 1000, 119],
    ['bigint', '4294967296', 65536, 36792],
    ['bigint', '4294967295', 1048576, 765861],
    ['bigint', '9007199254740993', 2, 1],
    ['text', '', 2, 0],
    ['text', 'a', 3, 2],
    ['text', 'abcdefghijk', 4, 3],
    ['text', 'abcdefghijkl', 16, 9],
    ['text', 'abcdefghijklm', 64, 22],
    ['text', 'gvéawofmhvjlkeahue€cqjxmd😀zmbéñrrc', 65536, 1773],
    ['varchar', 'c😀€d€f', 64, 6],
    ['varchar', 'm', 1048576, 932825],
    ['uuid', '00000000-0000-0000-0000-000000000000', 2, 1],
    ['uuid', '136e7bfd-6615-4f84-ab6e-e51c8513ef5a', 16, 14],
    ['uuid', 'e25e43df-58ea-43d9-96e3-d6ff3ba15624', 1048576, 15399],
  ]
  for (const [type, text, shards, expected] of vectors) t.equal(shard(type, text, shards), expected, `${type} ${text} of ${String(shards)}`)
  t.end()
})

t.test('an integer is where it is, whatever its type', (t) => {
  for (const text of ['0', '1', '-1', '32767', '-32768']) {
    t.equal(shard('smallint', text, 97), shard('bigint', text, 97), text)
    t.equal(shard('integer', text, 97), shard('bigint', text, 97), text)
  }
  t.end()
})

t.test('keys are read as input functions read them', (t) => {
  const read = (type: KeyType, text: string): string => {
    const key = readKey(type, text)
    return key.kind === 'problem' ? `! ${key.problem}` : keyText(key)
  }
  const same: readonly (readonly [KeyType, string, string])[] = [
    ['bigint', ' 42 ', '42'],
    ['bigint', '\t+42\n', '42'],
    ['bigint', '-0', '0'],
    ['bigint', '007', '7'],
    ['bigint', '0x2A', '42'],
    ['bigint', '-0x_2a', '-42'],
    ['bigint', '0o52', '42'],
    ['bigint', '0b10_1010', '42'],
    ['bigint', '1_000', '1000'],
    ['bigint', '-9223372036854775808', '-9223372036854775808'],
    ['text', ' a ', ' a '],
    ['uuid', '{A0EEBC99-9C0B4EF8-BB6D6BB9-BD380A11}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
    ['uuid', 'a0eebc999c0b4ef8bb6d6bb9bd380a11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
  ]
  for (const [type, text, expected] of same) t.equal(read(type, text), expected, `${type} ${text}`)
  const bad: readonly (readonly [KeyType, string])[] = [
    ['bigint', ''],
    ['bigint', ' '],
    ['bigint', '4 2'],
    ['bigint', '_1'],
    ['bigint', '1_'],
    ['bigint', '1__0'],
    ['bigint', '1.0'],
    ['bigint', '1e3'],
    ['bigint', '--1'],
    ['bigint', '0x'],
    ['bigint', '\u00a042'],
    ['bigint', '9223372036854775808'],
    ['integer', '2147483648'],
    ['smallint', '32768'],
    ['smallint', '-32769'],
    ['text', 'a\0b'],
    ['text', '\ud800'],
    ['uuid', ' a0eebc999c0b4ef8bb6d6bb9bd380a11'],
    ['uuid', '{a0eebc999c0b4ef8bb6d6bb9bd380a11'],
    ['uuid', 'a0eebc999c0b4ef8bb6d6bb9bd380a11-'],
    ['uuid', 'a0-eebc999c0b4ef8bb6d6bb9bd380a11'],
    ['uuid', 'a0eebc999c0b4ef8bb6d6bb9bd380a1g'],
  ]
  for (const [type, text] of bad) t.match(read(type, text), /^! (cannot|is out of range|holds|is not)/, `${type} ${JSON.stringify(text)}`)
  t.notMatch(read('integer', '98765432109876'), /98765/, 'the value is never repeated')
  t.end()
})

t.test('a list places what it names and nothing else', (t) => {
  const list = sharded('integer', 2, { by: 'list', values: new Map([['7', 1]]) })
  const place = (text: string): unknown => shardOf(list, [readKey('integer', text) as never])
  t.same(place(' 0x7 '), { kind: 'placement', shard: 1, cluster: 'c' }, 'as the output function writes it')
  t.match(place('8'), { kind: 'problem', problem: 'is not in the list of s' })
  t.end()
})

t.test('ranges are half-open, by value or by bytes', (t) => {
  const keyOf = (type: KeyType, text: string): Key => {
    const key = readKey(type, text)
    if (key.kind === 'problem') throw new Error(key.problem)
    return key
  }
  const range = (type: KeyType, from: string | null, to: string | null, at: number): KeyRange => ({
    from: from === null ? null : keyOf(type, from),
    to: to === null ? null : keyOf(type, to),
    shard: at,
  })
  const place = (type: KeyType, ranges: readonly KeyRange[], text: string): number | string => {
    const placed = shardOf(sharded(type, 4, { by: 'range', ranges }), [keyOf(type, text)])
    return placed.kind === 'placement' ? placed.shard : placed.kind === 'problem' ? placed.problem : placed.kind
  }
  const closed = [range('bigint', '-5', '0', 0), range('bigint', '0', '4294967296', 1), range('bigint', '4294967296', '9000000000000', 2)]
  const tries = [['-6', 'is in no range of s'], ['-5', 0], ['-1', 0], ['0', 1], ['4294967295', 1], ['4294967296', 2], ['9000000000000', 'is in no range of s']] as const // prettier-ignore
  for (const [key, expected] of tries) t.equal(place('bigint', closed, key), expected, key)
  const open = [range('text', null, 'b', 0), range('text', 'b', 'é', 1), range('text', 'é', null, 2)]
  for (const [key, expected] of [['', 0], ['Z', 0], ['azzz', 0], ['b', 1], ['z', 1], ['é', 2], ['😀', 2]] as const) t.equal(place('text', open, key), expected, key) // prettier-ignore
  t.equal(place('uuid', [range('uuid', null, null, 3)], '00000000-0000-0000-0000-000000000000'), 3)
  t.end()
})

t.test('a module is asked, and not believed', async (t) => {
  const seen: unknown[] = []
  const by = (place: (...keys: readonly (number | bigint | string)[]) => unknown): ShardBy => ({
    by: 'module',
    module: { path: 'm.mjs', place },
  })
  const place = (types: readonly KeyType[], texts: readonly string[], answer: unknown): unknown => {
    const at: Sharded = {
      ...sharded('text', 2, by((...keys) => (seen.push(keys), answer instanceof Error ? fail(answer) : answer))), // prettier-ignore
      keyTypes: types,
    }
    const keys = readKeys(at, texts)
    return 'kind' in keys ? keys : shardOf(at, keys)
  }
  const fail = (error: Error): never => {
    throw error
  }
  t.match(place(['bigint'], ['7'], 1), { kind: 'placement', shard: 1 })
  t.match(place(['integer', 'text', 'uuid'], [' 7 ', ' 7 ', '{A0EEBC99-9C0B4EF8-BB6D6BB9-BD380A11}'], 0n), { kind: 'placement', shard: 0 })
  t.same(seen, [[7n], [7, ' 7 ', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11']])
  for (const [answer, words] of [
    [2, /not from 0 to 1/],
    [-1, /not from 0 to 1/],
    [0.5, /with a fraction/],
    [Number.NaN, /not a whole number/],
    ['1', /gave a string/],
    [undefined, /gave nothing/],
    [Promise.resolve(1), /gave a promise/],
    [Promise.reject(new Error('of an async function')), /gave a promise/],
    [new TypeError('the key 4711'), /threw a TypeError$/],
  ] as const) {
    t.match(place(['integer'], ['4711'], answer), { kind: 'problem', problem: words, ofFunction: true })
  }
  await new Promise((resolve) => setImmediate(resolve))
})

t.test('a directory is asked first, and a key that it does not have is refused', (t) => {
  const directory = { cluster: 'c', table: 'public.d', keys: ['a', 'b'], shard: 's', ttlMs: 1, maxEntries: 1, channel: null }
  const at: Sharded = { ...sharded('text', 4, { by: 'directory', directory }), keyTypes: ['bigint', 'text'] }
  const keys = readKeys(at, ['0x7', 'x'])
  if ('kind' in keys) throw new Error(keys.problem)
  t.same(shardOf(at, keys), { kind: 'lookup', key: ['7', 'x'] }, 'as the output functions write it')
  t.match(shardOf(at, keys, { find: () => 3 }), { kind: 'placement', shard: 3 })
  t.match(shardOf(at, keys, { find: () => null }), { kind: 'problem', problem: 'is not in the directory of s' })
  t.same(shardOf(at, keys, { find: () => undefined }), { kind: 'lookup', key: ['7', 'x'] })
  t.end()
})

t.test('keys of several columns', (t) => {
  const at: Sharded = { ...sharded('text', 64), keyTypes: ['bigint', 'text'] }
  const whole = (text: string): unknown => {
    const keys = readWholeKey(at, text)
    return 'kind' in keys ? keys.problem : keys.map(keyText)
  }
  t.same(whole('{7,"a,b"}'), ['7', 'a,b'])
  t.match(whole('7'), /is no list of bigint, text/)
  t.match(whole('{7}'), /has 2 columns/)
  t.match(whole('{7,NULL}'), /is no list/)
  t.match(shardOf(at, [readKey('bigint', '7') as Key]), { kind: 'problem', problem: /has 1 columns/ })
  t.end()
})

t.test('binary keys', (t) => {
  t.same(readBinaryKey('bigint', bytes('ffffffffffffffff')), { kind: 'integer', high: -1, low: -1 })
  t.same(readBinaryKey('integer', bytes('80000000')), { kind: 'integer', high: -1, low: -2147483648 })
  t.same(readBinaryKey('smallint', bytes('0007')), { kind: 'integer', high: 0, low: 7 })
  t.match(readBinaryKey('text', bytes('c3a9')), { kind: 'bytes', text: 'é' })
  t.match(readBinaryKey('text', bytes('c3')), { kind: 'problem' })
  t.match(readBinaryKey('bigint', bytes('00000007')), { kind: 'problem' }, 'an int4 is not an int8')
  t.match(readBinaryKey('uuid', bytes('00'.repeat(16))), { kind: 'bytes', text: '00000000-0000-0000-0000-000000000000' })
  t.equal(typeOfOid('bigint', 23), 'integer')
  t.equal(typeOfOid('bigint', 0), 'bigint', 'left to the server: the type of the column')
  t.equal(typeOfOid('bigint', 1700), null, 'numeric compares by its own rule')
  t.equal(typeOfOid('text', 1042), null, 'char(n) drops trailing blanks')
  t.equal(typeOfOid('uuid', 25), null)
  t.equal(typeOfArrayOid('bigint', 1007), 'integer')
  t.equal(typeOfArrayOid('bigint', 23), null, 'no array')
  t.end()
})

t.test('arrays', (t) => {
  t.same(splitArray('{}'), [])
  t.same(splitArray(' { a , "b ,\\"c" , NULL, "NULL", n\\ull, x y } '), ['a', 'b ,"c', null, 'NULL', 'null', 'x y'])
  for (const text of ['', '1,2', '{1,2', '{1,,2}', '{1,}', '{{1}}', '{"a}', '[1:2]={1,2}', '{a"b"}']) t.equal(splitArray(text), null, text)
  t.same(readKeyArray('bigint', '{7,NULL}'), [readKey('bigint', '7')])
  t.match(readKeyArray('bigint', '{7,x}'), { kind: 'problem' })
  const seven = '000000080000000000000007'
  const one = `00000001 00000000 00000014 00000001 00000001 ${seven}`.replaceAll(' ', '')
  t.same(readBinaryKeyArray('bigint', bytes(one)), [readKey('bigint', '7')])
  t.same(readBinaryKeyArray('bigint', bytes('000000000000000000000014')), [], 'empty')
  t.match(readBinaryKeyArray('bigint', bytes(one.slice(0, -2))), { kind: 'problem' }, 'cut short')
  t.match(readBinaryKeyArray('uuid', bytes(one)), { kind: 'problem' }, 'of another type')
  t.match(readBinaryKeyArray('bigint', bytes('00')), { kind: 'problem' })
  t.end()
})
