// doors/cli/modules.ts — modules of `by: module`. Importing takes time and reading a config takes none, so a config is read
// twice where it names a module that is not known yet: the first time tells which, the second finds them. A module is known by
// its text: another text is another module, so a reload takes it anew. It must stand alone: it can import nothing beside it.
import * as nodeModule from 'node:module'
import type { ShardModule } from '../../sharding/sharded.js'

type Place = ShardModule['place']

/** By the text: the function, or why there is none. */
const known = new Map<string, Place | string>()
const wanted = new Map<string, string>()

/** The function of a module whose file has been read; or why there is none, as the end of a sentence. */
export function moduleFrom(path: string, text: string): Place | string {
  const found = known.get(text)
  if (found === undefined) wanted.set(text, path)
  return found ?? 'has not been loaded'
}

/** What `read` gives once the modules that it asks for are there. */
export async function withModules<R>(read: () => R): Promise<R> {
  const first = read()
  if (wanted.size === 0) return first
  const all = [...wanted]
  wanted.clear()
  await Promise.all(all.map(async ([text, path]) => known.set(text, await load(path, text))))
  return read()
}

async function load(path: string, text: string): Promise<Place | string> {
  try {
    const source = /\.m?ts$/.test(path) ? withoutTypes(text) : text
    if (source === null) return 'is TypeScript, which this version of Node does not read: give it as JavaScript'
    const url = `data:text/javascript;base64,${Buffer.from(source).toString('base64')}`
    const loaded = (await import(url)) as { readonly shardOf?: unknown; readonly default?: unknown }
    const place = loaded.shardOf ?? loaded.default
    return typeof place === 'function' ? (place as Place) : 'exports no function shardOf, and none as its default'
  } catch (error) {
    return `cannot be loaded: ${error instanceof Error ? `${error.name}: ${firstLine(error.message)}` : 'it threw'}`
  }
}

/** Node 22.13 and later. */
function withoutTypes(text: string): string | null {
  const { stripTypeScriptTypes } = nodeModule as { readonly stripTypeScriptTypes?: (text: string) => string }
  return stripTypeScriptTypes?.(text) ?? null
}

/** Without the text itself, which a URL of data holds. */
function firstLine(message: string): string {
  return (message.split('\n')[0] ?? '').replace(/data:text\/javascript;base64,\S*/g, 'the module').slice(0, 200)
}
