#!/usr/bin/env node
// bin.ts — the `pointsman` command.
import { main } from './doors/cli/main.js'

process.exitCode = await main(process.argv.slice(2), {
  out: (text) => void process.stdout.write(`${text}\n`),
  err: (text) => void process.stderr.write(`${text}\n`),
  env: process.env,
  cwd: process.cwd(),
  terminal: process.stderr.isTTY,
})
