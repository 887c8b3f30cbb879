// doors/cli/log.ts — the log: one JSON line per event, by pino. Events carry no secrets and no parameter values, so
// nothing has to be taken out here. What happens per statement or connection is `debug`.
import { pino, stdTimeFunctions, type DestinationStream, type Level } from 'pino'
import type { LogConfig } from '../../config/config.js'
import type { EventName, Events, Observer } from '../../observe/events.js'

export interface Log {
  setLevel(level: LogConfig['level']): void
  close(): void
}

type LevelOf = { readonly [N in EventName]: Level | null | ((event: Events[N]) => Level) }

/** null: not logged (it is a measurement, and has its metric). */
const levels: LevelOf = {
  'query.end': (event) => (event.outcome === 'lost' ? 'warn' : 'debug'),
  'read.unmet': 'debug',
  'read.misrouted': 'warn',
  crossing: 'debug',
  'node.state': (event) => (event.state === 'up' ? 'info' : 'warn'),
  'node.staleness': null,
  'primary.changed': (event) => (event.from === null ? 'info' : 'warn'),
  'primary.fenced': 'warn',
  'position.fallback': 'warn',
  'writes.lost': 'error',
  'replicas.usable': (event) => (event.usable === 0 && event.of > 0 ? 'warn' : 'info'),
  'switch.changed': 'warn',
  'cache.read': null,
  'bus.lost': 'warn',
  'bus.listening': (event) => (event.from === null ? 'debug' : 'warn'),
  'bus.notification': null,
  'bus.slow': 'warn',
  chaos: 'info',
  'pool.wait': (event) => (event.outcome === 'ok' || event.outcome === 'canceled' ? 'debug' : 'warn'),
  'pool.opened': 'debug',
  'pool.closed': 'debug',
  'client.opened': 'debug',
  'client.closed': 'debug',
  'client.limited': 'debug',
  'client.refused': 'info',
  'two-phase.step': null,
  'two-phase.end': (event) => (event.outcome === 'committed' ? 'debug' : event.outcome === 'aborted' ? 'info' : 'error'),
  // The log says it with its transaction.
  'two-phase.recovered': null,
  'console.command': 'warn',
  'catalog.loaded': 'info',
  'config.reloaded': (event) => (event.outcome === 'refused' ? 'error' : 'info'),
  log: (event) => event.level,
}

/** Writes to `destination` (stderr for `serve`) until closed. `worker`: which of several processes says it. */
export function startLog(observer: Observer, level: LogConfig['level'], destination: DestinationStream, worker: number | null = null): Log {
  const logger = pino(
    {
      level,
      base: worker === null ? null : { worker },
      timestamp: stdTimeFunctions.isoTime,
      messageKey: 'event',
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  )

  function listen(name: EventName): () => void {
    const says = levels[name] as Level | null | ((event: Events[EventName]) => Level)
    if (says === null) return () => undefined
    return observer.on(name, (event) => {
      const chosen = typeof says === 'function' ? says(event) : says
      if (!logger.isLevelEnabled(chosen)) return
      if (name === 'log') logMessage(chosen, event as Events['log'])
      else logger[chosen](event, name)
    })
  }

  function logMessage(chosen: Level, event: Events['log']): void {
    logger[chosen]({ ...event.fields, message: event.message }, 'log')
  }

  const off = (Object.keys(levels) as EventName[]).map(listen)
  return {
    setLevel: (next) => {
      logger.level = next
    },
    close: () => {
      for (const stop of off) stop()
    },
  }
}
