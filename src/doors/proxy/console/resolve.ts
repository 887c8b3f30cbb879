// doors/proxy/console/resolve.ts — names of a command → what they stand for in the configuration. Throws where there is nothing
// of that name, or where the command would do harm or nothing; only then is it passed on to the workers.
import type { Config } from '../../../config/config.js'
import { PointsmanError } from '../../../errors/error.js'
import type { PauseTarget } from '../../../execute/gate.js'
import type { Topology } from '../../../topology/topology.js'
import { databaseOf } from '../login.js'
import type { Target } from './command.js'

export function resolveTarget(config: Config, { kind, name }: Target): PauseTarget {
  if (kind === 'all') return { kind, name }
  if (kind !== 'cluster' && isDatabase(config, name)) return { kind: 'database', name }
  if (kind !== 'database' && config.clusters.has(name)) return { kind: 'cluster', name }
  if (kind === 'any') throw unknown('database or cluster', name, [...config.databases.keys(), ...config.clusters.keys()])
  throw kind === 'database'
    ? unknown('database', name, [...config.databases.keys()])
    : unknown('cluster', name, [...config.clusters.keys()])
}

export function requireDatabase(config: Config, name: string): string {
  if (isDatabase(config, name)) return name
  throw unknown('database', name, [...config.databases.keys()])
}

/** Of a configuration with `*` every name may be one; a cluster's name is then taken for the cluster. */
function isDatabase(config: Config, name: string): boolean {
  return config.databases.has(name) || (databaseOf(config, name) !== undefined && !config.clusters.has(name))
}

/** A virtual partition or sharded set, by its name, in whatever database. */
export function requireVirtual({ databases }: Config, name: string): void {
  const labels = [...databases.values()].flatMap(({ virtual }) => [...virtual.keys()])
  const names = labels.map((label) => label.slice(label.indexOf(' ') + 1))
  if (!names.includes(name) && !labels.includes(name)) throw unknown('virtual partition or sharded set', name, names)
}

/** `named` null: all of them. */
export function clustersNamed({ clusters }: Config, named: string | null): readonly string[] {
  if (named === null) return [...clusters.keys()]
  if (clusters.has(named)) return [named]
  throw unknown('cluster', named, [...clusters.keys()])
}

/** The cluster of a node; null: there is no such node. */
function clusterOfNode({ clusters }: Config, node: string): string | null {
  for (const { id, nodes } of clusters.values()) if (nodes.some((one) => one.id === node)) return id
  return null
}

/** The cluster of the node of that name; null: the name is a cluster's. */
export function clusterToDrain(config: Config, name: string): string | null {
  const cluster = clusterOfNode(config, name)
  if (cluster !== null || config.clusters.has(name)) return cluster
  throw unknown('node or cluster', name, [...config.clusters.keys(), ...nodeNames(config)])
}

export function requireNode(config: Config, node: string): string {
  const cluster = clusterOfNode(config, node)
  if (cluster !== null) return cluster
  throw unknown('node', node, nodeNames(config))
}

function nodeNames(config: Config): readonly string[] {
  return [...config.clusters.values()].flatMap((one) => one.nodes.map(({ id }) => id))
}

/** A ban takes reads from a replica; nobody else could take what a primary does. */
export function requireReplica(topology: Topology, cluster: string, node: string, instead: string): void {
  if (topology.clusters.get(cluster)?.primary?.id !== node) return
  throw new PointsmanError('console_state', {
    values: { what: `${node} is the primary of cluster ${cluster}: its writes can go nowhere else` },
    hint: instead,
  })
}

/** What the configuration says would hold on, so OFF must not look as if it had done something. */
export function requireNotConfigured(config: Config, clusters: readonly string[]): void {
  const held = clusters.filter((id) => (config.clusters.get(id)?.readOnly ?? null) !== null)
  if (held.length === 0) return
  throw new PointsmanError('invalid_parameter_value', {
    values: { what: `the configuration says that ${held.join(', ')} is read-only` },
    hint: 'Take read_only out of the configuration and reload it.',
  })
}

function unknown(what: string, name: string, known: readonly string[]): PointsmanError {
  return new PointsmanError('undefined_setting', {
    values: { what: `${what} "${name}" does not exist` },
    hint: `There are: ${known.slice(0, 20).join(', ')}.`,
  })
}
