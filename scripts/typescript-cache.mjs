// TypeScript → JavaScript, kept by content under node_modules/.cache: only what changed is compiled, by whoever meets it first.
// Types are taken off without being checked. Another compiler compiles all of it anew.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const cache = fileURLToPath(new URL('../node_modules/.cache/pointsman-typescript/', import.meta.url))
const { version: compiler } = JSON.parse(readFileSync(new URL('../node_modules/typescript/package.json', import.meta.url), 'utf8'))
const version = `es2023-1 ${compiler}`

/** The JavaScript of a file. */
export async function compiled(file) {
  const text = readFileSync(file, 'utf8')
  const kept = placeOf(file, text)
  try {
    return readFileSync(kept, 'utf8')
  } catch {
    const source = await transpile(file, text)
    keep(kept, source)
    return source
  }
}

/** Compiles all of a folder that is not kept yet, so that not every process that needs a file brings a compiler for it. */
export async function compileAll(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await compileAll(path)
    else if (path.endsWith('.ts') && !path.endsWith('.d.ts') && !existsSync(placeOf(path, readFileSync(path, 'utf8')))) await compiled(path)
  }
}

function placeOf(file, text) {
  return `${cache}${createHash('sha256').update(`${version}\0${file}\0${text}`).digest('hex')}.js`
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
