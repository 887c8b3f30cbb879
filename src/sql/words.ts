// sql/words.ts — the few words that the normaliser has to know, found by a hash that it computes while it copies the word.
// A column called like one of them costs nothing: the codes only matter where the grammar could mean the keyword.

/** Codes of what stood last: words from WORD on, and the tokens that decide how the next one reads. */
export const NOTHING = 0
export const DOT = 1
export const COMMA = 2
export const OPEN = 3
export const OTHER = 4
export const PLAIN = 5
/** Starts a statement whose literals are taken out. */
export const VERB = 6
export const EXPLAIN = 7
/** ANALYZE and VERBOSE: stand between EXPLAIN and its statement. */
export const EXPLAINING = 8
export const BY = 9
export const ORDER = 10
export const GROUP = 11
export const DISTINCT = 12
export const ON = 13
export const ALL = 14
/** Ends an ORDER BY or GROUP BY list. */
export const LIST_END = 15
export const TRUTH = 16
/** A function whose arguments name things, or `float(n)`, whose argument chooses the type: literals inside stay whole. */
export const NAMING = 17
export const DISTINCT_ON = 18

const groups: readonly (readonly [number, string])[] = [
  [VERB, 'select insert update delete merge values table with execute call'],
  [EXPLAIN, 'explain'],
  [EXPLAINING, 'analyze analyse verbose'],
  [BY, 'by'],
  [ORDER, 'order'],
  [GROUP, 'group'],
  [DISTINCT, 'distinct'],
  [ON, 'on'],
  [ALL, 'all'],
  [LIST_END, 'having window union intersect except limit offset fetch for'],
  [TRUTH, 'true false'],
  [
    NAMING,
    'float nextval currval setval lastval set_config current_setting pg_notify pg_advisory_lock pg_advisory_lock_shared ' +
      'pg_advisory_unlock pg_advisory_unlock_shared pg_advisory_unlock_all pg_advisory_xact_lock pg_advisory_xact_lock_shared ' +
      'pg_try_advisory_lock pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared ' +
      'to_regclass to_regproc to_regprocedure to_regoper to_regoperator to_regtype to_regnamespace to_regrole to_regcollation ' +
      'pg_get_serial_sequence pg_sequence_last_value query_to_xml query_to_xmlschema query_to_xml_and_xmlschema ' +
      'table_to_xml table_to_xmlschema table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema schema_to_xml_and_xmlschema ' +
      'cursor_to_xml cursor_to_xmlschema ts_stat dblink dblink_exec',
  ],
]

const size = 1024
const words: (string | undefined)[] = new Array<string | undefined>(size).fill(undefined)
const codes = new Uint8Array(size)

/** The hash that the normaliser computes over folded characters. */
export function step(hash: number, char: number): number {
  return (Math.imul(hash, 31) + char) | 0
}

for (const [code, list] of groups) {
  for (const word of list.split(' ')) {
    let hash = 0
    for (let i = 0; i < word.length; i++) hash = step(hash, word.charCodeAt(i))
    let slot = hash & (size - 1)
    while (words[slot] !== undefined) slot = (slot + 1) & (size - 1)
    words[slot] = word
    codes[slot] = code
  }
}

/** Code of the word that stands in `bytes` from `start` to `end`, with this hash; PLAIN for all others. */
export function wordCode(bytes: Uint8Array, start: number, end: number, hash: number): number {
  for (let slot = hash & (size - 1); ; slot = (slot + 1) & (size - 1)) {
    const word = words[slot]
    if (word === undefined) return PLAIN
    if (word.length === end - start && same(word, bytes, start)) return codes[slot] ?? PLAIN
  }
}

function same(word: string, bytes: Uint8Array, start: number): boolean {
  for (let i = 0; i < word.length; i++) if (bytes[start + i] !== word.charCodeAt(i)) return false
  return true
}
