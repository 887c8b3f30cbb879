// Keys and shards: vectors that PostgreSQL 18 confirmed (satisfies_hash_partition), and how keys are read.
import t from 'tap'
import { readBinaryKeyArray, readKeyArray, splitArray } from '../../src/sharding/key-array.js'
import { readBinaryKey, typeOfArrayOid, typeOfOid } from '../../src/sharding/key-binary.js'
import { keyText, readKey } from '../../src/sharding/key.js'
import { shardOf } from '../../src/sharding/shard-of.js'
import type { KeyType, ShardBy, Sharded } from '../../src/sharding/sharded.js'

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
