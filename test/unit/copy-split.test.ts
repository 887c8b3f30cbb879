// The data of COPY FROM STDIN as rows: vectors that read as PostgreSQL reads them, the same wherever the bytes are cut. The limit of a
// COPY that is split is one row's, however much comes at a time.
import t, { type Test } from 'tap'
import type { CopyForm } from '../../src/protocol/copy-form.js'
import { copySplit, type CopySplit } from '../../src/protocol/copy-split.js'

const text: CopyForm = { format: 'text', delimiter: 9, nullText: '\\N', quote: 0x22, escape: 0x22, header: false, quoted: [] }
const csv: CopyForm = { ...text, format: 'csv', delimiter: 0x2c, nullText: '' }
const binary: CopyForm = { ...text, format: 'binary' }

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
  t.equal(rowsOf(copySplit(csv, [0], 16), rows, rows), 100)
  const signature = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')
  const row = Buffer.from('\0\x01\0\0\0\x01x', 'latin1')
  const inBinary = copySplit(binary, [0], 32)
  t.equal(rowsOf(inBinary, signature, ...Array<Buffer>(20).fill(row)), 20)
  t.throws(() => rowsOf(inBinary, Buffer.from('\0\x01\0\0\0\xff', 'latin1'), Buffer.alloc(40)), /one row of the COPY/)
  t.end()
})

t.test('a row that is too long is one as soon as so much has come', (t) => {
  t.equal(rowsOf(copySplit(text, [0], 16), 'x'.repeat(16)), 0)
  for (const row of ['x'.repeat(17), `1\n${'x'.repeat(17)}`]) t.throws(() => rowsOf(copySplit(text, [0], 16), row), /one row of the COPY/)
  t.equal(rowsOf(copySplit(text, [0], 16), `1\n\\.\n${'x'.repeat(17)}`), 1, 'what follows the end is not looked at')
  t.end()
})

/** Its rows as `line(lines):field|field`, then what it says at its end. */
function read(form: CopyForm, wanted: readonly number[], pieces: readonly Buffer[]): string {
  const split = copySplit(form, wanted, 1024)
  const said: string[] = []
  const take = (): void => {
    for (let row = split.next(); row !== null; row = split.next()) {
      const fields = row.fields.map((field) =>
        field === null ? 'NULL' : field === undefined ? 'none' : Buffer.from(field).toString('latin1'),
      )
      said.push(`${String(row.line)}(${String(row.lines)}):${fields.join('|')}`)
    }
  }
  try {
    for (const piece of pieces) {
      split.give(piece)
      take()
    }
    split.finish()
    take()
  } catch (error) {
    const { message, detail } = error as { readonly message: string; readonly detail?: string }
    said.push(`${message.replace(/^.*?: /, '')} ${/line \d+/.exec(detail ?? '')?.[0] ?? ''}`.trim())
  }
  return said.join(' / ')
}

/** Wherever it is cut, and byte by byte. */
function reads(t: Test, form: CopyForm, wanted: readonly number[], data: string, expected: string | RegExp): void {
  const bytes = Buffer.from(data, 'latin1')
  const cuts = [[bytes], Array.from(bytes, (byte) => Buffer.of(byte))]
  for (let at = 1; at < bytes.length; at++) cuts.push([bytes.subarray(0, at), bytes.subarray(at)])
  for (const pieces of cuts) {
    const found = read(form, wanted, pieces)
    if (typeof expected === 'string' ? found === expected : expected.test(found)) continue
    t.fail(`${JSON.stringify(data)} in ${pieces.map(({ length }) => String(length)).join('+')}: ${found}, not ${String(expected)}`)
    return
  }
  t.pass(JSON.stringify(data))
}

t.test('text', (t) => {
  reads(t, text, [0, 1], 'a\tb\nc\t\\N\n', '1(1):a|b / 2(1):c|NULL')
  reads(t, text, [1, 0], 'a\tb\tc\n\t', '1(1):b|a / 2(1):|')
  reads(t, text, [1], 'a\n', '1(1):none')
  reads(t, text, [0], 'a', '1(1):a')
  reads(t, text, [0], '\\b\\f\\n\\r\\t\\v\\q\\\\N\n', '1(1):\b\f\n\r\t\vq\\N')
  reads(t, text, [0], '\\x416\\1011\\777\\x\\x4z\\8\n', '1(1):A6A1\xffx\x04z8')
  reads(t, text, [0, 1], 'a\\\nb\\\tc\td\n', '1(1):a\nb\tc|d')
  reads(t, text, [0], 'a\\', '1(1):a\\')
  reads(t, text, [0], 'a\n\\.\nb\n', '1(1):a')
  reads(t, text, [0], 'a\n\\.', '1(1):a')
  reads(t, text, [0], 'a\n\\.x\nb\n', '1(1):a / end-of-copy marker is not alone on its line line 2')
  reads(t, text, [0], 'ab\\.\nc\n', 'end-of-copy marker is not alone on its line line 1')
  reads(t, { ...text, nullText: 'a\\nb' }, [0], 'a\\nb\n', '1(1):NULL')
  t.end()
})

