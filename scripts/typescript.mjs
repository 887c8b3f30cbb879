// Lets Node run this project's TypeScript as it stands: `node --import ./scripts/typescript.mjs src/bin.ts`. Types are
// taken off without being checked (`npm run check` does that) and the result is kept by content under
// node_modules/.cache, so that a process pays for the compiler only when a file changed. The tests run this way too.
import { register } from 'node:module'

register('./typescript-hooks.mjs', import.meta.url)
