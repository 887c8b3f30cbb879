// Ends this process as SIGTERM would when the one that started it is gone. npm passes no signal on, and its shell stands between:
// a supervisor that ends npm would leave behind what it started.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const everyMs = 250

/** Watches until then; keeps nothing alive. `script`: what npm's shell was told to run names it. */
export function endWithParent(script) {
  const parent = process.ppid
  const { parent: above, told } = processOf(parent)
  const starter = told.includes(script) ? above : parent
  const timer = setInterval(() => {
    if (process.ppid === parent && isThere(starter)) return
    clearInterval(timer)
    process.kill(process.pid, 'SIGTERM')
  }, everyMs)
  timer.unref()
}

/** Whose child it is, and its command line. */
function processOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return { parent: Number(parent), told: readFileSync(`/proc/${pid}/cmdline`, 'utf8') }
  } catch {
    const said = spawnSync('ps', ['-o', 'ppid=,args=', '-p', String(pid)], { encoding: 'utf8' }).stdout ?? ''
    return { parent: Number.parseInt(said, 10), told: said }
  }
}

function isThere(pid) {
  try {
    return !(pid > 0) || process.kill(pid, 0)
  } catch (error) {
    return error.code !== 'ESRCH'
  }
}
