// Every message that is written and read: round trips, and what must be refused.
import t from 'tap'
import * as auth from '../../src/protocol/authentication.js'
import * as backend from '../../src/protocol/backend-messages.js'
import { decodeErrorFields, encodeErrorResponse, encodeNoticeResponse } from '../../src/protocol/error-fields.js'
import * as extended from '../../src/protocol/extended.js'
import * as query from '../../src/protocol/query.js'
import * as rows from '../../src/protocol/rows.js'
import * as startup from '../../src/protocol/startup.js'
import { encodeMessage, formatMessage } from '../support/wire-text.js'

const violation = { key: 'protocol_violation', code: '08P01' }

t.test('startup packets', (t) => {
  const read = (bytes: Uint8Array): unknown => startup.readStartupPacket(bytes)?.packet
  t.same(read(startup.encodeSslRequest()), { kind: 'ssl' })
  t.same(read(startup.encodeGssEncRequest()), { kind: 'gssenc' })
  t.same(read(startup.encodeCancelRequest(7, Buffer.from([1, 2, 3, 4]))), { kind: 'cancel', pid: 7, secret: Buffer.from([1, 2, 3, 4]) })
  const long = Buffer.alloc(32, 9)
  t.same(read(startup.encodeCancelRequest(-7, long)), { kind: 'cancel', pid: -7, secret: long }, 'keys of protocol 3.2 are longer')

  const parameters: [string, string][] = [
    ['user', 'joe'],
    ['database', 'app'],
    ['_pq_.compression', 'on'],
    ['options', '-c a=b'],
  ]
  const message = startup.encodeStartupMessage(parameters, 2)
  const packet = read(Buffer.concat([message, Buffer.from('more')]))
  t.match(packet, { kind: 'startup', major: 3, minor: 2, extensions: ['_pq_.compression'] })
  t.same([...(packet as startup.StartupMessage).parameters.keys()], ['user', 'database', 'options'])
  t.ok(startup.needsNegotiation(packet as startup.StartupMessage))
  t.notOk(startup.needsNegotiation(read(startup.encodeStartupMessage([['user', 'joe']])) as startup.StartupMessage))
  t.same(backend.decodeNegotiateProtocolVersion(startup.encodeNegotiateProtocolVersion(0, ['_pq_.compression'])), {
    minor: 0,
    unknown: ['_pq_.compression'],
  })

  for (let length = 0; length < message.length; length++) t.equal(startup.readStartupPacket(message.subarray(0, length)), null)
  const packetOf = (...words: number[]): Buffer =>
    Buffer.concat(words.map((word) => Buffer.from([word >>> 24, word >>> 16, word >>> 8, word])))
  t.throws(() => startup.readStartupPacket(packetOf(7)), violation, 'too short')
  t.throws(() => startup.readStartupPacket(packetOf(10_001)), violation, 'too long, before it has come')
  t.throws(() => startup.readStartupPacket(packetOf(-1)), violation)
  t.throws(() => startup.readStartupPacket(Buffer.from('GET / HTTP/1.1\r\n\r\n')), violation)
  t.throws(() => startup.readStartupPacket(packetOf(8, 0x20000)), violation, 'protocol 2')
  t.throws(() => startup.readStartupPacket(packetOf(12, 0x30000, 0x61626364)), violation, 'no terminator')
  t.throws(() => startup.readStartupPacket(packetOf(12, 80877102, 7)), violation, 'a cancel without a key')
  t.end()
})

