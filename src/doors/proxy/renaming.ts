// doors/proxy/renaming.ts — a text of the client's with our names in it, and the way back: positions that a server counts in what
// it was sent are told as they are in the client's text.
import type { Span } from '../../sql/prepared.js'

/** `from` is what the client's text has there, a name; `to` is ours. `bare`: no name, but written as it is. */
export interface Renamed extends Span {
  readonly from: string
  readonly to: string
  readonly bare?: true
}

/** The text as it is sent, our names always quoted, so that they may stand where quotes stood. `renames` in the order of the text. */
export function renameIn(text: string, renames: readonly Renamed[]): string {
  let made = ''
  let at = 0
  for (const rename of renames) {
    made += text.slice(at, rename.start) + written(rename)
    at = rename.end
  }
  return made + text.slice(at)
}

/** From a position in what was sent (characters, from 1) to the one in the client's text. */
export function positionIn(text: string, renames: readonly Renamed[], sent: number): number {
  let at = sent
  for (const rename of renames) {
    const { start, end } = rename
    const ours = characters(written(rename))
    const from = characters(text.slice(0, start)) + 1
    const length = characters(text.slice(start, end))
    if (at <= from) break
    at = at < from + ours ? from : at - ours + length
  }
  return at
}

function written({ to, bare }: Renamed): string {
  return bare === true ? to : `"${to}"`
}

export function characters(text: string): number {
  return text.replace(/[\ud800-\udbff][\udc00-\udfff]/g, '_').length
}
