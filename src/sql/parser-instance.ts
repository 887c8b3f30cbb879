// sql/parser-instance.ts — one instance of PostgreSQL's parser in WebAssembly. libpg-query's own wrapper keeps one for good;
// but a statement nested too deeply throws right through the parser's C frames and leaves it broken (dozens of those, and it
// hangs or answers nonsense). So an instance that threw anything but PostgreSQL's own error is never used again.
// eslint-disable-next-line no-restricted-imports -- the parser's code is a file
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import createModule, { type PgQueryModule } from 'libpg-query/wasm/libpg-query.js'

/** PostgreSQL's own refusal: `syntax error at or near "SELEC"`. The instance is as good as before. */
export class SyntaxProblem extends Error {
  override readonly name = 'SyntaxProblem'
}

/** Memory of WebAssembly grows and never shrinks: past this, a huge statement has gone through, and a fresh one is better. */
const maxGrowth = 64 * 1024 * 1024

let code: Promise<WebAssembly.Module> | null = null

async function compile(): Promise<WebAssembly.Module> {
  const path = createRequire(import.meta.url).resolve('libpg-query/wasm/libpg-query.wasm')
  return WebAssembly.compile(await readFile(path))
}

export class ParserInstance {
  readonly #module: PgQueryModule
  readonly #memory: number

  private constructor(module: PgQueryModule) {
    this.#module = module
    this.#memory = module.HEAPU8.length
  }

  /** The first takes tens of milliseconds to compile; all others share its code and stand within the same turn. */
  static async create(): Promise<ParserInstance> {
    code ??= compile()
    const compiled = await code
    return new ParserInstance(
      await createModule({
        instantiateWasm: (imports, receive) => {
          receive(new WebAssembly.Instance(compiled, imports))
        },
      }),
    )
  }

  /** Whether it has grown so much that it should be replaced. */
  get bloated(): boolean {
    return this.#module.HEAPU8.length > this.#memory + maxGrowth
  }

  /** The parse tree as JSON. A SyntaxProblem is PostgreSQL's; after any other error the instance is broken. */
  parse(text: string): string {
    const module = this.#module
    const bytes = module.lengthBytesUTF8(text) + 1
    const query = module._malloc(bytes)
    module.stringToUTF8(text, query, bytes)
    const result = module._wasm_parse_query_raw(query)
    const outcome = this.#outcome(result)
    module._wasm_free_parse_result(result)
    module._free(query)
    if (outcome instanceof SyntaxProblem) throw outcome
    return outcome
  }

  /** The tree of a CREATE FUNCTION in PL/pgSQL as JSON. Errors as parse()'s. */
  parseRoutine(text: string): string {
    const module = this.#module
    const bytes = module.lengthBytesUTF8(text) + 1
    const query = module._malloc(bytes)
    module.stringToUTF8(text, query, bytes)
    const result = module._wasm_parse_plpgsql(query)
    const told = module.UTF8ToString(result)
    module._wasm_free_string(result)
    module._free(query)
    if (!told.startsWith('{')) throw new SyntaxProblem(told)
    return told
  }

  /** Reads { tree, stderr, error } and the error's first field, its message. */
  #outcome(result: number): string | SyntaxProblem {
    const module = this.#module
    const error = module.getValue(result + 8, 'i32')
    if (error !== 0) return new SyntaxProblem(module.UTF8ToString(module.getValue(error, 'i32')))
    return module.UTF8ToString(module.getValue(result, 'i32'))
  }
}
