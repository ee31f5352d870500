"""Small buffers in which one table is reached by very many paths: the C++ verifier walks each of them, which takes it
milliseconds for 300 bytes; ours stops when its visits are used up."""
import struct

from model import STRING, Field, Schema, Table, Type, Union


def schema():
    node = Table('Node', 'dag')
    node.fields = [Field(name, t, i) for i, (name, t) in enumerate((
        ('left', Type('table', ref=node)), ('right', Type('table', ref=node)),
        ('kids', Type('vector', of=Type('table', ref=node))), ('texts', Type('vector', of=STRING))))]
    one = Union('One', 'dag', members=[('text', STRING, True), ('dag_Node', Type('table', ref=node), False)])
    node.fields.append(Field('ones', Type('vector', of=Type('union', ref=one)), 5))
    return Schema('dag', [one, node], node)


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


def shared(vectors, n, names, unions=False):
    """No table twice, but `names` of them name, in turn, one of so many vectors of `n` texts, or unions, all one text."""
    slots = (0, 0, 0, 0, 4, 8) if unions else (0, 0, 0, 4)
    size = 12 if unions else 8
    vtable = struct.pack(f'<HH{len(slots)}H', 4 + 2 * len(slots), size, *slots)
    out = struct.pack('<I', 16) + struct.pack('<HH4H', 12, 8, 0, 0, 4, 0) + struct.pack('<iI', 12, 4)
    kids = len(out) + 4
    tables = kids + 4 * names + len(vtable)
    lists = tables + size * names
    text = lists + vectors * (4 + 4 * n)
    out += struct.pack('<I', names) + b''.join(struct.pack('<I', tables + size * i - kids - 4 * i) for i in range(names)) + vtable
    for i in range(names):
        at = tables + size * i
        out += struct.pack('<i', at - tables + len(vtable)) + (struct.pack('<I', text + 8 - at - 4) if unions else b'')
        out += struct.pack('<I', lists + i % vectors * (4 + 4 * n) - len(out))
    for i in range(vectors):
        out += struct.pack('<I', n) + b''.join(struct.pack('<I', text - len(out) - 4 - 4 * k) for k in range(n))
    return out + struct.pack('<I', 0) + bytes(4) + struct.pack('<I', n) + b'\1' * n + bytes(4)


def crafted():
    """(what the oracle must see, buffer): X refused by the budget, Y accepted."""
    both, kids = (4, 8, 0, 0), (0, 0, 4, 0)
    yield 'X', buffer([(8, pair)] * 22, both)            # 2^22 paths in about 300 bytes
    yield 'X', buffer([(8, pair)] * 10, both)            # few enough for C++ to accept
    for width, height in ((2, 18), (4, 9), (8, 5), (20, 3)):
        yield 'X', buffer([(8 + 4 * width, fan(width))] * height, kids)
    for unions in (False, True):
        yield 'Y', shared(1, 20, 20, unions)            # one vector is known again
        yield 'Y', shared(1, 4, 4, unions)
        yield 'Y', shared(16, 60, 500, unions)          # and so are the last 16
        yield 'X', shared(17, 60, 500, unions)
        yield 'Y', shared(40, 60, 60, unions)           # fits all the same
    yield 'Y', buffer([(40, fan(8))], kids)             # shared, but it fits
    yield 'Y', buffer([(12, fan(1))] * 60, kids)        # a long tree
