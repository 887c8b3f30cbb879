// routing/ways-out.ts — what to do about each kind of crossing, in words.
import type { CrossingKind } from '../observe/crossing.js'

export const waysOut: Readonly<Record<CrossingKind, string>> = {
  join: 'Send one statement for each side and join in the application, put both tables into one partition, or declare the smaller one under `reference`.',
  subquery:
    'Ask for the inner rows first and give them as parameters, put both tables into one partition, or declare the smaller one under `reference`.',
  transaction:
    'End the transaction before the other side is touched (an outbox carries what must follow), or set `two_phase` for the database.',
  foreign_key: 'Drop the constraint, and let the owner of the referring table check and clean up.',
  view: 'Make one view for each side, or list the view and all its tables in one partition.',
  function: 'Split the function, one for each side, and let the application call both.',
  trigger: 'Let the application (or an outbox that the trigger fills on its own side) do what the trigger does on the other.',
  shard_key: 'Bind the shard key with =, IN or = ANY, carry it along as a column, or supply it: /* pointsman: shard_key=… */',
  sequence: 'Give each side a sequence of its own, or keys that need none.',
  user: 'List the user under `users` of the partition, or let another one ask.',
  session: 'Write tables with their schemas, keep search_path a plain list, and use standard_conforming_strings = on with UTF8.',
  command: 'Run one command for each side.',
}
