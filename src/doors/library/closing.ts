// doors/library/closing.ts — a cursor or stream that its user is done with before it reached a server. pg-cursor's close()
// does nothing then, since it counts on being submitted at once; ours waits for a connection, and nobody would ever end it.

export interface Closing {
  /** Its user has closed or destroyed it: it must not be sent any more. */
  closed(): boolean
  /** From now on it is the server's. */
  submitted(): void
}

/** `holder` is what has the close() of pg-cursor: the cursor, or the one inside a query stream. */
export function watchClosing(submittable: object, holder: object): Closing {
  let closed = false
  const cursor = holder as { close?: unknown; state?: unknown }
  const own = Object.getOwnPropertyDescriptor(cursor, 'close')
  const { close } = cursor
  if (typeof close !== 'function') return { closed: () => isDestroyed(submittable), submitted: () => undefined }
  cursor.close = (...args: readonly unknown[]): unknown => {
    closed = true
    // Reads that follow give no rows, as those of any closed cursor.
    if ('state' in cursor) cursor.state = 'done'
    return Reflect.apply(close, cursor, args) as unknown
  }
  return {
    closed: () => closed || isDestroyed(submittable),
    submitted: () => {
      if (own === undefined) delete cursor.close
      else Object.defineProperty(cursor, 'close', own)
    },
  }
}

function isDestroyed(submittable: object): boolean {
  return 'destroyed' in submittable && submittable.destroyed === true
}
