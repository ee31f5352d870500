"""A caller in Python on a kernel socket, with nothing of Tela's but frame.fbs and echo.fbs: what the schema says is what a node
speaks. python_wire.py holds the caller."""
import hashlib
import os
import struct
import time

import mesh
import python_wire as wire

NODE, CLIENT = '10.77.6.1', '10.77.6.2'
OK, INVALID_ARGUMENT, UNIMPLEMENTED, UNAVAILABLE, FAILED_PRECONDITION = 0, 3, 12, 14, 9
ECHO, LATER = 1, 2
WIRE_1 = '17090ed46d6567e104a4c67a2a7126524375a0745278998ec63907b0f671a5f7'  # of wire_1/frame.fbs


class PythonClient(mesh.Case):
    @classmethod
    def arrange(cls):
        if 'TELA_FROZEN' in os.environ:
            with open(os.path.join(os.environ['TELA_FROZEN'], 'frame.fbs'), 'rb') as f:
                if hashlib.sha256(f.read()).hexdigest() != WIRE_1:
                    raise AssertionError('a frozen schema is not edited: it is what others still speak')
        mesh.schemas('frame', 'echo')
        cls.outside = cls.mesh.namespace('client')
        cls.inside = cls.mesh.namespace('node')
        cls.outside.ip('link', 'add', 'veth1', 'type', 'veth', 'peer', 'name', 'veth0', 'netns', cls.inside.name)
        for space, name in ((cls.outside, 'veth1'), (cls.inside, 'veth0')):
            space.run('sysctl', '-q', 'net.ipv6.conf.all.disable_ipv6=1', check=False)
            space.ip('link', 'set', name, 'up')
        cls.outside.ip('addr', 'add', f'{CLIENT}/24', 'dev', 'veth1')
        port = {'name': 'p0', 'device': 'net_af_packet0,iface=veth0', 'address': f'{NODE}/24'}
        config = cls.mesh.config('node', [port], mesh.cpus()[0], services=[{'name': 'echo', 'config': {'count_ids': 20}}],
                                 drain_deadline_ms=2000)
        cls.node = mesh.Node(cls.mesh, config, cls.inside)
        cls.schema = int(cls.node.service('echo')['schema'], 16)
        cls.next_id = 0

    def setUp(self):
        super().setUp()
        self.client = self.connect()

    def connect(self, header=wire.HEADER):
        client = wire.Client(self.outside, CLIENT, NODE, header=header)
        self.addCleanup(client.close)
        client.handshake()
        return client

    def data(self, size=32):
        type(self).next_id += 1
        return struct.pack('<Q', self.next_id) + os.urandom(size - 8)

    def by_name(self, method=ECHO, **options):
        return self.client.envelope(method, 'echo.Echo', self.schema, **options)

    def bound(self, method=ECHO, **options):
        """Binds first, if that has not been done."""
        if self.schema not in self.client.binds:
            self.client.call(self.by_name(), mesh.table('echo.Message', data=self.data()))
        return self.client.envelope(method, bind=self.client.binds[self.schema], **options)

    def echoes(self, envelope, size):
        data = self.data(size)
        reply = self.client.call(envelope, mesh.table('echo.Message', data=data))
        self.assertEqual((reply.code, reply.message), (OK, ''))
        self.assertTrue(mesh.data_of(mesh.read('echo.Message', reply.payload)) == data, 'wrong bytes')
        return reply

    def counted(self, counter, n=1):
        """A context: the node's counter rises by n."""
        return Counted(self, counter, n)

    def answers(self):
        """It is well."""
        self.echoes(self.by_name(), 32)

    # -- handshake --

    def test_handshake(self):
        client = wire.Client(self.outside, CLIENT, NODE)
        self.addCleanup(client.close)
        question = client.hello()
        with self.counted('handshakes', 0), self.counted('cookies'):
            client.send_raw(question)
            answer = client.receive_raw()
        self.assertEqual(len(answer), len(question))
        self.assertTrue(wire.crc_right(answer))
        self.assertEqual(wire.struct_read('Datagram', answer).Connection(), client.connection)
        with self.counted('handshakes'):
            cookie, accept = client.handshake()
        self.assertNotEqual(cookie.Cookie(), 0)
        self.assertEqual((accept.VersionLow(), accept.VersionHigh(), accept.Integrity()), (1, 1, 1))
        self.assertEqual(f'{accept.Incarnation():016x}', self.node.do('status')['incarnation'])
        self.assertEqual((accept.Cores(), accept.Mtu()), (1, 1500))
        # A hello that comes again gets the same accept; no second path is made.
        with self.counted('handshakes', 0):
            client.send_raw(client.hello(cookie.Cookie(), cookie.CookieTime()))
            again = wire.struct_read('Hello', client.take('accept').body)
        self.assertEqual(again.Connection(), accept.Connection())

    def test_wrong_cookie(self):
        client = wire.Client(self.outside, CLIENT, NODE)
        self.addCleanup(client.close)
        client.send_raw(client.hello())
        cookie = wire.struct_read('Hello', client.take('cookie').body)
        with self.counted('handshakes', 0), self.counted('drop_cookie', 3):
            for value, when in ((cookie.Cookie() ^ 1, cookie.CookieTime()), (cookie.Cookie(), cookie.CookieTime() - 1),
                                (cookie.Cookie(), cookie.CookieTime() - 60)):
                client.send_raw(client.hello(value, when))
                self.assertIsNotNone(client.take('cookie'))
        # It is bound to who asked.
        with self.counted('handshakes', 0), self.counted('drop_cookie'):
            client.send_raw(client.hello(cookie.Cookie(), cookie.CookieTime(), client.connection + 1))
            client.connection += 1
            self.assertIsNotNone(client.take('cookie'))

    def test_unknown_connection(self):
        with self.counted('drop_connection'):
            self.client.send_raw(self.client.datagram([wire.Packet.make('ping', bytes(16))], 0x12345678, 1))
            p = self.client.take('refuse')
        self.assertEqual(wire.struct_read('Farewell', p.body).Reserved2(), 0x12345678)

    def test_other_address(self):
        """A connection id alone is no permission."""
        other = wire.Client(self.outside, CLIENT, NODE)
        self.addCleanup(other.close)
        other.peer_connection, other.fragment = self.client.peer_connection, self.client.fragment
        with self.counted('drop_source'):
            other.send(wire.Packet.make('ping', struct.pack('<QII', 1, 0, 0)))
            self.assertIsNone(other.take('pong', seconds=0.3))
        self.answers()

    def test_unknown_version(self):
        for version in (2, 77, 255):
            question = bytes([version, 1, 30, 0]) + b'\xaa\xbb\xcc\xdd' + bytes(40)
            with self.counted('drop_version'), self.counted('version_answers'):
                self.client.send_raw(question)
                # version 0, lowest, highest, zero, and the connection id back: 8 bytes and no more
                self.assertEqual(self.client.receive_raw(), b'\0\1\1\0\xaa\xbb\xcc\xdd')
        with self.counted('version_answers', 0), self.counted('drop_version', 2):
            self.client.send_raw(b'\0\1\1\0\xaa\xbb\xcc\xdd')  # an answer is not answered
            self.client.send_raw(b'\2\1\1')                    # nor what is shorter than an answer
            self.assertIsNone(self.client.receive_raw(0.3))
        self.answers()

    # -- calls --

    def test_by_name_then_bound(self):
        with self.counted('binds'):
            began = time.monotonic_ns()
            reply = self.echoes(self.by_name(), 32)
            took = time.monotonic_ns() - began
        self.assertLess(reply.timing.DwellNs(), took)
        self.assertIn(self.schema, self.client.binds)
        self.assertNotEqual(self.client.binds[self.schema], 0)
        with self.counted('binds', 0):
            for _ in range(20):
                self.echoes(self.bound(), 32)
            self.echoes(self.by_name(), 32)  # still right, and bound to the same index

    def test_canonical_envelope(self):
        """28 bytes that read as the same table, laid out as in the schema's comment: the reader's short way."""
        envelope = struct.pack('<IHHHHHHiIHH', 16, 10, 12, 4, 8, 10, 0, 12, 5_000_000, self.bind_index(), ECHO)
        self.assertEqual(len(envelope), 28)
        with self.counted('envelopes_general', 0):
            self.echoes(envelope, 64)

    def bind_index(self):
        self.bound()
        return self.client.binds[self.schema]

    def test_fragments(self):
        for size in (1300, 1330, 1340, 1350, 1360, 1370, 1380, 1400, 2800, 5000, 20_000):
            self.echoes(self.by_name(), size)
            self.echoes(self.bound(), size)

    def test_windows(self):
        """More fragments than may be under way, both ways: windows open by acknowledge."""
        self.assertGreater(150_000 // self.client.fragment, wire.WINDOW)
        self.echoes(self.bound(), 150_000)
        self.echoes(self.bound(), 1_000_000)

    def test_gap(self):
        """A fragment left out is named, cumulatively acknowledged up to, and then taken."""
        data = self.data(8000)
        packets = self.client.request(self.bound(), mesh.table('echo.Message', data=data))
        for i in (0, 1, 3, 4):
            self.client.send(packets[i])
        p = self.client.take('gap')
        gap = wire.struct_read('Gap', p.body)
        self.assertEqual((gap.First(), gap.Count(), p.fragment), (2, 1, 2))
        self.assertTrue(p.flags & 4, 'from the callee')
        self.client.send(*packets[5:])
        self.client.send(packets[2])
        self.assertIsNotNone(self.client.take('response', call=p.call))
        self.answers()

    def test_unaligned_first_packet(self):
        """Where packets begin is said by header_length alone; alignment is no condition."""
        for header in (28, 29, 31, 40, 64):
            self.client = self.connect(header)
            self.echoes(self.by_name(), 100)

    def test_packets_share_a_datagram(self):
        packets, sent = [], {}
        envelope = self.bound()
        for slot in range(8):
            data = self.data(40 + slot)
            packets += self.client.request(envelope, mesh.table('echo.Message', data=data), slot)
            sent[slot] = data
        self.client.send(*packets, wire.Packet.make('ping', struct.pack('<QII', 5, 0, 0)))
        for _ in range(8):
            p = self.client.take('response')
            reply = wire.Reply(p.body[:8], p.body[8:], p.envelope_length)
            self.assertEqual(mesh.data_of(mesh.read('echo.Message', reply.payload)), sent.pop(p.slot))
        self.assertEqual(sent, {})

    def test_pending(self):
        payload = mesh.table('echo.Delayed', delay_us=200_000, data=self.data())
        began = time.monotonic()
        self.client.send(*self.client.request(self.bound(LATER), payload))
        p = self.client.take('in_progress')
        self.assertEqual((p.call, p.slot, p.length), (self.client.calls[0], 0, wire.PACKET))
        # A duplicate of what runs is answered in-progress again.
        self.client.send(*self.client.request(self.bound_again(LATER), payload, call=p.call))
        self.assertIsNotNone(self.client.take('in_progress', call=p.call))
        p = self.client.take('response', call=p.call)
        self.assertIsNotNone(p)
        self.assertGreaterEqual(time.monotonic() - began, 0.2)
        timing = wire.struct_read('Timing', p.body)
        self.assertGreater(timing.DwellNs(), 150_000_000)

    def test_one_way(self):
        """Word that it was accepted comes at once, the same again for a duplicate; a refusal as ever."""
        one_way = wire.frame('PacketFlag').PacketFlag.one_way
        payload = mesh.table('echo.Delayed', delay_us=300_000, data=self.data())
        self.bound()
        with self.counted('calls_one_way'), self.counted('one_way_replies'), self.counted('duplicates_answered'):
            for call in (None, self.client.calls[0] + 1):
                self.client.send(*self.client.request(self.bound_again(LATER), payload, call=call, flags=one_way))
                p = self.client.take('response', 'in_progress', call=self.client.calls[0])
                self.assertEqual((p.kind, p.length, p.body_length, p.envelope_length),
                                 (wire.kind('response'), wire.PACKET + wire.TIMING, 0, 0))
            self.assertEqual(self.node.in_flight(), 1)
            mesh.until(lambda: self.node.in_flight() == 0, 'its handler is done')
            self.assertIsNone(self.client.take('response', seconds=0.1))
        self.client.send(*self.client.request(self.bound_again(99), payload, flags=one_way))
        p = self.client.take('response', call=self.client.calls[0])
        reply = wire.Reply(p.body[:8], p.body[8:], p.envelope_length)
        self.assertEqual((reply.code, reply.outcome), (12, 1))  # UNIMPLEMENTED, not executed
        self.answers()

    def bound_again(self, method):
        return self.client.envelope(method, bind=self.client.binds[self.schema])

    def test_cancel(self):
        self.bound()
        with self.counted('calls_cancelled'), self.counted('calls_detached'), self.counted('drop_detached'):
            self.client.send(*self.client.request(self.bound(LATER), mesh.table('echo.Delayed', delay_us=300_000,
                                                                               data=self.data())))
            p = self.client.take('in_progress')
            self.client.send(wire.Packet.make('cancel', call=p.call))
            self.assertIsNone(self.client.take('response', seconds=0.6))
            mesh.until(lambda: self.node.in_flight() == 0, 'its handler is done')
        self.answers()

    def test_cancel_before_its_request(self):
        """What was cancelled before it came shall not run."""
        self.answers()
        before = self.executions()
        self.client.calls[0] += 1
        call = self.client.calls[0]
        self.client.send(wire.Packet.make('cancel', call=call))
        self.client.send(*self.client.request(self.bound(), mesh.table('echo.Message', data=self.data()), call=call))
        p = self.client.take('response', call=call)
        self.assertNotEqual(wire.Reply(p.body[:8], p.body[8:], p.envelope_length).code, OK)
        self.assertEqual(self.executions(), before)
        self.answers()

    def test_deadline(self):
        reply = self.client.call(self.by_name(budget_us=0), mesh.table('echo.Message', data=self.data()))
        self.assertEqual((reply.code, reply.outcome), (4, 1))
        self.echoes(self.by_name(budget_us=wire.NO_DEADLINE), 32)

    # -- at most once --

    def executions(self):
        figures = self.node.figures('echo')
        self.assertEqual(figures['executed_twice'], 0)
        return figures['executions']

    def test_duplicate(self):
        self.answers()
        for size in (40, 1000, 5000):
            envelope, payload = self.bound(), mesh.table('echo.Message', data=self.data(size))
            before = self.executions()
            first = self.client.call(envelope, payload) if size < 1300 else None
            if first is None:
                # a large one: by hand, so that it is not released
                for packet in self.client.request(envelope, payload):
                    self.client.send(packet)
                first = self.whole()
            call = self.client.calls[0]
            with self.counted('duplicates_answered', 3):
                for _ in range(3):
                    self.client.send(self.client.request(envelope, payload, call=call)[0])
                    p = self.client.take('response', call=call, fragment=0)
                    self.assertEqual(p.body[8:], first_body(first, p))
            self.assertEqual(self.executions(), before + 1)

    def whole(self):
        p = self.client.take('response', fragment=0)
        while self.client.take('response', seconds=0.2):
            pass
        return p

    def test_duplicate_after_release(self):
        """The reply is gone: said so, and still not executed again."""
        envelope, payload = self.bound(), mesh.table('echo.Message', data=self.data(5000))
        before = self.executions()
        self.client.call(envelope, payload)
        with self.counted('drop_reply_gone'):
            self.client.send(self.client.request(envelope, payload, call=self.client.calls[0])[0])
            p = self.client.take('response')
        reply = wire.Reply(p.body[:8], p.body[8:], p.envelope_length)
        self.assertEqual(reply.code, 10)  # ABORTED
        self.assertEqual(self.executions(), before + 1)

    def test_stale_call_number(self):
        self.answers()
        self.answers()
        before = self.executions()
        envelope = self.bound()
        with self.counted('drop_stale', 2):
            for call in (self.client.calls[0] - 1, (self.client.calls[0] - 2 ** 31 + 1) % 2 ** 32):
                self.client.send(*self.client.request(envelope, mesh.table('echo.Message', data=self.data()), call=call))
            self.assertIsNone(self.client.take('response', seconds=0.3))
        self.assertEqual(self.executions(), before)

    def test_replayed_datagram(self):
        self.answers()
        before = self.executions()
        datagram = self.client.datagram(self.client.request(self.bound(), mesh.table('echo.Message', data=self.data())))
        with self.counted('drop_replay', 2):
            for _ in range(3):
                self.client.send_raw(datagram)
            self.assertIsNotNone(self.client.take('response'))
            self.assertIsNone(self.client.take('response', seconds=0.3))
        self.assertEqual(self.executions(), before + 1)

    # -- what is wrong --

    def test_wrong_crc(self):
        self.answers()
        datagram = self.client.datagram(self.client.request(self.bound(), mesh.table('echo.Message', data=self.data())))
        before = self.executions()
        places = [2, 9, 20, 31, 40, 60, len(datagram) - 20, len(datagram) - 1]
        with self.counted('drop_crc', len(places) - 1), self.counted('drop_datagram_header'):
            for at in places:  # the first one is the header's length: caught before the CRC can be looked for
                damaged = bytearray(datagram)
                damaged[at] ^= 0x80
                self.client.send_raw(bytes(damaged))
            self.assertIsNone(self.client.take('response', seconds=0.3))
        self.assertEqual(self.executions(), before)
        self.client.send_raw(datagram)
        self.assertIsNotNone(self.client.take('response'))

    def test_without_integrity(self):
        """Agreed was CRC32C: a datagram that says it has none is not read."""
        datagram = bytearray(self.client.datagram([wire.Packet.make('ping', struct.pack('<QII', 1, 0, 0))])[:-4])
        datagram[1] = 0
        with self.counted('drop_integrity'):
            self.client.send_raw(bytes(datagram))
            self.assertIsNone(self.client.take('pong', seconds=0.3))

    def test_refusals(self):
        message = mesh.table('echo.Message', data=self.data())
        for envelope, payload, code in (
                (self.client.envelope(99, 'echo.Echo', self.schema), message, UNIMPLEMENTED),
                (self.client.envelope(ECHO, 'ecko.Echo', self.schema), message, UNAVAILABLE),
                (self.client.envelope(ECHO, 'echo.Echo', self.schema ^ 1), message, FAILED_PRECONDITION),
                (self.client.envelope(ECHO), message, UNAVAILABLE),
                (self.by_name(), b'\xff' * 40, INVALID_ARGUMENT),
                (self.by_name(), b'', INVALID_ARGUMENT)):
            reply = self.client.call(envelope, payload)
            self.assertEqual((reply.code, reply.outcome), (code, 1), reply.message)
            self.assertNotEqual(reply.message, '')
            # Who names another schema is told this one, and nobody else is.
            self.assertEqual(reply.schema, self.schema if code == FAILED_PRECONDITION else 0)
        self.answers()

    def test_reply_limit(self):
        reply = self.client.call(self.by_name(reply_limit=100), mesh.table('echo.Message', data=self.data(500)))
        self.assertEqual(reply.code, 8, reply.message)  # RESOURCE_EXHAUSTED
        self.answers()

    def test_rebind(self):
        """An index that was never given out: surely not executed, and nothing else is said."""
        with self.counted('rebinds'):
            self.assertEqual(self.client.call(self.client.envelope(ECHO, bind=7), mesh.table('echo.Message')), 'rebind')
        self.answers()

    def test_bound_over_a_new_image(self):
        envelope = self.bound()
        with self.counted('rebinds', 0):
            self.node.do('chain.add', service='echo', plugin='counter')
            self.echoes(envelope, 32)
            self.node.do('chain.remove', service='echo', name='counter')
            self.echoes(envelope, 32)

    def test_garbage(self):
        """Packets that lie about themselves inside of a right datagram: each counted, none answered wrongly."""
        good = self.client.request(self.bound(), mesh.table('echo.Message', data=self.data()))[0]

        def changed(at, layout, value):
            packet = bytearray(good)
            struct.pack_into(layout, packet, at, value)
            return bytes(packet)
        for packet, counter in ((changed(2, '<H', 10), 'drop_packet_length'), (changed(2, '<H', 9999), 'drop_packet_length'),
                                (changed(0, '<B', 200), 'drop_kind'), (changed(8, '<H', 999), 'drop_slot'),
                                (changed(4, '<I', 999_999), 'drop_session'), (changed(10, '<H', 3), 'drop_fragment'),
                                (changed(16, '<I', 8), 'drop_envelope'), (changed(16, '<I', 0xffffffff), 'drop_fragment'),
                                (changed(20, '<H', 2000), 'drop_envelope')):
            with self.counted(counter):
                self.client.send(packet)
        self.answers()

    # -- the path --

    def test_ping(self):
        for nonce in (1, 2 ** 63 + 5):
            self.client.send(wire.Packet.make('ping', struct.pack('<QII', nonce, 250, 0)))
            p = wire.struct_read('Probe', self.client.take('pong').body)
            self.assertEqual(p.Nonce(), nonce)

    def test_credit(self):
        """A ninth slot is refused until it was granted."""
        self.bound()
        payload = mesh.table('echo.Message', data=self.data())
        self.client.calls += [0] * 24
        with self.counted('drop_slot'):
            self.client.send(*self.client.request(self.bound(), payload, slot=20))
            self.assertIsNone(self.client.take('response', seconds=0.3))
        self.client.send(wire.Packet.make('credit', struct.pack('<HHI', 24, 0, 0)))
        p = self.client.take('credit')
        self.assertEqual(wire.struct_read('Credit', p.body).Slots(), 24)
        self.assertEqual(self.client.call(self.bound(), payload, slot=20).code, OK)

    def test_z_go_away(self):
        """A node that ends says so, answers what it has, and says so to whoever comes then."""
        self.client.send(*self.client.request(self.bound(LATER), mesh.table('echo.Delayed', delay_us=500_000,
                                                                           data=self.data())))
        self.assertIsNotNone(self.client.take('in_progress'))
        self.node.leave()
        self.node.popen.terminate()
        self.assertIsNotNone(self.client.take('go_away'))
        late = wire.Client(self.outside, CLIENT, NODE)
        self.addCleanup(late.close)
        late.handshake()
        self.assertEqual(wire.struct_read('Farewell', late.take('go_away').body).Code(), UNAVAILABLE)
        self.assertIsNotNone(self.client.take('response'))
        self.assertEqual(self.node.wait(), 0)


def first_body(first, p):
    """The bytes of the first fragment's body that the answer given first had."""
    if isinstance(first, wire.Packet):
        return first.body[8:]
    return first.payload


class Counted:
    def __init__(self, case, counter, n):
        self.case, self.counter, self.n = case, counter, n

    def now(self):
        return self.case.node.counters()[self.counter]

    def __enter__(self):
        self.before = self.now()

    def __exit__(self, kind, *_):
        if kind is not None:
            return
        end = time.monotonic() + 30
        while self.now() - self.before < self.n and time.monotonic() < end:
            time.sleep(0.02)
        self.case.assertEqual(self.now() - self.before, self.n, self.counter)


if __name__ == '__main__':
    mesh.need_namespaces()
    mesh.main()
