// doors/library/bind-to-caller.ts — what pg calls back for a cursor or a stream comes from the socket, in whichever context
// that was opened; with connections that many requests share it would be another request's (node-postgres#2533). Events and
// callbacks of a Submittable are therefore delivered in the context of the query() call that was given it.
import { AsyncResource } from 'node:async_hooks'

type Anything = (...args: readonly unknown[]) => unknown

/** `holder` is the cursor inside a query stream, or the submittable itself. */
export function bindToCaller(submittable: object, holder: object): void {
  const caller = new AsyncResource('pointsman.stream')
  const targets: ReadonlySet<object> = new Set([submittable, holder])
  for (const target of targets)
    replace(
      target,
      'emit',
      (emit) =>
        (...args) =>
          caller.runInAsyncScope(emit, target, ...args),
    )
  // pg.Query keeps its user's callback as a property.
  replace(submittable, 'callback', (callback) => AsyncResource.bind(callback))
  if ('_readableState' in holder || '_writableState' in holder) return
  // A cursor's: each call has a callback of its own, which belongs to whoever calls.
  for (const name of ['read', 'close']) {
    replace(holder, name, (method) => {
      return (...args): unknown => Reflect.apply(method, holder, args.map(bound))
    })
  }
}

function bound(argument: unknown): unknown {
  return isFunction(argument) ? AsyncResource.bind(argument) : argument
}

function isFunction(value: unknown): value is Anything {
  return typeof value === 'function'
}

function replace(target: object, name: string, by: (method: Anything) => Anything): void {
  const method: unknown = Reflect.get(target, name)
  if (isFunction(method)) Object.defineProperty(target, name, { value: by(method), writable: true, configurable: true })
}
