// Whatever comes in, validation answers: a config or problems, never an exception.
import fc from 'fast-check'
import t from 'tap'
import { validateConfig } from '../../src/config/validate.js'
import { parseConfigText } from '../../src/config/yaml.js'

const surroundings = {
  env: { A: 'a' },
  readFile: (): string => {
    throw new Error('no')
  },
}
const keys = ['version', 'listen', 'admin', 'auth', 'users', 'name', 'password', 'clusters', 'main', 'nodes', 'host', 'port', 'databases', 'app', 'default', 'sharded', 'tables', 'map', 'shards', 'reads', 'on_unmet', 'max_staleness', 'partitions', 'reference', 'chaos', 'i_know', 'kill', 'delay', 'share', 'by', 'pause', 'every', 'for', 'tokens', 'key', 'cache', 'max_bytes', 'max_result', 'position', 'heartbeat', 'read_only', 'lsn_source', 'subscriber', 'cut_off', 'max_tx_age', 'client_lifetime', '__proto__', 'constructor', 'toString', ''] // prettier-ignore
const leaf = fc.oneof(
  fc.string(),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
  fc.constantFrom('${A}', '${B}', 'file:x', '0-31', '5s', 'main', 1, NaN, undefined, 1n, Symbol('x')),
)
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { depthSize: 'medium' },
    leaf,
    fc.array(tie('tree'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom(...keys), tie('tree'), { maxKeys: 8 }),
  ),
}))

t.test('objects', async (t) => {
  fc.assert(
    fc.property(tree, (input) => {
      const result = validateConfig(input, surroundings)
      return result.ok || result.problems.length > 0
    }),
    { numRuns: 1500 },
  )
  const cyclic: Record<string, unknown> = { version: 1 }
  cyclic['listen'] = cyclic
  t.notOk(validateConfig(cyclic, surroundings).ok)
  t.notOk(validateConfig(new Map(), surroundings).ok)
})

t.test('texts', async (t) => {
  const piece = fc.constantFrom(
    ...keys.map((key) => `${key}:`),
    ' ',
    '\n',
    '\n  ',
    '\t',
    '- ',
    '{',
    '}',
    '[',
    ']',
    '&a',
    '*a',
    '<<: *a',
    '"',
    "'",
    '|',
    '---\n',
    '#',
    ',',
    '!!x',
    '? ',
    ': ',
    '1',
    'x',
  )
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join('')),
  )
  fc.assert(
    fc.property(text, (input) => {
      const result = parseConfigText(input, surroundings)
      return result.ok || (result.problems.length > 0 && result.problems.every((one) => (one.line ?? 0) >= 1 && (one.column ?? 0) >= 1))
    }),
    { numRuns: 3000 },
  )
  const bomb = `a: &a [${'x,'.repeat(9)}]\n${'bcdefgh'.replace(/./g, (c) => `${c}: &${c} [${`*${String.fromCharCode(c.charCodeAt(0) - 1)},`.repeat(9)}]\n`)}`
  t.notOk(parseConfigText(bomb, surroundings).ok, 'aliases do not multiply without end')
})
