"""The record beside a schema: written by telac lint --record, embedded by telac, refused by file and line.

Arguments: flatc, telac.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

flatc, telac = sys.argv[1:3]
os.environ['PATH'] = os.path.dirname(flatc) + os.pathsep + os.environ['PATH']
TEXT = '''namespace n; attribute "method_id";
table T { x : int; %s }
table U { y : int; %s }
rpc_service V { get(T) : T (method_id: "1"); }
rpc_service W { put(U) : U (method_id: "1"); }
'''
VERSIONS = [TEXT % x for x in (('', ''), ('a : int;', ''), ('a : int; b : int;', ''), ('a : int; b : int;', 'c : int;'))]
BREAKING = TEXT.replace('x : int', 'x : long') % ('a : int; b : int;', 'c : int;')


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        for i, text in enumerate(VERSIONS + [BREAKING]):
            os.mkdir(self.path(f'v{i}'))
            self.write(f'v{i}/s.fbs', text)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text, mode='w'):
        with open(self.path(name), mode) as f:
            f.write(text)

    def read(self, name):
        with open(self.path(name)) as f:
            return f.read()

    def record(self, old, new, *args, status=0):
        done = subprocess.run([telac, 'lint', '--record', *args, self.path(f'v{old}/s.fbs'), self.path(f'v{new}/s.fbs')],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, status, done)
        return done

    def hashes(self, version, service='n.V'):
        done = subprocess.run([telac, 'lint', '--json'] + [self.path(f'v{version}/s.fbs')] * 2, capture_output=True, text=True)
        return [s['new_hash'] for s in json.loads(done.stdout)['services'] if s['name'] == service][0]

    def generate(self, version, *args):
        folder = self.path(f'v{version}')
        subprocess.run([flatc, '-b', '--schema', '--bfbs-builtins', '--bfbs-comments', '-o', folder, folder + '/s.fbs'],
                       check=True, stdout=subprocess.DEVNULL)
        return subprocess.run([telac, '-o', folder, *args, folder + '/s.bfbs'], capture_output=True, text=True, timeout=60)

    def embedded(self, version, service='n.V', *args):
        done = self.generate(version, *args)
        self.assertEqual(done.returncode, 0, done)
        text = self.read(f'v{version}/s_rpc.h')
        c = service.replace('.', '_')
        desc = re.search(r'"%s", %s_SCHEMA_HASH, (\w+), (\d+),' % (re.escape(service), c), text)
        found = re.search(r'%s_compatible\[\][^{]*\{([^}]*)\}' % c, text)
        hashes = re.findall('0x[0-9a-f]{16}', found[1]) if found else []
        self.assertEqual((desc[1], int(desc[2])), (f'{c}_compatible' if hashes else 'NULL', len(hashes)))
        self.assertEqual(hashes, sorted(hashes))
        return hashes


class Record(Case):
    def test_chain(self):
        v = [self.hashes(i) for i in range(4)]
        self.assertEqual(len(set(v)), 3)
        self.assertEqual(v[2], v[3])
        self.assertEqual(self.embedded(0), [])
        for old, new in ((0, 1), (1, 2), (2, 3)):  # each beside its own schema: what OLD's record has is carried over
            self.record(old, new)
        self.assertEqual(self.embedded(1), [v[0]])
        self.assertEqual(self.embedded(2), sorted(v[:2]))
        self.assertEqual(self.embedded(3), sorted(v[:2]))  # this service did not change, the other did
        self.assertEqual(self.embedded(3, 'n.W'), [self.hashes(0, 'n.W')])
        lines = [x for x in self.read('v3/s.compat').splitlines() if x and x[0] != '#']
        self.assertEqual(lines, sorted(lines))
        self.assertEqual(len(lines), 3)

    def test_same_folder(self):
        """As in a repository: one record, the schema beside it changes, OLD comes without one."""
        v = [self.hashes(i) for i in range(3)]
        self.record(0, 1)
        os.rename(self.path('v1/s.compat'), self.path('v2/s.compat'))
        self.record(1, 2)
        self.assertEqual(self.embedded(2), sorted(v[:2]))

    def test_again_changes_nothing(self):
        self.record(0, 1)
        before, when = self.read('v1/s.compat'), os.stat(self.path('v1/s.compat')).st_mtime_ns
        done = self.record(0, 1, '--note', 'another')
        self.assertEqual((self.read('v1/s.compat'), os.stat(self.path('v1/s.compat')).st_mtime_ns), (before, when))
        self.assertNotIn('added', done.stderr)
        self.record(1, 1)
        self.assertEqual(self.read('v1/s.compat'), before)

    def test_keeps_comments(self):
        self.write('v2/s.compat', '# of the file\n\n# of the line\n  # and more\nn.V 0x%016x 0x%016x   # its note\n# the end\n' %
                   (2**64 - 1, 7))
        self.record(1, 2, '--note', 'release 1.1')
        self.assertEqual(self.read('v2/s.compat').splitlines(), [
            '# of the file', '', f'n.V {self.hashes(2)} {self.hashes(1)}  # release 1.1', '# of the line', '  # and more',
            'n.V 0xffffffffffffffff 0x0000000000000007  # its note', '# the end'])
        self.assertEqual(self.embedded(2), [self.hashes(1)])
        self.assertFalse([x for x in os.listdir(self.path('v2')) if x.endswith('.new')])

    def test_dates_what_it_writes(self):
        self.record(0, 1)
        self.assertRegex(self.read('v1/s.compat'), r'n\.V 0x[0-9a-f]{16} 0x[0-9a-f]{16}  # \d{4}-\d\d-\d\d\n')
        self.assertTrue(self.read('v1/s.compat').startswith('# '))

    def test_elsewhere(self):
        self.record(0, 1, '--compat', self.path('other'))
        self.assertFalse(os.path.exists(self.path('v1/s.compat')))
        self.assertEqual(self.embedded(1, 'n.V', '--compat', self.path('other')), [self.hashes(0)])

    def test_breaking_is_not_recorded(self):
        self.record(0, 3)
        self.write('v4/s.compat', before := self.read('v3/s.compat'))
        self.record(3, 4, status=1)
        self.assertEqual(self.read('v4/s.compat'), before)
        # ... and what was compatible with the old schema is not taken for compatible with this one.
        done = self.generate(4)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r'v4/s\.compat:\d+: n\.V is now ' + self.hashes(4))
        self.assertFalse(os.path.exists(self.path('v4/s_rpc.h')))
        self.write('v4/s.compat', ''.join(x for x in before.splitlines(True) if not x.startswith('n.V')))
        self.assertEqual(self.embedded(4), [])

    def test_cannot_write(self):
        self.record(0, 1, '--compat', self.path('no/such/folder'), status=2)


class Malformed(Case):
    A, B = '0x' + 'a' * 16, '0x' + 'b' * 16

    def refused(self, text, where, words, mode='w'):
        self.write('v1/s.compat', text, mode)
        for done in (self.generate(1), self.record(0, 1, status=2)):
            self.assertIn(done.returncode, (1, 2))
            self.assertIn(f'telac: {self.path("v1/s.compat")}{where}: ', done.stderr)
            self.assertIn(words, done.stderr)
        self.assertFalse([x for x in os.listdir(self.path('v1')) if x.endswith(('.h', '.new'))])
        with open(self.path('v1/s.compat'), 'rb') as f:
            self.assertEqual(f.read(), text if mode == 'wb' else text.encode())

    def test_lines(self):
        a, b = self.A, self.B
        for line in (f'n.V {a}', 'n.V', f'{a} {b}', f'n.V {a} {b} more', f'n.V {a} {b}# note', f'n.V {a[:-1]} {b}',
                     f'n.V {a}0 {b}',
                     f'n.V {a.upper()} {b}', f'n.V 0x{"0" * 16} {b}', f'n..V {a} {b}', f'n.V. {a} {b}', f'n/V {a} {b}',
                     f'n.V#{a} {b}', f'n.V {a} {b}; ', '<<<<<<< HEAD', '\x7f', f'n.V {a} -{b[1:]}'):
            self.refused(f'# head\n\n{line}\n', ':3', 'SERVICE 0xNEWER 0xOLDER')
        self.refused(f'n.V {a} {a}\n', ':1', 'not earlier than itself')
        self.refused(f'n.V {a} {b}\nn.V {b} {a}\n# x\nn.V  {a}\t{b} # again\n', ':4', 'the same as line 1')
        self.refused(f'n.V {a} {b}\r\n', ':1', 'carriage return')
        self.refused(b'n.V\0 ' + a.encode() + b'\n', '', 'is no text', 'wb')

    def test_size(self):
        lines = [f'n.V {self.A} 0x{i:016x}\n' for i in range(1, 1026)]
        self.refused(''.join(lines), ':1025', 'more than 1024')
        self.refused('#' * (1 << 20) + '\n', '', 'File too large')
        self.write('v1/s.compat', '#\n' * (1 << 19))
        self.assertEqual(self.embedded(1), [])
        self.write('v1/s.compat', ''.join(lines[:1024]))
        self.record(0, 1, status=2)  # no room for one more
        mine = self.hashes(1)
        chain = [f'n.V {mine} 0x{1:016x}\n'] + [f'n.V 0x{i:016x} 0x{i + 1:016x}\n' for i in range(1, 1024)]
        self.write('v1/s.compat', ''.join(chain))
        self.assertEqual(len(self.embedded(1)), 1024)

    def test_services(self):
        self.write('v1/s.compat', f'n.Gone {self.A} {self.B}\n')
        done = self.generate(1)
        self.assertEqual(done.returncode, 1)
        self.assertIn('s.compat:1: s.fbs has no service n.Gone', done.stderr)

    def test_a_circle_ends(self):
        mine = self.hashes(1)
        self.write('v1/s.compat', f'n.V {mine} {self.A}\nn.V {self.A} {self.B}\nn.V {self.B} {mine}')
        self.assertEqual(self.embedded(1), [self.A, self.B])

    def test_folder(self):
        os.mkdir(self.path('v1/s.compat'))
        self.assertEqual(self.generate(1).returncode, 1)

    def test_depfile(self):
        for there in (False, True):
            if there:
                self.write('v1/s.compat', '')
            self.assertEqual(self.generate(1, '--depfile', self.path('d')).returncode, 0)
            self.assertEqual(self.read('d').split()[2:], [self.path('v1/s.bfbs')] + [self.path('v1/s.compat')] * there)


unittest.main(argv=sys.argv[:1] + sys.argv[3:])
