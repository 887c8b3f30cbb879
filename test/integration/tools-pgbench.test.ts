// pgbench through `pointsman serve`, in every mode, with more clients than server connections, and while the config changes
// under it. No transaction may fail.
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { until } from '../../src/embedded/until.js'
import { skipWithout } from '../support/commands.js'
import { runProgram, startProgram, type Outcome } from '../support/program.js'
import { Served } from '../support/served.js'
import { withTopology } from '../support/topology.js'

t.test('pgbench', { skip: skipWithout('pgbench') }, async (t) => {
  const running = await withTopology(t, { clusters: { main: { replicas: 1 } } })
  const main = running.cluster('main')
  const { primary } = main
  const config = (nodes: readonly string[]): string => `version: 1
listen: { port: 0 }
admin: { port: 0 }
auth: { users: [{ name: app, password: app }] }
clusters:
  main: { dbname: app, user: app, password: app, tls: { mode: disable }, nodes: ${JSON.stringify(nodes)} }
databases:
  app: { default: main, reads: { default: { consistency: any } } }
`
  const served = await Served.start(t, config([primary.address]))
  const { port } = served

  t.test('pgbench -i', async (t) => {
    const { code, err } = await runProgram('pgbench', port, ['-i', '-q', '-s', '2'])
    t.equal(code, 0, err.slice(0, 300))
    t.same(await primary.sql('SELECT count(*) AS n FROM pgbench_accounts'), [{ n: '200000' }])
    t.match(err, /done in .*client-side generate.*vacuum.*primary keys/)
  })

  for (const mode of ['simple', 'extended', 'prepared']) {
    for (const [what, more, each] of [
      ['TPC-B', [], 12],
      ['select only', ['-S'], 60],
    ] as const) {
      t.test(`-M ${mode}: ${what}, 50 clients on 20 connections`, async (t) => {
        const before = await written(primary)
        const outcome = await runProgram('pgbench', port, ['-n', '-M', mode, '-c', '50', '-t', String(each), ...more])
        allWent(t, outcome)
        t.match(outcome.out, `number of transactions actually processed: ${String(50 * each)}/${String(50 * each)}`)
        t.equal((await written(primary)) - before, what === 'TPC-B' ? 50 * each : 0)
        const open = await primary.sql("SELECT count(*) AS n FROM pg_stat_activity WHERE usename = 'app' AND application_name = 'pgbench'")
        t.ok(Number(open[0]?.['n']) <= 20, 'no more than the pool')
      })
    }
  }

  t.test('the config changes while it runs: a bad file changes nothing, a replica takes the reads', async (t) => {
    const mixed = ['-b', 'tpcb-like@1', '-b', 'select-only@4']
    const bench = startProgram('pgbench', port, ['-n', '-M', 'prepared', '-c', '10', '-T', '300', '-P', '1', ...mixed])
    t.teardown(() => bench.child.kill('SIGKILL'))
    await Promise.race([once(bench.child.stderr ?? bench.child, 'data'), bench.outcome])
    const reads = async (role: string): Promise<number> => count(await served.metrics(), `role="${role}",owner="none",outcome="ok"`)
    t.equal(await reads('replica'), 0)

    const bad = await served.reconfigure(config([primary.address, 'nonsense:']).replace('default: main', 'default: mian'))
    t.match(bad, {
      outcome: 'refused',
      problems: [/^p\.yaml:6:\d+: clusters\.main\.nodes\[1\]/, /^p\.yaml:8:\d+: .*unknown cluster "mian"/],
    })
    const atRefusal = await reads('primary')
    await until('it goes on as before', async () => (await reads('primary')) > atRefusal + 100)
    t.equal(await reads('replica'), 0)

    t.match(await served.reconfigure(config([primary.address, main.replica().address])), { outcome: 'applied' })
    await until('the replica answers', async () => (await reads('replica')) > 100)
    // What -T does when its time has come.
    bench.child.kill('SIGALRM')
    allWent(t, await bench.outcome)
  })

  t.test('when they have gone, no server connection is in a transaction, and nothing was logged as wrong', async (t) => {
    // Between two of the monitor's questions there is a moment in which nothing is under way.
    const open = "SELECT state, query FROM pg_stat_activity WHERE usename = 'app' AND state <> 'idle'"
    await until('nothing is under way', async () => (await primary.sql(open)).length === 0)
    t.same(await primary.sql(open.replace("<> 'idle'", "LIKE 'idle in%'")), [])
    const wrong = served.err.split('\n').filter((line) => /"level":"(error|fatal)"/.test(line) && !line.includes('config.reloaded'))
    t.same(wrong, [])
  })
})

async function written(node: { sql(text: string): Promise<Record<string, string | null>[]> }): Promise<number> {
  return Number((await node.sql('SELECT count(*) AS n FROM pgbench_history'))[0]?.['n'])
}

function allWent(t: Test, { code, out, err }: Outcome): void {
  t.equal(code, 0, err.slice(0, 300))
  t.match(out, /number of failed transactions: 0 /)
  t.same(
    err
      .split('\n')
      .filter((line) => /error|aborted/i.test(line))
      .slice(0, 3),
    [],
  )
}

/** Sum of the counters of statements with these labels. */
function count(metrics: string, labels: string): number {
  const lines = metrics.split('\n').filter((line) => line.startsWith('pointsman_queries_total{') && line.includes(labels))
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}
