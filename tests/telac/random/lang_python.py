"""Writes and reads messages with Python's flatbuffers and what flatc --python generates, found by name at run time."""
import importlib
import struct
import sys

import packs
from content import text
from model import FLOATS, from_bits, to_bits
from shell import Failed

import flatbuffers


def camel(name):
    """As flatc has it: an underscore and the letter behind it become a capital."""
    parts = name.split('_')
    return ''.join(p[:1].upper() + p[1:] for p in parts)


def number(t, v):
    return from_bits(t.base, v) if t.base in FLOATS else bool(v) if t.base == 'bool' else v


def unnumber(t, v):
    return to_bits(t.base, v) if t.base in FLOATS else int(v)


class Module:
    """What flatc made of one declaration."""

    def __init__(self, decl):
        self.name = decl.name
        self.module = importlib.import_module(decl.full)
        self.type = getattr(self.module, decl.name, None)

    def function(self, start, name, end=''):
        """{Table}Add{Field} and the like; a name that is a word of Python has an underscore."""
        for tail in ('', '_'):
            found = getattr(self.module, f'{self.name}{start}{camel(name)}{tail}{end}', None)
            if found:
                return found
        raise AttributeError(f'{self.module.__name__} has no {self.name}{start}{camel(name)}{end}')

    def reader(self, name, end=''):
        for tail in ('', '_'):
            found = getattr(self.type, f'{camel(name)}{tail}{end}', None)
            if found:
                return found
        raise AttributeError(f'{self.module.__name__} has no {camel(name)}{end}')


class Python:
    def __init__(self):
        self.modules = {}

    def module(self, decl):
        if decl.full not in self.modules:
            self.modules[decl.full] = Module(decl)
        return self.modules[decl.full]

    # ---- writing ----

    def leaves(self, t, v):
        """The arguments of Create{Struct}: what is inside a nested struct in its place; of an array, a list of each."""
        if t.kind == 'struct':
            return [leaf for f, part in zip(t.ref.fields, v) for leaf in self.leaves(f.type, part)]
        if t.kind == 'array':
            return [list(column) for column in zip(*(self.leaves(t.of, part) for part in v))]
        return [number(t, v)]

    def struct(self, b, t, v):
        return getattr(self.module(t.ref).module, f'Create{t.ref.name}')(b, *self.leaves(t, v))

    def vector(self, b, table, f, values):
        t = f.type.of
        if t.kind in ('string', 'table'):
            offsets = [self.offset(b, t, v) for v in values]
        self.module(table).function('Start', f.name, 'Vector')(b, len(values))
        for i in reversed(range(len(values))):
            if t.kind in ('string', 'table'):
                b.PrependUOffsetTRelative(offsets[i])
            elif t.kind == 'struct':
                self.struct(b, t, values[i])
            else:
                prepend = {'bool': 'Bool', 'byte': 'Int8', 'ubyte': 'Uint8', 'short': 'Int16', 'ushort': 'Uint16',
                           'int': 'Int32', 'uint': 'Uint32', 'long': 'Int64', 'ulong': 'Uint64', 'float': 'Float32',
                           'double': 'Float64'}[t.base]
                getattr(b, 'Prepend' + prepend)(number(t, values[i]))
        return b.EndVector()

    def offset(self, b, t, v):
        return b.CreateString(v) if t.kind == 'string' else self.table(b, t.ref, v)

    def child(self, b, table, f, v):
        """What stands outside of the table: its offset."""
        t = f.type
        if f.nested:
            inner = flatbuffers.Builder(0)
            inner.Finish(self.table(inner, f.nested, v))
            return b.CreateByteVector(bytes(inner.Output()))
        if t.kind == 'union':
            return self.offset(b, t.ref.members[v[0] - 1][1], v[1])
        if t.is_bytes:
            return b.CreateByteVector(v)
        return self.vector(b, table, f, v) if t.kind == 'vector' else self.offset(b, t, v)

    def table(self, b, table, value):
        module = self.module(table)
        inline = ('scalar', 'enum', 'struct')
        offsets = {f.name: self.child(b, table, f, value[f.name]) for f in table.live
                   if f.type.kind not in inline and value[f.name] is not None}
        getattr(module.module, f'{table.name}Start')(b)
        for f in table.live:
            v = value[f.name]
            if v is None:
                continue
            if f.type.kind == 'union':
                module.function('Add', f.name + '_type')(b, v[0])
            if f.type.kind in ('scalar', 'enum'):
                v = number(f.type, v)
            else:
                v = self.struct(b, f.type, v) if f.type.kind == 'struct' else offsets[f.name]
            module.function('Add', f.name)(b, v)
        return getattr(module.module, f'{table.name}End')(b)

    def build(self, schema, value, forced, prefixed):
        b = flatbuffers.Builder(0)
        b.ForceDefaults(forced)
        identifier = schema.identifier.encode() or None
        root = self.table(b, schema.root, value)
        (b.FinishSizePrefixed if prefixed else b.Finish)(root, identifier)
        return bytes(b.Output())

    # ---- reading, into the values of content.py, and what is there ----

    def read_struct(self, t, obj):
        return [self.read_member(f, obj, self.module(t.ref)) for f in t.ref.fields]

    def read_member(self, f, obj, module):
        t, read = f.type, module.reader(f.name)
        if t.kind == 'struct':
            return self.read_struct(t, read(obj, self.module(t.ref).type()))
        if t.kind == 'array' and t.of.kind == 'struct':
            return [self.read_struct(t.of, read(obj, self.module(t.of.ref).type(), i)) for i in range(t.n)]
        if t.kind == 'array':
            return [unnumber(t.of, v) for v in read(obj)]
        return unnumber(t, read(obj))

    def read_one(self, t, v):
        if v is None:
            return None
        if t.kind == 'struct':
            return self.read_struct(t, v)
        if t.kind == 'table':
            return self.read_table(t.ref, v)
        return v if t.kind == 'string' else unnumber(t, v)

    def read_vector(self, f, module, obj):
        if module.reader(f.name, 'IsNone')(obj):
            return None
        n, read = module.reader(f.name, 'Length')(obj), module.reader(f.name)
        values = [read(obj, i) for i in range(n)]
        return bytes(values) if f.type.is_bytes else [self.read_one(f.type.of, v) for v in values]

    def read_union(self, f, module, obj):
        union, choice = f.type.ref, module.reader(f.name + '_type')(obj)
        raw = module.reader(f.name)(obj)
        if not choice:
            return None
        t = union.members[choice - 1][1]
        inner = self.module(t.ref).type()
        inner.Init(raw.Bytes, raw.Pos)
        return choice, self.read_table(t.ref, inner)

    def read_field(self, f, module, obj):
        t, read = f.type, module.reader(f.name)
        there = obj._tab.Offset(f.slot) != 0
        if t.kind in ('scalar', 'enum'):
            v = read(obj)
            if f.optional or there:
                return None if v is None else unnumber(t, v)
            if unnumber(t, v) != (f.default or 0):
                raise ValueError(f'{f.name} is absent and reads {v}')
            return None
        if f.nested and there:
            return self.read_table(f.nested, module.reader(f.name, 'NestedRoot')(obj))
        if t.kind == 'union':
            return self.read_union(f, module, obj)
        return self.read_vector(f, module, obj) if t.kind == 'vector' else self.read_one(t, read(obj))

    def read_table(self, table, obj):
        module = self.module(table)
        return {f.name: self.read_field(f, module, obj) for f in table.live}

    def read(self, schema, data, prefixed):
        if prefixed:
            data, _ = data[4:], struct.unpack_from('<I', data)
        value = self.read_table(schema.root, self.module(schema.root).type.GetRootAs(data, 0))
        return text(schema.root, value)


