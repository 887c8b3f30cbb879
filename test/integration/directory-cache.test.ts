// runtime/directory-cache.ts by itself, on a real server that two nodes stand for: what it forgets, and when it asks anew.
import t from 'tap'
import pg from 'pg'
import { validateConfig } from '../../src/config/validate.js'
import { until } from '../../src/embedded/until.js'
import { DirectoryCache } from '../../src/runtime/directory-cache.js'
import type { Topology } from '../../src/topology/topology.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, {
  clusters: { main: { seed: `CREATE TABLE homes (key uuid, shard int); CREATE TABLE tenants (key text, shard int)` } },
})
const { primary } = running.cluster('main')
const direct = new pg.Client({ host: primary.host, port: primary.port, user: 'app', password: 'app', database: 'app' })
await direct.connect()
t.teardown(() => direct.end())

const uuid = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'
await direct.query(`INSERT INTO homes VALUES ('${uuid}', 0); INSERT INTO tenants VALUES ('a', 0)`)
const valid = validateConfig(
  {
    version: 1,
    auth: { method: 'trust', users: [{ name: 'app' }] },
    clusters: {
      main: {
        nodes: [`127.0.0.1:${String(primary.port)}`, `localhost:${String(primary.port)}`],
        ...{ dbname: 'app', user: 'app', password: 'app', tls: { mode: 'disable' } },
      },
    },
    databases: {
      app: {
        default: 'main',
        sharded: {
          homes: {
            ...{ clusters: ['main'], shards: 4, by: 'directory', key_type: 'uuid', tables: { houses: 'key' } },
            directory: { cluster: 'main', table: 'homes', key: 'key', shard: 'shard', ttl: '1h', channel: 'moved' },
          },
          tenants: {
            ...{ clusters: ['main'], shards: 4, by: 'directory', key_type: 'text', tables: { rented: 'key' } },
            directory: { cluster: 'main', table: 'tenants', key: 'key', shard: 'shard', ttl: '1h' },
          },
        },
      },
    },
  },
  { env: {}, readFile: () => '' },
)
if (!valid.ok) throw new Error(JSON.stringify(valid.problems))
const { config } = valid
const sets = config.databases.get('app')?.sharded
const [homes, tenants] = [sets?.get('homes'), sets?.get('tenants')]
const [first, second] = config.clusters.get('main')?.nodes ?? []
if (homes === undefined || tenants === undefined || first === undefined || second === undefined) throw new Error('not configured')

let leader: string | null = first.id
let known = config
const cache = new DirectoryCache({
  config: () => known,
  topology: () => ({ clusters: new Map([['main', { primary: leader === null ? null : { id: leader } }]]) }) as unknown as Topology,
  now: () => performance.now(),
  background: true,
})
t.teardown(() => cache.close())
const asked = async (set: typeof homes, key: string): Promise<number | null | undefined> => {
  await cache.ask({ sharded: set, keys: [[key]] }, 'app')
  return cache.find(set, [key])
}

t.test('a notification names a key in any way that its type can be written', async (t) => {
  t.equal(await asked(homes, uuid), 0)
  await direct.query(`UPDATE homes SET shard = 1; NOTIFY moved, '{${uuid.toUpperCase()}}'`)
  await until('it is forgotten', () => Promise.resolve(cache.find(homes, [uuid]) === undefined))
  t.equal(await asked(homes, uuid), 1)
  await direct.query(`NOTIFY moved, 'no key at all'`)
  await until('all are forgotten', () => Promise.resolve(cache.find(homes, [uuid]) === undefined))
})

t.test('what another primary has said counts no more, since nobody hears what the new one tells', async (t) => {
  t.equal(await asked(homes, uuid), 1)
  leader = second.id
  t.equal(cache.find(homes, [uuid]), undefined)
  t.equal(await asked(homes, uuid), 1)
  await direct.query(`UPDATE homes SET shard = 2; NOTIFY moved`)
  await until('the new one is heard', () => Promise.resolve(cache.find(homes, [uuid]) === undefined))
})

t.test('a primary that the configuration did not know is asked once it does', async (t) => {
  leader = 'elsewhere'
  await t.rejects(asked(tenants, 'a'), { code: '57P03' })
  const cluster = config.clusters.get('main')
  if (cluster === undefined) throw new Error('no cluster')
  known = { ...config, clusters: new Map([['main', { ...cluster, nodes: [{ ...first, id: 'elsewhere' }] }]]) }
  // A connection that has just been made may forget once what came before it listened.
  await until('it is asked', async () => (await asked(tenants, 'a')) === 0)
})
