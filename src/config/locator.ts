// config/locator.ts — from a place in the configuration to a line and column of its text.

export type Path = readonly (string | number)[]

export interface Place {
  /** Both count from 1. */
  readonly line: number
  readonly column: number
}

/** Where the key or the value at `path` stands; of the nearest place above it where it does not exist; null: no text. */
export type Locator = (path: Path, at: 'key' | 'value') => Place | null

/** For options that came as an object. */
export const nowhere: Locator = () => null
