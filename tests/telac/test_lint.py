"""telac lint: what each change is called, that it fails where flatc's conformity check does, that what it allows adds up.

Arguments: flatc, telac.
"""
import json
import os
import random
import subprocess
import sys
import tempfile
import unittest

from random_schema import CHANGES, UNNAMED, Schema

flatc, telac = sys.argv[1:3]
os.environ['PATH'] = os.path.dirname(flatc) + os.pathsep + os.environ['PATH']  # telac runs flatc as well
BASE = '''namespace n;
attribute "method_id"; attribute "deadline_us"; attribute "idempotent"; attribute "streaming"; attribute "bytes";
enum E : ubyte { p, q }
enum Bits : ubyte (bit_flags) { one, two }
struct S { a : int; b : short; }
table Inner { x : int = 3; }
table Other { x : int = 3; y : int; }
union U { Inner, Other }
table T { i : int; e : E; s : S; name : string (required); inner : Inner; u : U; o : int = null; list : [Inner]; }
table K { id : int (key); more : [ubyte] (nested_flatbuffer: "Inner"); }
table Nothing { }
table Unused { x : int; }
rpc_service V {
  get(T) : Inner (method_id: "1", idempotent);
  raw(Nothing) : Nothing (method_id: "7", bytes: "request");
  put(K) : T (method_id: "2", deadline_us: "1000");
}
root_type T;
'''

