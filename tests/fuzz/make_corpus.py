"""Writes the seeds of the fuzz targets: corpus/NAME/seed-*. Small inputs that reach far, so that a
fuzzer starts behind the first hurdles. What fuzzing found and what ever crashed is beside them and
not touched.

usage: make_corpus.py [FOLDER]    FOLDER: corpus beside this file
"""
import os
import struct
import sys

PEER, US = bytes([10, 0, 0, 2]), bytes([10, 0, 0, 1])
KINDS = {'request': 1, 'response': 2, 'in_progress': 3, 'acknowledge': 4, 'gap': 5, 'credit': 6, 'cancel': 7,
         'release': 8, 'bind': 9, 'ping': 12, 'pong': 13, 'rebind': 14, 'go_away': 15, 'hello': 16, 'cookie': 17,
         'accept': 18, 'refuse': 19}


# ---- the wire ----

def envelope(budget_us=3000, bind=1, method=1):
    """The canonical one of a bound call: dataplane/envelope.h."""
    return struct.pack('<IHHHHHHiIHH', 16, 10, 12, 4, 8, 10, 0, 12, budget_us, bind, method)


def proved_envelope(identity, bind=1, method=1):
    """With an identity index, likewise."""
    return struct.pack('<IHHHHHHHHiIHHH', 20, 16, 14, 4, 8, 10, 0, 0, 12, 16, 3000, bind, method, identity)


def named_envelope(name=b'test.Test', schema=42, method=1):
    """Method, service and schema: fields 2, 3 and 4; vtable of 5 fields, table, string."""
    vtable = struct.pack('<HHHHHHH', 14, 24, 0, 0, 20, 4, 8)
    table_at = 4 + len(vtable) + 2 + 4  # on a multiple of 8 for the schema behind
    table_at += -table_at % 8
    head = struct.pack('<I', table_at) + bytes(table_at - 4 - len(vtable)) + vtable
    string_at = table_at + 24
    table = struct.pack('<iIQIHH', len(vtable), string_at - table_at - 4, schema, 0, method, 0)
    return head + table + struct.pack('<I', len(name)) + name + b'\0'


def padded(data, to=8):
    return data + bytes(-len(data) % to)


def packet(kind, body=b'', slot=0, call=1, fragment=0, session=0, flags=0, length=None, body_length=None, env=0):
    head = struct.pack('<BBHIHHIIHH', KINDS[kind], flags, length or 24 + len(body), session, slot, fragment, call,
                       len(body) if body_length is None else body_length, env, 0)
    return padded(head + body)


def request(call=1, slot=0, method=1, payload=b'12345678', env=None, **more):
    env = envelope(method=method) if env is None else env
    return packet('request', padded(env) + payload, slot=slot, call=call, env=len(env), **more)


def datagram(packets, connection=1, number=1, flags=0):
    return struct.pack('<BBBBIIIIIHH', 1, flags, 32, 0, connection, number, 0, 1, 0, 0, 0) + bytes(4) + packets


# ---- frames ----

def checksum(data):
    data = padded(data, 2)
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ether(kind, payload, to=bytes([2, 0, 0, 0, 0, 1])):
    return to + bytes([2, 0, 0, 0, 0, 9]) + struct.pack('!H', kind) + payload


def ipv4(protocol, payload, to=US):
    head = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(payload), 0, 0x4000, 64, protocol, 0) + PEER + to
    return head[:10] + struct.pack('!H', checksum(head)) + head[12:] + payload


def udp(payload, to=7447):
    return struct.pack('!HHHH', 7448, to, 8 + len(payload), 0) + payload


def arp(op, sender=PEER, target=US):
    return struct.pack('!HHBBH', 1, 0x800, 6, 4, op) + bytes([2, 0, 0, 0, 0, 9]) + sender + bytes(6) + target


def icmp(data):
    head = bytes([8, 0, 0, 0, 0, 1, 0, 1]) + data
    return head[:2] + struct.pack('!H', checksum(head)) + head[4:]


