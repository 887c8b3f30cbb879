// merge/value-type.ts — what the merge knows of a type in one of the two formats: how a value is read from the wire, how two
// values compare (as the type's default btree operators have it), and a text that is the same exactly where they are equal.

/**
 * `V` is what read() makes of a value: cheap to make and to compare, not meant to be shown. read() throws a refusal (0A000)
 * where the bytes are not in the form it knows.
 */
export interface ValueType<V = unknown> {
  read(bytes: Uint8Array): V
  /** Below zero, zero, above zero. */
  compare(a: V, b: V): number
  /** Two values have the same key exactly where compare() says 0. */
  key(value: V): string
}

export type Format = 0 | 1

/** One type's readers; null: not read in that format. */
export interface Formats {
  readonly text: ValueType | null
  readonly binary: ValueType | null
}

/** The bytes as a text of one character each. */
export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