# text in BASE, what it becomes, verdict of the line, its kind and name, words of it; several changes for one case as a list
CASES = [
    ('i : int;', 'i : int; ', None, None, None, None),
    # tables
    ('list : [Inner]; }', 'list : [Inner]; z : int; }', 'compatible', 'field', 'n.T.z', 'added with id 9'),
    ('table T { ', 'table T { z : int; ', 'breaking', 'field', 'n.T.z', 'id 0, which was that of i'),
    ('table T { ', 'table T { z : int; ', 'breaking', 'field', 'n.T.i', 'moved: id was 0 and is now 1'),
    ('list : [Inner]; }', 'list : [Inner]; z : string (required); }', 'breaking', 'field', 'n.T.z', 'added as required'),
    (' list : [Inner]; }', ' }', 'breaking', 'field', 'n.T.list', 'id 8 could come back'),
    ('i : int;', '', 'breaking', 'field', 'n.T.i', 'removed, and e has its id 0'),
    ('i : int;', 'i : int (deprecated);', 'compatible', 'field', 'n.T.i', 'deprecated: no longer written'),
    ('name : string (required);', 'name : string (deprecated);', 'breaking', 'field', 'n.T.name', 'deprecated, and was required'),
    ('i : int;', 'j : int;', 'compatible', 'field', 'n.T.j', 'renamed from i'),
    ('i : int;', 'i : uint;', 'breaking', 'field', 'n.T.i', 'type was int and is now uint'),
    ('i : int;', 'j : uint;', 'breaking', 'field', 'n.T.j', 'id 0, which was that of i'),
    ('list : [Inner]', 'list : [Other]', 'breaking', 'field', 'n.T.list', 'type was [n.Inner] and is now [n.Other]'),
    ('e : E;', 'e : ubyte;', 'breaking', 'field', 'n.T.e', 'type was n.E and is now ubyte'),
    ('i : int;', 'i : int = 7;', 'breaking', 'field', 'n.T.i', 'default was 0 and is now 7'),
    ('i : int;', 'i : int = null;', 'breaking', 'field', 'n.T.i', 'default was 0 and is now null'),
    ('o : int = null;', 'o : int;', 'breaking', 'field', 'n.T.o', 'default was null and is now 0'),
    ('name : string (required)', 'name : string', 'breaking', 'field', 'n.T.name', 'no longer required'),
    ('inner : Inner;', 'inner : Inner (required);', 'breaking', 'field', 'n.T.inner', 'now required'),
    ('id : int (key)', 'id : int', 'breaking', 'field', 'n.K.id', '`key` was removed'),
    ('"Inner")', '"Other")', 'breaking', 'field', 'n.K.more', '`nested_flatbuffer` was "Inner" and is now "Other"'),
    (' (nested_flatbuffer: "Inner")', '', 'breaking', 'field', 'n.K.more', '`nested_flatbuffer` was removed'),
    ('table Unused { x : int; }', '', 'compatible', 'table', 'n.Unused', 'removed'),
    ('x : int; }\nrpc', 'x : uint; }\nrpc', 'breaking', 'field', 'n.Unused.x', 'type was int'),
    ('table Unused', 'table New { } table Unused', 'compatible', 'table', 'n.New', 'added'),
    ('table Unused {', 'struct Unused {', 'breaking', 'struct', 'n.Unused', 'was a table and is now a struct'),
    # structs
    ('b : short; }', 'b : short; c : ubyte; }', 'breaking', 'field', 'n.S.c', 'a struct never changes'),
    ('a : int; b : short;', 'a : int;', 'breaking', 'field', 'n.S.b', 'a struct never changes'),
    ('b : short; }', 'b : short; c : int; }', 'breaking', 'struct', 'n.S', 'was 8 bytes aligned to 4 and is now 12'),
    ('struct S {', 'struct S (force_align: 8) {', 'breaking', 'struct', 'n.S', 'aligned to 8'),
    ('a : int; b : short;', 'b : short; a : int;', 'breaking', 'field', 'n.S.a', 'its place was 0 and is now 1'),
    ('b : short;', 'c : short;', 'compatible', 'field', 'n.S.c', 'renamed from b'),
    # enums and unions
    ('{ p, q }', '{ p, q, r }', 'compatible', 'value', 'n.E.r', 'added as 2'),
    ('{ p, q }', '{ p }', 'breaking', 'value', 'n.E.q', 'removed'),
    ('{ p, q }', '{ p, r, q }', 'breaking', 'value', 'n.E.q', 'was 1 and is now 2'),
    ('{ p, q }', '{ p, r, q }', 'breaking', 'value', 'n.E.r', 'added as 1, which was q'),
    ('{ p, q }', '{ p, r }', 'compatible', 'value', 'n.E.r', 'renamed from q'),
    ('enum E : ubyte', 'enum E : ushort', 'breaking', 'enum', 'n.E', 'was of ubyte and is now of ushort'),
    ('(bit_flags) { one, two }', '{ one = 1, two = 2 }', 'compatible', 'enum', 'n.Bits', '`bit_flags` was removed'),
    ('{ Inner, Other }', '{ Inner, Other, K }', 'compatible', 'member', 'n.U.K', 'added as 3'),
    ('{ Inner, Other }', '{ Other, Inner }', 'breaking', 'member', 'n.U.Other', 'was 2 and is now 1'),
    ('{ Inner, Other }', '{ Inner, K }', 'breaking', 'member', 'n.U.K', 'member 2 was n.Other and is now n.K'),
    ('{ Inner, Other }', '{ Inner }', 'breaking', 'member', 'n.U.Other', 'removed'),
    # services
    ('get(T)', 'fetch(T)', 'breaking', 'method', 'n.V.fetch', 'method_id 1 was that of get'),
    ('"2"', '"3"', 'breaking', 'method', 'n.V.put', 'method_id was 2 and is now 3'),
    ('put(K) : T (method_id: "2", deadline_us: "1000");', '', 'breaking', 'method', 'n.V.put', 'removed'),
    ('put(K)', 'new(K) : T (method_id: "9"); put(K)', 'compatible', 'method', 'n.V.new', 'added with method_id 9'),
    (', idempotent', '', 'breaking', 'method', 'n.V.get', 'no longer idempotent'),
    ('"2", ', '"2", idempotent, ', 'compatible', 'method', 'n.V.put', 'now idempotent'),
    ('"1000"', '"2000"', 'compatible', 'method', 'n.V.put', 'was 1000 us and is now 2000'),
    ('"2", ', '"2", streaming: "server", ', 'breaking', 'method', 'n.V.put', 'streaming was none'),
    (', bytes: "request"', '', 'breaking', 'method', 'n.V.raw', 'request was bytes and is now a table'),
    ('bytes: "request"', 'bytes: "both"', 'breaking', 'method', 'n.V.raw', 'response was a table and is now bytes'),
    ('service V', 'service W', 'breaking', 'service', 'n.V', 'removed, or renamed'),
    ('service V', 'service W', 'compatible', 'service', 'n.W', 'added'),
    ('get(T) : Inner', 'get(T) : Other', 'compatible', 'method', 'n.V.get', 'response was n.Inner and is now n.Other'),
    ('get(T) : Inner', 'get(T) : Other', 'compatible', 'field', 'n.Other.y', '(n.Other stands where n.Inner did)'),
    ('get(T) : Inner', 'get(T) : Unused', 'breaking', 'field', 'n.Unused.x', 'default was 3'),
    ('root_type T;', 'root_type T; file_identifier "ABCD";', 'breaking', 'schema', 'new.fbs', 'is now "ABCD"'),
    # renamed types: the bytes are the same, flatc looks at names
    ([('table K', 'table KK'), ('put(K)', 'put(KK)')], None, 'compatible', 'table', 'n.KK', 'renamed from n.K'),
    ([('struct S', 'struct SS'), ('s : S', 's : SS')], None, 'breaking', 'field', 'n.T.s', 'flatc --conform fails'),
    # what a method carries
    ('x : int = 3; }\ntable Other', 'x : int = 4; }\ntable Other', 'breaking', 'field', 'n.Inner.x', 'default'),
]


