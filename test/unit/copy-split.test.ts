// The limit of a COPY that is split is one row's, however much comes at a time.
import t from 'tap'
import type { CopyForm } from '../../src/protocol/copy-form.js'
import { copySplit, type CopySplit } from '../../src/protocol/copy-split.js'

const text: CopyForm = { format: 'text', delimiter: 9, nullText: '\\N', quote: 0x22, escape: 0x22, header: false, quoted: [] }

/** How many rows there are once all pieces have come; they are taken out only then. */
function rowsOf(split: CopySplit, ...pieces: readonly (string | Buffer)[]): number {
  for (const piece of pieces) split.give(Buffer.from(piece as string))
  let rows = 0
  while (split.next() !== null) rows++
  return rows
}

t.test('many rows at once are not a row that is too long', (t) => {
  const rows = '1\ta\n'.repeat(50)
  t.equal(rowsOf(copySplit(text, [0], 16), rows, rows, rows), 150)
  const csv: CopyForm = { ...text, format: 'csv', delimiter: 0x2c, nullText: '' }
  t.equal(rowsOf(copySplit(csv, [0], 16), rows, rows), 100)
  const signature = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')
  const row = Buffer.from('\0\x01\0\0\0\x01x', 'latin1')
  const binary = copySplit({ ...text, format: 'binary' }, [0], 32)
  t.equal(rowsOf(binary, signature, ...Array<Buffer>(20).fill(row)), 20)
  t.throws(() => rowsOf(binary, Buffer.from('\0\x01\0\0\0\xff', 'latin1'), Buffer.alloc(40)), /one row of the COPY/)
  t.end()
})

t.test('a row that is too long is one as soon as so much has come', (t) => {
  t.equal(rowsOf(copySplit(text, [0], 16), 'x'.repeat(16)), 0)
  for (const row of ['x'.repeat(17), `1\n${'x'.repeat(17)}`]) t.throws(() => rowsOf(copySplit(text, [0], 16), row), /one row of the COPY/)
  t.equal(rowsOf(copySplit(text, [0], 16), `1\n\\.\n${'x'.repeat(17)}`), 1, 'what follows the end is not looked at')
  t.end()
})
