"""The dissector on what DPDK's own tools captured between two nodes: every call is found in it with its names, values and
bytes; then the same datagrams damaged."""
import random
import struct
import subprocess

import mesh
import python_wire
import wire_capture as wire

NET, SHARED = '10.77.8', '10.77.9'  # through af_packet, with CRC32C; memif from end to end, without
METHODS = {('echo', 'echo'): 'echo.Echo.echo', ('echo', 'later'): 'echo.Echo.later', ('kv', 'put'): 'kv.Kv.put',
           ('kv', 'get'): 'kv.Kv.get', ('calculator', 'add'): 'calculator.Calculator.add',
           ('calculator', 'divide'): 'calculator.Calculator.divide', ('calculator', 'sum'): 'calculator.Calculator.sum',
           ('calculator', 'evaluate'): 'calculator.Calculator.evaluate'}
LARGE = 100 * 1024
DAMAGED = 3000
SEED = 20261121


def colons(data):
    return data.hex(':')


class Live(mesh.Case):
    """One capture; each test looks at something else in it."""

    @classmethod
    def arrange(cls):
        mesh.schemas('frame', 'echo', 'calculator', 'kv')
        m = cls.mesh
        space = m.namespace('wire')
        space.ip('link', 'add', 'veth0', 'type', 'veth', 'peer', 'name', 'veth1')
        space.run('sysctl', '-q', 'net.ipv6.conf.all.disable_ipv6=1', check=False)
        for name in ('veth0', 'veth1'):
            space.ip('link', 'set', name, 'up')
        tap = wire.Tap(m, space, [m.memif('server', 'a', 0), 'net_af_packet0,iface=veth0', m.memif('server', 'b', 1),
                                  m.memif('server', 'c', 2)], [0, 2])
        ports = [{'name': 'net', 'device': 'net_af_packet0,iface=veth1', 'address': f'{NET}.1/24',
                  'faults': {'loss': 0.05, 'duplicate': 0.05, 'seed': 7}},
                 {'name': 'mem', 'device': m.memif('client', 'c'), 'address': f'{SHARED}.1/24'}]
        server = m.config('server', ports, mesh.cpus()[0], services=['echo', 'kv', 'calculator'], drain_deadline_ms=2000)
        cls.server = mesh.Node(m, server, space)
        ports = [{'name': 'net', 'device': m.memif('client', 'a', 0), 'address': f'{NET}.2/24'},
                 {'name': 'mem', 'device': m.memif('client', 'b', 1), 'address': f'{SHARED}.2/24'}]
        cls.client = mesh.Node(m, m.config('client', ports, mesh.cpus()[1], [('net', f'{NET}.1'), ('shared', f'{SHARED}.1')]))
        cls.made = {NET: [], SHARED: []}
        for node, net in (('net', NET), ('shared', SHARED)):
            cls.traffic(node, cls.made[net])
        cls.resent = cls.client.counters()['resends'] + cls.server.counters()['resends']
        cls.pings = cls.client.counters()['pings']
        cls.schemas = {name: cls.server.service(name)['schema'] for name in ('echo', 'kv', 'calculator')}
        cls.server.stop()  # says go-away
        cls.file = tap.stop()
        cls.packets = wire.packets(cls.file)

    @classmethod
    def traffic(cls, node, made):
        def call(service, method, payload, code='OK', **options):
            got = cls.client.call_fast(service, method, payload, node, **options)
            if got.status != code:
                raise AssertionError(f'{node}: {service}.{method}: {got}')
            made.append((METHODS[service, method], payload, got))
        for size in (0, 1, 32, 300, 1400, 5000, LARGE):
            call('echo', 'echo', mesh.table('echo.Message', data=random.randbytes(size)))
        call('kv', 'put', mesh.table('kv.Item', key=b'the key', value=b'the value'))
        call('kv', 'get', mesh.table('kv.Key', key=b'the key'))
        call('kv', 'get', mesh.table('kv.Key', key=b'another'))
        call('calculator', 'add', mesh.table('calculator.Operands', a=1.5, b=-4.0))
        call('calculator', 'sum', mesh.table('calculator.Series', values=[0.25] * 100))
        left = mesh.thing('calculator.Expression', value=20.0)
        right = mesh.thing('calculator.Expression', value=3.0)
        call('calculator', 'evaluate', mesh.table('calculator.Expression', op=3, left=left, right=right))
        call('calculator', 'divide', mesh.table('calculator.Operands', a=1.0), 'INVALID_ARGUMENT')
        call('echo', 'later', mesh.table('echo.Delayed', delay_us=20_000, data=b'soon'))
        call('echo', 'later', mesh.table('echo.Delayed', delay_us=400_000, data=b'never'), 'DEADLINE_EXCEEDED', deadline_ms=100)

    # -- what was sent is what is shown --

    def of(self, kind, net=None, **match):
        """Packets of a kind, on one of the two links."""
        number = str(python_wire.kind(kind))
        return [p for p in self.packets if p['tela.kind'] == number and (net is None or f'{net}.1' in p['addresses']) and
                all(p.get(f'tela.{k}') == v for k, v in match.items())]

    def test_nothing_is_wrong(self):
        self.assertEqual(wire.numbers(self.file, 'tela.malformed or tela.crc32c.bad or _ws.malformed or _ws.lua.error or '
                                      'tela.kind.unknown or tela.version.unknown or tela.schema.differs or tela.cut or '
                                      'tela.schema.unknown'), set())
        # nothing else speaks UDP here
        self.assertEqual(wire.numbers(self.file, 'udp and not tela'), set())
        good = wire.numbers(self.file, 'tela.crc32c.status == "Good"')
        hands = wire.numbers(self.file, f'tela.kind >= {python_wire.kind("hello")}')
        self.assertEqual(good, wire.numbers(self.file, f'tela and ip.addr=={NET}.1') |
                         hands)
        self.assertEqual(wire.numbers(self.file, 'tela.integrity == 0'),
                         wire.numbers(self.file, f'tela and ip.addr=={SHARED}.1') - hands)

    def requests(self, net):
        return [p for p in self.of('request', net, fragment='0') if 'tela.duplicate_of' not in p]

    def test_every_call(self):
        """Each that was made, in order, with its method and its bytes; and each response leads to its request."""
        for net, made in self.made.items():
            requests = self.requests(net)
            self.assertEqual([p['tela.method'] for p in requests], [m[0] for m in made])
            for request, (method, payload, got) in zip(requests, made):
                with self.subTest(net=net, method=method, bytes=len(payload)):
                    self.assertEqual(self.payload_of('request', request, net), colons(payload))
                    self.check_response(request, got, net)

    def payload_of(self, kind, first, net):
        """Of the message that begins with packet `first`: in it, or where its fragments are whole."""
        same = {k: first[f'tela.{k}'] for k in ('session', 'slot', 'call')}
        found = [p for p in self.of(kind, net, **same) if 'tela.payload.length' in p and 'tela.duplicate_of' not in p]
        self.assertEqual(len(found), 1, same)
        if 'tela.fragment.count' in found[0] and found[0] is not first:
            self.assertEqual(first.get('tela.reassembled_in'), str(found[0]['frame']))
        return found[0].get('tela.payload', '')

    def check_response(self, request, got, net):
        if got.status == 'DEADLINE_EXCEEDED':
            self.assertNotIn('tela.response_in', request)
            cancel = [p for p in self.of('cancel', net) if p['tela.call'] == request['tela.call'] and
                      p['tela.session'] == request['tela.session']]
            self.assertEqual(request['tela.cancelled_in'], str(cancel[0]['frame']))
            return
        same = {k: request[f'tela.{k}'] for k in ('session', 'slot', 'call', 'method')}
        responses = [p for p in self.of('response', net, **same) if 'tela.response_to' in p]
        self.assertEqual(len(responses), 1)
        self.assertEqual(responses[0]['tela.response_to'], str(request['frame']))
        self.assertEqual(request['tela.response_in'], str(responses[0]['frame']))
        self.assertGreater(float(responses[0]['tela.time']), 0)
        first = self.of('response', net, fragment='0', **same)[0]
        self.assertEqual(self.payload_of('response', first, net), colons(got.payload))
        self.assertEqual(first['tela.status'], str(got.reply['code']))
        if got.message:
            self.assertEqual(first['tela.envelope']['tela.envelope.status']['tela.status.message'], got.message)

    def test_values(self):
        """Payloads by the names of their schemas."""
        for net in self.made:
            by_method = {}
            for p in self.packets:
                if 'tela.payload.length' in p and f'{net}.1' in p['addresses']:
                    by_method.setdefault((p['tela.kind'], p['tela.method']), []).append(p)
            put = by_method['1', 'kv.Kv.put'][0]['tela.kv.Item']
            self.assertEqual(put, {'tela.kv.Item.key': colons(b'the key'), 'tela.kv.Item.value': colons(b'the value')})
            got = [p['tela.kv.Value'] for p in by_method['2', 'kv.Kv.get']]
            self.assertEqual(got, [{'tela.kv.Value.found': '1', 'tela.kv.Value.value': colons(b'the value')},
                                   {'tela.kv.Value.found': '0'}])  # a default: not on the wire
            self.assertEqual(by_method['1', 'calculator.Calculator.add'][0]['tela.calculator.Operands'],
                             {'tela.calculator.Operands.a': '1.5', 'tela.calculator.Operands.b': '-4'})
            self.assertEqual(by_method['2', 'calculator.Calculator.add'][0]['tela.calculator.Result'],
                             {'tela.calculator.Result.value': '-2.5'})
            tree = by_method['1', 'calculator.Calculator.evaluate'][0]['tela.calculator.Expression']
            self.assertEqual(tree['tela.calculator.Expression.op'], '3')
            self.assertEqual(tree['tela.calculator.Expression.right']['tela.calculator.Expression.value'], '3')
            later = by_method['1', 'echo.Echo.later'][0]['tela.echo.Delayed']
            self.assertEqual(later, {'tela.echo.Delayed.delay_us': '20000', 'tela.echo.Delayed.data': colons(b'soon')})

    def test_text(self):
        """What stands in a frame's tree and in the list."""
        lines = wire.lines(self.file)
        first = self.requests(NET)[0]
        self.assertEqual(lines[str(first['frame'])], 'Request echo.Echo.echo #1 24 B')
        divide = [p for p in self.requests(NET) if p['tela.method'].endswith('divide')][0]
        self.assertRegex(lines[divide['tela.response_in']], 'Response calculator.Calculator.divide #[0-9]+ INVALID_ARGUMENT')
        put = [p for p in self.requests(SHARED) if p['tela.method'] == 'kv.Kv.put'][0]
        self.assertIn('Bind kv.Kv is 1, Response kv.Kv.put #1', lines[put['tela.response_in']])
        text = wire.tshark(self.file, '-V', '-Y', 'tela.calculator.Expression.op == 3 or tela.hello.integrity == 1')
        self.assertIn('op: multiply (3)', text)
        self.assertIn('integrity: crc32c (1)', text)

    def test_handshake_and_binds(self):
        for net in self.made:
            hello = self.of('hello', net)
            accept = self.of('accept', net)[0]['tela.hello']
            given = [p['tela.hello']['tela.hello.cookie'] for p in hello]
            self.assertEqual(given[0], '0x' + '0' * 16)
            first = [c for c in given if c != given[0]][0]
            self.assertIn(first, [p['tela.hello']['tela.hello.cookie'] for p in self.of('cookie', net)])
            ids = {f['tela']['tela.datagram']['tela.datagram.connection'] for f in
                   wire.frames(self.file, f'tela and ip.dst=={net}.1 and not tela.kind == {python_wire.kind("hello")}')}
            self.assertEqual(ids, {accept['tela.hello.connection']})
            for bind in self.of('bind', net):
                name = bind['tela.service'].split('.')[0]
                self.assertEqual(int(bind['tela.bind']['tela.bind.schema'], 16), int(self.schemas[name], 16))

    def test_other_kinds(self):
        for kind in ('in_progress', 'acknowledge', 'release', 'cancel', 'bind', 'go_away'):
            self.assertTrue(self.of(kind), kind)
        # Asked is only when something was lost and nothing else comes: in some runs never.
        if self.pings:
            self.assertTrue(self.of('ping'))
        for p in self.of('acknowledge'):
            self.assertGreater(int(p['tela.window']['tela.window.limit']), 0)
        for p in self.of('in_progress'):
            self.assertEqual(p['tela.method'], 'echo.Echo.later')
        self.assertEqual({p['tela.farewell']['tela.farewell.code'] for p in self.of('go_away')}, {'14'})

    def test_loss(self):
        """What was sent again says so, and what the network doubled."""
        again = wire.numbers(self.file, 'tela.duplicate_of')
        self.assertTrue(again)
        self.assertTrue(self.resent)
        datagrams = {layers['frame']['frame.number']: layers['tela'] for layers in wire.frames(self.file)}
        doubled = [d for d in datagrams.values() if 'tela.repeated' in d]
        self.assertTrue(doubled)
        for d in doubled:
            before = datagrams[d['tela.repeated']]
            self.assertEqual(before['tela.datagram']['tela.number'], d['tela.datagram']['tela.number'])

    # -- variants of the same file --

    def copy(self, *words):
        path = self.mesh.path(f'copy.{random.getrandbits(32):x}.pcap')
        subprocess.run(['editcap', '-F', 'pcap', *words, self.file, path], check=True, capture_output=True, timeout=60)
        return path

    def test_cut_by_the_capture(self):
        """With the first 220 bytes of each frame, calls still have names, and those of one packet find each other."""
        short = wire.packets(self.copy('-s', '220'))
        self.assertEqual([p for p in short if 'tela.malformed' in p], [])
        linked = [p for p in short if 'tela.response_to' in p]
        self.assertGreaterEqual(len(linked), 2 * 12)
        self.assertIn('calculator.Calculator.divide', {p.get('tela.method') for p in linked})

    def test_other_port(self):
        """Where the port says nothing, the bytes do."""
        frames = wire.read_pcap(self.copy())
        moved = self.mesh.path('moved.pcap')
        wire.write_pcap(moved, [f[:34] + struct.pack('>HH', 40001, 40002) + f[38:] if f[12:14] == b'\x08\0' else f
                                for f in frames])
        self.assertEqual(len(wire.packets(moved)), len(self.packets))

    def test_begins_in_the_middle(self):
        """Without handshakes, first calls and binds: no names, but nothing wrong, and calls still find each other."""
        binds = max(p['frame'] for p in self.of('bind', NET))
        frames = wire.read_pcap(self.copy())[binds:]
        path = self.mesh.path('middle.pcap')
        wire.write_pcap(path, [f for f in frames if bytes([10, 77, 8]) in f[26:34]])
        self.assertEqual(wire.numbers(path, 'tela.malformed'), set())
        self.assertTrue(wire.numbers(path, 'tela.schema.unknown'))
        self.assertTrue(wire.numbers(path, 'tela.response_to'))

    # -- hostile --

    def test_damaged(self):
        """Seeded damage: whatever it is, no error of Lua; and a datagram that its CRC does not fit is never silent."""
        choose = random.Random(SEED)
        frames = [f for f in wire.read_pcap(self.copy()) if f[12:14] == b'\x08\0']
        checked = [f for f in frames if f[wire.HEADERS + 1] & 3 == 1]
        hurt, whole, certain = [], [], []
        for i in range(DAMAGED):
            frame, kind = choose.choice(frames), i % 4
            if kind == 0:
                frame = choose.choice(checked)
            datagram = damage(choose, frame[wire.HEADERS:])
            if kind == 0 and len(datagram) == len(frame) - wire.HEADERS and datagram != frame[wire.HEADERS:]:
                certain.append(i + 1)
            elif kind == 1:  # its CRC fits again
                datagram = datagram[:-4] + struct.pack('<I', python_wire.crc32c(datagram[:-4])) if len(datagram) > 4 else datagram
            elif kind == 2 and len(datagram) > 4:  # it says that there is none
                datagram = datagram[:1] + b'\0' + datagram[2:]
            packet = wire.ethernet(datagram, *[('10.0.0.1', '10.0.0.2'), ('10.0.0.2', '10.0.0.1')][i & 1])
            whole.append(len(packet))
            hurt.append(packet[:choose.randrange(len(packet))] if kind == 3 else packet)
        path = self.mesh.path('damaged.pcap')
        wire.write_pcap(path, hurt, whole)
        wire.tshark(path, '-V', seconds=170)
        marked = wire.numbers(path, 'tela.crc32c.bad or tela.malformed or tela.version.unknown')
        self.assertEqual([i for i in certain if i not in marked], [])
        self.assertGreater(len(certain), DAMAGED // 8)


def damage(choose, datagram):
    """One way of five."""
    data = bytearray(datagram)
    how = choose.randrange(5)
    if how == 0:
        for _ in range(choose.randrange(1, 4)):
            data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
    elif how == 1:  # a word that is often a length, an offset or a count
        at = choose.randrange(0, max(1, len(data) - 4))
        data[at:at + 4] = struct.pack('<I', choose.choice([0, 1, 3, 0x7f, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff]))
    elif how == 2:
        del data[choose.randrange(len(data)):]
    elif how == 3:
        at = choose.randrange(len(data))
        data[at:at + choose.randrange(1, 40)] = choose.randbytes(choose.randrange(1, 40))
    else:  # the headers
        data[choose.randrange(min(len(data), 60))] = choose.randrange(256)
    return bytes(data)


if __name__ == '__main__':
    mesh.need_namespaces()
    wire.need_tools('tshark', 'editcap', 'mergecap', 'dpdk-testpmd', 'dpdk-dumpcap')
    wire.need_huge_pages()
    mesh.main()
