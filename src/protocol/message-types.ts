// protocol/message-types.ts — the first byte of every message of protocol v3 (PG manual 54.7), by direction.
// The same byte means different things in the two directions (D: Describe, DataRow), hence two tables.

/** Messages a client sends. Startup packets have no type byte. */
export const Frontend = {
  Bind: 0x42, // B
  Close: 0x43, // C
  CopyData: 0x64, // d
  CopyDone: 0x63, // c
  CopyFail: 0x66, // f
  Describe: 0x44, // D
  Execute: 0x45, // E
  Flush: 0x48, // H
  FunctionCall: 0x46, // F
  Parse: 0x50, // P
  /** PasswordMessage, SASLInitialResponse, SASLResponse: told apart by what was asked. */
  Password: 0x70, // p
  Query: 0x51, // Q
  Sync: 0x53, // S
  Terminate: 0x58, // X
} as const

/** Messages a server sends. */
export const Backend = {
  Authentication: 0x52, // R
  BackendKeyData: 0x4b, // K
  BindComplete: 0x32, // 2
  CloseComplete: 0x33, // 3
  CommandComplete: 0x43, // C
  CopyData: 0x64, // d
  CopyDone: 0x63, // c
  CopyInResponse: 0x47, // G
  CopyOutResponse: 0x48, // H
  CopyBothResponse: 0x57, // W
  DataRow: 0x44, // D
  EmptyQueryResponse: 0x49, // I
  ErrorResponse: 0x45, // E
  FunctionCallResponse: 0x56, // V
  NegotiateProtocolVersion: 0x76, // v
  NoData: 0x6e, // n
  NoticeResponse: 0x4e, // N
  NotificationResponse: 0x41, // A
  ParameterDescription: 0x74, // t
  ParameterStatus: 0x53, // S
  ParseComplete: 0x31, // 1
  PortalSuspended: 0x73, // s
  ReadyForQuery: 0x5a, // Z
  RowDescription: 0x54, // T
} as const

export type FrontendName = keyof typeof Frontend
export type BackendName = keyof typeof Backend

const frontendNames: ReadonlyMap<number, FrontendName> = reverse(Frontend)
const backendNames: ReadonlyMap<number, BackendName> = reverse(Backend)

/** Name of a client's message, or undefined: such a byte is garbage. */
export function frontendName(type: number): FrontendName | undefined {
  return frontendNames.get(type)
}

/** Name of a server's message, or undefined: such a byte is garbage. */
export function backendName(type: number): BackendName | undefined {
  return backendNames.get(type)
}

function reverse<N extends string>(table: Readonly<Record<N, number>>): ReadonlyMap<number, N> {
  return new Map((Object.keys(table) as N[]).map((name) => [table[name], name]))
}
