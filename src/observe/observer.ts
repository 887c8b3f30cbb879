// observe/observer.ts — hands every event to who listens. A listener that throws is nobody's problem but its own: what
// is observed goes on, and the error is told once per listener as a `log` event (a broken log listener: to nobody).
import type { EventName, Events, Listener, Observer } from './events.js'

type AnyListener = Listener<EventName>

/** An observer without listeners. Emitting costs one look-up while nobody listens. */
export function createObserver(): Observer {
  // Replaced, never changed in place, so that listeners may come and go while an event is being handed out.
  const listeners = new Map<EventName, readonly AnyListener[]>()
  const broken = new WeakSet<AnyListener>()

  function emit<N extends EventName>(name: N, event: Events[N]): void {
    const all = listeners.get(name)
    if (all === undefined) return
    for (const listener of all) {
      try {
        listener(event)
      } catch (error) {
        tellBroken(name, listener, error)
      }
    }
  }

  function tellBroken(name: EventName, listener: AnyListener, error: unknown): void {
    if (broken.has(listener)) return
    broken.add(listener)
    const reason = error instanceof Error ? error.message : 'unknown'
    if (name !== 'log') emit('log', { level: 'error', message: 'a listener failed', fields: { event: name, reason } })
  }

  function on<N extends EventName>(name: N, listener: Listener<N>): () => void {
    const added: AnyListener = (event) => listener(event as Events[N])
    listeners.set(name, [...(listeners.get(name) ?? []), added])
    return () => {
      const left = (listeners.get(name) ?? []).filter((one) => one !== added)
      if (left.length === 0) listeners.delete(name)
      else listeners.set(name, left)
    }
  }

  return { emit, on }
}
