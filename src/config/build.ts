// config/build.ts — checked form → Config: defaults, secrets, and everything that several keys must be together. What
// did not pass the form is missing here and was told; nothing is told twice.
import { buildAuth } from './build-auth.js'
import { buildAdmin, buildLimits, buildListen, buildLog } from './build-doors.js'
import { buildCache } from './build-cache.js'
import { buildChaos } from './build-chaos.js'
import { buildCluster } from './build-cluster.js'
import { buildDatabase } from './build-database.js'
import { buildLanes } from './build-lanes.js'
import { buildTokens } from './build-tokens.js'
import { checkTwoPhase } from './build-two-phase.js'
import { clustersOf } from './clusters-of.js'
import type { AuthConfig, Config } from './config.js'
import type { Context } from './context.js'
import type { ConfigInput, Partly } from './input.js'

/** `clusterNames`: every cluster that is named, also those whose form is bad, so that a reference to them is not told. */
export function build(context: Context, input: Partly<ConfigInput>, clusterNames: ReadonlySet<string>): Config {
  const listen = buildListen(context, input.listen)
  const config: Config = {
    version: 1,
    listen,
    admin: buildAdmin(context, input.admin),
    auth: buildAuth(context, input.auth, listen, clusterNames),
    clusters: mapped(input.clusters, (id, one) => buildCluster(context, id, one)),
    databases: mapped(input.databases, (name, one) => buildDatabase(context, name, one, clusterNames)),
    tokens: buildTokens(context, input.tokens),
    cache: buildCache(context, input.cache),
    chaos: buildChaos(context, input.chaos),
    lanes: buildLanes(context, input.lanes),
    identity: { node: input.identity?.node ?? null },
    limits: buildLimits(context, input.limits),
    log: buildLog(input.log),
  }
  checkNotEmpty(context, input)
  checkUsers(context, config.auth, input)
  checkRuleDatabases(context, config, input)
  checkTwoPhase(context, config)
  // A name that is misspelt elsewhere makes its cluster look unused.
  if (!context.findings.bad) warnUnused(context, config, clusterNames)
  return config
}

function mapped<I, O>(
  inputs: Readonly<Record<string, I | undefined>> | undefined,
  one: (name: string, input: I) => O,
): ReadonlyMap<string, O> {
  const entries = Object.entries(inputs ?? {})
  return new Map(entries.flatMap(([name, input]) => (input === undefined ? [] : [[name, one(name, input)] as const])))
}

function checkNotEmpty(context: Context, input: Partly<ConfigInput>): void {
  for (const key of ['clusters', 'databases'] as const) {
    const found = input[key]
    if (found === undefined || Object.keys(found).length > 0) continue
    context.findings.problem({ path: [key], found: 'an empty map', allowed: 'at least one', message: `"${key}" is empty` })
  }
}

// Names in admins, viewers, rules and reads.users that nobody can log in with are mistakes, but harmless ones.
function checkUsers(context: Context, auth: AuthConfig, input: Partly<ConfigInput>): void {
  if (auth.users.size === 0 || auth.authQuery !== null || auth.rules.some(({ method }) => method === 'trust')) return
  const tell = (path: readonly (string | number)[], name: string, at: 'key' | 'value'): void => {
    if (auth.users.has(name)) return
    context.findings.warning({
      path,
      at,
      found: name,
      allowed: [...auth.users.keys()].join(', '),
      message: `auth.users has no user ${JSON.stringify(name)}`,
    })
  }
  for (const list of ['admins', 'viewers'] as const) {
    input.auth?.[list]?.forEach((name, index) => {
      if (name !== undefined) tell(['auth', list, index], name, 'value')
    })
  }
  input.auth?.rules?.forEach((rule, index) =>
    rule?.users?.forEach((name, at) => {
      if (name !== undefined && name !== 'all') tell(['auth', 'rules', index, 'users', at], name, 'value')
    }),
  )
  for (const [database, one] of Object.entries(input.databases ?? {})) {
    for (const name of Object.keys(one?.reads?.users ?? {})) tell(['databases', database, 'reads', 'users', name], name, 'key')
  }
}

// A rule for a database that there is not lets nobody in, or keeps nobody out.
function checkRuleDatabases(context: Context, config: Config, input: Partly<ConfigInput>): void {
  if (config.databases.has('*')) return
  input.auth?.rules?.forEach((rule, index) =>
    rule?.databases?.forEach((name, at) => {
      if (name === undefined || ['all', 'replication', 'pointsman'].includes(name) || config.databases.has(name)) return
      context.findings.warning({
        path: ['auth', 'rules', index, 'databases', at],
        found: name,
        allowed: ['all', 'replication', 'pointsman', ...config.databases.keys()].join(', '),
        message: `there is no database ${JSON.stringify(name)}`,
      })
    }),
  )
}

function warnUnused(context: Context, config: Config, clusterNames: ReadonlySet<string>): void {
  const used = new Set([...config.databases.values()].flatMap(clustersOf))
  for (const { coordinator, sharded } of config.databases.values()) {
    if (coordinator !== undefined) used.add(coordinator)
    for (const { function: placing } of sharded.values()) if (placing.by === 'directory') used.add(placing.directory.cluster)
  }
  if (config.auth.authQuery !== null) used.add(config.auth.authQuery.cluster)
  for (const id of clusterNames) {
    if (used.has(id)) continue
    context.findings.warning({
      path: ['clusters', id],
      at: 'key',
      found: id,
      allowed: 'a cluster that a database uses',
      message: `no database uses cluster ${JSON.stringify(id)}`,
    })
  }
}
