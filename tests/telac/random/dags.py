"""Buffers in which one table is reached by very many paths, of which the C++ verifier walks each, which takes it
milliseconds for 300 bytes, and ours stops when its visits are used up; and such in which no table is, but other things
are, which ours accepts. shapes.h has more of those."""
import struct

from model import STRING, Field, Schema, Struct, Table, Type, Union, scalar


def schema():
    node = Table('Node', 'dag')
    node.fields = [Field(name, t, i) for i, (name, t) in enumerate((
        ('left', Type('table', ref=node)), ('right', Type('table', ref=node)),
        ('kids', Type('vector', of=Type('table', ref=node))), ('texts', Type('vector', of=STRING))))]
    one = Union('One', 'dag', members=[('text', STRING, True), ('dag_Node', Type('table', ref=node), False)])
    spot = Struct('Spot', 'dag', fields=[Field('x', scalar('ushort')), Field('y', scalar('ushort'))])
    two = Union('Two', 'dag', members=[('spot', Type('struct', ref=spot), True), ('dag_Node', Type('table', ref=node), False)])
    node.fields += [Field('ones', Type('vector', of=Type('union', ref=one)), 5),
                    Field('inner', Type('vector', of=scalar('ubyte')), 6, nested=node, nested_name='dag.Node'),
                    Field('twos', Type('vector', of=Type('union', ref=two)), 8)]
    return Schema('dag', [spot, one, two, node], node)


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


def named(names, slots, make, rest):
    """No table twice: the root has a vector of `names` tables; make(i, at) gives the offsets of number i that stands at
    `at`, whose fields are in `slots`, and `rest` is what stands behind the last."""
    size = 4 + 4 * sum(map(bool, slots))
    vtable = struct.pack(f'<HH{len(slots)}H', 4 + 2 * len(slots), size, *slots)
    vtable += bytes(-len(vtable) % 4)
    out = struct.pack('<I', 16) + struct.pack('<HH4H', 12, 8, 0, 0, 4, 0) + struct.pack('<iI', 12, 4)
    kids = len(out) + 4
    first = kids + 4 * names + len(vtable)
    out += struct.pack('<I', names)
    out += b''.join(struct.pack('<I', first + size * i - kids - 4 * i) for i in range(names)) + vtable
    for i in range(names):
        at = first + size * i
        places = make(i, at, first + size * names)
        out += struct.pack('<i', at - first + len(vtable)) + b''.join(struct.pack('<I', p) for p in places)
    return out + rest


def shared(vectors, n, names, types=0, stand=0):
    """The tables name, in turn, one of so many vectors of `n` texts, or unions with one of so many vectors of `types`, all
    one text. `stand`: each begins so many entries behind the one before, inside of it."""
    size = 4 + 4 * n if not stand else 4 * stand
    slots = (0, 0, 0, 0, 4, 8) if types else (0, 0, 0, 4)
    kinds = 4 + (n | 3) + 1
    rest = b''.join(struct.pack('<I', n) + b'\1' * ((n | 3) + 1) for _ in range(types))
    lists = len(rest)
    if stand:  # a word of 256 is a length, and leads to one of zero: an empty string
        rest += b''.join(struct.pack('<I', 256 if i % 16 == 0 and i // 64 % 2 == 0 else 0) for i in range(vectors * stand + 256))
        rest += bytes(4 * 256)
    else:
        text = lists + vectors * size
        for i in range(vectors):
            rest += struct.pack('<I', n) + b''.join(struct.pack('<I', text - lists - i * size - 4 - 4 * k) for k in range(n))
        rest += bytes(8)

    def make(i, at, end):
        place = 4 if types else 0
        to = [end + i // vectors % types * kinds - at - 4] if types else []
        return to + [end + lists + i % vectors * size - at - 4 - place]
    return named(names, slots, make, rest)


def confused(names, n):
    """The tables name one vector of unions, the last one as one of another union too, of which it is not valid."""
    rest = struct.pack('<II', 0, n) + b'\1' * n + struct.pack('<I', n) + struct.pack('<I', 4 * n) * n + b'\xff' * 4 * n

    def make(i, at, end):
        types, values = end + 4, end + 8 + n
        return [types - at - 4, values - at - 8, (types if i == names - 1 else end) - at - 12,
                (values if i == names - 1 else end) - at - 16]
    return named(names, (0, 0, 0, 0, 12, 16, 0, 4, 8), make, rest)


def inside(names, n, text_inside):
    """The tables name a vector of strings that is part of a nested buffer, which names it too: its strings may stand behind
    that buffer's end."""
    one = struct.pack('<IHHi', 8, 4, 4, 4)
    two = struct.pack('<I6HiII', 16, 12, 8, 0, 0, 0, 4, 12, 4, n) + struct.pack('<I', 4 * n) * n + bytes(4 * n + 8)
    size = len(two) if text_inside else 28 + 4 * n
    rest = struct.pack('<I', len(one)) + one + struct.pack('<I', size) + two
    return named(names, (0, 0, 0, 4, 0, 0, 8), lambda i, at, end: [
        end + 44 - at - 4, end + (16 if i == names - 1 else 0) - at - 8], rest)


def chain(levels):
    """So many buffers inside each other."""
    out = struct.pack('<IHHi', 8, 4, 4, 4)
    for _ in range(levels):
        out = struct.pack('<I10HiII', 24, 18, 8, *[0] * 6, 4, 0, 20, 4, len(out)) + out
    return out


def crafted():
    """(what the oracle must see, buffer): X refused by the budget, Y accepted, Z not valid."""
    both, kids = (4, 8, 0, 0), (0, 0, 4, 0)
    yield 'X', buffer([(8, pair)] * 22, both)            # 2^22 paths in about 300 bytes
    yield 'X', buffer([(8, pair)] * 10, both)            # few enough for C++ to accept
    for width, height in ((2, 18), (4, 9), (8, 5), (20, 3)):
        yield 'X', buffer([(8 + 4 * width, fan(width))] * height, kids)
    for types in (0, 1):
        yield 'Y', shared(1, 20, 20, types)
        yield 'Y', shared(1, 4, 4, types)
        yield 'Y', shared(16, 60, 500, types)
        yield 'Y', shared(17, 60, 500, types)
        yield 'Y', shared(100, 60, 2000, types)          # 100 in turn
        yield 'Y', shared(40, 60, 60, types)
    yield 'Y', shared(100, 256, 1000, stand=16)          # each begins inside the one before
    yield 'Y', shared(20, 100, 3000, 1)                  # a few vectors of unions are known again
    yield 'X', shared(20, 600, 4000, 20)                 # 400 that differ are not
    yield 'Z', confused(200, 60)
    yield 'Z', confused(1, 60)
    yield 'Y', inside(600, 60, True)             # more nested buffers than may be around one
    yield 'Z', inside(200, 60, False)
    yield 'Z', inside(1, 60, False)
    yield 'Y', chain(17)
    yield 'Y', chain(300)
    yield 'Y', buffer([(40, fan(8))], kids)             # shared, but it fits
    yield 'Y', buffer([(12, fan(1))] * 60, kids)        # a long tree
