// test/support/failing.ts — tap matches errors against any pattern, but its types take only Error or RegExp.

/** `t.rejects(promise, failing({ key: 'node_unreachable' }))`: the fields that must match, regular expressions allowed. */
export function failing(pattern: Readonly<Record<string, unknown>>): Error {
  return pattern as unknown as Error
}
