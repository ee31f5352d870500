"""What a schema declares, as objects, and its .fbs text.

A type is a Type; what it refers to is an Enum, Struct, Table or Union. Values of floats are their bits everywhere, so
that nothing between two languages rounds or prints them.
"""
import struct
from dataclasses import dataclass, field

INTS = {  # name: bytes, signed
    'byte': (1, True), 'ubyte': (1, False), 'short': (2, True), 'ushort': (2, False),
    'int': (4, True), 'uint': (4, False), 'long': (8, True), 'ulong': (8, False),
}
FLOATS = {'float': 4, 'double': 8}
SCALARS = ('bool', *INTS, *FLOATS)
INFINITE = {'float': 0x7f800000, 'double': 0x7ff0000000000000}
NAN = {'float': 0x7fc00000, 'double': 0x7ff8000000000000}
SIGN = {'float': 0x80000000, 'double': 0x8000000000000000}


def size_of(base):
    return 1 if base == 'bool' else FLOATS[base] if base in FLOATS else INTS[base][0]


def limits(base):
    """Smallest and largest value of an integer."""
    size, signed = INTS[base]
    return (-1 << 8 * size - 1, (1 << 8 * size - 1) - 1) if signed else (0, (1 << 8 * size) - 1)


def from_bits(base, bits):
    return struct.unpack('<f' if base == 'float' else '<d', bits.to_bytes(FLOATS[base], 'little'))[0]


def to_bits(base, value):
    return int.from_bytes(struct.pack('<f' if base == 'float' else '<d', value), 'little')


@dataclass
class Type:
    kind: str               # scalar, enum, struct, table, string, union, vector, array
    base: str = ''          # of a scalar or enum
    ref: object = None      # declaration of enum, struct, table, union
    of: object = None       # Type of the elements of a vector or array
    n: int = 0              # elements of an array

    @property
    def is_bytes(self):
        return self.kind == 'vector' and self.of.kind == 'scalar' and self.of.base == 'ubyte'

    def text(self):
        if self.kind == 'vector':
            return f'[{self.of.text()}]'
        if self.kind == 'array':
            return f'[{self.of.text()}:{self.n}]'
        return self.ref.full if self.ref else self.base or self.kind


def scalar(base):
    return Type('scalar', base)


STRING = Type('string')


@dataclass
class Decl:
    name: str
    space: str = ''
    file: int = 0           # 0: the schema itself, 1: what it includes

    @property
    def full(self):
        return f'{self.space}.{self.name}' if self.space else self.name


@dataclass
class Enum(Decl):
    base: str = 'byte'
    values: list = field(default_factory=list)  # (name, number)
    flags: bool = False

    def text(self):
        lines = []
        for name, number in self.values:
            lines.append(f'  {name} = {number.bit_length() - 1 if self.flags else number}')
        return f'enum {self.name} : {self.base}{" (bit_flags)" if self.flags else ""} {{\n' + ',\n'.join(lines) + '\n}\n'


@dataclass
class Field:
    name: str
    type: Type
    id: int = 0
    default: object = None  # of a scalar or enum: number or bits
    optional: bool = False
    required: bool = False
    deprecated: bool = False
    key: bool = False
    shared: bool = False
    nested: object = None   # the table inside a [ubyte]
    nested_name: str = ''   # as it is written
    explicit: bool = False
    align: int = 0          # of a vector, if asked for

    def default_text(self):
        if self.optional:
            return ' = null'
        if self.default is None:
            return ''
        base = self.type.base
        if base == 'bool':
            return ' = true' if self.default else ' = false'
        if base in FLOATS:
            if self.default == NAN[base]:
                return ' = nan'
            value = from_bits(base, self.default)
            return f' = {value!r}' if value == value and abs(value) != float('inf') else ' = inf' if value > 0 else ' = -inf'
        return f' = {self.default}'

    def text(self):
        attributes = [name for name in ('required', 'deprecated', 'key', 'shared') if getattr(self, name)]
        if self.explicit:
            attributes.append(f'id: {self.id}')
        if self.align:
            attributes.append(f'force_align: {self.align}')
        if self.nested:
            attributes.append(f'nested_flatbuffer: "{self.nested_name}"')
        tail = f' ({", ".join(attributes)})' if attributes else ''
        return f'  {self.name} : {self.type.text()}{self.default_text()}{tail};\n'

    @property
    def slot(self):
        return 4 + 2 * self.id


@dataclass
class Struct(Decl):
    fields: list = field(default_factory=list)
    align: int = 0

    def text(self):
        tail = f' (force_align: {self.align})' if self.align else ''
        return f'struct {self.name}{tail} {{\n' + ''.join(f.text() for f in self.fields) + '}\n'


@dataclass
class Table(Decl):
    fields: list = field(default_factory=list)
    shared_vtable: bool = False

    def text(self):
        tail = ' (shared_vtable)' if self.shared_vtable else ''
        return f'table {self.name}{tail} {{\n' + ''.join(f.text() for f in self.fields) + '}\n'

    @property
    def live(self):
        """The fields that have readers, in the order of their ids."""
        return sorted((f for f in self.fields if not f.deprecated), key=lambda f: f.id)

    @property
    def key(self):
        return next((f for f in self.fields if f.key), None)


@dataclass
class Union(Decl):
    members: list = field(default_factory=list)  # (name, Type, whether the name is written)

    def text(self):
        return f'union {self.name} {{ ' + ', '.join(
            f'{name} : {t.text()}' if named else t.text() for name, t, named in self.members) + ' }\n'


@dataclass
class Schema:
    stem: str               # of its files
    decls: list             # in the order of declaration, all files
    root: Table
    identifier: str = ''
    languages: tuple = ()   # besides C++ and ours: python, js
    included: bool = False

    def of(self, kind):
        return [d for d in self.decls if isinstance(d, kind)]

    def stems(self):
        return [self.stem, self.stem + '_more'] if self.included else [self.stem]

    def texts(self):
        """{file name: text}"""
        texts = {}
        for number, stem in enumerate(self.stems()):
            mine = [d for d in self.decls if d.file == number]
            text = f'include "{self.stem}_more.fbs";\n' if self.included and not number else ''
            if any(isinstance(d, Table) and any(f.shared for f in d.fields) for d in mine):
                text += 'attribute "shared";\n'
            if any(isinstance(d, Table) and d.shared_vtable for d in mine):
                text += 'attribute "shared_vtable";\n'
            space = ''
            for d in mine:
                if d.space != space:
                    text += f'namespace {d.space};\n'
                    space = d.space
                text += d.text()
            if number and space != self.root.space:  # flatc looks for what is nested where a file ends
                text += f'namespace {self.root.space};\n'
            if not number:
                text += f'root_type {self.root.full};\n'
                if self.identifier:
                    text += f'file_identifier "{self.identifier}";\n'
            texts[stem + '.fbs'] = text
        return texts
