// doors/cli/main.ts — the command `pointsman` (DESIGN §8): arguments → one command → an exit code. Commands are loaded
// when they are called, so that `pointsman schema` does not wait for a database driver.
import { Argument, Command, CommanderError, InvalidArgumentError } from 'commander'
import type { AuditOptions } from './audit.js'
import type { CheckOptions } from './check.js'
import type { CoordinatorOptions } from './coordinator.js'
import type { ExplainOptions } from './explain.js'
import { CommandError, exit, type ExitCode, type Io } from './io.js'
import type { ServeOptions } from './serve.js'
import type { ShardOptions } from './shard.js'
import type { VerifyOptions } from './verify.js'
import { version } from './version.js'

/** Runs the command that `args` (without node and script) name. Never rejects. */
export async function main(args: readonly string[], io: Io): Promise<ExitCode> {
  let code: ExitCode = exit.done
  const program = commands(io, (ended) => {
    code = ended
  })
  try {
    await program.parseAsync([...args], { from: 'user' })
    return code
  } catch (error) {
    return failed(error, io)
  }
}

function failed(error: unknown, io: Io): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exit.done : exit.usage
  if (error instanceof CommandError) {
    io.err(`pointsman: ${error.message}`)
    return error.code
  }
  io.err(`pointsman: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  return exit.no
}

type Ended = (code: ExitCode) => void

const configHelp = 'config file; default: $POINTSMAN_CONFIG'

function commands(io: Io, ended: Ended): Command {
  const program = new Command('pointsman')
    .description('Routes PostgreSQL statements: reads to replicas that are proved fresh enough, tables to partitions, keys to shards.')
    .version(version(), '-V, --version')
    .showHelpAfterError('(pointsman --help lists the commands)')
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.out(text.trimEnd()), writeErr: (text) => io.err(text.trimEnd()) })
  addServe(program, io, ended)
  addCheck(program, io, ended)
  addExplain(program, io, ended)
  addShard(program, io, ended)
  addAudit(program, io, ended)
  addCoordinator(program, io, ended)
  addVerify(program, io, ended)
  addSchema(program, io, ended)
  return program
}

function addServe(program: Command, io: Io, ended: Ended): void {
  program
    .command('serve')
    .description('run the proxy; without a config: a demo on real PostgreSQL servers, kept in ./.pointsman')
    .option('-c, --config <file>', configHelp)
    .option('--pid-file <file>', 'where the process that serves writes its number; after a restart that is the new one')
    .addHelpText(
      'after',
      examples(
        'pointsman serve',
        'pointsman serve -c pointsman.yaml',
        'kill -HUP PID    # read the config again; a changed file is seen by itself',
        'kill -USR2 PID   # a new process takes over: no client is refused, no transaction broken',
      ),
    )
    .action(async (options: ServeOptions) => ended(await (await import('./serve.js')).serve(options, io)))
}

function addCheck(program: Command, io: Io, ended: Ended): void {
  program
    .command('check')
    .description('validate a config; exit 1 and every problem with line and column')
    .option('-c, --config <file>', configHelp)
    .option('--json', 'problems as JSON')
    .option('--live', 'also ask the servers: logins, roles, privileges, tables')
    .addHelpText(
      'after',
      examples('pointsman check -c pointsman.yaml', 'pointsman check -c pointsman.yaml --live', 'pointsman check -c pointsman.yaml --json'),
    )
    .action(async (options: CheckOptions) => ended(await (await import('./check.js')).check(options, io)))
}

function addExplain(program: Command, io: Io, ended: Ended): void {
  program
    .command('explain')
    .description('where a statement would go and why, without running it; exit 1 if it would be refused')
    .argument('<sql>', 'the statement')
    .option('-c, --config <file>', `${configHelp}, or else the demo in ./.pointsman`)
    .option('-d, --database <name>', 'database the client is connected to; default: the only one')
    .option('-u, --user <name>', 'user of the client; default: the first of auth.users')
    .option('-p, --param <value>', 'value of the next parameter, $1 first; \\N is NULL', collect)
    .option('-s, --set <name=value>', 'a setting of the session', collectSetting)
    .option('--no-catalog', 'ask no server')
    .option('--json', 'the plan as JSON')
    .addHelpText(
      'after',
      examples(
        `pointsman explain -c pointsman.yaml "SELECT * FROM users WHERE id = 1"`,
        `pointsman explain "SELECT * FROM comments WHERE image_id = $1" --param 7`,
        `pointsman explain "SELECT * FROM users" --set pointsman.consistency=any`,
      ),
    )
    .action(async (sql: string, options: ExplainOptions) => ended(await (await import('./explain.js')).explain(sql, options, io)))
}

function addShard(program: Command, io: Io, ended: Ended): void {
  program
    .command('shard')
    .description('which shard a key lives on; exit 1 if a key has none')
    .argument('<sharded>', 'a name under `sharded`, or one of its tables')
    .argument('[key...]', 'keys; a key of several columns takes several arguments')
    .option('-c, --config <file>', `${configHelp}, or else the demo in ./.pointsman`)
    .option('-d, --database <name>', 'where several databases have that name')
    .option('--json', 'as JSON')
    .option('--sql', 'print queries for each cluster that give back every row which does not belong there')
    .addHelpText(
      'after',
      examples(
        'pointsman shard comments 7',
        'pointsman shard -c pointsman.yaml comments 7 8 9 --json',
        'pointsman shard comments -- -7',
        'pointsman shard --sql comments',
      ),
    )
    .action(async (name: string, keys: string[], options: ShardOptions) =>
      ended(await (await import('./shard.js')).shard(name, keys, options, io)),
    )
}

function addAudit(program: Command, io: Io, ended: Ended): void {
  program
    .command('audit')
    .description('what crosses partitions and shards: joins, transactions, foreign keys, views, functions, triggers, by owner')
    .option('-c, --config <file>', `${configHelp}, or else the demo in ./.pointsman`)
    .option('-d, --database <name>', 'database; default: the only one')
    .option('-u, --user <name>', 'user whose search_path counts; default: the first of auth.users')
    .option('--live', 'also what a running proxy has seen')
    .option('--statements', 'also pg_stat_statements')
    .option('--log <file>', "also PostgreSQL's log: csvlog, jsonlog or text", collect)
    .option('--no-catalog', 'not what stands in the catalog')
    .option('--baseline <file>', 'crossings that are accepted; exit 1 on a new or an expired one')
    .option('--write-baseline <file>', 'write the list as it is now; what is there keeps its issue and day')
    .option('--issue <link>', 'of the new entries')
    .option('--expires <day>', 'of the new entries: their last day, such as 2027-01-31')
    .option('--json', 'the report as JSON')
    .option('--html <file>', 'the report as one page, too')
    .addHelpText(
      'after',
      examples(
        'pointsman audit -c pointsman.yaml --log postgresql.csv --html audit.html',
        'pointsman audit -c pointsman.yaml --statements --write-baseline crossings.yaml --issue https://… --expires 2027-01-31',
        'pointsman audit -c pointsman.yaml --baseline crossings.yaml    # for CI: the list may only shrink',
      ),
    )
    .action(async (options: AuditOptions) => ended(await (await import('./audit.js')).audit(options, io)))
}

function addCoordinator(program: Command, io: Io, ended: Ended): void {
  program
    .command('coordinator')
    .description('the SQL that makes a PostgreSQL see the rows of all shards, by postgres_fdw, for reads that cannot be merged')
    .addArgument(new Argument('<what>', 'sql: print a script for psql').choices(['sql']))
    .option('-c, --config <file>', configHelp)
    .option('-d, --database <name>', 'database; default: the only one')
    .option('--live', 'also tables that only the servers know: those of the default cluster, of patterns and schemas')
    .option('--reader <role>', "role that may read there; default: the coordinator's user", collect)
    .addHelpText(
      'after',
      examples(
        'pointsman coordinator sql -c pointsman.yaml --live > coordinator.sql',
        'psql -f coordinator.sql -v password_shard_0=… -v password_shard_1=… "dbname=whole"',
      ),
    )
    .action(async (_what: string, options: CoordinatorOptions) => ended(await (await import('./coordinator.js')).coordinator(options, io)))
}

function addVerify(program: Command, io: Io, ended: Ended): void {
  program
    .command('verify')
    .description('the consistency proof: clients of every policy on both doors, faults, and a check of all they saw; exit 1 on a violation')
    .option('-c, --config <file>', `${configHelp}, or else servers started for it and thrown away`)
    .option('--for <time>', 'how long', '60s')
    .option('--out <file>', 'where the history goes; default: ./pointsman-verify-<time>.ndjson')
    .option('--seed <n>', 'order of the faults; default: any')
    .option('--faults <kinds>', 'all, none, or a list; only servers that were started for it are broken', 'all')
    .option('--json', 'the report as JSON')
    .addHelpText(
      'after',
      examples(
        'pointsman verify --for 120s',
        'pointsman verify --faults promote,cut-link --seed 7',
        'pointsman verify -c pointsman.yaml --for 5m    # breaks nothing; makes and drops a schema pointsman_verify',
      ),
    )
    .action(async (options: VerifyOptions) => ended(await (await import('./verify.js')).verify(options, io)))
}

function addSchema(program: Command, io: Io, ended: Ended): void {
  program
    .command('schema')
    .description('the JSON schema of the config, for editors')
    .addHelpText(
      'after',
      examples(
        'pointsman schema > pointsman.schema.json',
        '# first line of pointsman.yaml:  # yaml-language-server: $schema=pointsman.schema.json',
      ),
    )
    .action(async () => ended((await import('./schema.js')).schema(io)))
}

function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value]
}

function collectSetting(value: string, before: readonly string[] | undefined): readonly string[] {
  if (!value.includes('=')) throw new InvalidArgumentError('write name=value')
  return collect(value, before)
}
