// merge/types.ts — which types the merge knows, by oid. What is not in these tables can pass through and nothing else: jsonb,
// ranges, enums, composite and extension types have orders of their own, which are refused rather than imitated.
import { arrayType } from './array-type.js'
import {
  dateBinary,
  dateText,
  intervalBinary,
  intervalText,
  timeBinary,
  timestampBinary,
  timestampText,
  timestamptzText,
  timeText,
  timetzBinary,
  timetzText,
} from './moment-types.js'
import { networkBinary, networkText } from './network-types.js'
import { numericBinary, numericText } from './numeric-type.js'
import {
  bitsBinary,
  blankPadded,
  boolBinary,
  boolText,
  byteaText,
  charBinary,
  charText,
  float4Binary,
  float8Binary,
  floatText,
  int2Binary,
  int4Binary,
  int8Binary,
  lsnBinary,
  lsnText,
  oidBinary,
  rawBytes,
  wholeText,
} from './plain-types.js'
import type { Format, Formats, ValueType } from './value-type.js'

/** pg_type oids that the merge speaks of by name. */
export const Type = {
  bool: 16,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  float4: 700,
  float8: 701,
  money: 790,
  varchar: 1043,
  interval: 1186,
  numeric: 1700,
} as const

interface Known extends Formats {
  readonly name: string
  /** Text under a collation: an order only where that is known to be by bytes. */
  readonly collatable?: true
}

const bytes = { text: rawBytes, binary: rawBytes }

const known: ReadonlyMap<number, Known> = new Map<number, Known>([
  [16, { name: 'boolean', text: boolText, binary: boolBinary }],
  [17, { name: 'bytea', text: byteaText, binary: rawBytes }],
  [18, { name: '"char"', text: charText, binary: charBinary }],
  [19, { name: 'name', ...bytes, collatable: true }],
  [20, { name: 'bigint', text: wholeText, binary: int8Binary }],
  [21, { name: 'smallint', text: wholeText, binary: int2Binary }],
  [23, { name: 'integer', text: wholeText, binary: int4Binary }],
  [25, { name: 'text', ...bytes, collatable: true }],
  [26, { name: 'oid', text: wholeText, binary: oidBinary }],
  [650, { name: 'cidr', text: networkText, binary: networkBinary }],
  [700, { name: 'real', text: floatText, binary: float4Binary }],
  [701, { name: 'double precision', text: floatText, binary: float8Binary }],
  [774, { name: 'macaddr8', ...bytes }],
  [790, { name: 'money', text: null, binary: int8Binary }],
  [829, { name: 'macaddr', ...bytes }],
  [869, { name: 'inet', text: networkText, binary: networkBinary }],
  [1042, { name: 'character', text: blankPadded, binary: blankPadded, collatable: true }],
  [1043, { name: 'character varying', ...bytes, collatable: true }],
  [1082, { name: 'date', text: dateText, binary: dateBinary }],
  [1083, { name: 'time', text: timeText, binary: timeBinary }],
  [1114, { name: 'timestamp', text: timestampText, binary: timestampBinary }],
  [1184, { name: 'timestamptz', text: timestamptzText, binary: timestampBinary }],
  [1186, { name: 'interval', text: intervalText, binary: intervalBinary }],
  [1266, { name: 'timetz', text: timetzText, binary: timetzBinary }],
  [1560, { name: 'bit', text: rawBytes, binary: bitsBinary }],
  [1562, { name: 'bit varying', text: rawBytes, binary: bitsBinary }],
  [1700, { name: 'numeric', text: numericText, binary: numericBinary }],
  [2950, { name: 'uuid', ...bytes }],
  [3220, { name: 'pg_lsn', text: lsnText, binary: lsnBinary }],
])

/** Array type → type of its elements, for the types above and some that can only be gathered. */
const elements: ReadonlyMap<number, number> = new Map([
  ...([
    [1000, 16],
    [1001, 17],
    [1002, 18],
    [1003, 19],
    [1005, 21],
    [1007, 23],
    [1009, 25],
    [1014, 1042],
    [1015, 1043],
  ] as const),
  ...([
    [1016, 20],
    [1021, 700],
    [1022, 701],
    [1028, 26],
    [1040, 829],
    [1041, 869],
    [651, 650],
    [775, 774],
    [791, 790],
  ] as const),
  ...([
    [1115, 1114],
    [1182, 1082],
    [1183, 1083],
    [1185, 1184],
    [1187, 1186],
    [1231, 1700],
    [1270, 1266],
  ] as const),
  ...([
    [1561, 1560],
    [1563, 1562],
    [2951, 2950],
    [3221, 3220],
  ] as const),
  ...([
    [199, 114],
    [3807, 3802],
  ] as const),
])

/** Names of types that are met and not known above, for refusals. */
const others: ReadonlyMap<number, string> = new Map([
  [114, 'json'],
  [142, 'xml'],
  [600, 'point'],
  [3614, 'tsvector'],
  [3802, 'jsonb'],
  [2249, 'record'],
])

/** How values of this type are read and compared in this format; null: they are not. */
export function valueType(oid: number, format: Format): ValueType | null {
  const type = known.get(oid)
  if (type !== undefined) return format === 1 ? type.binary : type.text
  const element = elements.get(oid)
  const elementType = element === undefined ? null : valueType(element, format)
  return element === undefined || elementType === null ? null : arrayType(elementType, element, format)
}

/** True for text and arrays of text: equal means equal bytes only under a deterministic collation, and orders by bytes only under "C". */
export function collatable(oid: number): boolean {
  return known.get(elements.get(oid) ?? oid)?.collatable === true
}

/** The type of the elements of an array type; null: not an array, or not one that is known. */
export function elementOf(oid: number): number | null {
  return elements.get(oid) ?? null
}

/** As the type is named in SQL, for messages. */
export function typeName(oid: number): string {
  const element = elements.get(oid)
  if (element !== undefined) return `${typeName(element)}[]`
  return known.get(oid)?.name ?? others.get(oid) ?? `with oid ${oid}`
}
