// The module hooks of typescript.mjs: `./x.js` means `./x.ts` where only that exists, and TypeScript loads as JavaScript.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const cache = fileURLToPath(new URL('../node_modules/.cache/pointsman-typescript/', import.meta.url))
const version = 'es2023-1'

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
  const file = fileURLToPath(url)
  const text = readFileSync(file, 'utf8')
  const key = createHash('sha256').update(`${version}\0${file}\0${text}`).digest('hex')
  const kept = `${cache}${key}.js`
  try {
    return { format: 'module', source: readFileSync(kept, 'utf8'), shortCircuit: true }
  } catch {
    const source = await transpile(file, text)
    keep(kept, source)
    return { format: 'module', source, shortCircuit: true }
  }
}

async function transpile(file, text) {
  const { default: ts } = await import('typescript')
  const { outputText } = ts.transpileModule(text, {
    fileName: file,
    compilerOptions: {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      inlineSourceMap: true,
      inlineSources: true,
    },
  })
  return outputText
}

// Written aside and moved into place: another process may be reading. A cache that cannot be written is no cache.
function keep(path, source) {
  try {
    mkdirSync(cache, { recursive: true })
    const aside = `${path}.${process.pid}`
    writeFileSync(aside, source)
    renameSync(aside, path)
  } catch {
    return
  }
}
