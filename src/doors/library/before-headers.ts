// doors/library/before-headers.ts — holds a response back at the moment at which its headers would go out, until something
// that takes time has said what to add to them.
//
//   app ── writeHead, write, end ──▶ held ── ready ──▶ headers added, then the same calls in the same order
//
// Whatever framework sends, and however (a stream, writeHead by hand, an empty end, an error page), it does so by these four.
import type { ServerResponse } from 'node:http'

type Name = 'writeHead' | 'write' | 'end' | 'flushHeaders'
type Method = (...args: readonly unknown[]) => unknown
type Held = readonly [name: Name, args: readonly unknown[]]

const names: readonly Name[] = ['writeHead', 'write', 'end', 'flushHeaders']

export interface Preparation {
  /** Asked once, when the headers would go out; false: they go out at once. */
  readonly needed: () => boolean
  /** Resolves with what then adds to the headers; must not reject. */
  readonly prepare: () => Promise<() => void>
}

export function beforeHeaders(response: ServerResponse, { needed, prepare }: Preparation): void {
  const original = new Map(names.map((name) => [name, Reflect.get(response, name) as Method]))
  const held: Held[] = []
  let state: 'waiting' | 'holding' | 'open' = 'waiting'
  let refusedWrites = false

  const send = ([name, args]: Held): unknown => Reflect.apply(original.get(name) as Method, response, args)

  const release = (
    add: () => void,
    { statusCode, statusMessage }: { readonly statusCode: number; readonly statusMessage: string },
  ): void => {
    state = 'open'
    // As they were when the headers would have gone out.
    response.statusCode = statusCode
    if (statusMessage) response.statusMessage = statusMessage
    try {
      const [first, ...rest] = held
      const calls = first?.[0] === 'writeHead' ? [plainHead(response, first[1]), ...rest] : held
      add()
      let room: unknown = true
      for (const call of calls) {
        const result = send(call)
        if (call[0] === 'write') room = result
      }
      if (refusedWrites && room !== false) response.emit('drain')
    } catch (error) {
      // The call that deserves it has returned long ago.
      response.destroy(error instanceof Error ? error : undefined)
    }
  }

  for (const name of names) {
    const method = (...args: readonly unknown[]): unknown => {
      if (state === 'waiting' && response.headersSent) state = 'open'
      if (state === 'waiting') {
        if (needed()) {
          state = 'holding'
          const { statusCode, statusMessage } = response
          void prepare().then((add) => release(add, { statusCode, statusMessage }))
        } else state = 'open'
      }
      if (state === 'open') return send([name, args])
      held.push([name, args])
      if (name === 'write') refusedWrites = true
      return name === 'write' ? false : name === 'flushHeaders' ? undefined : response
    }
    Object.defineProperty(response, name, { value: method, writable: true, configurable: true })
  }
  // What an application asks to find out whether it may still answer.
  const ended = (): boolean => state === 'holding' && held.some(([name]) => name === 'end')
  overlay(response, 'headersSent', () => state === 'holding')
  overlay(response, 'writableEnded', ended)
  overlay(response, 'finished', ended)
}

/** The property is true while `held` says so; else it is what it was. */
function overlay(response: ServerResponse, name: 'headersSent' | 'writableEnded' | 'finished', held: () => boolean): void {
  const own = Object.getOwnPropertyDescriptor(response, name)
  let value: unknown = own?.value
  const get = (): unknown => {
    if (held()) return true
    return own === undefined ? (Reflect.get(Object.getPrototypeOf(response) as object, name, response) as unknown) : value
  }
  // Node sets `finished`, its own property, itself.
  const set = (next: unknown): void => {
    value = next
  }
  Object.defineProperty(response, name, { get, set, configurable: true, enumerable: own?.enumerable ?? false })
}

/** Headers that writeHead() was given are set like any other, so that more can be added to them. */
function plainHead(response: ServerResponse, [status, second, third]: readonly unknown[]): Held {
  const message = typeof second === 'string' ? second : undefined
  const headers = (typeof second === 'string' ? third : (third ?? second)) as object | undefined | null
  if (headers !== undefined && headers !== null) for (const [name, value] of pairs(headers)) response.setHeader(name, value)
  return ['writeHead', message === undefined ? [status] : [status, message]]
}

/** An object, [name, value, name, value] or [[name, value], …]; a name that comes twice has both values. */
function pairs(headers: object): Iterable<readonly [string, string | number | readonly string[]]> {
  if (!Array.isArray(headers)) return Object.entries(headers) as [string, string][]
  const flat = (headers as readonly unknown[]).flat() as readonly string[]
  const found = new Map<string, readonly [string, readonly string[]]>()
  for (let index = 0; index + 1 < flat.length; index += 2) {
    const [name, value] = [String(flat[index]), String(flat[index + 1])]
    const before = found.get(name.toLowerCase())
    found.set(name.toLowerCase(), [name, [...(before?.[1] ?? []), value]])
  }
  return [...found.values()].map(([name, values]) => [name, values.length === 1 ? (values[0] as string) : values])
}
