// test/support/fuzz.ts — mutated transcripts. A case is decided by (seed, way, number) alone, so that the one that failed can be
// had again:
//
//   transcript ──▶ whole messages: lost, doubled, swapped, put in, wrong lengths ──▶ bytes: flipped, cut out, doubled, put in
//              ──▶ where the stream ends ──▶ where it is cut into chunks
import { encodeCancelRequest, encodeGssEncRequest, encodeSslRequest, encodeStartupMessage } from '../../src/protocol/startup.js'
import { seededRandom } from '../../src/runtime/seeded-random.js'
import { encodeMessage, type Direction } from './wire-text.js'

/** In [0, 1). */
export type Random = () => number

/** What one case draws from. `way` keeps the ways apart: case 7 of one has nothing to do with case 7 of another. */
export function caseRandom(seed: number, way: string, index: number): Random {
  let mixed = Math.imul(seed | 0, 0x9e3779b1)
  for (const letter of way) mixed = Math.imul(mixed ^ letter.charCodeAt(0), 0x85ebca6b)
  return seededRandom(Math.imul(mixed ^ index, 0xc2b2ae35) ^ (index >>> 3))
}

export function below(random: Random, limit: number): number {
  return Math.floor(random() * limit)
}

export function pick<T>(random: Random, from: readonly T[]): T {
  const one = from[below(random, from.length)]
  if (one === undefined) throw new Error('nothing to pick from')
  return one
}

export interface Mutated {
  readonly bytes: Buffer
  /** The bytes up to here are those of the transcript. */
  readonly same: number
  /** What was done, in words. */
  readonly what: readonly string[]
}

/** A transcript with one to three things done to it; now and then with none. `others`: messages that may be put in. */
export function mutate(transcript: readonly Buffer[], others: readonly Buffer[], random: Random): Mutated {
  const messages = [...transcript]
  const what: string[] = []
  const times = random() < 0.05 ? 0 : 1 + below(random, 3)
  let wholes = 0
  for (let time = 0; time < times; time++) if (random() < 0.6) wholes += 1
  for (let time = 0; time < wholes; time++) what.push(mutateMessages(messages, others, random))
  let bytes: Buffer = Buffer.concat(messages)
  for (let time = wholes; time < times; time++) {
    const [next, did] = mutateBytes(bytes, random)
    bytes = next
    what.push(did)
  }
  return { bytes, same: commonLength(Buffer.concat(transcript), bytes), what }
}

/** The stream in pieces: whole, byte by byte, or cut anywhere. */
export function chunks(bytes: Buffer, random: Random): readonly Buffer[] {
  const way = random()
  if (way < 0.35) return [bytes]
  if (way < 0.5 && bytes.length <= 2_000) return Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))
  const cuts = Array.from({ length: 1 + below(random, 8) }, () => below(random, bytes.length + 1)).sort((a, b) => a - b)
  return [0, ...cuts].map((cut, at) => bytes.subarray(cut, cuts[at] ?? bytes.length)).filter((chunk) => chunk.length > 0)
}

function commonLength(a: Buffer, b: Buffer): number {
  let at = 0
  while (at < a.length && at < b.length && a[at] === b[at]) at++
  return at
}

const oddLengths = [0, 1, 3, 4, 5, 6, 100, 65_535, 1_000_000, 0x3fffffff, 0x7fffffff, -1, -2147483648]
const oddCounts = [0, 1, 2, 255, 1000, 32_767, -1, -32_768]
const noType = [0, 1, 0x16, 0x21, 0x47, 0x55, 0x59, 0x7a, 0x80, 0xff]

