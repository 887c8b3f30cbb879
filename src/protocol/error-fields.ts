// protocol/error-fields.ts — ErrorResponse and NoticeResponse (PG manual 54.8). Fields that decisions and messages need have
// names here; a frame that is passed on is passed as it came, so nothing is lost by naming only these.
import { BodyReader } from './body-reader.js'
import { FrameWriter } from './frame-writer.js'
import { Backend } from './message-types.js'

/** Severity, SQLSTATE and message are always there; the rest as the server sent it. */
export interface ErrorFields {
  /** Not localised: ERROR, FATAL, PANIC, WARNING, NOTICE, DEBUG, INFO, LOG. */
  readonly severity: string
  /** SQLSTATE, five characters. */
  readonly code: string
  readonly message: string
  readonly detail?: string
  readonly hint?: string
  /** 1-based position in the query text, in characters. */
  readonly position?: string
  readonly where?: string
  readonly schema?: string
  readonly table?: string
  readonly column?: string
  readonly dataType?: string
  readonly constraint?: string
  /** Of the server's source: some drivers know an error by it. */
  readonly routine?: string
}

const letters: Readonly<Record<string, Exclude<keyof ErrorFields, 'severity' | 'code' | 'message'>>> = {
  D: 'detail',
  H: 'hint',
  P: 'position',
  W: 'where',
  s: 'schema',
  t: 'table',
  c: 'column',
  d: 'dataType',
  n: 'constraint',
  R: 'routine',
}

/**
 * Reads an ErrorResponse or NoticeResponse frame. `cut`: the frame may end early (only its beginning was kept); what is
 * there is read. Throws 08P01 on a malformed whole frame.
 */
export function decodeErrorFields(frame: Uint8Array, cut = false): ErrorFields {
  const fields: Record<string, string> = {}
  const body = new BodyReader(frame, 'ErrorResponse')
  let severity = 'ERROR'
  let code = 'XX000'
  let message = ''
  try {
    for (let letter = body.byte(); letter !== 0; letter = body.byte()) {
      const text = body.cstring()
      const name = String.fromCharCode(letter)
      // V is S untranslated, and comes after it (since PostgreSQL 9.6).
      if (name === 'S' || name === 'V') severity = text
      else if (name === 'C') code = text
      else if (name === 'M') message = text
      else if (letters[name] !== undefined) fields[letters[name]] = text
    }
  } catch (error) {
    if (!cut) throw error
  }
  return { severity, code, message, ...fields }
}

export function encodeErrorResponse(fields: ErrorFields): Buffer {
  return encode(Backend.ErrorResponse, fields)
}

export function encodeNoticeResponse(fields: ErrorFields): Buffer {
  return encode(Backend.NoticeResponse, fields)
}

function encode(type: number, fields: ErrorFields): Buffer {
  const frame = new FrameWriter(type, 128)
  const put = (letter: string, text: string): void => {
    // A NUL would end the field early; no server sends one, but a message may quote what a client sent.
    frame.byte(letter.charCodeAt(0)).cstring(text.replaceAll('\0', '\uFFFD'))
  }
  put('S', fields.severity)
  put('V', fields.severity)
  put('C', fields.code)
  put('M', fields.message)
  for (const [letter, name] of Object.entries(letters)) {
    const text = fields[name]
    if (text !== undefined) put(letter, text)
  }
  return frame.byte(0).end()
}
