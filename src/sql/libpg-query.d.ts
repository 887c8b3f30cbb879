// sql/libpg-query.d.ts — the part of libpg-query's WebAssembly module that parser.ts uses; the package types only its wrapper.
// Of WebAssembly itself, which @types/node leaves to the DOM's types, it names what is used.
declare namespace WebAssembly {
  interface Module {
    readonly [Symbol.toStringTag]: 'WebAssembly.Module'
  }
  interface Instance {
    readonly exports: object
  }
  const Instance: new (module: Module, imports: object) => Instance
  function compile(code: Uint8Array): Promise<Module>
}

declare module 'libpg-query/wasm/libpg-query.js' {
  /** An Emscripten module. Pointers are numbers; `value(pointer)` reads 32 bits. */
  export interface PgQueryModule {
    /** All of its memory; grows, never shrinks. */
    readonly HEAPU8: Uint8Array
    _malloc(bytes: number): number
    _free(pointer: number): void
    /** Pointer to { tree, stderr, error }. */
    _wasm_parse_query_raw(text: number): number
    _wasm_free_parse_result(result: number): void
    /** Pointer to JSON, or to the words of an error. */
    _wasm_parse_plpgsql(text: number): number
    _wasm_free_string(pointer: number): void
    getValue(pointer: number, type: 'i32'): number
    UTF8ToString(pointer: number): string
    stringToUTF8(text: string, pointer: number, bytes: number): void
    lengthBytesUTF8(text: string): number
  }
  /** `instantiateWasm` takes the imports and hands the instance on. */
  const createModule: (options: {
    instantiateWasm(imports: object, receive: (instance: WebAssembly.Instance) => void): void
  }) => Promise<PgQueryModule>
  // eslint-disable-next-line no-restricted-syntax -- it is a CommonJS module
  export default createModule
}