def compile_schemas(paths, into):
    return subprocess.run([flatc, '-b', '--schema', '--bfbs-builtins', '--bfbs-comments', '-o', into] + paths,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def lint(*args):
    return subprocess.run([telac, 'lint', *args], capture_output=True, text=True, timeout=60)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, name, text):
        with open(self.path(name), 'w') as f:
            f.write(text)
        return self.path(name)

    def compiled(self, name, text):
        path = self.write(name + '.fbs', text)
        return self.path(name + '.bfbs') if compile_schemas([path], self.folder.name) else None


class Lines(Case):
    def test_cases(self):
        old = self.compiled('old', BASE)
        for before, after, verdict, kind, name, words in CASES:
            text = BASE
            for x, y in before if after is None else [(before, after)]:
                self.assertEqual(text.count(x), 1, x)
                text = text.replace(x, y)
            with self.subTest(before=before, after=after):
                new = self.write('new.fbs', text)
                done = lint('--json', old, new)
                self.assertIn(done.returncode, (0, 1), done.stderr)
                found = json.loads(done.stdout)
                self.assertEqual(found['compatible'], done.returncode == 0)
                breaking = [c for c in found['changes'] if c['verdict'] == 'breaking']
                self.assertEqual(bool(breaking), done.returncode == 1, found)
                if verdict is None:
                    self.assertEqual(found['changes'], [])
                    continue
                self.assertTrue([c for c in found['changes'] if c['verdict'] == verdict and c['kind'] == kind and
                                 c['name'] == name and words in c['change']], found)
                if verdict == 'compatible' and (kind, name) not in (('service', 'n.W'), ):
                    self.assertEqual(done.returncode, 0, found)

    def test_table(self):
        """People read the same as programs."""
        old = self.compiled('old', BASE)
        new = self.compiled('new', BASE.replace('table T { ', 'table T { z : int; ').replace('{ p, q }', '{ p, q, r }'))
        changes = json.loads(lint('--json', old, new).stdout)['changes']
        lines = [x.split(None, 3) for x in lint('-o', 'table', old, new).stdout.split('\n\n')[0].splitlines()]
        wanted = [[c['verdict'], c['kind'], c['name'], c['change'] + '  [in n.V.get, n.V.put]'] for c in changes]
        self.assertEqual(lines, sorted(wanted, key=lambda x: x[0]))

    def test_methods_and_services(self):
        old = self.write('old.fbs', BASE)
        new = self.write('new.fbs', BASE.replace('id : int (key)', 'id : long (key)'))
        found = json.loads(lint('-o', 'json', old, new).stdout)
        change = [c for c in found['changes'] if c['name'] == 'n.K.id'][0]
        self.assertEqual(change['methods'], ['n.V.put'])
        self.assertEqual([(s['name'], s['verdict']) for s in found['services']], [('n.V', 'breaking')])
        self.assertRegex(found['services'][0]['old_hash'], '^0x[0-9a-f]{16}$')
        self.assertNotEqual(found['services'][0]['old_hash'], found['services'][0]['new_hash'])
        new = self.write('new.fbs', BASE.replace('Unused { x : int', 'Unused { x : uint'))
        found = json.loads(lint('--json', old, new).stdout)
        self.assertFalse(found['compatible'])  # flatc fails too, but no call carries it
        self.assertEqual(found['services'][0]['verdict'], 'same hash')

    def test_names_of_files(self):
        odd = 'o"d\n\x1b[31m\udcff.fbs'
        old, new = self.write('old.fbs', BASE), os.fsencode(self.write(odd, BASE))
        done = subprocess.run([telac, 'lint', '--json', old, new], capture_output=True)
        self.assertEqual(json.loads(done.stdout)['new'], self.path('o"d\n\x1b[31m\ufffd.fbs'))
        done = subprocess.run([telac, 'lint', old, new], capture_output=True)
        self.assertIn(b'\\x0a\\x1b[31m', done.stdout)


