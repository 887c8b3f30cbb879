// test/support/ledger-trace.ts — plays one transcript of test/wire/ledger against a real Connection on a fake socket:
//
//   send forward query Query "SELECT 1"      a message and what its reply is for; `send - CopyData "x"`: owed no reply
//   synthesize ParseComplete                 an entry without a message
//   B CommandComplete "SELECT 1"             the server sends
//   cut                                      the server's connection closes
//   error withhold                           what the sink will answer to errors from here on (forward at first)
//   given CommandComplete "SELECT 1"         the sink must have been given exactly this (and the `given` lines before and after)
//   event ready I query                      … and been told this
//
// `given` and `event` lines are the expectation of the whole transcript, each in its own order. `forwarded` lines state what
// exchange.forwarded must be at that point.
import { readFileSync } from 'node:fs'
import { Connection } from '../../src/server/connection.js'
import type { Exchange, Expect, ExpectReply, ReplyKind, ReplySink } from '../../src/server/contract.js'
import { FakeSocket } from './fake-socket.js'
import { encodeMessage, formatMessages, normalizeMessage } from './wire-text.js'

export interface LedgerOutcome {
  readonly given: readonly string[]
  readonly events: readonly string[]
}

export interface LedgerTrace {
  readonly lines: readonly string[]
  readonly expected: LedgerOutcome
}

export function readLedgerTrace(path: string | URL): LedgerTrace {
  const lines = readFileSync(path, 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  const rest = (verb: string): string[] => lines.filter((line) => line.startsWith(`${verb} `)).map((line) => line.slice(verb.length + 1))
  return { lines, expected: { given: rest('given').map((line) => normalizeMessage('B', line)), events: rest('event') } }
}

/** `split(bytes)`: the chunks in which what the server sends in one go arrives. */
export function playLedgerTrace(trace: LedgerTrace, split: (bytes: Buffer) => readonly Buffer[]): LedgerOutcome {
  return new Player(split).play(trace.lines)
}

class Player {
  readonly #split: (bytes: Buffer) => readonly Buffer[]
  readonly #socket = new FakeSocket()
  readonly #given: Uint8Array[] = []
  readonly #events: string[] = []
  readonly #exchange: Exchange
  #decision: 'forward' | 'withhold' = 'forward'
  #incoming: Buffer[] = []

  constructor(split: (bytes: Buffer) => readonly Buffer[]) {
    this.#split = split
    const node = { id: 'test:5432', host: 'test', port: 5432, weight: 1, zone: null, subscriber: false }
    const tls = { mode: 'disable', ca: null, cert: null, key: null } as const
    const connection = new Connection({ cluster: 'test', node, tls }, { socket: this.#socket.asSocket, tls: null }, 10)
    this.#exchange = connection.exchange(this.#sink())
  }

  play(lines: readonly string[]): LedgerOutcome {
    for (const line of lines) {
      if (!line.startsWith('B ')) this.#deliver()
      this.#step(line)
    }
    this.#deliver()
    return { given: formatMessages('B', Buffer.concat(this.#given)), events: this.#events }
  }

  #step(line: string): void {
    const [verb = '', ...words] = line.split(' ')
    const rest = words.join(' ')
    if (verb === 'send') this.#send(words)
    else if (verb === 'synthesize') this.#exchange.send([], [{ act: 'synthesize', bytes: encodeMessage('B', rest) }])
    else if (verb === 'B') this.#incoming.push(encodeMessage('B', rest))
    else if (verb === 'cut') this.#socket.emit('close')
    else if (verb === 'error') this.#decision = rest === 'withhold' ? 'withhold' : 'forward'
    else if (verb === 'forwarded') this.#events.push(...(String(this.#exchange.forwarded) === rest ? [] : [`forwarded is not ${rest}`]))
    else if (verb !== 'given' && verb !== 'event') throw new Error(`unreadable line: ${line}`)
  }

  #send(words: readonly string[]): void {
    if (words[0] === '-') {
      this.#exchange.write(encodeMessage('F', words.slice(1).join(' ')))
      return
    }
    const expect: Expect = { act: words[0] === 'swallow' ? 'swallow' : 'forward', reply: (words[1] ?? '') as ReplyKind }
    this.#exchange.send([encodeMessage('F', words.slice(2).join(' '))], [expect])
  }

  #deliver(): void {
    const bytes = Buffer.concat(this.#incoming)
    this.#incoming = []
    for (const chunk of this.#split(bytes)) if (chunk.length > 0) this.#socket.feed(chunk)
  }

  #sink(): ReplySink {
    const told = (...words: readonly (string | number)[]): void => void this.#events.push(words.join(' '))
    const name = (expect: ExpectReply): string => expect.reply
    return {
      bytes: (chunk) => {
        this.#given.push(Uint8Array.from(chunk))
        return true
      },
      ready: (status, expect) => told('ready', status, name(expect)),
      error: (fields, expect) => {
        told('error', fields.code, name(expect))
        return this.#decision
      },
      commandComplete: (tag, expect) => told('complete', tag, name(expect)),
      parameterStatus: (parameter, value) => told('parameter', parameter, value),
      notification: (frame) => told('notification', ...formatMessages('B', frame)),
      notice: (frame) => told('notice', ...formatMessages('B', frame)),
      parameterDescription: (oids) => told('types', ...oids),
      copyStarted: (direction) => told('copy', direction),
      closed: (loss) =>
        told('closed', loss.owed ? 'owed' : 'quiet', loss.forwarded ? 'forwarded' : 'nothing-forwarded', loss.error?.code ?? '-'),
    }
  }
}
