// What is learned of shapes, and when they may share a connection.
import t from 'tap'
import { bar, isProved, measure, proofRuns, ShapeBook } from '../../src/pool/shape-book.js'

const limits = { stallMs: 20, maxResultBytes: 1000 }

t.test('a newcomer proves itself first; what is slow or large does not', async (t) => {
  const book = new ShapeBook()
  const quick = book.of('main', 1)
  t.equal(book.of('main', 1), quick, 'one record')
  t.not(book.of('other', 1), quick, 'of each cluster')
  for (let run = 1; run < proofRuns; run++) measure(quick, 1, 100)
  t.notOk(isProved(quick, limits, 0))
  measure(quick, 1, 100)
  t.ok(isProved(quick, limits, 0))
  const slow = book.of('main', 2)
  for (let run = 0; run < 100; run++) measure(slow, 15, 100)
  t.notOk(isProved(slow, limits, 0))
  for (let run = 0; run < 20; run++) measure(slow, 1, 100)
  t.ok(isProved(slow, limits, 0), 'it has become fast')
  const large = book.of('main', 3)
  for (let run = 0; run < 100; run++) measure(large, 1, run % 4 === 0 ? 5000 : 100)
  t.notOk(isProved(large, limits, 0), 'one in four is too large')
})

t.test('a busy process does not make a fast shape slow', async (t) => {
  const record = new ShapeBook().of('main', 1)
  for (let run = 0; run < 200; run++) measure(record, run % 2 === 0 ? 40 : 0.5, 100)
  t.ok(isProved(record, limits, 0))
})

t.test('bars grow, end, ask for another proof, and are forgiven after many good runs', async (t) => {
  const record = new ShapeBook().of('main', 1)
  const prove = (runs = proofRuns): void => {
    for (let run = 0; run < runs; run++) measure(record, 1, 100)
  }
  prove()
  const lengths: number[] = []
  for (let time = 0; time < 3; time++) {
    bar(record, 'stalled', 1000)
    lengths.push(record.barredUntil - 1000)
    t.notOk(isProved(record, limits, record.barredUntil), 'proved anew first')
    prove()
    t.notOk(isProved(record, limits, record.barredUntil - 1))
    t.ok(isProved(record, limits, record.barredUntil))
  }
  t.same(lengths, [50, 200, 800])
  prove(1000)
  bar(record, 'too large', 1000)
  t.equal(record.barredUntil - 1000, 50)
  prove(2000)
  bar(record, 'writes', 1000)
  prove()
  t.notOk(isProved(record, limits, Number.MAX_VALUE), 'for good')
})