class Files(Case):
    def test_both_forms(self):
        old, new = self.write('old.fbs', BASE), self.write('new.fbs', BASE.replace('{ p, q }', '{ p, q, r }'))
        self.assertTrue(compile_schemas([old, new], self.folder.name))
        texts = {lint(a, b).stdout.replace('.bfbs', '.fbs') for a in (old, self.path('old.bfbs'))
                 for b in (new, self.path('new.bfbs'))}
        self.assertEqual(len(texts), 1)
        self.assertIn('can be deployed beside', texts.pop())

    def test_includes(self):
        os.mkdir(self.path('inc'))
        self.write('inc/types.fbs', 'namespace n; table T { x : int; }')
        old = self.write('old.fbs', 'include "types.fbs"; namespace n; table R { t : T; }')
        new = self.write('new.fbs', 'include "types.fbs"; namespace n; table R { t : T; y : int; }')
        self.assertEqual(lint(old, new).returncode, 2)
        done = lint('-I', self.path('inc'), old, new)
        self.assertEqual(done.returncode, 0, done)
        self.assertIn('n.R.y', done.stdout)

    def test_flatc_is_asked(self):
        """A default that flatc loses in a .bfbs: only its own check sees that it changed."""
        old, new = (self.write(name, 'namespace n; table T { x : ulong = %s; }' % x)
                    for name, x in (('old.fbs', '0'), ('new.fbs', '18446744073709551615')))
        if subprocess.run([flatc, '--conform', old, new], capture_output=True).returncode:
            done = lint(old, new)
            self.assertEqual(done.returncode, 1, done)

    def test_cannot_tell(self):
        good = self.write('good.fbs', BASE)
        bad = self.write('bad.fbs', 'table {')
        none = self.write('none.fbs', 'table T { } rpc_service S { m(T) : T; }')
        for name, data in (('empty.bfbs', b''), ('zero.bfbs', bytes(64)), ('text.bfbs', b'table T { }' * 9)):
            with open(self.path(name), 'wb') as f:
                f.write(data)
        for path, words in ((bad, 'flatc does not take it'), (self.path('absent.fbs'), 'No such file'),
                            (none, 'no method_id'), (self.path('empty.bfbs'), 'empty.bfbs'),
                            (self.path('zero.bfbs'), 'zero.bfbs'),
                            (self.path('text.bfbs'), 'text.bfbs'), (self.folder.name, self.folder.name)):
            for pair in ((good, path), (path, good)):
                done = lint(*pair)
                self.assertEqual((done.returncode, done.stdout), (2, ''), done)
                self.assertIn(words, done.stderr)
        env = dict(os.environ, PATH=self.folder.name)
        done = subprocess.run([telac, 'lint', good, good], capture_output=True, text=True, env=env)
        self.assertEqual(done.returncode, 2)
        self.assertIn('flatbuffers-compiler', done.stderr)

    def test_usage(self):
        good = self.write('good.fbs', BASE)
        for args in ([], [good], [good] * 3, ['-o', 'xml', good, good], ['--what', good, good]):
            done = lint(*args)
            self.assertEqual(done.returncode, 2)
            self.assertIn('telac lint --help', done.stderr)
        done = lint('--help')
        self.assertEqual(done.returncode, 0)
        for word in ('compatible', 'breaking', 'Exit status', '--json'):
            self.assertIn(word, done.stdout)
        if os.path.exists('/dev/full'):
            with open('/dev/full', 'w') as full:
                done = subprocess.run([telac, 'lint', good, good], stdout=full, stderr=subprocess.DEVNULL)
                self.assertEqual(done.returncode, 2)

    def test_leaves_nothing(self):
        good = self.write('good.fbs', BASE)
        os.mkdir(self.path('tmp'))
        for path in (good, self.write('bad.fbs', 'table {')):
            subprocess.run([telac, 'lint', path, good], capture_output=True, env=dict(os.environ, TMPDIR=self.path('tmp')))
        self.assertEqual(os.listdir(self.path('tmp')), [])


