// doors/proxy/bus.ts — the bus of this process, over the runtime's clusters.
import { Bus } from '../../bus/bus.js'
import type { Observer } from '../../observe/events.js'
import type { Runtime } from '../../runtime/contract.js'
import { createConnect } from '../../server/connect-server.js'
import type { ServerConnection } from '../../server/contract.js'

interface Parts {
  readonly runtime: Runtime<ServerConnection>
  readonly observer: Observer
}

const startup = { application_name: 'pointsman bus' }

export function createBus({ runtime, observer }: Parts, now: () => number, onActive: () => void): Bus {
  return new Bus({
    target: (id) => {
      const generation = runtime.current()
      const cluster = generation.config.clusters.get(id)
      if (cluster === undefined) return null
      const primary = generation.topology().clusters.get(id)?.primary?.id ?? null
      return { cluster, primary: cluster.nodes.find((node) => node.id === primary) ?? null }
    },
    connect: (cluster, node, identity, signal) => createConnect(() => cluster, { now, startup })(node, identity, signal),
    onActive,
    observer,
    random: Math.random,
  })
}
