"""Random schemas. Names are unique in a schema but for the words that are keywords somewhere."""
from features import allowed
from model import (FLOATS, INFINITE, INTS, NAN, SCALARS, SIGN, STRING, Enum, Field, Schema, Struct, Table, Type, Union,
                   limits, scalar, to_bits)

# Words of C, C++, Python and JavaScript, and what telac's own functions end in. None of flatc's own.
KEYWORDS = ('class', 'default', 'delete', 'new', 'for', 'import', 'def', 'lambda', 'await', 'function', 'var', 'typeof',
            'export', 'operator', 'template', 'register', 'restrict', 'inline', 'typedef', 'switch', 'case', 'while',
            'yield', 'with', 'pass', 'in', 'is', 'not', 'or', 'try', 'except', 'static', 'extern', 'volatile', 'goto',
            'async', 'let', 'package', 'arguments', 'eval', 'linux', 'unix', 'root', 'size', 'build', 'verify',
            'args', 't', 'global', 'nonlocal', 'del', 'elif', 'raise', 'this', 'finally', 'instanceof', 'throw')


class Maker:
    def __init__(self, rng, stem, languages):
        self.rng, self.stem, self.languages = rng, stem, languages
        self.decls, self.count = [], 0
        self.spaces = [stem, f'{stem}.inner', f'{stem}_b.deep.er']
        self.last_space = rng.choice(self.spaces)
        self.included = rng.random() < 0.5
        self.file = 1 if self.included else 0

    def may(self, feature, chance):
        return allowed(feature, self.languages) and self.rng.random() < chance

    def name(self, prefix):
        self.count += 1
        return f'{prefix}{self.count}'

    def field_name(self, taken, words=True):
        self.count += 1
        word = self.rng.choice(KEYWORDS)
        if words and self.rng.random() < 0.2 and word not in taken and allowed(word, self.languages):
            name = word
        else:
            name = self.rng.choice((f'f{self.count}', f'f{self.count}_x', f'aField{self.count}', f'f{self.count}_{word}'))
        taken.add(name)
        return name

    def declare(self, kind, prefix, **rest):
        decl = kind(self.name(prefix), self.rng.choice(self.spaces), self.file, **rest)
        self.decls.append(decl)
        return decl

    def of(self, kind):
        return [d for d in self.decls if isinstance(d, kind)]

    # ---- enums ----

    def enum(self):
        rng, base = self.rng, self.rng.choice(list(INTS))
        low, high = limits(base)
        high = min(high, (1 << 63) - 1)  # what flatc keeps as a default
        flags = low == 0 and rng.random() < 0.6
        if flags:
            bits = rng.sample(range(high.bit_length()), min(high.bit_length(), rng.randrange(1, 6)))
            numbers = {1 << bit for bit in bits}
        else:
            numbers = {0, *(rng.choice((low, high, 1, high - 1, rng.randint(low, high))) for _ in range(rng.randrange(5)))}
        values = []
        for number in sorted(numbers):
            word = rng.choice(KEYWORDS)
            plain = rng.random() < 0.7 or any(word == name for name, _ in values)
            values.append((f'v{len(values)}' if plain else word, number))
        self.declare(Enum, 'Enum', base=base, values=values, flags=flags)

    def scalar_type(self):
        enums = self.of(Enum)
        if enums and self.rng.random() < 0.3:
            ref = self.rng.choice(enums)
            return Type('enum', ref.base, ref)
        return scalar(self.rng.choice(SCALARS))

    # ---- structs ----

    def struct_member(self):
        structs = [s for s in self.of(Struct) if not s.align and (
            allowed('inner_enum', self.languages) or all(f.type.kind == 'scalar' for f in s.fields))]
        inner = self.rng.choice(structs) if structs and self.rng.random() < 0.3 else None
        t = Type('struct', ref=inner) if inner else self.scalar_type()
        if self.may('array', 0.25):
            t = Type('array', of=t, n=self.rng.choice((1, 2, 3, 5)))
        return t

    def struct(self):
        taken, align, words = set(), 0, allowed('struct_word', self.languages)
        fields = [Field(self.field_name(taken, words), self.struct_member()) for _ in range(self.rng.randrange(1, 6))]
        if self.may('align16', 0.15):
            align = 16
        made = self.declare(Struct, 'Struct', fields=fields, align=align)
        for f in fields[:1]:
            if f.type.kind == 'scalar' and f.type.base in INTS and self.may('key', 0.5):
                f.key = True
        return made

    # ---- unions ----

    def union(self):
        tables, structs = self.of(Table), self.of(Struct)
        members = []
        for ref in self.rng.sample(tables, min(len(tables), self.rng.randrange(1, 4))):
            named = self.rng.random() < 0.4
            members.append((self.name('m') if named else ref.full.replace('.', '_'), Type('table', ref=ref), named))
        if structs and self.may('union_struct', 0.5):
            members.append((self.name('s'), Type('struct', ref=self.rng.choice(structs)), True))
        if self.may('union_string', 0.5):
            members.append((self.name('t'), STRING, True))
        self.declare(Union, 'Union', members=members)

    # ---- tables ----

    def default(self, t):
        rng, base = self.rng, t.base
        if base == 'bool':
            return rng.choice((0, 1))
        if base in FLOATS:
            if allowed('nan_default', self.languages) and rng.random() < 0.2:
                return rng.choice((NAN[base], INFINITE[base], INFINITE[base] | SIGN[base]))
            return to_bits(base, rng.choice((0.5, -1.25, 3.0, 1e10, -0.0009765625)))
        low, high = limits(base)
        if t.kind == 'enum':
            return rng.choice(t.ref.values)[1]
        return rng.choice((low, min(high, (1 << 63) - 1), 1, rng.randint(low, min(high, (1 << 63) - 1))))

    def scalar_field(self, f):
        if self.may('optional', 0.25):
            f.optional = True
        elif self.rng.random() < 0.5 or (f.type.kind == 'enum' and all(n for _, n in f.type.ref.values)
                                         and not f.type.ref.flags):
            f.default = self.default(f.type)

    def element_type(self, me):
        structs, unions = self.of(Struct), [u for u in self.of(Union) if u.space == me.space]
        kind = self.rng.choice(('scalar', 'scalar', 'string', 'struct', 'table', 'table', 'union'))
        if kind == 'struct' and structs:
            return Type('struct', ref=self.rng.choice(structs))
        if kind == 'table':
            return Type('table', ref=self.rng.choice([*self.of(Table), me]))
        if kind == 'union' and unions and self.may('union_vector', 1):
            return Type('union', ref=self.rng.choice(unions))
        return STRING if kind == 'string' else self.scalar_type()

    def field(self, me, taken):
        rng, structs, unions = self.rng, self.of(Struct), self.of(Union)
        f = Field(self.field_name(taken), scalar('int'))
        kind = rng.choice(('scalar',) * 5 + ('string', 'string', 'struct', 'table', 'vector', 'vector', 'vector', 'bytes',
                                             'union', 'nested'))
        if kind == 'string':
            f.type = STRING
            f.shared = self.may('shared', 0.3)
        elif kind == 'struct' and structs:
            f.type = Type('struct', ref=rng.choice(structs))
        elif kind == 'table':
            f.type = Type('table', ref=rng.choice([*self.of(Table), me]))
        elif kind == 'union' and unions:
            f.type = Type('union', ref=rng.choice(unions))
        elif kind in ('bytes', 'nested'):
            f.type = Type('vector', of=scalar('ubyte'))
            if kind == 'nested':
                self.nest(me, f)
        elif kind == 'vector':
            f.type = Type('vector', of=self.element_type(me))
            if f.type.of.kind != 'union' and self.may('vector_align', 0.1):
                f.align = rng.choice((4, 8, 16, 32))
        else:
            f.type = self.scalar_type()
            self.scalar_field(f)
        if f.type.kind == 'union' or (f.type.kind == 'vector' and f.type.of.kind == 'union'):
            f.name = self.field_name(taken, words=False)
        if f.type.kind in ('string', 'struct', 'vector', 'union') or (f.type.kind == 'table' and f.type.ref is not me):
            f.required = rng.random() < 0.12
        return f

    def nest(self, me, f):
        near = [t for t in self.of(Table) if t.space == me.space == self.last_space and t.file == me.file]
        far = self.of(Table) if allowed('nested_elsewhere', self.languages) else []
        if near or far:
            f.nested = self.rng.choice(near or far)
            f.nested_name = f.nested.name if near else f.nested.full

    def number(self, fields):
        """Ids in the order of declaration, or written and mixed; a union takes two, the first one for its type."""
        order = list(fields)
        explicit = self.rng.random() < 0.3
        if explicit:
            self.rng.shuffle(order)
        next_id = 0
        for f in order:
            next_id += 2 if f.type.kind == 'union' or (f.type.kind == 'vector' and f.type.of.kind == 'union') else 1
            f.id, f.explicit = next_id - 1, explicit

    def key_field(self, fields):
        """One field orders vectors of this table."""
        fit = [f for f in fields if not f.deprecated and not f.optional and
               (f.type.kind == 'string' or (f.type.kind == 'scalar' and f.type.base in INTS))]
        if fit and self.may('key', 0.4):
            f = self.rng.choice(fit)
            f.key, f.required = True, f.type.kind == 'string'

    def table(self, fields=None, space=None):
        taken = set()
        made = Table(self.name('Table'), space or self.rng.choice(self.spaces), self.file)
        n = self.rng.choice((0, 1, 2, 4, 6, 9, 14)) if fields is None else fields
        made.fields = [self.field(made, taken) for _ in range(n)]
        for f in made.fields:
            f.deprecated = self.rng.random() < 0.08
            f.required = f.required and not f.deprecated
        self.number(made.fields)
        self.key_field(made.fields)
        made.shared_vtable = self.may('shared', 0.3)
        self.decls.append(made)
        return made

    def schema(self):
        rng = self.rng
        steps = [self.enum] * rng.randrange(4) + [self.struct] * rng.randrange(5) + [self.table] * rng.randrange(1, 5)
        rng.shuffle(steps)
        for i, step in enumerate(steps):
            if self.file and i >= len(steps) // 2:
                self.file = 0
            step()
            if self.of(Table) and self.may('union', 0.3):
                self.union()
        self.file = 0
        root = self.table(rng.randrange(6, 20), self.last_space)
        identifier = rng.choice(('ABCD', 'x-9_')) if self.may('identifier', 0.4) else ''
        included = any(d.file for d in self.decls)
        return Schema(self.stem, self.decls, root, identifier, self.languages, included)


def random_schema(rng, number):
    languages = rng.choice((('python', 'js'), ('python', 'js'), ('python',), ('js',), ()))
    return Maker(rng, f'r{number}', languages).schema()