def pieces(mode, items, flags=0):
    return bytes([mode]) + b''.join(struct.pack('<H', len(i) | flags) + i for i in items)


def frame_seeds():
    yield 'arp', pieces(0, [ether(0x806, arp(1)), ether(0x806, arp(2)), ether(0x806, arp(1, US, US))])
    yield 'ping', pieces(0, [ether(0x800, ipv4(1, icmp(b'abcdefgh'))), ether(0x800, ipv4(1, icmp(b'')))])
    yield 'udp', pieces(0, [ether(0x800, ipv4(17, udp(datagram(request())))), ether(0x800, ipv4(17, udp(b'')))])
    yield 'other', pieces(0, [ether(0x86dd, bytes(40)), ether(0x800, ipv4(6, bytes(20))), b'', bytes(13)])
    yield 'versions', pieces(1, [bytes([9]) + bytes(20), bytes([0, 1, 1, 0]) + bytes(4), bytes([2])])
    yield 'datagrams', pieces(1, [datagram(request(), 0), datagram(request(), 7), datagram(b'', 7, flags=1)])
    named = named_envelope()
    for mode in (2, 6):
        yield f'calls-{mode}', pieces(mode, [
            request(1, env=named), request(2), request(3, slot=1) + request(4, slot=2), request(2), request(1),
            request(5, env=named_envelope(b'test.Nobody')), request(6, method=9), request(7, payload=b'')])
        yield f'pending-{mode}', pieces(mode, [
            request(1, env=named_envelope(method=2)), request(1), packet('cancel', call=1), request(2, method=2),
            request(3, method=1)], 2048 | 4096)
        first = padded(named) + bytes(1400 - len(padded(named)))
        large = [packet('request', first, body_length=3000, env=len(named), slot=3),
                 packet('request', bytes(200), fragment=2, body_length=3000, env=len(named), slot=3),
                 packet('request', bytes(1400), fragment=1, body_length=3000, env=len(named), slot=3)]
        yield f'large-{mode}', pieces(mode, large + [packet('acknowledge', struct.pack('<HHI', 3, 0, 0), slot=3),
                                                     packet('gap', struct.pack('<HHI', 0, 2, 0), slot=3),
                                                     packet('release', slot=3)], 4096)
        yield f'kinds-{mode}', pieces(mode, [packet(k, bytes(n)) for k in KINDS for n in (0, 8, 16)][:60])
        yield f'identity-{mode}', pieces(mode, [
            request(1, env=named), request(2, env=proved_envelope(1)), request(3, env=proved_envelope(65535, 9)),
            request(4, slot=1, env=proved_envelope(0)), packet('bind', struct.pack('<QHHI', 42, 1, 17, 0), call=4)])
        yield f'credit-{mode}', pieces(mode, [packet('credit', struct.pack('<HHI', 32, 0, 0)),
                                              packet('credit', struct.pack('<HHI', 8, 0, 0), session=1),
                                              packet('ping', bytes(16)), packet('go_away', bytes(8))])


# ---- steps of the machine: fuzz_machine.c ----

def call(method, size=8, what=0, first=b'\0\0\0\0'):
    limit = b'\xff\xff' if what & 16 else b''
    return bytes([0, (method - 1) | what, size]) + limit + first


def passes(n):
    return bytes([9, n - 1])


def jump(units):
    return bytes([10]) + struct.pack('<H', units)


def answer(what=0, payload=b'12345678', code=0):
    return bytes([6, what, len(payload)]) + payload + (bytes([code]) if what & 32 else b'')


def inject(to, packets):
    return bytes([4 + (192 if to else 0), len(packets)]) + packets + b'\0'


