"""Datagrams and packets of schemas/frame.fbs in Python, with nothing of Tela's but that schema: what is here was written from
its comments, and test_python_client.py shows that it is what nodes speak."""
import ctypes
import importlib
import os
import select
import socket
import struct
import time

CRC_TABLE = []


def crc32c(data):
    if not CRC_TABLE:
        for i in range(256):
            for _ in range(8):
                i = i >> 1 ^ (0x82f63b78 if i & 1 else 0)
            CRC_TABLE.append(i)
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 255]
    return crc ^ 0xffffffff


def crc_right(datagram):
    return struct.unpack('<I', datagram[-4:])[0] == crc32c(datagram[:-4])


def in_namespace(name, make):
    """Runs `make` with this thread in another network namespace: a socket stays in the one that it was made in."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open('/proc/thread-self/ns/net', os.O_RDONLY)
    there = os.open(f'/run/netns/{name}', os.O_RDONLY)
    try:
        if libc.setns(there, 0x40000000):  # CLONE_NEWNET
            raise OSError(ctypes.get_errno(), 'setns')
        try:
            return make()
        finally:
            libc.setns(home, 0x40000000)
    finally:
        os.close(home)
        os.close(there)


class Tap:
    """Sees what passes an interface in a namespace."""

    def __init__(self, namespace, interface):
        def make():
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            s.bind((interface, 0))
            return s
        self.socket = in_namespace(namespace.name, make)

    def datagrams(self, n, seconds):
        """The next UDP payloads."""
        end, seen = time.monotonic() + seconds, []
        while len(seen) < n:
            if not select.select([self.socket], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f'{len(seen)} of {n} datagrams within {seconds} s')
            frame = self.socket.recv(65535)
            if frame[12:14] == b'\x08\0' and frame[23] == 17:
                length = struct.unpack('>H', frame[38:40])[0]
                seen.append(frame[42:34 + length])
        return seen

    def close(self):
        self.socket.close()


# ---- structs and packets ----

IPV4_AND_UDP = 28
HEADER = 30      # header_length behind Ethernet, IPv4 and UDP: 14 + 20 + 8 + 30 is a multiple of 8
TRAILER = 4
PACKET = 24
TIMING = 8
NO_DEADLINE = 0xffffffff
UNASKED = 65536  # bytes of a body that need no credit; of a longer one a single fragment goes first
WINDOW = 64      # fragments that may be under way to us


def frame(name):
    return importlib.import_module(f'frame.{name}')


def kind(name):
    """Number of a kind of packet; `none` is a word of Python, so flatc writes none_."""
    return getattr(frame('Kind').Kind, name)


def struct_bytes(name, *values):
    import flatbuffers
    builder = flatbuffers.Builder(128)
    getattr(frame(name), f'Create{name}')(builder, *values)
    return bytes(builder.Bytes[builder.Head():])


def struct_read(name, data, at=0):
    made = getattr(frame(name), name)()
    made.Init(bytearray(data), at)
    return made


def padded(data):
    return data + bytes(-len(data) % 8)


class Packet:
    def __init__(self, data):
        h = struct_read('Packet', data)
        self.kind, self.flags, self.length = h.Kind(), h.Flags(), h.Length()
        self.session, self.slot, self.call = h.Session(), h.Slot(), h.Call()
        self.fragment, self.body_length, self.envelope_length = h.Fragment(), h.BodyLength(), h.EnvelopeLength()
        self.body = bytes(data[PACKET:self.length])

    @staticmethod
    def make(kind_name, body=b'', session=0, slot=0, call=0, fragment=0, flags=0, body_length=0, envelope_length=0):
        return padded(struct_bytes('Packet', kind(kind_name), flags, PACKET + len(body), session, slot, fragment, call,
                                   body_length, envelope_length, 0) + body)

    def __repr__(self):
        return f'<kind {self.kind} call {self.call} slot {self.slot} fragment {self.fragment}, {len(self.body)} bytes>'


class Reply:
    """A whole response: status of the call, payload."""

    def __init__(self, timing, body, envelope_length):
        self.timing = struct_read('Timing', timing)
        self.code, self.outcome, self.message, self.schema = 0, 0, '', 0
        if envelope_length:
            envelope = frame('Envelope').Envelope.GetRootAs(bytearray(body[:envelope_length]), 0)
            status, self.schema = envelope.Status(), envelope.Schema()
            if status:
                self.code, self.outcome = status.Code(), status.Outcome()
                self.message = (status.Message() or b'').decode()
        self.payload = body[len(padded(body[:envelope_length])):]


class Client:
    """A caller core in Python: one path, one session."""

    def __init__(self, namespace, address, node, udp_port=7447, header=HEADER):
        self.node = (node, udp_port)
        self.header = header
        self.open(namespace, address)
        self.incarnation = struct.unpack('<Q', os.urandom(8))[0] | 1
        self.connection = struct.unpack('<I', os.urandom(4))[0] | 1
        self.node_id = struct.unpack('<Q', os.urandom(8))[0]
        self.peer_connection = 0
        self.number = 0
        self.calls = [0] * 8
        self.queue = []
        self.binds = {}
        self.accept = None
        self.fragment = 0

    def open(self, namespace, address):
        def make():
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK: over veth the kernel would leave its checksum unfinished
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            s.bind((address, 0))
            return s
        self.socket = in_namespace(namespace.name, make)

    def close(self):
        self.socket.close()

    # -- datagrams --

    def datagram(self, packets, connection=None, number=None, version=1):
        if number is None:
            self.number += 1
            number = self.number
        stamp = time.monotonic_ns() // 16 & 0xffffffff | 1
        data = struct_bytes('Datagram', version, frame('Integrity').Integrity.crc32c, self.header, 0,
                            self.peer_connection if connection is None else connection, number & 0xffffffff, number >> 32,
                            stamp, 0, 0, 0)
        data += bytes(self.header - len(data)) + b''.join(packets)
        return data + struct.pack('<I', crc32c(data))

    def send_raw(self, data):
        self.socket.sendto(data, self.node)

    def send(self, *packets):
        self.send_raw(self.datagram(packets))

    def receive_raw(self, seconds=5.0):
        if not select.select([self.socket], [], [], seconds)[0]:
            return None
        return self.socket.recv(65535)

    def pump(self, seconds):
        """Takes one datagram; its packets stand in the queue then."""
        data = self.receive_raw(seconds)
        if data is None:
            return False
        h = struct_read('Datagram', data)
        assert h.Version() == 1 and h.Flags() & 3 == 1, data.hex()
        assert crc_right(data), data.hex()
        assert h.Connection() in (self.connection, 0)
        at, end = h.HeaderLength(), len(data) - TRAILER
        while at < end:
            p = Packet(data[at:end])
            assert PACKET <= p.length <= end - at, p
            at += p.length + -p.length % 8
            if p.kind == kind('bind'):
                b = struct_read('Bind', p.body)
                self.binds[b.Schema()] = b.Index()
            self.queue.append(p)
        return True

    def take(self, *kinds, seconds=5.0, **match):
        """The next packet of these kinds that has these fields; others are forgotten. None: nothing came."""
        end = time.monotonic() + seconds
        numbers = [kind(k) for k in kinds]
        while True:
            while self.queue:
                p = self.queue.pop(0)
                if p.kind in numbers and all(getattr(p, k) == v for k, v in match.items()):
                    return p
            if time.monotonic() >= end or not self.pump(max(0, end - time.monotonic())):
                return None

    # -- handshake --

    def hello(self, cookie=0, cookie_time=0, connection=None):
        body = struct_bytes('Hello', self.node_id, self.incarnation, cookie, cookie_time, connection or self.connection,
                            1, 0, 0, 1500, 0, 16, 64, 1, 1, 1 << frame('Integrity').Integrity.crc32c, 0, 0)
        return self.datagram([Packet.make('hello', body)], 0, 0)

    def handshake(self):
        self.send_raw(self.hello())
        p = self.take('cookie')
        assert p, 'no cookie came'
        cookie = struct_read('Hello', p.body)
        self.send_raw(self.hello(cookie.Cookie(), cookie.CookieTime()))
        p = self.take('accept')
        assert p, 'no accept came'
        self.accept = struct_read('Hello', p.body)
        self.peer_connection = self.accept.Connection()
        mtu = min(1500, self.accept.Mtu())
        self.fragment = (mtu - IPV4_AND_UDP - HEADER - TRAILER - PACKET - TIMING) & ~7
        return cookie, self.accept

    # -- calls --

    def envelope(self, method, service=None, schema=0, bind=0, budget_us=5_000_000, reply_limit=1 << 20):
        import flatbuffers
        made = frame('Envelope').EnvelopeT()
        made.budgetUs, made.method, made.service, made.schema, made.bind = budget_us, method, service, schema, bind
        made.replyLimit = reply_limit
        builder = flatbuffers.Builder(128)
        builder.Finish(made.Pack(builder))
        return bytes(builder.Output())

    def request(self, envelope, payload, slot=0, call=None, flags=0):
        """Packets of a request, in a new call of its slot unless `call` says otherwise."""
        if call is None:
            self.calls[slot] += 1
            call = self.calls[slot]
        body = padded(envelope) + payload
        return [Packet.make('request', body[at:at + self.fragment], slot=slot, call=call, fragment=at // self.fragment,
                            flags=flags, body_length=len(body), envelope_length=len(envelope))
                for at in range(0, len(body), self.fragment)]

    def call(self, envelope, payload, slot=0, seconds=10.0):
        """Sends a request, as fast as its window opens, and returns the whole reply."""
        packets = self.request(envelope, payload, slot)
        limit, sent = 1 if len(padded(envelope) + payload) > UNASKED else len(packets), 0
        end = time.monotonic() + seconds
        parts, reply = {}, None
        while time.monotonic() < end:
            for p in packets[sent:limit]:
                self.send(p)
            sent = max(sent, limit)
            p = self.take('acknowledge', 'response', 'gap', 'rebind', seconds=end - time.monotonic(), slot=slot,
                          call=self.calls[slot])
            if p is None:
                break
            if p.kind == kind('rebind'):
                return 'rebind'
            if p.kind == kind('acknowledge'):
                limit = max(limit, struct_read('Window', p.body).Limit())
            elif p.kind == kind('gap'):
                gap = struct_read('Gap', p.body)
                for i in range(gap.First(), min(gap.First() + gap.Count(), sent)):
                    self.send(packets[i])
            else:
                reply = p if p.fragment == 0 else reply
                parts[p.fragment] = p.body[TIMING if p.fragment == 0 else 0:]
                n = max(1, -(-p.body_length // self.fragment))
                if len(parts) == n:
                    if n > 1:
                        self.send(Packet.make('release', slot=slot, call=p.call))
                    return Reply(reply.body[:TIMING], b''.join(parts[i] for i in range(n)), reply.envelope_length)
                if len(parts) % 16 == 0 or (len(parts) == 1 and p.body_length > UNASKED):
                    have = next(i for i in range(n) if i not in parts)
                    window = struct_bytes('Window', min(n, have + WINDOW), 0, 0)
                    self.send(Packet.make('acknowledge', window, slot=slot, call=p.call, fragment=have))
        raise AssertionError(f'no whole reply: {len(parts)} fragments came, {sent} of {len(packets)} were sent')