function mutateMessages(messages: Buffer[], others: readonly Buffer[], random: Random): string {
  const at = below(random, messages.length)
  const message = messages[at] ?? Buffer.alloc(0)
  const name = `message ${String(at)}`
  switch (below(random, 11)) {
    case 0:
      messages.splice(at, 1)
      return `${name} lost`
    case 1:
      messages.splice(below(random, messages.length + 1), 0, message)
      return `${name} doubled`
    case 2: {
      const other = below(random, messages.length)
      messages[at] = messages[other] ?? message
      messages[other] = message
      return `${name} swapped with ${String(other)}`
    }
    case 3:
      messages.splice(at, 0, pick(random, others))
      return `another before ${name}`
    case 4:
      messages.splice(at, 0, framed(0x58, Buffer.alloc(0)))
      return `goodbye before ${name}`
    case 5: {
      const length = pick(random, oddLengths)
      messages[at] = withInt32(message, 1, length)
      return `${name} says that it has ${String(length)} bytes`
    }
    case 6: {
      const more = below(random, 9) - 4
      messages[at] = withInt32(message, 1, message.length < 5 ? 4 : message.readInt32BE(1) + more)
      return `${name} says ${String(more)} bytes more`
    }
    case 7:
      messages.splice(at, 0, framed(pick(random, noType), garbage(random, 20)))
      return `an odd type before ${name}`
    case 8: {
      const body = message.subarray(5, 5 + below(random, Math.max(1, message.length - 4)))
      messages[at] = framed(message[0] ?? 0, body)
      return `${name} shortened to ${String(body.length)}`
    }
    case 9:
      messages[at] = framed(message[0] ?? 0, Buffer.concat([message.subarray(5), garbage(random, 30)]))
      return `${name} lengthened`
    default:
      if (message.length < 8) return mutateMessages(messages, others, random)
      messages[at] = Buffer.from(message)
      messages[at].writeInt16BE(pick(random, oddCounts), 5 + below(random, message.length - 6))
      return `a count within ${name}`
  }
}

function mutateBytes(bytes: Buffer, random: Random): readonly [Buffer, string] {
  if (bytes.length === 0) return [garbage(random, 20), 'garbage']
  const at = below(random, bytes.length)
  const end = Math.min(bytes.length, at + 1 + below(random, random() < 0.7 ? 8 : 200))
  const before = bytes.subarray(0, at)
  switch (below(random, 6)) {
    case 0: {
      const flipped = Buffer.from(bytes)
      flipped[at] = (flipped[at] ?? 0) ^ (1 << below(random, 8))
      return [flipped, `bit flipped at ${String(at)}`]
    }
    case 1: {
      const set = Buffer.from(bytes)
      set[at] = pick(random, [0, 1, 0x27, 0x3b, 0x7f, 0x80, 0xff])
      return [set, `byte set at ${String(at)}`]
    }
    case 2:
      return [Buffer.concat([before, garbage(random, 12), bytes.subarray(at)]), `garbage at ${String(at)}`]
    case 3:
      return [Buffer.concat([before, bytes.subarray(end)]), `${String(at)} to ${String(end)} lost`]
    case 4:
      return [Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)]), `${String(at)} to ${String(end)} doubled`]
    default:
      return [before, `ends at ${String(at)}`]
  }
}

function framed(type: number, body: Uint8Array): Buffer {
  const frame = Buffer.alloc(5 + body.length)
  frame[0] = type
  frame.writeInt32BE(4 + body.length, 1)
  frame.set(body, 5)
  return frame
}

function withInt32(message: Buffer, at: number, value: number): Buffer {
  if (message.length < at + 4) return message
  const changed = Buffer.from(message)
  changed.writeInt32BE(value | 0, at)
  return changed
}

function garbage(random: Random, most: number): Buffer {
  return Buffer.from(Array.from({ length: below(random, most + 1) }, () => below(random, 256)))
}

function messagesOf(direction: Direction, transcript: string): readonly Buffer[] {
  return transcript
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) => encodeMessage(direction, line))
}

/** Encoding is what most of a case within this process would take. */
const encoded = new Map<string, readonly Buffer[]>()

function remembered(direction: Direction, transcript: string): readonly Buffer[] {
  const known = encoded.get(transcript)
  if (known !== undefined) return known
  const messages = messagesOf(direction, transcript)
  if (encoded.size < 500) encoded.set(transcript, messages)
  return messages
}

// ---- what clients say. MARK is the case's own text: whoever sees another's has been given another's bytes.

