// consistency/floors.ts — placeholder contract; see CONSISTENCY §2.3 W0 and §2.6. Owned by the consistency room.
// One per session: per cluster the floor, the pending write, the pending read. Pure: times are arguments.

export interface SessionFloors {
  /** A write is about to be sent: pending until resolved, infinite while in flight. Called BEFORE sending. */
  writeStarted(cluster: string): void
  /** The write was acknowledged, failed, or its outcome is unknown (all count), at `now`. */
  writeEnded(cluster: string, now: number): void
  /** A read ended at `now` on a connection to `node` opened at `openedAt`. */
  readEnded(cluster: string, node: string, role: 'primary' | 'replica', openedAt: number, now: number): void
}