t.test('authentication', (t) => {
  const requests: auth.AuthenticationRequest[] = [
    { kind: 'ok' },
    { kind: 'cleartext' },
    { kind: 'md5', salt: Buffer.from([1, 2, 3, 4]) },
    { kind: 'sasl', mechanisms: ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'] },
    { kind: 'sasl-continue', data: 'r=x' },
    { kind: 'sasl-final', data: 'v=x' },
    { kind: 'other', code: 7 },
  ]
  for (const request of requests) t.same(auth.decodeAuthentication(auth.encodeAuthentication(request)), request, request.kind)
  t.equal(auth.decodePassword(auth.encodePassword('sésame')), 'sésame')
  t.same(auth.decodeSaslInitialResponse(auth.encodeSaslInitialResponse('SCRAM-SHA-256', 'n,,')), {
    mechanism: 'SCRAM-SHA-256',
    data: 'n,,',
  })
  t.equal(auth.decodeSaslResponse(auth.encodeSaslResponse('c=biws')), 'c=biws')
  t.throws(() => auth.encodePassword('a\0b'), violation, 'a NUL would cut the password')
  t.end()
})

t.test('messages of a client', (t) => {
  t.equal(query.decodeQuery(query.encodeQuery('SELECT ‘x’')), 'SELECT ‘x’')
  t.equal(query.decodeQuery(Buffer.from([0x51, 0, 0, 0, 6, 0xe9, 0]), 'latin1'), 'é')
  t.same(extended.decodeParse(extended.encodeParse('s', 'SELECT $1', [23, 4294967295])), {
    name: 's',
    text: 'SELECT $1',
    types: [23, 4294967295],
  })
  t.same(
    extended.renameParse(extended.encodeParse('s', 'SELECT $1', [23]), 'pointsman_1'),
    extended.encodeParse('pointsman_1', 'SELECT $1', [23]),
  )
  t.same(extended.decodeDescribe(extended.encodeDescribe({ of: 'portal', name: 'p' })), { of: 'portal', name: 'p' })
  t.same(extended.decodeClose(extended.encodeClose({ of: 'statement', name: 's' })), { of: 'statement', name: 's' })
  t.same(extended.decodeExecute(extended.encodeExecute('p', 7)), { portal: 'p', maxRows: 7 })
  t.equal(query.decodeCopyFail(query.encodeCopyFail('enough')), 'enough')
  t.equal(formatMessage('F', extended.encodeSync()), 'Sync')
  t.equal(formatMessage('F', extended.encodeFlush()), 'Flush')
  t.equal(formatMessage('F', query.encodeTerminate()), 'Terminate')
  t.equal(formatMessage('F', query.encodeCopyDone()), 'CopyDone')
  t.throws(() => extended.decodeDescribe(encodeMessage('F', 'Describe X "p"')), violation)
  t.throws(() => extended.requireEmpty(encodeMessage('F', 'CopyData "x"'), 'Sync'), violation)
  t.end()
})

t.test('Bind', (t) => {
  const frame = extended.encodeBind('p', 's', ['text', null, Buffer.from([0, 0, 0, 42]), ''], [0, 0, 1, 0], [1])
  const bind = extended.decodeBind(frame)
  t.same([bind.portal, bind.statement, bind.parameters], ['p', 's', 4])
  t.same(bind.parameter(1), { bytes: Buffer.from('text'), binary: false })
  t.equal(bind.parameter(2), null)
  t.same(bind.parameter(3), { bytes: Buffer.from([0, 0, 0, 42]), binary: true })
  t.same(bind.parameter(4), { bytes: Buffer.alloc(0), binary: false })
  t.equal(bind.parameter(5), undefined)
  t.equal(bind.parameter(0), undefined)
  t.same(
    extended.decodeBind(extended.encodeBind('', '', ['a', 'b'], [1])).parameter(2),
    { bytes: Buffer.from('b'), binary: true },
    'one format for all',
  )

  const many = extended.decodeBind(
    extended.encodeBind(
      '',
      '',
      Array.from({ length: 65_535 }, (_, index) => String(index)),
    ),
  )
  t.equal(many.parameters, 65_535)
  t.same(many.parameter(65_535)?.bytes, Buffer.from('65534'))

  t.same(
    Buffer.concat(extended.renameBind(frame, 'pointsman_12')),
    extended.encodeBind('p', 'pointsman_12', ['text', null, Buffer.from([0, 0, 0, 42]), ''], [0, 0, 1, 0], [1]),
  )
  t.same(extended.decodeBindHead(frame.subarray(0, 9)), { portal: 'p', statement: 's' }, 'the names stand in the beginning')
  t.equal(extended.decodeBindHead(frame.subarray(0, 8)), null)
  const [head, rest] = extended.renameBind(frame.subarray(0, 20), 'longer')
  t.same(
    Buffer.concat([head, rest, frame.subarray(20)]),
    Buffer.concat(extended.renameBind(frame, 'longer')),
    'a Bind that is still coming',
  )

  t.throws(() => extended.decodeBind(encodeMessage('F', 'Bind "" "" 2 0 0 1 "x" 0')), violation, 'two formats, one parameter')
  for (let length = 5; length < frame.length; length++) t.throws(() => extended.decodeBind(frame.subarray(0, length)), violation)
  t.throws(() => extended.decodeBind(Buffer.concat([frame, Buffer.from([0])])), violation)
  t.end()
})

t.test('messages of a server', (t) => {
  for (const status of ['I', 'T', 'E'] as const) t.equal(backend.decodeReadyForQuery(backend.encodeReadyForQuery(status)), status)
  t.throws(() => backend.decodeReadyForQuery(encodeMessage('B', 'ReadyForQuery X')), violation)
  t.same(backend.decodeParameterStatus(backend.encodeParameterStatus('TimeZone', 'UTC')), ['TimeZone', 'UTC'])
  t.same(backend.decodeBackendKeyData(backend.encodeBackendKeyData(9, Buffer.from([1, 2, 3, 4]))), {
    pid: 9,
    secret: Uint8Array.from([1, 2, 3, 4]),
  })
  t.equal(backend.decodeCommandComplete(backend.encodeCommandComplete('SELECT 1')), 'SELECT 1')
  t.same(backend.decodeParameterDescription(backend.encodeParameterDescription([23, 4294967295])), [23, 4294967295])
  const many = new Array<number>(65_536 + 2).fill(23)
  t.same(backend.decodeParameterDescription(backend.encodeParameterDescription(many)), many, 'more than its field can count')
  t.throws(() => backend.decodeParameterDescription(backend.encodeParameterDescription([1, 2, 3]).subarray(0, -4)), 'not all are there')
  const notification = { pid: 3, channel: 'jobs', payload: 'x' }
  t.same(backend.decodeNotification(backend.encodeNotification(notification)), notification)
  t.same(
    Object.values(backend.emptyMessages).map((frame) => formatMessage('B', frame)),
    ['ParseComplete', 'BindComplete', 'CloseComplete', 'NoData', 'EmptyQueryResponse', 'PortalSuspended'],
  )
  t.equal(formatMessage('B', query.encodeCopyResponse('in', true, 2)), 'CopyInResponse 1 2 1 1')
  t.end()
})

t.test('rows', (t) => {
  const columns = [{ name: 'a' }, { name: 'b', oid: rows.Oid.int8 }]
  t.same(rows.decodeRowDescription(rows.encodeRowDescription(columns)), [
    { name: 'a', oid: 25, modifier: -1, format: 0 },
    { name: 'b', oid: 20, modifier: -1, format: 0 },
  ])
  t.equal(formatMessage('B', rows.encodeRowDescription(columns)), 'RowDescription 2 "a" 0 0 25 -1 -1 0 "b" 0 0 20 8 -1 0')
  t.same(rows.decodeDataRow(rows.encodeDataRow(['é', null, ''])), ['é', null, ''])
  t.end()
})

t.test('errors', (t) => {
  const fields = {
    severity: 'ERROR',
    code: '23505',
    message: 'duplicate',
    detail: 'Key',
    hint: 'do not',
    position: '7',
    where: 'here',
    schema: 'public',
    table: 't',
    column: 'c',
    dataType: 'int4',
    constraint: 't_pkey',
  } as const
  t.same(decodeErrorFields(encodeErrorResponse(fields)), fields)
  t.equal(
    formatMessage('B', encodeNoticeResponse({ severity: 'WARNING', code: '01000', message: 'x' })),
    'NoticeResponse S "WARNING" V "WARNING" C "01000" M "x"',
  )
  const german = decodeErrorFields(
    encodeMessage('B', 'ErrorResponse S "FEHLER" V "ERROR" C "42601" M "Syntaxfehler" F "scan.l" L "1" R "scanner_yyerror"'),
  )
  t.same(
    german,
    { severity: 'ERROR', code: '42601', message: 'Syntaxfehler', routine: 'scanner_yyerror' },
    'the severity that is not translated',
  )
  t.equal(decodeErrorFields(encodeErrorResponse({ ...fields, message: 'a\0b' })).message, 'a\uFFFDb')
  const frame = encodeErrorResponse(fields)
  t.throws(() => decodeErrorFields(frame.subarray(0, 30)), violation)
  t.match(decodeErrorFields(frame.subarray(0, 40), true), { severity: 'ERROR', code: '23505' }, 'only the beginning was kept')
  t.end()
})
