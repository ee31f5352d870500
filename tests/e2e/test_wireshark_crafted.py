"""The dissector on datagrams made by hand: what nodes do not send yet, what nobody should send, and schemas with what telac
does not cover. Everything is written by flatc and its Python, nothing by Tela."""
import glob
import os
import re
import shutil
import struct
import subprocess
import tempfile
import unittest

import mesh
import python_wire
import wire_capture as wire

SOURCE = os.path.dirname(mesh.program('TELA_SCHEMAS'))
ODD = '''
namespace odd;
attribute "method_id";
enum Colour : byte { red = -1, none = 0, green = 2 }
enum Wide : ulong (bit_flags) { one, two }
struct Point { x : short; y : short; }
struct Box { corner : [Point:2]; colour : Colour; weights : [float:3]; }
table Leaf { name : string (required); }
table Text { of : string; }
union Any { Leaf, Text, Box }
table Thing {
  any : Any;
  many : [Any];
  box : Box;
  colour : Colour = green;
  wide : Wide;
  points : [Point];
  words : [string];
  flag : bool = true;
  maybe : int = null;
  big : ulong = 18;
  small : long = -9223372036854775807;
  half : float = 0.5;
  leaves : [Leaf];
  old : int (deprecated);
  next : Thing;
}
rpc_service Odd { odd(Thing) : Leaf (method_id: "7"); }
root_type Thing;
'''
THING = '''{
  any_type: "Box", any: {corner: [{x: 1, y: -2}, {x: 3, y: 4}], colour: "red", weights: [0.5, 1.5, -2]},
  many_type: ["Leaf", "Text", "Leaf"], many: [{name: "first"}, {of: "second"}, {name: "th\\u00efrd"}],
  box: {corner: [{x: 5, y: 6}, {x: 7, y: 8}], colour: "green", weights: [1, 2, 3]},
  wide: "two", points: [{x: 9, y: 10}, {x: 11, y: 12}], words: ["a", "", "c"],
  maybe: 0, big: 18446744073709551615, leaves: [{name: "leaf"}],
  next: {words: ["deeper"]}
}'''


def datagram(*packets, number=1, flags=1, connection=0x1234, header=30, version=1):
    data = struct.pack('<BBBBIIIIIHH', version, flags, header, 0, connection, number & 0xffffffff, number >> 32, 16, 0, 0, 0)
    data += bytes(header - len(data)) + b''.join(packets)
    return data + struct.pack('<I', python_wire.crc32c(data)) if flags & 3 == 1 else data


def envelope(service, method, schema=0, **more):
    made = python_wire.frame('Envelope').EnvelopeT()
    made.service, made.method, made.schema, made.budgetUs = service, method, schema, 1000
    for name, value in more.items():
        setattr(made, name, value)
    import flatbuffers
    builder = flatbuffers.Builder(128)
    builder.Finish(made.Pack(builder))
    return bytes(builder.Output())


def request(payload, service='echo.Echo', method=1, call=1, **more):
    head = envelope(service, method, **more)
    body = python_wire.padded(head) + payload
    return python_wire.Packet.make('request', body, call=call, body_length=len(body), envelope_length=len(head))


def response(payload, call=1):
    return python_wire.Packet.make('response', bytes(8) + payload, call=call, body_length=len(payload))


