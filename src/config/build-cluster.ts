// config/build-cluster.ts — one primary and its replicas, as the config tells them.
import { ms } from './build-doors.js'
import { checkCertificates } from './certificates.js'
import type { ClusterConfig, NodeConfig, PositionConfig } from './config.js'
import { pemFrom, secretFrom, type Context } from './context.js'
import type { ClusterInput, ClusterTlsInput, NodeInput, Partly } from './input.js'
import type { Path } from './locator.js'
import { nodeId, parseHostPort } from './quantities.js'
import { tableFrom } from './table-from.js'
import { parseName } from './table-name.js'

const defaultReadOnly = 'by the configuration'

export function buildCluster(context: Context, id: string, input: Partly<ClusterInput>): ClusterConfig {
  const path = ['clusters', id]
  const password = secretFrom(context, [...path, 'password'], input.password)
  if (input.password !== undefined && !context.findings.given([...path, 'user'])) {
    context.findings.problem({
      path: [...path, 'password'],
      at: 'key',
      found: 'a password without user',
      allowed: 'user and password, or neither (the client’s own are used)',
      message: 'a password needs its user',
    })
  }
  const position = buildPosition(context, [...path, 'position'], input.position)
  const nodes = buildNodes(context, [...path, 'nodes'], input.nodes ?? [])
  checkPosition(context, path, input, nodes)
  return {
    id,
    dbname: input.dbname ?? null,
    user: input.user ?? null,
    password,
    tls: buildTls(context, [...path, 'tls'], input.tls),
    monitor: buildMonitor(context, path, input),
    nodes,
    pool: {
      max: input.pool?.max ?? 20,
      waitMs: ms(input.pool?.wait, 5000),
      lifetimeMs: lifetime(context, path, input.pool?.lifetime),
      queue: input.pool?.queue ?? 10_000,
    },
    failover: { waitMs: ms(input.failover?.wait, 10_000) },
    reset: input.reset ?? 'tainted',
    lsnSource: input.lsn_source ?? 'insert',
    position,
    readOnly: readOnly(input.read_only),
    protocol: input.protocol ?? '3.0',
  }
}

function lifetime(context: Context, path: Path, input: string | 0 | undefined): number {
  const value = ms(input, 30 * 60_000)
  if (value < 1000) {
    context.findings.problem({
      path: [...path, 'pool', 'lifetime'],
      allowed: 'at least 1s',
      message: 'connections would be replaced all the time',
    })
  }
  return value
}

function readOnly(input: boolean | string | undefined): string | null {
  if (typeof input === 'string') return input
  return input === true ? defaultReadOnly : null
}

function buildPosition(context: Context, path: Path, input: Partly<ClusterInput>['position']): PositionConfig {
  if (typeof input !== 'object' || input.heartbeat === undefined) return { kind: 'wal' }
  const name = parseName(input.heartbeat)
  const known = tableFrom(context, [...path, 'heartbeat'], input.heartbeat, 'value') !== null
  if (!known || typeof name === 'string') return { kind: 'wal' }
  return { kind: 'heartbeat', schema: name.schema ?? 'public', table: name.name }
}

// WAL positions say nothing of a logical subscriber, and nothing of a heartbeat.
function checkPosition(context: Context, path: Path, input: Partly<ClusterInput>, nodes: readonly NodeConfig[]): void {
  const heartbeat = context.findings.given([...path, 'position']) && input.position !== 'wal'
  if (heartbeat && input.lsn_source !== undefined) {
    context.findings.problem({
      path: [...path, 'lsn_source'],
      at: 'key',
      allowed: 'lsn_source only with position: wal',
      message: '"lsn_source" means nothing with a heartbeat',
    })
  }
  if (heartbeat || !nodes.some(({ subscriber }) => subscriber)) return
  const index = input.nodes?.findIndex((node) => typeof node === 'object' && node.subscriber === true) ?? 0
  context.findings.problem({
    path: [...path, 'nodes', index, 'subscriber'],
    allowed: 'position: { heartbeat: schema.table } for this cluster',
    message: 'a subscriber needs a heartbeat: its WAL positions are its own',
  })
}

function buildMonitor(context: Context, path: Path, input: Partly<ClusterInput>): ClusterConfig['monitor'] {
  if (!context.findings.given([...path, 'user'])) {
    context.findings.missing({
      path: [...path, 'monitor'],
      allowed: 'monitor: { user, password }, or user and password for the whole cluster',
      message: 'without a login of its own Pointsman cannot measure this cluster',
    })
  }
  if (input.monitor?.user === undefined) return null
  return { user: input.monitor.user, password: secretFrom(context, [...path, 'monitor', 'password'], input.monitor.password) }
}

function buildTls(context: Context, path: Path, input: Partly<ClusterTlsInput> = {}): ClusterConfig['tls'] {
  const cert = pemFrom(context, [...path, 'cert'], input.cert)
  const key = pemFrom(context, [...path, 'key'], input.key)
  if ((input.cert === undefined) !== (input.key === undefined)) {
    const missing = input.cert === undefined ? 'cert' : 'key'
    context.findings.missing({ path: [...path, missing], allowed: 'cert and key together', message: `"${missing}" is missing` })
  }
  const ca = pemFrom(context, [...path, 'ca'], input.ca)
  checkCertificates(context, path, { cert, key, ca })
  const mode = input.mode ?? 'prefer'
  const negotiation = input.negotiation ?? 'postgres'
  if (negotiation === 'direct' && (mode === 'disable' || mode === 'prefer')) {
    context.findings.problem({
      path: [...path, 'negotiation'],
      allowed: 'postgres, or mode: require, verify-ca or verify-full',
      message: 'without asking the server, TLS cannot be optional',
    })
  }
  return { mode, ca, cert, key, negotiation, minVersion: input.min_version ?? 'TLSv1.2' }
}

function buildNodes(context: Context, path: Path, inputs: readonly (string | Partly<NodeInput> | undefined)[]): readonly NodeConfig[] {
  const seen = new Set<string>()
  return inputs.flatMap((input, index) => {
    const node = input === undefined ? null : buildNode(context, [...path, index], input)
    if (node === null) return []
    if (seen.has(node.id)) {
      context.findings.problem({
        path: [...path, index],
        allowed: 'each server once',
        message: 'this server is listed twice in its cluster',
      })
    }
    seen.add(node.id)
    return [node]
  })
}

function buildNode(context: Context, path: Path, input: string | Partly<NodeInput>): NodeConfig | null {
  if (typeof input !== 'string') {
    if (input.host === undefined) return null
    const port = input.port ?? 5432
    return {
      id: nodeId(input.host, port),
      host: input.host,
      port,
      weight: input.weight ?? 1,
      zone: input.zone ?? null,
      subscriber: input.subscriber ?? false,
    }
  }
  const parsed = parseHostPort(input)
  if (parsed !== null) return { id: nodeId(parsed.host, parsed.port), ...parsed, weight: 1, zone: null, subscriber: false }
  context.findings.problem({ path, allowed: '"host:port" with a port from 1 to 65535', message: 'this is not host:port' })
  return null
}
