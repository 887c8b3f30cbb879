// When a process is over. What it has said is complete once all who may write to its output have let go of it, and one that it
// has left behind may never do so: then its end is the end, and that it was so is told.

/**
 * `limitMs`: what takes longer is killed. `outputMs`: how long after its end its output may stay open. Gives the exit code, or what
 * else has ended it, and whether somebody still held its output.
 */
export function childEnd(child, { limitMs, outputMs }) {
  return new Promise((resolve) => {
    let held = false
    let waiting = setTimeout(() => child.kill('SIGKILL'), limitMs)
    const over = (ended) => {
      clearTimeout(waiting)
      resolve({ ended, held })
    }
    child.on('exit', () => {
      clearTimeout(waiting)
      waiting = setTimeout(() => {
        held = true
        child.stdout.destroy()
      }, outputMs)
    })
    child.on('error', (error) => over(error.message))
    child.on('close', (code, signal) => over(code ?? signal))
  })
}
