// test/support/topology-owner.ts — a process that owns servers, for tests of what becomes of them when it ends. Arguments: a
// directory to keep them in, or `freeze`. It reports its servers, and ends by itself when it is told to leave.
import { dirname } from 'node:path'
import { startTopology } from '../../src/embedded/topology.js'

const [argument] = process.argv.slice(2)
const keep = argument === undefined || argument === 'freeze' ? {} : { keep: argument }
const running = await startTopology({ clusters: { main: { replicas: 1 }, other: {} } }, keep)
if ('keep' in keep) await running.cluster('main').primary.sql("CREATE TABLE mark AS SELECT 'before' AS made")
if (argument === 'freeze') await Promise.all(running.nodes.map((node) => node.freeze()))
process.once('message', () => {
  process.exit(0)
})
process.send?.({
  pids: running.nodes.map((node) => node.pid),
  directories: argument === undefined || argument === 'freeze' ? running.nodes.map((node) => dirname(dirname(node.dataDir))) : [],
})