def machine_seeds():
    for mode in range(8):
        yield f'calls-{mode}', bytes([mode]) + b''.join(call(m) + passes(3) for m in range(1, 7)) + passes(10)
    yield 'sizes', b'\1' + b''.join(call(1, s) + passes(20) for s in (0, 7, 8, 100, 130, 191, 192, 200, 255))
    yield 'replies', b'\1' + b''.join(call(3, 8, 0, struct.pack('<I', n)) + passes(30)
                                      for n in (0, 230, 241, 1400, 5000, 70000, 1100000))
    yield 'lossy', b'\0' + bytes([7 + 48 + 12 * 4, 0]) + (call(1, 195) + call(3, 8, 0, struct.pack('<I', 60000))
                                                         + passes(100)) * 3
    yield 'disorder', b'\1' + bytes([247, 1]) + (call(1, 195) + call(1, 8) + passes(100)) * 3
    yield 'pending', b'\1' + (call(2) + passes(8) + answer()) * 3 + passes(5) + call(2) + passes(8) + answer(
        64) + call(2) + passes(9) + answer(32 | 16, code=5) + passes(9)
    yield 'late', b'\1' + call(2, 8, 8) + passes(200) + answer(8) + passes(9)
    yield 'links', b'\1' + (call(5, 40, 32) + passes(8) + answer(64 | 128)) * 2 + passes(9)
    yield 'talk', b'\1' + b''.join(call(4, 8, 0, bytes([n, c, 1, 0])) + passes(4)
                                   for n, c in ((0, 3), (1, 3), (5, 9), (15, 16), (15, 200)))
    for mode in (0, 1):  # tokens shown, indices used, refused, forged, offered
        yield f'identity-{mode}', bytes([mode]) + (call(1, 10, 32) + passes(8)) * 3 + (call(5, 11, 32) + passes(8)) * 3 + call(
            1, 13, 32) + passes(8) + call(1, 10, 32, b'\x06\0\0\0') + passes(20) + bytes(
            [2, 129, 0, 0, 1, 0, 1, 64 + 16, 8, 32, 8]) + b'12345678' + passes(4) + inject(
            0, packet('bind', struct.pack('<QHHI', 42, 1, 17, 0), call=9)) + call(1, 10, 32) + passes(9) + bytes(
            [11 + 12 * 15]) + call(1, 10, 32) + passes(200)
    yield 'limits', b'\1' + (call(3, 8, 16, struct.pack('<I', 1000)) + passes(9)) * 2
    yield 'silent', b'\1' + call(1) + bytes([8 + 64 + 12 * 11]) + passes(250) + jump(20000) + passes(9) + call(1)
    yield 'frozen', b'\1' + call(1) + bytes([8 + 12 * 2]) + passes(60) + bytes([8]) + passes(20)
    yield 'down', b'\1' + call(2) + call(1, 200) + passes(4) + bytes([11 + 12 * 15]) + call(1) + passes(200)
    yield 'drain', b'\1' + call(1) + passes(4) + bytes([11 + 12 * 5]) + call(1) + passes(9) + call(1) + passes(90)
    yield 'away', b'\1' + call(2) + passes(4) + jump(60000) + answer() + passes(9)
    yield 'abandon', b'\1' + call(1, 200, 128) + call(1, 8, 128) + call(1) + passes(9)
    yield 'packets', b'\1' + b''.join(inject(to, packet(k, bytes(8)) + packet(k, bytes(16)))
                                      for k in KINDS for to in (0, 1)) + passes(9)
    yield 'raw', b'\1' + bytes([5, 44]) + datagram(b'12345678') + bytes([5, 3, 9, 0, 1]) + passes(3)
    yield 'rebind', b'\1' + (call(1) + passes(8)) * 2 + call(2) + passes(8) + bytes(
        [2, 14, 0, 0, 0, 0, 0, 0, 0]) + passes(60)
    yield 'crafted', b'\1' + call(2) + passes(8) + bytes([2, 129, 0, 0, 1, 0, 1, 1 + 4, 8]) + b'12345678' + passes(
        4) + bytes([2, 129, 6, 0, 0, 1, 1, 128, 0, 48, 0]) + passes(9)


