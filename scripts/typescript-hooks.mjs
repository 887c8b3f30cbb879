// The module hooks of typescript.mjs: `./x.js` means `./x.ts` where only that exists, and TypeScript loads as JavaScript.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { compiled } from './typescript-cache.mjs'

export async function resolve(specifier, context, next) {
  if (specifier.endsWith('.js') && (specifier.startsWith('.') || specifier.startsWith('file:')) && context.parentURL?.startsWith('file:')) {
    const url = new URL(specifier, context.parentURL)
    const source = new URL(`${url.href.slice(0, -3)}.ts`)
    if (!existsSync(url) && existsSync(source)) return { url: source.href, format: 'module', shortCircuit: true }
  }
  return next(specifier, context)
}

export async function load(url, context, next) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context)
  return { format: 'module', source: await compiled(fileURLToPath(url)), shortCircuit: true }
}
