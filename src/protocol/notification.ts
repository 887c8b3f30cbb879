// protocol/notification.ts — NotificationResponse: read as far as deciding who gets it needs, and given another sender.
import { asBuffer, BodyReader } from './body-reader.js'
import type { Notification } from './backend-messages.js'

/** Of the PID: behind the type byte and the length. */
const pidAt = 5

/** All but the payload. */
export function notificationHead(frame: Uint8Array): Omit<Notification, 'payload'> {
  const body = new BodyReader(frame, 'NotificationResponse')
  return { pid: body.int32(), channel: body.cstring() }
}

/** A copy that is said to come from `pid`. */
export function withNotifier(frame: Uint8Array, pid: number): Uint8Array {
  const copy = Uint8Array.from(frame)
  asBuffer(copy).writeInt32BE(pid, pidAt)
  return copy
}
