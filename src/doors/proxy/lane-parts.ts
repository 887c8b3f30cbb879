// doors/proxy/lane-parts.ts — what the clients of a proxy share to use lanes.
import type { WireLanes } from '../../pool/wire-lanes.js'
import type { ShapeBook } from '../../pool/shape-book.js'
import type { SeenParses } from './seen-parses.js'

export interface LaneParts {
  readonly lanes: WireLanes
  readonly book: ShapeBook
  readonly parses: SeenParses
}
