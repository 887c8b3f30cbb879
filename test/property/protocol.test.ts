// Frames survive every chunking; random bytes give the typed error or nothing; nothing is collected beyond what was asked.
import fc from 'fast-check'
import t from 'tap'
import { PointsmanError } from '../../src/errors/error.js'
import * as auth from '../../src/protocol/authentication.js'
import * as backend from '../../src/protocol/backend-messages.js'
import { decodeErrorFields } from '../../src/protocol/error-fields.js'
import * as extended from '../../src/protocol/extended.js'
import { FrameReader, type FrameHandler } from '../../src/protocol/frame-reader.js'
import * as query from '../../src/protocol/query.js'
import * as rows from '../../src/protocol/rows.js'
import { readStartupPacket } from '../../src/protocol/startup.js'
import { failing } from '../support/failing.js'

interface Planned {
  readonly type: number
  readonly body: Uint8Array
  /** Bytes to collect: 0, some, all or more. */
  readonly collect: number
}

const plan: fc.Arbitrary<Planned> = fc.record({
  type: fc.integer({ min: 0, max: 255 }),
  body: fc.uint8Array({ maxLength: 40 }),
  collect: fc.oneof(fc.constant(0), fc.integer({ min: 5, max: 60 })),
})

function bytesOf(plans: readonly Planned[]): Buffer {
  return Buffer.concat(
    plans.map(({ type, body }) => {
      const frame = Buffer.alloc(5 + body.length)
      frame[0] = type
      frame.writeInt32BE(4 + body.length, 1)
      frame.set(body, 5)
      return frame
    }),
  )
}

class Recorder implements FrameHandler {
  readonly headers: string[] = []
  readonly collected: string[] = []
  readonly all: Buffer[] = []
  readonly passed: Buffer[] = []
  readonly #plans: readonly Planned[]

  constructor(plans: readonly Planned[]) {
    this.#plans = plans
  }

  collect(type: number, length: number): number {
    const planned = this.#plans[this.headers.length]
    this.headers.push(`${String(type)}:${String(length)}`)
    return planned?.collect ?? 0
  }

  frame(type: number, chunk: Uint8Array, start: number, end: number, length: number): void {
    const bytes = Buffer.from(chunk.subarray(start, end))
    this.collected.push(`${String(type)}:${String(length)}:${bytes.toString('hex')}`)
    this.all.push(bytes)
  }

  part(chunk: Uint8Array, start: number, end: number): void {
    const bytes = Buffer.from(chunk.subarray(start, end))
    if (bytes.length === 0) throw new Error('an empty part')
    this.passed.push(bytes)
    this.all.push(bytes)
  }
}

t.test('every chunking gives the same frames and bytes', (t) => {
  const cuts = fc.array(fc.nat({ max: 400 }), { maxLength: 12 })
  fc.assert(
    fc.property(fc.array(plan, { maxLength: 10 }), cuts, (plans, at) => {
      const bytes = bytesOf(plans)
      const recorder = new Recorder(plans)
      const reader = new FrameReader(recorder)
      const places = [0, ...at.filter((place) => place < bytes.length).sort((a, b) => a - b), bytes.length]
      places.slice(1).forEach((end, index) => reader.push(bytes.subarray(places[index], end)))
      const expected = plans
        .filter(({ collect }) => collect > 0)
        .map((planned) => {
          const frame = bytesOf([planned])
          return `${String(planned.type)}:${String(frame.length)}:${frame.subarray(0, planned.collect).toString('hex')}`
        })
      if (recorder.collected.join() !== expected.join()) throw new Error('frames differ')
      if (!Buffer.concat(recorder.all).equals(bytes) || !reader.aligned) throw new Error('bytes differ')
    }),
    { numRuns: 500 },
  )
  t.end()
})

t.test('every byte a chunk, and every single cut', (t) => {
  const plans: Planned[] = [
    { type: 0x44, body: Buffer.from('row one'), collect: 0 },
    { type: 0x44, body: Buffer.from(''), collect: 0 },
    { type: 0x43, body: Buffer.from('SELECT 2\0'), collect: 100 },
    { type: 0x45, body: Buffer.from('long error'), collect: 8 },
    { type: 0x5a, body: Buffer.from('I'), collect: 6 },
    { type: 0x53, body: Buffer.from(''), collect: 5 },
  ]
  const bytes = bytesOf(plans)
  const whole = new Recorder(plans)
  new FrameReader(whole).push(bytes)
  t.equal(whole.passed[0]?.length, 17, 'adjacent frames that are passed on come as one part')
  const each = new Recorder(plans)
  const reader = new FrameReader(each)
  for (const byte of bytes) reader.push(Buffer.from([byte]))
  t.same(each.collected, whole.collected)
  t.same(Buffer.concat(each.all), bytes)
  for (let at = 1; at < bytes.length; at++) {
    const cut = new Recorder(plans)
    const half = new FrameReader(cut)
    half.push(bytes.subarray(0, at))
    half.push(bytes.subarray(at))
    if (cut.collected.join() !== whole.collected.join() || !Buffer.concat(cut.all).equals(bytes)) t.fail(`cut at ${String(at)}`)
  }
  t.end()
})

