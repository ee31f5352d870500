"""Small buffers in which one table is reached by very many paths: the C++ verifier walks each of them, which takes it
milliseconds for 300 bytes; ours stops when its visits are used up."""
import struct

from model import STRING, Field, Schema, Table, Type


def schema():
    node = Table('Node', 'dag')
    node.fields = [Field(name, t, i) for i, (name, t) in enumerate((
        ('left', Type('table', ref=node)), ('right', Type('table', ref=node)),
        ('kids', Type('vector', of=Type('table', ref=node))), ('texts', Type('vector', of=STRING))))]
    return Schema('dag', [node], node)


def buffer(levels, fields):
    """`levels` of (bytes of a table after its vtable's offset, function of where it and the next one are); their vtable
    stands first, behind the root offset. The last table is empty."""
    vtable = struct.pack('<HH4H', 12, 20, *fields)
    at = 4 + len(vtable)
    places = []
    for size, _ in levels:
        places.append(at)
        at += 4 + size
    places.append(at + 4)
    out = struct.pack('<I', places[0]) + vtable
    for i, (_, make) in enumerate(levels):
        out += struct.pack('<i', places[i] - 4) + make(places[i] + 4, places[i + 1])
    return out + struct.pack('<HHi', 4, 4, 4)


def pair(at, to):
    """Fields left and right, both to the next table."""
    return struct.pack('<II', to - at, to - at - 4)


def fan(n):
    """The field kids: a vector of n offsets, all to the next table."""
    def make(at, to):
        return struct.pack('<II', 4, n) + b''.join(struct.pack('<I', to - at - 8 - 4 * i) for i in range(n))
    return make


def shared_texts(n):
    """No table twice, but n of them name the same vector of n texts, all of them one text."""
    kid = struct.pack('<HH4H', 12, 8, 0, 0, 0, 4)
    first = 16 + 8 + 4 + 4 * n           # where the tables begin: behind the vtable, the root, the vector of them
    kids_vtable = first
    tables = first + len(kid)
    texts = tables + 8 * n
    text = texts + 4 + 4 * n
    out = struct.pack('<I', 16) + struct.pack('<HH4H', 12, 8, 0, 0, 4, 0) + struct.pack('<iI', 12, 4)
    out += struct.pack('<I', n) + b''.join(struct.pack('<I', tables + 8 * i - 28 - 4 * i) for i in range(n)) + kid
    out += b''.join(struct.pack('<iI', tables + 8 * i - kids_vtable, texts - tables - 8 * i - 4) for i in range(n))
    out += struct.pack('<I', n) + b''.join(struct.pack('<I', text - texts - 4 - 4 * i) for i in range(n))
    return out + struct.pack('<I', 0) + bytes(4)


def crafted():
    """(what the oracle must see, buffer): X refused by the budget, Y accepted."""
    both, kids = (4, 8, 0, 0), (0, 0, 4, 0)
    yield 'X', buffer([(8, pair)] * 22, both)            # 2^22 paths in about 300 bytes
    yield 'X', buffer([(8, pair)] * 10, both)            # few enough for C++ to accept
    for width, height in ((2, 18), (4, 9), (8, 5), (20, 3)):
        yield 'X', buffer([(8 + 4 * width, fan(width))] * height, kids)
    yield 'X', shared_texts(20)
    yield 'Y', shared_texts(4)
    yield 'Y', buffer([(40, fan(8))], kids)             # shared, but it fits
    yield 'Y', buffer([(12, fan(1))] * 60, kids)        # a long tree