class Crafted(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        mesh.schemas('frame', 'echo', 'calculator')
        cls.folder = tempfile.mkdtemp(prefix=f'{mesh.PREFIX}{os.getpid()}-')
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.file = os.path.join(cls.folder, 'crafted.pcap')
        cls.odd = os.path.join(cls.folder, 'odd')
        os.mkdir(cls.odd)
        for name, text in (('odd.fbs', ODD), ('thing.json', THING)):
            with open(os.path.join(cls.odd, name), 'w') as f:
                f.write(text)
        flatc = mesh.program('TELA_FLATC')
        for words in (['-b', '--schema', '--bfbs-builtins', '--bfbs-comments'], ['-b']):
            files = ['odd.fbs'] + ([] if '--schema' in words else ['thing.json'])
            subprocess.run([flatc, *words, '-o', cls.odd, *files], check=True, cwd=cls.odd, timeout=30)
        with open(os.path.join(cls.odd, 'thing.bin'), 'rb') as f:
            cls.thing = f.read()

    def capture(self, *datagrams, back=()):
        """A capture of these datagrams; those whose index is in `back` go the other way."""
        ways = [('10.0.0.2', '10.0.0.1') if i in back else ('10.0.0.1', '10.0.0.2') for i in range(len(datagrams))]
        wire.write_pcap(self.file, [wire.ethernet(d, *way) for d, way in zip(datagrams, ways)])
        return self.file

    def show(self, *words):
        return wire.tshark(self.file, '-V', *words)

    def show_each(self, *datagrams):
        """What is shown of each, in a capture of all."""
        self.capture(*datagrams)
        texts = re.split(r'^Frame \d+: ', self.show(), flags=re.M)[1:]
        self.assertEqual(len(texts), len(datagrams))
        return texts

    # -- typed payloads --

    def everything(self, *words):
        self.capture(datagram(request(self.thing, 'odd.Odd', 7)))
        text = self.show(*words)
        self.assertNotIn('Expert', text)
        for line in ('any (Box): odd.Box', 'corner: 2 elements', 'x: 1', 'y: -2', 'colour: red (-1)', r'weights\[2\]: -2',
                     'many: 3 elements', r'many\[0\] \(Leaf\): odd.Leaf', 'name: first', 'of: second', 'name: thïrd',
                     'points: 2 elements', r'points\[1\]: odd.Point', 'y: 12', r'words\[0\].*: a', r'words\[2\].*: c',
                     'big: 18446744073709551615', 'maybe: 0', 'leaves: 1 element', r'leaves\[0\]: odd.Leaf', 'next: odd.Thing',
                     r'words\[0\].*: deeper', 'wide: two \\(2\\)'):
            self.assertRegex(text, r'\n +' + line.replace('(Box)', r'\(Box\)').replace('(-1)', r'\(-1\)'))
        return text

    def test_unions_arrays_and_more(self):
        """Beside the schemas: with filters of its own, and defaults for what is not on the wire."""
        both = os.path.join(self.folder, 'both')
        os.mkdir(both)
        for path in [*glob.glob(wire.SCHEMAS + '/*.bfbs'), os.path.join(self.odd, 'odd.bfbs')]:
            shutil.copy(path, both)
        self.addCleanup(setattr, wire, 'SCHEMAS', wire.SCHEMAS)
        wire.SCHEMAS = both
        text = self.everything()
        for line in (r'\[colour: green \(2\)\]', r'\[flag: True\]', r'\[small: -9223372036854775807\]', r'\[half: 0.5\]'):
            self.assertRegex(text, line)
        for only in ('tela.odd.Thing.big == 18446744073709551615', 'tela.odd.Point.y == 12', 'tela.odd.Leaf.name == "first"',
                     'tela.odd.Thing.flag == 1', 'tela.odd.Thing.words == "deeper"', 'tela.odd.Box.weights == -2'):
            self.assertEqual(wire.numbers(self.file, only), {1}, only)

    def test_preference(self):
        """In a folder of one's own: the same without filters."""
        text = self.everything('-o', f'tela.schemas:{self.odd}')
        self.assertNotIn('no schema for', text)
        self.capture(datagram(request(self.thing, 'odd.Odd', 7)))
        self.assertIn('no schema for odd.Odd method 7', self.show())

    def test_truncated_payloads(self):
        """Every length of a payload that needs all of it."""
        cut = [datagram(request(self.thing[:n], 'odd.Odd', 7, call=n + 1)) for n in range(len(self.thing))]
        self.capture(*cut)
        words = ('-o', f'tela.schemas:{self.odd}')
        self.show(*words)
        text = wire.tshark(self.file, *words, '-Y', 'tela.malformed', '-T', 'fields', '-e', 'frame.number')
        # flatc writes back to front: its last bytes are the first field's, and one byte less cuts one
        self.assertGreater(len(text.split()), len(cut) * 9 // 10)

    def test_wrong_hash(self):
        payload = mesh.table('echo.Message', data=b'x')
        self.capture(datagram(request(payload, schema=1)))
        self.assertIn('echo.Echo: the call is of schema 0x0000000000000001, the .bfbs file of 0x', self.show())

    def test_bombs(self):
        """Few bytes that stand for very many items: limited, and said."""
        # a table whose two fields lead to the next table, 24 times; a chain 200 deep; a vector of 2^32-1 elements
        calculator = {'service': 'calculator.Calculator', 'method': 6}

        def expression(arms):
            """Each table: soffset, left, right; the vtable has left and right where arms says."""
            vtable = struct.pack('<HHHHHH', 12, 12, 0, 0, 4, 8 if arms == 2 else 0)
            data = struct.pack('<I', 16) + vtable
            for i in range(24 if arms == 2 else 200):
                at = 16 + 12 * i
                data += struct.pack('<iII', at - 4, 8, 4)
            return data + struct.pack('<iII', len(data) - 4, 0, 0) + bytes(16)
        doubles = struct.pack('<IHHHHiII', 12, 6, 8, 4, 0, 8, 4, 0xffffffff)
        many = mesh.table('calculator.Series', values=[1.0] * 150)
        texts = self.show_each(datagram(request(expression(2), call=1, **calculator)),
                               datagram(request(expression(1), call=2, **calculator), number=2),
                               datagram(request(doubles, 'calculator.Calculator', 5, 3), number=3),
                               datagram(request(many, 'calculator.Calculator', 5, 4), number=4))
        self.assertIn('deeper than', texts[1])
        self.assertRegex(texts[0], 'more than [0-9]+ items: the others are not shown')
        self.assertLess(len(texts[0].splitlines()), 10_000)
        self.assertIn('values: it reaches behind the end of the buffer', texts[2])
        self.assertIn('values: 150 elements', texts[3])
        self.assertIn('86 more elements are not shown', texts[3])

    # -- packets and datagrams --

    def test_every_kind(self):
        """Also those that no node sends yet: each has its name and its body, none is malformed."""
        with open(os.path.join(mesh.program('TELA_SCHEMAS'), 'frame.fbs')) as f:
            text = f.read()
        body_of = {}
        for comment, kind in re.findall(r'((?:  ///[^\n]*\n)*)  (\w+) = \d+,?\n', text[:text.index('/// Flags of a packet')]):
            body = re.search(r'Body: (\w+)', comment)
            body_of[kind] = body[1] if body else None
        self.assertEqual(len(body_of), 20)
        size = {name: getattr(python_wire.frame(name), name).SizeOf() for name in set(body_of.values()) - {None}}
        kinds = [k for k in body_of if k != 'none' and not k.startswith('re') or k in ('release', 'rebind', 'refuse')]
        def each(more):
            return [datagram(python_wire.Packet.make(k, bytes(size.get(body_of[k], 0) + more)), number=i + 1)
                    for i, k in enumerate(kinds) if more >= 0 or body_of[k]]
        self.assertGreaterEqual(len(kinds), 17)
        for kind, shown in zip(kinds, self.show_each(*each(0))):
            self.assertIn(f'kind: {kind} ({python_wire.kind(kind)})', shown)
            self.assertIn(f'\n    {kind.capitalize().replace("_", " ")}', shown)
            self.assertNotIn('Expert', shown)
            if body_of[kind]:
                self.assertIn(f'{body_of[kind]}: frame.{body_of[kind]}', shown)
        # a body that is too short is none, nor is one that is too long, where there is one size
        for shown in self.show_each(*each(-1)):
            self.assertIn('Malformed', shown)
        for kind, shown in zip(kinds, self.show_each(*each(8))):
            if not kind.startswith('stream'):
                self.assertIn('Malformed', shown)

    def test_versions(self):
        self.capture(b'\0\1\3\0\xaa\xbb\xcc\xdd', datagram(version=2), b'\0\1\3\0\xaa\xbb\xcc\xdd\0')
        self.assertEqual(wire.lines(self.file)['1'], 'Versions 1 to 3 are spoken')
        self.assertEqual(wire.numbers(self.file, 'tela.version.lowest == 1 and tela.version.highest == 3'), {1})
        self.assertEqual(wire.numbers(self.file, 'tela.version.unknown'), {2, 3})
        self.assertEqual(wire.numbers(self.file, 'tela.connection == 0xddccbbaa'), {1, 3})

    def test_one_way(self):
        packet = bytearray(request(mesh.table('echo.Message', data=b'x')))
        packet[1] = python_wire.frame('PacketFlag').PacketFlag.one_way
        self.capture(datagram(bytes(packet)), datagram(response(b'')), back=[1])
        lines = wire.lines(self.file)
        self.assertTrue(lines['1'].startswith('Request echo.Echo.echo #1 one-way'), lines)
        self.assertEqual(lines['2'], 'Response echo.Echo.echo #1 0 B')
        self.assertEqual(wire.numbers(self.file, 'tela.flags.one_way == 1'), {1})
        self.assertNotIn('Expert', self.show())

    def test_sealed(self):
        self.capture(datagram(bytes(range(48)), flags=2))
        text = self.show()
        self.assertIn('AEAD tag: 202122232425262728292a2b2c2d2e2f', text)
        self.assertIn('Sealed packets: 000102', text)
        self.assertNotIn('Expert', text)

    def test_malformed(self):
        """Each says what is wrong."""
        good = request(mesh.table('echo.Message', data=b'12345678'))

        def changed(at, layout, value):
            packet = bytearray(good)
            struct.pack_into(layout, packet, at, value)
            return datagram(bytes(packet))
        crc = bytearray(datagram(good))
        crc[-1] ^= 1
        padded = bytearray(request(mesh.table('echo.Message', data=b'1')))
        padded[-1] = 1
        cases = [
            (b'\1\1\x1e', '3 bytes are no datagram'),
            (datagram(good)[:27], '27 bytes are no datagram'),
            (datagram(header=28)[:-4] + b'\0', 'no room for the trailer'),
            (bytes(crc), 'CRC32C is 0x'),
            (datagram(good, header=65), 'a header length of 65'),
            (datagram(good, flags=3), 'an integrity that is not known'),
            (datagram(good, flags=0x41), 'flags that are not known'),
            (datagram(good[:20]), '20 bytes where a packet has at least 24'),
            (datagram(), '0 bytes where a packet has at least 24'),
            (datagram(bytes(padded)), 'its padding is not zeros'),
            (datagram(good[:-1]), 'a length of'),
            (changed(2, '<H', 23), 'a length of 23 where 24 to'),
            (changed(2, '<H', 9999), 'a length of 9999 where 24 to'),
            (changed(16, '<I', 8), 'more bytes than the 8 of the whole message'),
            (changed(20, '<H', 0xffff), 'more bytes than the'),
            (changed(24, '<I', 0x7fffffff), 'Envelope: its offset leads out of the buffer'),
            (changed(0, '<B', 200), 'kind 200 is not known'),
            (datagram(python_wire.Packet.make('response', bytes(7))), 'a response without its 8 bytes of Timing'),
            (datagram(python_wire.Packet.make('request', bytes(8), fragment=1, body_length=8),
                      python_wire.Packet.make('request', bytes(4), fragment=2, body_length=8)),
             'the fragments do not follow each other'),
            (datagram(python_wire.Packet.make('request', bytes(8), call=50, fragment=1, body_length=0xffffffff)),
             'too many bytes'),
        ]
        for (_, text), shown in zip(cases, self.show_each(*[made for made, _ in cases])):
            with self.subTest(text):
                self.assertIn(text, shown)
                self.assertIn('Expert Info', shown)

    def test_nothing_is_learnt_from_wrong_bytes(self):
        """A datagram with a wrong CRC neither answers a call nor is one."""
        asked, answered = request(mesh.table('echo.Message')), response(mesh.table('echo.Message'))
        wrong = bytearray(datagram(answered, connection=2))
        wrong[-1] ^= 1
        self.capture(datagram(asked), bytes(wrong), datagram(answered, connection=2), back=(1, 2))
        found = {p['frame']: p for p in wire.packets(self.file)}
        self.assertEqual(found[1]['tela.response_in'], '3')
        self.assertEqual(found[3]['tela.response_to'], '1')
        self.assertNotIn('tela.response_to', found[2])

    def test_node_starts_again(self):
        """The same addresses, session, slot and call number on a new path: another call."""
        hello = struct.pack('<QQQIIHHHHIHHBBBBI', 1, 2, 3, 4, 0xa, 1, 0, 0, 1500, 0, 16, 64, 1, 1, 2, 1, 0)

        def accept(mine):
            body = bytearray(hello)
            struct.pack_into('<I', body, 28, mine)
            return datagram(python_wire.Packet.make('accept', bytes(body)), connection=0xa, number=0)
        ask = request(mesh.table('echo.Message'))
        answer = datagram(response(mesh.table('echo.Message')), connection=0xa)
        self.capture(accept(0xb1), datagram(ask, connection=0xb1), answer, accept(0xb2), datagram(ask, connection=0xb2),
                     datagram(response(mesh.table('echo.Message')), connection=0xa, number=2), back=(0, 2, 3, 5))
        found = {p['frame']: p for p in wire.packets(self.file)}
        self.assertEqual((found[2]['tela.response_in'], found[5]['tela.response_in']), ('3', '6'))
        self.assertNotIn('tela.duplicate_of', found[5])

    def test_no_heuristics_for_others(self):
        """What is not Tela's on other ports stays what it is; on Tela's port it is shown as malformed."""
        datas = [bytes(80), os.urandom(80), b'\1\1\x1e\0' + os.urandom(100), datagram(version=2), datagram()[:-1] + b'\0']
        wire.write_pcap(self.file, [wire.ethernet(d, ports=(40001, 40002)) for d in datas] +
                        [wire.ethernet(d) for d in datas])
        self.assertEqual(wire.numbers(self.file, 'tela'), {6, 7, 8, 9, 10})
        marked = 'tela.malformed or tela.version.unknown or tela.crc32c.bad'
        self.assertEqual(wire.numbers(self.file, marked), {6, 7, 8, 9, 10})

    # -- what is written down twice --

    def test_constants(self):
        """Numbers in tela.lua that no schema holds are those of the C."""
        def read(path):
            with open(os.path.join(SOURCE, path)) as f:
                return f.read()
        lua = read('deploy/wireshark/tela.lua')
        wire_h, tela_h = read('dataplane/wire.h'), read('dataplane/tela.h')
        version, longest = re.search(r'VERSION, HEADER_MAX = (\d+), (\d+)', lua).groups()
        self.assertIn(f'WIRE_VERSION = {version},', wire_h)
        self.assertIn(f'WIRE_HEADER_MAX = {longest},', wire_h)
        self.assertIn(f'WIRE_CRC = {re.search(r"CRC = 16, ([0-9]+)", lua)[1]},', wire_h)
        port = re.search(r'UDP_PORT = (\d+)', lua)[1]
        self.assertRegex(read('control/conf_table.c'), rf'"udp_port"[^}}]*fallback = "{port}"')
        codes = re.search(r'local CODES = \{(.*?)\}', lua, re.S)[1]
        names = re.findall(r"'(\w+)'", codes)
        self.assertEqual([(f'TELA_{name}', str(i)) for i, name in enumerate(names)],
                         re.findall(r'\t(TELA_[A-Z_]+) = (\d+),', tela_h[:tela_h.index('tela_code_name')]))


class Installed(unittest.TestCase):
    """As "meson install" puts it: found by Wireshark itself in a folder of plugins, its schemas where it looks."""

    def test_installed(self):
        with tempfile.TemporaryDirectory(prefix=f'{mesh.PREFIX}{os.getpid()}-') as root:
            home = os.path.join(root, 'home')
            build = os.path.dirname(wire.SCHEMAS)
            subprocess.run(['meson', 'install', '-C', build, '--no-rebuild', '--quiet', '--destdir', root], check=True,
                           timeout=120, stdout=subprocess.DEVNULL)
            script, = glob.glob(f'{root}/**/wireshark/plugins/tela.lua', recursive=True)
            schemas, = glob.glob(f'{root}/**/share/tela/schemas', recursive=True)
            with open(script) as f:
                text = f.read()
            prefix = schemas[len(root):]
            self.assertIn(f"INSTALLED = '{prefix}'", text)
            with open(script, 'w') as f:
                f.write(text.replace(prefix, schemas))
            os.makedirs(f'{home}/.local/lib/wireshark')
            os.symlink(os.path.dirname(script), f'{home}/.local/lib/wireshark/plugins')
            path = os.path.join(root, 'a.pcap')
            mesh.schemas('frame', 'echo')
            wire.write_pcap(path, [wire.ethernet(datagram(request(mesh.table('echo.Message', data=b'abc'))))])
            said = wire.tshark(path, script=None, env={**os.environ, 'HOME': home})
            self.assertIn('Request echo.Echo.echo #1', said)


if __name__ == '__main__':
    wire.need_tools('tshark')
    mesh.main()