t.test('frames that must stay whole are told whole, wherever the stream is cut', (t) => {
  const plans: Planned[] = [
    { type: 0x44, body: Buffer.from('row one'), collect: 0 },
    { type: 0x44, body: Buffer.from('a longer row, which may be cut'), collect: 0 },
    { type: 0x44, body: Buffer.from(''), collect: 0 },
    { type: 0x43, body: Buffer.from('SELECT 3\0'), collect: 100 },
  ]
  const bytes = bytesOf(plans)
  const ends = new Set([0, ...plans.map((_, index) => bytesOf(plans.slice(0, index + 1)).length)])
  for (let at = 1; at < bytes.length; at++) {
    const cut = new Recorder(plans)
    const reader = new FrameReader(cut, 12)
    reader.push(bytes.subarray(0, at))
    const told = Buffer.concat(cut.all).length
    const within = told > 12 && told < 47 // in the row that is too long to be kept whole
    if (!ends.has(told) && !within) t.fail(`cut at ${String(at)}: ${String(told)} bytes were told`)
    if (within && reader.passing === 0) t.fail(`cut at ${String(at)}: the rest of a long row is not announced`)
    reader.push(bytes.subarray(at))
    if (!Buffer.concat(cut.all).equals(bytes) || !reader.aligned) t.fail(`cut at ${String(at)}`)
  }
  t.end()
})

t.test('a length is a claim, not memory', (t) => {
  const recorder = new Recorder([{ type: 0x51, body: Buffer.alloc(0), collect: 0x7fffffff }])
  const reader = new FrameReader(recorder)
  const before = process.memoryUsage().arrayBuffers
  reader.push(Buffer.from([0x51, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3]))
  t.ok(process.memoryUsage().arrayBuffers - before < 1_000_000)
  t.notOk(reader.aligned)
  for (const length of [0, 1, 3, -1, -2147483648]) {
    const bad = Buffer.alloc(5)
    bad.writeInt32BE(length, 1)
    t.throws(() => new FrameReader(new Recorder([])).push(bad), failing({ key: 'protocol_violation' }), String(length))
  }
  t.end()
})

const decoders: Readonly<Record<string, (frame: Uint8Array) => unknown>> = {
  startup: readStartupPacket,
  authentication: auth.decodeAuthentication,
  password: auth.decodePassword,
  saslInitial: auth.decodeSaslInitialResponse,
  saslResponse: auth.decodeSaslResponse,
  ready: backend.decodeReadyForQuery,
  parameterStatus: backend.decodeParameterStatus,
  key: backend.decodeBackendKeyData,
  tag: backend.decodeCommandComplete,
  types: backend.decodeParameterDescription,
  notification: backend.decodeNotification,
  negotiate: backend.decodeNegotiateProtocolVersion,
  error: decodeErrorFields,
  parse: extended.decodeParse,
  bind: extended.decodeBind,
  bindHead: extended.decodeBindHead,
  describe: extended.decodeDescribe,
  close: extended.decodeClose,
  execute: extended.decodeExecute,
  query: query.decodeQuery,
  function: query.decodeFunctionCallOid,
  copyFail: query.decodeCopyFail,
  description: rows.decodeRowDescription,
  row: rows.decodeDataRow,
}

t.test('garbage gives the typed error or a value, never anything else', (t) => {
  const small = fc.uint8Array({ maxLength: 60 }).map((bytes) => Uint8Array.from(bytes, (byte) => (byte < 128 ? byte & 3 : byte)))
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), small), (bytes) => {
      for (const [name, decode] of Object.entries(decoders)) {
        try {
          decode(bytes)
        } catch (error) {
          if (!(error instanceof PointsmanError) || error.code !== '08P01') throw new Error(`${name}: ${String(error)}`)
        }
      }
    }),
    { numRuns: 3000 },
  )
  t.end()
})
