// metrics/counters.ts — counters of one registry, in a line each.
import { Counter, type Registry } from 'prom-client'

export type MakeCounter = <L extends string = never>(name: string, help: string, labelNames?: readonly L[]) => Counter<L>

export function countersOf(registry: Registry): MakeCounter {
  return (name, help, labelNames = []) => new Counter({ name, help, labelNames: [...labelNames], registers: [registry] })
}
