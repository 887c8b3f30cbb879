// doors/proxy/parked.ts — how a request ends that nothing is awaited for: whoever has it tells the client's loop.

/** In the place of a promise: the client's loop goes on when it is told to (Conversation.onUnparked). */
export const parked: unique symbol = Symbol('parked')
export type Parked = typeof parked
