// Express 4 under a name of its own, with the types of Express 5: what the tests use of it is the same.
declare module 'express4' {
  import type express from 'express'
  const make: typeof express
  export = make
}