# ---- for run.py ----

def write(batch, values):
    sys.path.insert(0, batch.path('python'))
    try:
        return write_all(batch, values, Python())
    finally:
        sys.path.pop(0)


def write_all(batch, values, python):
    pack = b''
    for number_, i, value, _ in values:
        schema = batch.schemas[number_]
        if 'python' in schema.languages:
            for prefixed in (False, True):
                pack += packs.record('P', number_, i, python.build(schema, value, i % 2 == 1, prefixed), prefixed)
    return pack


def check(batch):
    """Reads every buffer of the pack as the others did."""
    python, n, buffer = Python(), 0, None
    sys.path.insert(0, batch.path('python'))
    try:
        for what, prefixed, number_, i, data in packs.read(batch.path('all.pack')):
            schema = batch.schemas[number_]
            if what != 'd':
                buffer = what, data
            elif 'python' in schema.languages:
                n += 1
                got = python.read(schema, buffer[1], prefixed)
                if got != data.decode():
                    raise Failed(f'Python reads message {i} of {schema.stem}, written by {buffer[0]}, otherwise'
                                 + packs.difference(data.decode(), got))
    finally:
        sys.path.pop(0)
        forget(batch)
    return f'Python read {n} of them'


def forget(batch):
    """Modules of one batch are not those of the next one, though their names are the same."""
    folder = batch.path('python')
    for name, module in list(sys.modules.items()):
        places = [getattr(module, '__file__', None) or '', *getattr(module, '__path__', [])]
        if any(place.startswith(folder) for place in places):
            del sys.modules[name]
    importlib.invalidate_caches()