t.test('ends of lines are all alike', (t) => {
  for (const [form, word] of [
    [text, 'literal'],
    [csv, 'unquoted'],
  ] as const) {
    reads(t, form, [0], 'a\rb\r', '1(1):a / 2(1):b')
    reads(t, form, [0], 'a\r\nb\r\n', '1(1):a / 2(1):b')
    reads(t, form, [0], 'a\nb\r\n', `1(1):a / ${word} carriage return found in data line 2`)
    reads(t, form, [0], 'a\r\nb\n', `1(1):a / ${word} newline found in data line 2`)
    reads(t, form, [0], 'a\rb\n', `1(1):a / ${word} newline found in data line 2`)
    reads(t, form, [0], 'a\r\nb\rc', `1(1):a / ${word} carriage return found in data line 2`)
  }
  t.end()
})

t.test('CSV', (t) => {
  reads(t, csv, [0, 1], 'a,b\nc,\n', '1(1):a|b / 2(1):c|NULL')
  reads(t, csv, [0, 1], '"a,""b",""\n', '1(1):a,"b|')
  reads(t, csv, [0, 2], 'a,b"c,d', 'unterminated CSV quoted field line 1')
  reads(t, csv, [0], 'x\n"a\nb"\nc\n', '1(1):x / 3(2):a\nb / 4(1):c')
  reads(t, csv, [0], '"a\nb"\nc\n', '1(1):a\nb / 2(1):c') // PostgreSQL, too, does not count it before it knows how lines end
  reads(t, csv, [0], 'x\n"a\rb"\n', '1(1):x / 2(1):a\rb')
  reads(t, csv, [0], 'x\r\n"a\r\nb"\r\n', '1(1):x / 3(2):a\r\nb')
  reads(t, csv, [1], 'a\n', '1(1):none')
  reads(t, { ...csv, nullText: 'nil' }, [0, 1], 'nil,\n"nil",\n', '1(1):NULL| / 2(1):nil|')
  reads(t, { ...csv, nullText: 'nil' }, [0, 1], 'nil,nil', '1(1):NULL|NULL')
  const escaping = { ...csv, escape: 0x5c }
  reads(t, escaping, [0, 1], '"a\\"b\\\\","\\x"\n', '1(1):a"b\\|\\x')
  reads(t, escaping, [0, 1], '"a\\"\nb",c\n', '1(1):a"\nb|c')
  reads(t, escaping, [0, 1], '"a\\\\",b\n', '1(1):a\\|b')
  reads(t, escaping, [0, 1], '\\"a"\\,b\n', '1(1):\\a\\|b')
  reads(t, csv, [0], 'a\n\\.\nb\n', /^1\(1\):a \/ .*a line of CSV that is/)
  reads(t, csv, [0], 'a\n\\.', /^1\(1\):a \/ .*a line of CSV that is/)
  reads(t, csv, [0], '"\\."\n\\.x\n', '1(1):\\. / 2(1):\\.x')
  reads(t, { ...csv, header: true }, [0], 'h\na\n', '2(1):a')
  const split = copySplit({ ...csv, header: true }, [0], 64)
  t.equal(rowsOf(split, '"h\n1",i\na,b\n'), 1)
  t.equal(Buffer.from(split.head ?? []).toString(), '"h\n1",i\n', 'every part begins with it')
  t.end()
})

t.test('binary', (t) => {
  const begins = 'PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0'
  const one = '\0\x02\0\0\0\x01a\xff\xff\xff\xff'
  reads(t, binary, [0, 1, 2], `${begins}${one}\xff\xff`, '1(1):a|NULL|none')
  reads(t, binary, [0], `${begins.slice(0, -1)}\x03xyz${one}`, '1(1):a')
  reads(t, binary, [0], `${begins}${one}\xff\xffx`, '1(1):a / received copy data after EOF marker line 1')
  reads(t, binary, [0], `${begins}\0\x01\xff\xff\xff\xfe`, 'invalid field size line 1')
  reads(t, binary, [0], `${begins}${one}${one.slice(0, 6)}`, '1(1):a / unexpected EOF in COPY data line 2')
  reads(t, binary, [0], `${begins}${one}\0`, '1(1):a / unexpected EOF in COPY data line 2')
  reads(t, binary, [0], begins.replace('P', 'Q'), 'COPY file signature not recognized')
  reads(t, binary, [0], 'PGCOPY', 'COPY file signature not recognized')
  reads(t, binary, [0], `${begins.slice(0, -4)}\xff\xff\xff\xff`, 'invalid COPY file header (missing length)')
  t.end()
})