# ---- buffers: fuzz_verify.cc; tests/telac/random/fixed.py makes the other seeds ----

def verify_seeds():
    string = struct.pack('<I', 3) + b'abc\0'
    message = struct.pack('<IHHHHiI', 12, 6, 8, 4, 0, 8, 4)
    yield 'envelope-bound', b'\0' + envelope()
    yield 'envelope-named', b'\0' + named_envelope()
    # reply limit, metadata with one pair, status: the tables behind each other
    yield 'envelope-empty', b'\0' + struct.pack('<IHHi', 8, 4, 4, 4)
    for which, name in ((1, 'message'), (3, 'item'), (4, 'key')):
        yield name, bytes([which]) + message + string
    # plans of tests/telac/random/shapes.h: what is shared overlaps, takes turns, is 20 buffers deep, is changed
    for name, plan in (('overlap', (60, 0, 2, 0)), ('apart', (60, 1, 30, 8, 50, 0)), ('deep', (40, 1, 20, 8, 30, 1, 20)),
                       ('changed', (40, 1, 20, 8, 30, 0, 3, 7, 1, 1, 90, 64))):
        yield 'shape-' + name, bytes([251, 1, 2, 3, 4, *plan])
    yield 'delayed', b'\2' + struct.pack('<IHHHHiII', 12, 8, 12, 4, 8, 8, 7, 4) + string
    yield 'value', b'\5' + struct.pack('<IHHHHiII', 12, 8, 12, 4, 8, 8, 1, 4) + string
    yield 'stats', b'\6' + struct.pack('<IHHHHHHiIQQQ', 16, 10, 32, 8, 16, 24, 0, 12, 0, 1, 2, 3)
    yield 'operands', b'\7' + struct.pack('<IHHHHiIdd', 12, 8, 24, 8, 16, 8, 0, 1.5, 2.5)
    yield 'series', b'\x08' + struct.pack('<IHHHHiIIdd', 12, 6, 8, 4, 0, 8, 4, 2, 1.0, 2.0)
    leaf = struct.pack('<HHHHid', 8, 12, 0, 4, 8, 2.0)
    yield 'expression', b'\x09' + struct.pack('<IHHHHiId', 12, 8, 16, 0, 8, 8, 0, 1.0) + leaf
    # every kind of fuzz_tables: built from a seed; the same with changes
    for which in range(10):
        yield f'kind-{which}', bytes([130 + which]) + struct.pack('<Q', which)
        yield f'kind-changed-{which}', bytes([130 + which]) + struct.pack('<QHBHB', 100 + which, 40, 4, 9, 1)


# ---- configurations: fuzz_conf.c ----

def conf_seeds():
    yield 'empty', b''
    yield 'node', b'''node:
  name: a
  cores: [{cpu: 1, idle: spin}, {cpu: 2}]
ports:
  - name: p0
    device: "net_memif0,role=server,id=0,socket=/run/x"
    address: 10.0.0.1/24
    mtu: 1500
peers:
  - {name: b, address: "10.0.0.2:7447"}
services:
  - name: echo
    stack: [echo, {plugin: log, config: {level: info, limits: {rate: 10}}}]
'''
    yield 'wrong', b'node: [1, 2\nports: {a: &x [*x]}\nnode: 3\n? : -\n'
    yield 'deep', b'a: ' + b'[' * 200 + b']' * 200
    yield 'bytes', bytes(range(256))


SEEDS = {'conf': conf_seeds, 'frame': frame_seeds, 'machine': machine_seeds, 'verify': verify_seeds}


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), 'corpus')
    for target, seeds in SEEDS.items():
        folder = os.path.join(root, target)
        os.makedirs(folder, exist_ok=True)
        for name, data in seeds():
            with open(os.path.join(folder, 'seed-' + name), 'wb') as f:
                f.write(data)


if __name__ == '__main__':
    main()