const clientTexts: readonly string[] = [
  `Query "SELECT 'MARK' AS mark, 1"
   Query "SELECT 'MARK' || g FROM generate_series(1, 5) g"`,
  `Query "SELECT 'MARK'; SELECT 1/0; SELECT 'MARK'"
   Query "SELECT 'MARK'"`,
  `Query ""
   Query "  ;; "
   Query "SELECT 'MARK' FROM no_such_table"
   Query "SELEKT 'MARK'"`,
  `Query "BEGIN"
   Query "INSERT INTO fuzzed VALUES (1, 'x')"
   Query "SAVEPOINT s"
   Query "SELECT 1/0"
   Query "ROLLBACK TO s"
   Query "SELECT count(*), 'MARK' FROM fuzzed"
   Query "ROLLBACK"`,
  `Query "SET search_path = pg_catalog; SET application_name = 'MARK'"
   Query "SHOW application_name"
   Query "RESET ALL"
   Query "SHOW search_path"`,
  `Query "BEGIN READ ONLY"
   Query "DECLARE c CURSOR FOR SELECT 'MARK' || g FROM generate_series(1, 20) g"
   Query "FETCH 3 FROM c"
   Query "CLOSE c"
   Query "COMMIT"`,
  `Query "PREPARE s AS SELECT 'MARK' || $1::text"
   Query "EXECUTE s('a')"
   Query "DEALLOCATE s"`,
  `Query "LISTEN fuzz"
   Query "NOTIFY fuzz, 'x'"
   Query "UNLISTEN *"`,
  `Query "COPY (SELECT 'MARK' || g FROM generate_series(1, 30) g) TO STDOUT"
   Query "SELECT 'MARK'"`,
  `Query "COPY fuzzed FROM STDIN"
   CopyData "1\\tx\\n2\\ty\\n"
   CopyData "3\\tz\\n"
   CopyDone
   Query "SELECT 'MARK'"`,
  `Query "COPY fuzzed FROM STDIN"
   CopyData "1\\tx\\n"
   CopyFail "no more"
   Query "SELECT 'MARK'"`,
  `Parse "" "COPY fuzzed FROM STDIN" 0
   Bind "" "" 0 0 0
   Execute "" 0
   Sync
   CopyData "7\\tq\\n"
   CopyDone
   Sync`,
  `Parse "" "SELECT $1::text, 'MARK'" 0
   Bind "" "" 0 1 "MARK" 0
   Describe P ""
   Execute "" 0
   Sync`,
  `Parse "s1" "SELECT 'MARK' || $1::int" 1 23
   Describe S "s1"
   Sync
   Bind "" "s1" 0 1 "5" 0
   Execute "" 0
   Bind "" "s1" 0 1 "6" 0
   Execute "" 0
   Sync
   Close S "s1"
   Sync`,
  `Parse "a" "SELECT 'MARK'" 0
   Bind "p" "a" 0 0 0
   Execute "p" 1
   Execute "p" 1
   Close P "p"
   Flush
   Parse "b" "SELECT 1/$1::int" 0
   Bind "" "b" 0 1 "0" 0
   Execute "" 0
   Parse "c" "SELECT 'MARK'" 0
   Sync
   Parse "" "SELECT 'MARK'" 0
   Bind "" "" 0 0 0
   Execute "" 0
   Sync`,
  `Parse "" "BEGIN" 0
   Bind "" "" 0 0 0
   Execute "" 0
   Parse "" "SELECT 'MARK' || g FROM generate_series(1, 50) g" 0
   Bind "" "" 0 0 0
   Execute "" 7
   Flush
   Execute "" 0
   Sync
   Query "COMMIT"`,
  `Parse "" "SELECT value FROM numbers WHERE id = $1" 0
   Bind "" "" 0 1 "3" 0
   Execute "" 0
   Sync
   Parse "" "SELECT value FROM numbers WHERE id = $1" 0
   Bind "" "" 0 1 "4" 0
   Describe P ""
   Execute "" 0
   Sync
   Query "SELECT value, 'MARK' FROM numbers WHERE id = 5"`,
  `Query "SHOW pointsman.last_route"
   Query "SET pointsman.consistency = 'any'"
   Query "/* pointsman: cluster=main */ SELECT 'MARK'"
   Query "RESET pointsman.consistency"`,
  `Query "CREATE TEMP TABLE own (t text)"
   Query "INSERT INTO own VALUES ('MARK')"
   Query "SELECT * FROM own"
   Query "DISCARD ALL"`,
  `Query "SELECT repeat('MARK ', 20000)"
   FunctionCall "\\u0000\\u0000\\u0000\\u0001"
   Query "SELECT 'MARK', pg_backend_pid() > 0"`,
]

/** How many transcripts of clients there are. */
export const clientTranscripts: number = clientTexts.length

/** The messages of transcript `number`, with `mark` in them. */
export function clientMessages(number: number, mark: string): readonly Buffer[] {
  return remembered('F', (clientTexts[number % clientTexts.length] ?? '').replaceAll('MARK', mark))
}

/** Any one message of any transcript, without a mark. */
export const anyClientMessages: readonly Buffer[] = clientTexts.flatMap((text) => messagesOf('F', text.replaceAll('MARK', 'nobody')))

