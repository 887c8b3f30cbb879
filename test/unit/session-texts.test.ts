// Startup options, search_path, encodings: text that PostgreSQL reads in its own way.
import t from 'tap'
import { decoderFor, plainlyOn, safeEncoding } from '../../src/session/lexing.js'
import { resolveSearchPath, splitIdentifiers } from '../../src/session/search-path.js'
import { parseStartupOptions } from '../../src/session/startup-options.js'
import { quoteIdentifier, quoteLiteral } from '../../src/session/quote.js'

t.test('startup options', async (t) => {
  const settings = (text: string): unknown => parseStartupOptions(text)
  t.same(settings('-c a=1 -cb=2 --c-d=3'), {
    ok: true,
    settings: [
      ['a', '1'],
      ['b', '2'],
      ['c_d', '3'],
    ],
  })
  t.same(settings('-c search_path=a\\ b\\\\c'), { ok: true, settings: [['search_path', 'a b\\c']] })
  t.same(settings('  '), { ok: true, settings: [] })
  t.same(settings('-c  Work_Mem=1MB='), { ok: true, settings: [['work_mem', '1MB=']] })
  for (const bad of ['-S', '-c', '-c a', '--=1', 'a=1', '-d 5']) t.match(settings(bad), { ok: false }, bad)
})

t.test('search_path', async (t) => {
  t.same(splitIdentifiers('"$user", public'), ['$user', 'public'])
  t.same(splitIdentifiers(' A , "B ""x""" ,c'), ['a', 'B "x"', 'c'])
  t.same(splitIdentifiers(''), [])
  t.same(splitIdentifiers('""'), [''])
  for (const bad of ['a,', ',a', '"a', 'a b', 'a,,b']) t.equal(splitIdentifiers(bad), null, bad)
  t.same(resolveSearchPath('"$user", public', 'bob'), ['bob', 'public'])
  t.equal(resolveSearchPath('"$user"', null), null, 'an unknown role makes it unknown')
  t.equal(resolveSearchPath(null, 'bob'), null)
})

t.test('encodings and standard_conforming_strings', async (t) => {
  for (const name of ['UTF8', 'utf-8', 'UNICODE', 'LATIN1', 'iso-8859-15', 'WIN1252', 'windows-1251', 'KOI8-R', 'SQL_ASCII'])
    t.ok(safeEncoding(name), name)
  for (const name of ['GBK', 'SJIS', 'BIG5', 'UHC', 'GB18030', 'JOHAB', 'SHIFT_JIS_2004', 'EUC_JP', 'auto', ''])
    t.notOk(safeEncoding(name), name)
  t.equal(decoderFor('utf-8'), 'utf8')
  t.equal(decoderFor('LATIN9'), 'latin1')
  for (const value of ['on', 'TRUE', 'yes', '1', 't']) t.ok(plainlyOn(value), value)
  for (const value of ['off', 'of', '0', 'no', '', 'o', 'what']) t.notOk(plainlyOn(value), value)
})

t.test('quoting', async (t) => {
  t.equal(quoteLiteral("it's \\ é 😀"), "E'it''s \\\\ \\u00e9 \\U0001f600'")
  t.equal(quoteIdentifier('abc'), 'abc')
  t.equal(quoteIdentifier('A"b'), '"A""b"')
})
