// The demo's data are where its configuration says they are. PostgreSQL placed the comments by its own rule, so this is also
// a proof of shardOf() on some thousand keys.
import t from 'tap'
import { parseConfigText } from '../../src/config/yaml.js'
import { demoConfig, demoTopology } from '../../src/embedded/demo.js'
import { demoRows } from '../../src/embedded/demo-seed.js'
import { readKey } from '../../src/sharding/key.js'
import { shardOf } from '../../src/sharding/shard-of.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, demoTopology())
const parsed = parseConfigText(demoConfig(running), { env: {}, readFile: () => '' })
if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
const { config, warnings } = parsed

t.test('the configuration is valid and names every server', async (t) => {
  t.same(warnings, [])
  t.equal([...config.clusters.values()].flatMap((cluster) => cluster.nodes).length, 7)
  t.same([...config.clusters.get('main')!.nodes].map((node) => node.id), running.cluster('main').nodes.map((node) => node.address)) // prettier-ignore
})

t.test('every comment lies on the shard that shardOf says', async (t) => {
  const { sharded } = config.databases.get('app')!
  const comments = sharded.get('comments')!
  let rows = 0
  for (const id of ['comments_0', 'comments_1']) {
    const found = await running.cluster(id).primary.sql('SELECT image_id, count(*) AS n FROM comments GROUP BY image_id')
    const wrong = found.filter((row) => {
      const key = readKey('bigint', row['image_id'] ?? '')
      const placement = 'problem' in key ? key : shardOf(comments, [key])
      return !('cluster' in placement) || placement.cluster !== id
    })
    t.same(wrong, [], `all on ${id} belong there`)
    rows += found.reduce((sum, row) => sum + Number(row['n']), 0)
  }
  t.equal(rows, demoRows.comments, 'and none is missing')
})

t.test('tables are where the configuration has them, with rows, on the replicas too', async (t) => {
  const count = async (cluster: string, table: string): Promise<number[]> =>
    Promise.all(
      running.cluster(cluster).nodes.map(async (node) => Number((await node.sql(`SELECT count(*) AS n FROM ${table}`))[0]?.['n'])),
    )
  t.same(await count('main', 'users'), [demoRows.users, demoRows.users, demoRows.users])
  t.same(await count('media', 'images'), [demoRows.images, demoRows.images])
  for (const id of running.clusters.keys()) for (const n of await count(id, 'countries')) t.equal(n, 24)
  const [strangers] = await running.cluster('media').primary.sql(`SELECT max(user_id) <= ${String(demoRows.users)} AS ok FROM images`)
  t.same(strangers, { ok: 't' }, 'every image has a user')
})

t.test('rows can be added by the user', async (t) => {
  const rows = await running
    .cluster('main')
    .primary.sql("INSERT INTO users (name, email, country) VALUES ('N', 'n@example.com', 'NO') RETURNING id", { user: 'app' })
  t.same(rows, [{ id: String(demoRows.users + 1) }])
})
