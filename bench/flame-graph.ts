// bench/flame-graph.ts — a V8 CPU profile as a picture (SVG, hover for names and shares) and as shares by part of Pointsman.
import { escape } from 'node:querystring'

interface ProfileNode {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  readonly children?: readonly number[]
}

interface Profile {
  readonly nodes: readonly ProfileNode[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

interface Frame {
  readonly name: string
  readonly room: string
  total: number
  self: number
  readonly children: Map<string, Frame>
}

const width = 1400
const row = 17
/** Narrower than this many pixels: not drawn. */
const narrowest = 0.6
/** Not work of ours: waiting for events, and what starting the process took. */
const waiting = new Set(['(idle)', '(program)'])

/** Loading of modules, and what `serve` does before it serves. */
const starting = /node:internal\/(?:modules|bootstrap|process\/esm)| doors\/cli\//

/** The picture of a profile as `node --cpu-prof` writes it. `title` stands at its top. */
export function flameGraph(text: string, title: string): string {
  const root = merged(JSON.parse(text) as Profile)
  const boxes: string[] = []
  const depth = draw(root, 0, 0, root.total, boxes)
  const height = (depth + 2) * row + 10
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${String(width)}" height="${String(height)}" font-family="monospace" font-size="11">`,
    `<rect width="100%" height="100%" fill="#fffdf5"/><text x="6" y="14">${xml(title)}: share of the time that was not idle</text>`,
    ...boxes,
    '</svg>\n',
  ].join('\n')
}

/** Rows for a table: self time by room, as a share of what was not idle, largest first. */
export function shares(text: string): string[][] {
  const root = merged(JSON.parse(text) as Profile)
  const byRoom = new Map<string, number>()
  const add = (frame: Frame): void => {
    byRoom.set(frame.room, (byRoom.get(frame.room) ?? 0) + frame.self)
    for (const child of frame.children.values()) add(child)
  }
  add(root)
  const sorted = [...byRoom].sort(([, a], [, b]) => b - a)
  return [['room', 'share'], ...sorted.map(([room, self]) => [room, `${((self / root.total) * 100).toFixed(1)} %`])]
}

/** Calls of the same function under the same caller are one frame; idle time is left out. */
function merged({ nodes, samples, timeDeltas }: Profile): Frame {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const parents = new Map<number, number>()
  for (const { id, children } of nodes) for (const child of children ?? []) parents.set(child, id)
  const root: Frame = { name: 'all', room: 'node', total: 0, self: 0, children: new Map() }
  const paths = new Map<number, readonly Frame[]>()
  const pathOf = (id: number): readonly Frame[] => {
    const known = paths.get(id)
    if (known !== undefined) return known
    const node = byId.get(id)
    const parent = parents.get(id)
    const above = parent === undefined ? [] : pathOf(parent)
    const path = node === undefined || parent === undefined ? [root] : [...above, childOf(above.at(-1) ?? root, node)]
    paths.set(id, path)
    return path
  }
  for (const [index, id] of samples.entries()) {
    if (waiting.has(byId.get(id)?.callFrame.functionName ?? '')) continue
    const spent = timeDeltas[index] ?? 0
    const path = pathOf(id)
    if (path.some(({ name }) => starting.test(name))) continue
    for (const frame of path) frame.total += spent
    const last = path.at(-1)
    if (last !== undefined) last.self += spent
  }
  return root
}

function childOf(parent: Frame, { callFrame: { functionName, url, lineNumber } }: ProfileNode): Frame {
  const room = roomOf(url, functionName)
  const name = `${functionName === '' ? '(anonymous)' : functionName} ${shortOf(url)}${url === '' ? '' : `:${String(lineNumber + 1)}`}`
  const known = parent.children.get(name)
  if (known !== undefined) return known
  const made: Frame = { name, room, total: 0, self: 0, children: new Map() }
  parent.children.set(name, made)
  return made
}

/** The room of Pointsman, a package, Node's own JavaScript, its native code, or the collector. */
function roomOf(url: string, functionName: string): string {
  if (functionName === '(garbage collector)') return 'garbage collection'
  const own = /\/dist\/(doors\/\w+|\w+)\//.exec(url)?.[1]
  if (own !== undefined) return own
  const packaged = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1]
  if (packaged !== undefined) return packaged
  return url.startsWith('node:') ? 'node (JavaScript)' : 'node (native, system calls)'
}

function shortOf(url: string): string {
  return /\/dist\/(.+)\.js$/.exec(url)?.[1] ?? /node_modules\/(.+)$/.exec(url)?.[1] ?? url
}

/** Widest first, callers above. Gives the depth drawn. */
function draw(frame: Frame, x: number, level: number, all: number, boxes: string[]): number {
  const pixels = (frame.total / all) * width
  if (pixels < narrowest) return level
  const y = (level + 1) * row
  const label = pixels > 30 ? frame.name.slice(0, Math.floor(pixels / 6.7)) : ''
  const share = `${((frame.total / all) * 100).toFixed(2)} %`
  boxes.push(
    `<g><title>${xml(frame.name)} ${share}</title><rect x="${x.toFixed(1)}" y="${String(y)}" width="${pixels.toFixed(1)}" height="${String(row - 1)}" fill="${colour(frame.room)}"/>` +
      `<text x="${(x + 2).toFixed(1)}" y="${String(y + 12)}">${xml(label)}</text></g>`,
  )
  let deepest = level
  let at = x
  for (const child of [...frame.children.values()].sort((a, b) => b.total - a.total)) {
    deepest = Math.max(deepest, draw(child, at, level + 1, all, boxes))
    at += (child.total / all) * width
  }
  return deepest
}

/** The same room has the same colour in every picture. */
function colour(room: string): string {
  let hash = 0
  for (const letter of escape(room)) hash = (hash * 31 + letter.charCodeAt(0)) % 360
  return room.startsWith('node') ? '#d9d4c7' : `hsl(${String(hash)} 65% 75%)`
}

function xml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
