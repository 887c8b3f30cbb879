// metrics/lanes.ts — the connections that several clients use at the same moment: how full they are, and what went wrong there.
import { Counter, Gauge, type Registry } from 'prom-client'
import type { LanesReport } from '../pool/lanes.js'

const states = ['open', 'slow', 'large', 'canceling', 'retiring'] as const
const troubles = ['stalled', 'moved', 'missed', 'large', 'canceled', 'misrouted'] as const

/** `report`: asked at each scrape. */
export function countLanes(registry: Registry, report: () => LanesReport | null): void {
  const registers = [registry]
  new Gauge({
    name: 'pointsman_lane_depth',
    help: 'Requests in flight on lanes.',
    labelNames: ['node'],
    registers,
    collect() {
      this.reset()
      for (const { node, inFlight } of report()?.lanes ?? []) this.inc({ node }, inFlight)
    },
  })
  new Gauge({
    name: 'pointsman_lane_connections',
    help: 'Server connections that are lanes, by state.',
    labelNames: ['node', 'state'],
    registers,
    collect() {
      this.reset()
      const lanes = report()?.lanes ?? []
      for (const node of new Set(lanes.map((lane) => lane.node))) for (const state of states) this.set({ node, state }, 0)
      for (const { node, state } of lanes) this.inc({ node, state })
    },
  })
  new Counter({
    name: 'pointsman_lane_requests_total',
    help: 'Replies that lanes gave.',
    registers,
    collect() {
      this.reset()
      this.inc(report()?.counts.served ?? 0)
    },
  })
  new Counter({
    name: 'pointsman_lane_joined_total',
    help: 'Batches on lanes that shared the Sync of another.',
    registers,
    collect() {
      this.reset()
      this.inc(report()?.counts.joined ?? 0)
    },
  })
  new Counter({
    name: 'pointsman_lane_trouble_total',
    help: 'What was unusual on lanes, by what it was.',
    labelNames: ['what'],
    registers,
    collect() {
      this.reset()
      const counts = report()?.counts
      for (const what of troubles) this.inc({ what }, counts?.[what] ?? 0)
    },
  })
  new Gauge({
    name: 'pointsman_lane_shapes_barred',
    help: 'Shapes that may not use lanes for now.',
    registers,
    collect() {
      this.set(report()?.barred ?? 0)
    },
  })
}
