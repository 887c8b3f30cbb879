// protocol/edit-error.ts — an ErrorResponse with some of its texts changed: all fields stay, those too that have no name here.
import { BodyReader, type TextEncoding } from './body-reader.js'
import { FrameWriter } from './frame-writer.js'
import { Backend } from './message-types.js'

/** `edit` gets the letter of each field (`M`, `P`, …) and its text. Throws 08P01 on a malformed frame. */
export function editErrorResponse(frame: Uint8Array, encoding: TextEncoding, edit: (letter: string, text: string) => string): Buffer {
  const body = new BodyReader(frame, 'ErrorResponse')
  const made = new FrameWriter(Backend.ErrorResponse, frame.length + 64)
  for (let letter = body.byte(); letter !== 0; letter = body.byte()) {
    const text = edit(String.fromCharCode(letter), body.cstring(encoding))
    made.byte(letter).bytes(Buffer.from(text, encoding)).byte(0)
  }
  return made.byte(0).end()
}
