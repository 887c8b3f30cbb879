// metrics/bus.ts — notifications to clients that share server connections: what was passed on, what may be missing, and who
// listens now.
import { Gauge, type Registry } from 'prom-client'
import type { Observer } from '../observe/events.js'
import { countersOf } from './counters.js'

/** One listening connection. */
export interface LineCounts {
  readonly cluster: string
  readonly connected: boolean
  readonly channels: number
  readonly listeners: number
}

type Stop = () => void

/** Listens until every one of what it gives is called. */
export function countBus(registry: Registry, observer: Observer, lines: () => readonly LineCounts[]): readonly Stop[] {
  const counter = countersOf(registry)
  const read = counter('pointsman_bus_notifications_total', 'Notifications read.', ['cluster'])
  const told = counter('pointsman_bus_delivered_total', 'Notifications given to clients.', ['cluster'])
  const lost = counter('pointsman_bus_lost_total', 'Listening connections that were lost.', ['cluster'])
  const missed = counter('pointsman_bus_missed_seconds_total', 'Time of which notifications may be missing.', ['cluster'])
  const slow = counter('pointsman_bus_slow_listeners_total', 'Clients closed because they did not take their notifications.')
  gauges(registry, lines)
  return [
    observer.on('bus.notification', (event) => {
      read.inc({ cluster: event.cluster })
      told.inc({ cluster: event.cluster }, event.told)
    }),
    observer.on('bus.lost', ({ cluster }) => lost.inc({ cluster })),
    observer.on('bus.listening', ({ cluster, missedSeconds }) => missed.inc({ cluster }, missedSeconds)),
    observer.on('bus.slow', () => slow.inc()),
  ]
}

function gauges(registry: Registry, lines: () => readonly LineCounts[]): void {
  const gauge = (name: string, help: string, value: (line: LineCounts) => number): void => {
    new Gauge({
      name,
      help,
      labelNames: ['cluster'],
      registers: [registry],
      collect() {
        this.reset()
        for (const line of lines()) this.inc({ cluster: line.cluster }, value(line))
      },
    })
  }
  gauge('pointsman_bus_connections', 'Listening connections that are up.', ({ connected }) => Number(connected))
  gauge('pointsman_bus_channels', 'Channels listened to.', ({ channels }) => channels)
  gauge('pointsman_bus_listeners', 'Clients that listen.', ({ listeners }) => listeners)
}
