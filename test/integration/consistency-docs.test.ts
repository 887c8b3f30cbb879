// Every example of docs/consistency.md runs: configurations are right, SQL goes through the proxy, console commands through
// the console, and the library's code works on a router.
import { readFileSync } from 'node:fs'
import t from 'tap'
import type { ConfigInput } from '../../src/config/input.js'
import { parseConfigText } from '../../src/config/yaml.js'
import type { RoutedPool } from '../../src/index.js'
import { withProxy } from '../support/proxy.js'
import { router, routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const docs = readFileSync(new URL('../../docs/consistency.md', import.meta.url), 'utf8')
const examples = (language: string): readonly string[] =>
  [...docs.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))].map(([, text = '']) => text)
/** Statements stand on lines of their own. */
const lines = (language: string): readonly string[] => examples(language).flatMap((text) => text.trim().split('\n'))

const running = await withTopology(t, {
  clusters: {
    main: {
      replicas: 1,
      seed: `CREATE TABLE articles (id int PRIMARY KEY, title text, views int DEFAULT 0); INSERT INTO articles VALUES (1, 'a'), (2, 'b');
        CREATE TABLE accounts (id int PRIMARY KEY, balance int); INSERT INTO accounts VALUES (1, 100)`,
    },
  },
})
const config: ConfigInput = routerConfig(running, {
  default: 'main',
  reads: {
    default: { consistency: 'session', max_staleness: '5s', on_unmet: ['wait 30ms', 'primary'] },
    tables: { accounts: { consistency: 'strong', enforce: true } },
  },
})

t.test('configurations', async (t) => {
  for (const text of examples('yaml')) {
    const result = parseConfigText(complete(text), { env: {}, readFile: () => '' })
    t.same(result.ok ? result.warnings : result.problems, [], text)
  }
})

t.test('SQL and console', async (t) => {
  const { connect } = await withProxy(t, { ...config, auth: { users: [{ name: 'app', password: 'app' }], admins: ['app'] } })
  const client = await connect()
  for (const text of lines('sql')) await t.resolves(client.query(text), text)
  const operator = await connect({ database: 'pointsman' })
  for (const text of lines('console')) await t.resolves(operator.query(text), text)
})

t.test('the library', async (t) => {
  const pool = router(t, config)
  for (const text of examples('js')) {
    const module = (await import(`data:text/javascript,${encodeURIComponent(`export default async (router) => {\n${text}\n}`)}`)) as {
      default: (router: RoutedPool) => Promise<void>
    }
    await t.resolves(module.default(pool), text)
  }
})

/** With what the example leaves out. */
function complete(text: string): string {
  const clusters = "clusters:\n  main: { nodes: ['10.0.0.1:5432'], user: app }\n"
  const databases = 'databases:\n  app: { default: main }\n'
  return `version: 1\n${/^clusters:/m.test(text) ? '' : clusters}${/^databases:/m.test(text) ? '' : databases}${text}`
}