/** Everything a connection may begin with. */
export function startups(user: string, database: string): readonly (readonly Buffer[])[] {
  const startup = encodeStartupMessage(Object.entries({ user, database }))
  return [
    [startup],
    [startup],
    [startup],
    [startup],
    [encodeStartupMessage(Object.entries({ user, database, application_name: 'fuzz', options: '-c search_path=public -c work_mem=4MB' }))],
    [encodeStartupMessage(Object.entries({ user, database, '_pq_.something': '1', client_encoding: 'LATIN1' }), 9999)],
    [encodeStartupMessage(Object.entries({ user, database }), 2)],
    [encodeStartupMessage(Object.entries({ user, database: 'pointsman' }))],
    [encodeStartupMessage(Object.entries({ user, database, replication: 'database' }))],
    [encodeSslRequest(), startup],
    [encodeGssEncRequest(), encodeSslRequest(), startup],
    [encodeCancelRequest(1, Buffer.from([1, 2, 3, 4]))],
    [encodeCancelRequest(7, Buffer.alloc(32, 5)), startup],
  ]
}

// ---- what a server says

const serverTexts: readonly string[] = [
  `RowDescription 1 "mark" 0 0 25 -1 -1 0
   DataRow 1 "MARK"
   CommandComplete "SELECT 1"
   ReadyForQuery I`,
  `BindComplete
   DataRow 1 "MARK"
   DataRow 1 NULL
   CommandComplete "SELECT 2"
   ReadyForQuery I`,
  `ParseComplete
   BindComplete
   RowDescription 1 "mark" 0 0 25 -1 -1 0
   DataRow 1 "MARK"
   CommandComplete "SELECT 1"
   ReadyForQuery I`,
  `ErrorResponse S "ERROR" C "22012" M "MARK"
   ReadyForQuery I`,
  `NoticeResponse S "NOTICE" C "00000" M "MARK"
   EmptyQueryResponse
   ReadyForQuery I`,
  `BindComplete
   ParameterStatus "application_name" "MARK"
   CommandComplete "SET"
   ReadyForQuery T`,
  `ParseComplete
   ParameterDescription 1 23
   NoData
   ReadyForQuery I`,
  `CopyOutResponse 0 1 0
   CopyData "MARK"
   CopyDone
   CommandComplete "COPY 1"
   ReadyForQuery I`,
  `CopyInResponse 0 1 0
   NotificationResponse 5 "fuzz" "MARK"
   CommandComplete "COPY 1"
   ReadyForQuery I`,
  `BindComplete
   DataRow 1 "MARK"
   PortalSuspended
   ErrorResponse S "FATAL" C "57P01" M "MARK"`,
]

/** How many transcripts of servers there are. */
export const serverTranscripts: number = serverTexts.length

/** The messages of transcript `number`, with `mark` in them. */
export function serverMessages(number: number, mark: string): readonly Buffer[] {
  return remembered('B', (serverTexts[number % serverTexts.length] ?? '').replaceAll('MARK', mark))
}

/** Any one message of any transcript, and those of a login. */
export const anyServerMessages: readonly Buffer[] = [
  ...serverTexts.flatMap((text) => messagesOf('B', text.replaceAll('MARK', 'nobody'))),
  ...messagesOf(
    'B',
    `Authentication "\\u0000\\u0000\\u0000\\u0000"
     Authentication "\\u0000\\u0000\\u0000\\u0003"
     Authentication "\\u0000\\u0000\\u0000\\u0005abcd"
     Authentication "\\u0000\\u0000\\u0000\\u000aSCRAM-SHA-256\\u0000\\u0000"
     Authentication "\\u0000\\u0000\\u0000\\u000br=x,s=AAAA,i=1"
     Authentication "\\u0000\\u0000\\u0000\\u000cv=AAAA"
     BackendKeyData 7 9`,
  ),
]

/** What case `number` puts into its requests; the digits behind it tell whether somebody has changed the number. */
export function markOf(number: number): string {
  return `fuzz-${String(number)}-${String(checkOf(number))}-`
}

/** The whole marks in what was sent or received, and the cases that they are of. */
export function marksIn(text: string): readonly { readonly mark: string; readonly number: number }[] {
  return [...text.matchAll(/fuzz-(\d+)-(\d+)-/g)]
    .map(([mark, number, check]) => ({ mark, number: Number(number), check: Number(check) }))
    .filter(({ number, check }) => check === checkOf(number))
}

function checkOf(number: number): number {
  return (Math.imul(number + 1, 0x9e3779b1) >>> 8) % 1_000_000
}