class Random(Case):
    CASES, CHAINS = 200, 25

    def test_fails_where_flatc_does(self):
        fails = stricter = allowed = 0
        for seed in range(self.CASES):
            r = random.Random(seed)
            schema = Schema(r)
            changes = [r.choice(CHANGES) for _ in range(r.choice([1, 1, 2, 3]))]
            changed = schema.changed(changes)
            sources = [self.write('old.fbs', schema.text()), self.write('new.fbs', changed.text())]
            if not compile_schemas(sources, self.folder.name):
                self.assertTrue(self.compiled('old', schema.text()))
                continue  # what became of it is no schema
            old, new = self.path('old.bfbs'), self.path('new.bfbs')
            # Binary schemas: then telac does not ask flatc, which would make this a test of itself.
            done = lint(old, new)
            self.assertIn(done.returncode, (0, 1), done)
            conform = subprocess.run([flatc, '--conform'] + sources, capture_output=True, text=True)
            fails += conform.returncode != 0
            stricter += conform.returncode == 0 and done.returncode == 1
            allowed += done.returncode == 0
            if conform.returncode:
                self.assertEqual(done.returncode, 1, (seed, changes, conform, done.stdout, schema.text(), changed.text()))
        print(f'flatc fails {fails}, lint alone {stricter}, allowed {allowed}', file=sys.stderr)
        self.assertTrue(min(fails, stricter, allowed) > 30)

    def test_adds_up(self):
        """What is compatible step by step is compatible at once: the record beside a schema stands on that."""
        steps = 0
        for seed in range(self.CHAINS):
            r = random.Random(10000 + seed)
            schema, chain = Schema(r), 0
            first = last = self.compiled('first', schema.text())
            for attempt in range(14):
                # mostly what could come back as something else
                changed = schema.changed([r.choice(UNNAMED + ['add_last', 'remove_field', 'add_value', 'remove_value'] * 6)])
                path = self.compiled(f'{attempt}', changed.text())
                if path and changed.text() != schema.text() and lint(last, path).returncode == 0:
                    done = lint(first, path)
                    self.assertEqual(done.returncode, 0, (seed, done.stdout, changed.text()))
                    schema, last, chain = changed, path, chain + 1
            steps += max(chain - 1, 0)
        print(f'{steps} steps behind a first one', file=sys.stderr)
        self.assertGreater(steps, self.CHAINS)


unittest.main(argv=sys.argv[:1] + sys.argv[3:])
