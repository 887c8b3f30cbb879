// Every transcript of test/wire/ledger, with what the server sends arriving whole, in single bytes, and cut in two at every byte.
import { readdirSync } from 'node:fs'
import t from 'tap'
import { playLedgerTrace, readLedgerTrace } from '../support/ledger-trace.js'

const directory = new URL('../wire/ledger/', import.meta.url)

for (const file of readdirSync(directory).sort()) {
  t.test(file, (t) => {
    const trace = readLedgerTrace(new URL(file, directory))
    t.same(
      playLedgerTrace(trace, (bytes) => [bytes]),
      trace.expected,
      'whole',
    )
    t.same(
      playLedgerTrace(trace, (bytes) => Array.from(bytes, (byte) => Buffer.from([byte]))),
      trace.expected,
      'byte by byte',
    )
    let longest = 0
    playLedgerTrace(trace, (bytes) => {
      longest = Math.max(longest, bytes.length)
      return [bytes]
    })
    for (let at = 1; at < longest; at++) {
      const outcome = playLedgerTrace(trace, (bytes) => [bytes.subarray(0, at), bytes.subarray(at)])
      if (JSON.stringify(outcome) !== JSON.stringify(trace.expected)) t.same(outcome, trace.expected, `cut at ${String(at)}`)
    }
    t.end()
  })
}
