// bus/owners.ts — which client a server process serves, so that a notification carries the PID that its sender was given.
// Kept only while somebody listens. A process that may have notified is let go only when what it sent has arrived
// (Bus.arrived), so the process of a notification that is read now still belongs to its sender.
export class Owners {
  readonly #byNode = new Map<string, Map<number, number>>()

  /** From now on `backend` of that node works for `client`. */
  serves(node: string, backend: number, client: number): void {
    const known = this.#byNode.get(node)
    if (known === undefined) this.#byNode.set(node, new Map([[backend, client]]))
    else known.set(backend, client)
  }

  letsGo(node: string, backend: number, client: number): void {
    const known = this.#byNode.get(node)
    if (known?.get(backend) === client) known.delete(backend)
  }

  /** The client's PID, or the server process's own where it serves none of ours. */
  of(node: string, backend: number): number {
    return this.#byNode.get(node)?.get(backend) ?? backend
  }

  clear(): void {
    this.#byNode.clear()
  }
}
