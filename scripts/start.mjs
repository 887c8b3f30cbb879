// `npm start`: sets up what is missing, then becomes `pointsman serve` in this same process, so that Ctrl-C reaches one
// process and there is nobody in between to leave something behind. Arguments are passed on: `npm start -- -c my.yaml`.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { endWithParent } from './parent.mjs'
import { ensureBuilt, ensurePackages, root } from './setup.mjs'

// Started by hand it may well outlive its shell.
if (process.env.npm_lifecycle_event === 'start') endWithParent('start.mjs')
ensurePackages()
ensureBuilt()
const bin = join(root, 'dist/bin.js')
process.argv.splice(1, 1, bin, 'serve')
await import(pathToFileURL(bin).href)
