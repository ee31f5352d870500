"""Random messages: a tree of values for a schema, and the one text that every writer reads and every reader prints.

    {                       a table, its fields in the order of their ids
    f1 =-5                  a number that is there; ~-5 is the default of a field that is not
    f2 =x7fc00000           a float, by its bits
    f3 "6869                a string or, with #, bytes; - if absent
    f4 [2 ... ]             a vector
    f5 ( 1 x3f800000 )      a struct, arrays and all
    f6 |3 ...               a union: number of the type, value; |0 is none
    }

A value is an int (also bool and float: its bits), bytes, a list (struct, array, vector), a dict (table), a pair (union)
or None (absent).
"""
from model import FLOATS, INFINITE, NAN, SIGN, limits, size_of, to_bits

DEPTH = 56  # below what the verifiers allow, with room for a nested buffer's own


CHARACTERS = '\0aZ"\\/\n\t\x1f\x7f\x80\x9f\xa0\u07ff\u0800\ud7ff\ue000\ufffd\uffff\U00010000\U0010ffff'


class Content:
    def __init__(self, rng, room):
        self.rng = rng
        self.room = room    # values that may still be made
        self.deep = rng.random() < 0.1
        self.utf8 = rng.random() < 0.6  # what JSON can say
        self.shared = [self.text_of() for _ in range(rng.choice((1, 3, 100)))]  # ours remembers 64

    def text_of(self, most=40):
        rng = self.rng
        n = rng.choice((0, 1, 3, 4, 7, rng.randrange(most)))
        if rng.random() < 0.03:
            n = rng.choice((255, 256, 5000))
        if self.utf8:
            return ''.join(rng.choice(CHARACTERS) for _ in range(n)).encode()
        return bytes(rng.choice((0, 65, 10, 127, 128, 255, rng.randrange(256))) for _ in range(n))

    def number(self, t, table=False):
        """Any value of a scalar or enum; a writer of a table's field drops -0.0, so only vectors and structs get one."""
        rng, base = self.rng, t.base
        self.room -= 1
        if base == 'bool':
            return rng.randrange(2)
        if base in FLOATS:
            zero = 0 if table else SIGN[base]
            return rng.choice((0, zero, NAN[base], INFINITE[base], INFINITE[base] | SIGN[base], 1, to_bits(base, 1.5),
                               INFINITE[base] - 1, to_bits(base, rng.uniform(-1e6, 1e6))))
        low, high = limits(base)
        if t.kind == 'enum' and rng.random() < 0.7:
            if t.ref.flags:
                return sum(value for _, value in rng.sample(t.ref.values, rng.randrange(1 + len(t.ref.values))))
            return rng.choice(t.ref.values)[1]
        return rng.choice((0, 1, low, high, rng.randint(low, high)))

    def value(self, t, depth, table=False):
        rng = self.rng
        self.room -= 1
        if t.kind in ('scalar', 'enum'):
            return self.number(t, table)
        if t.kind == 'string':
            return self.text_of()
        if t.kind == 'struct':
            return [self.value(f.type, depth) for f in t.ref.fields]
        if t.kind == 'array':
            return [self.value(t.of, depth) for _ in range(t.n)]
        if t.kind == 'table':
            return self.table(t.ref, depth + 1)
        if t.kind == 'union':
            return self.union(t.ref, depth, none=False)
        if t.is_bytes:
            return self.text_of()
        return self.vector(t.of, depth)

    def union(self, union, depth, none):
        choice = self.rng.randrange(1 - none, 1 + len(union.members))
        if not choice or self.room < 0 or depth > DEPTH:
            return None if none else (1, self.value(union.members[0][1], depth))
        return (choice, self.value(union.members[choice - 1][1], depth))

    def vector(self, of, depth):
        n = self.rng.choice((0, 0, 1, 2, 3, self.rng.randrange(12)))
        if self.room < 0 or depth > DEPTH:
            n = 0
        if of.kind in ('scalar', 'enum') and n and self.rng.random() < 0.05:
            n = 300
        values = []
        for _ in range(n):
            if self.room < 0 and of.kind not in ('scalar', 'enum'):
                break
            values.append(self.value(of, depth))
        return sort_by_key(of, values)

    def field(self, f, depth):
        rng, t = self.rng, f.type
        if f.key and t.kind == 'string':
            n = rng.randrange(9)  # lookups by C++ end at a 0
            if self.utf8:
                return ''.join(rng.choice(CHARACTERS[1:]) for _ in range(n)).encode()
            return bytes(rng.randrange(1, 256) for _ in range(n))
        if not f.required:
            chance = 0.3
            if t.kind in ('table', 'union', 'vector') and (self.room < 0 or depth > DEPTH):
                chance = 1
            elif self.deep and t.kind == 'table':
                chance = 0.02
            if rng.random() < chance:
                return None
        if f.nested:
            return self.table(f.nested, depth + 1)
        if t.kind == 'union':
            return self.union(t.ref, depth, none=not f.required)
        if f.shared:
            return rng.choice(self.shared)
        if t.kind in ('scalar', 'enum') and not f.optional and rng.random() < 0.15:
            return f.default or 0
        return self.value(t, depth, table=True)

    def table(self, table, depth):
        return {f.name: self.field(f, depth) for f in table.live}


def key_of(t):
    """The field that a vector of `t` is sorted by, or None."""
    if t.kind == 'table':
        return t.ref.key
    return next((f for f in t.ref.fields if f.key), None) if t.kind == 'struct' else None


def sort_by_key(t, values):
    """By the key, each once."""
    key = key_of(t)
    if not key:
        return values
    at = t.ref.fields.index(key)
    by_key = {}
    for v in values:
        k = v[key.name] if t.kind == 'table' else v[at]
        by_key[(key.default or 0) if k is None else k] = v
    return [by_key[k] for k in sorted(by_key)]


# ---- as text ----

class Text:
    """`mixed`: a random source; vectors that are sorted by a key are then given in another order."""


    def __init__(self, mixed=None):
        self.mixed = mixed
        self.lines = []

    def number(self, t, value):
        return f'x{value:0{2 * size_of(t.base)}x}' if t.base in FLOATS else str(value)

    def flat(self, t, value):
        if t.kind == 'struct':
            return ' '.join(self.flat(f.type, v) for f, v in zip(t.ref.fields, value))
        if t.kind == 'array':
            return ' '.join(self.flat(t.of, v) for v in value)
        return self.number(t, value)

    def value(self, t, v, head='', nested=None):
        say = self.lines.append
        if t.kind == 'union':
            if v is None:
                say(head + '|0')
            else:
                self.value(t.ref.members[v[0] - 1][1], v[1], f'{head}|{v[0]} ')
        elif v is None:
            say(head + '-')
        elif nested or t.kind == 'table':
            self.table(nested or t.ref, v, head)
        elif t.kind == 'struct':
            say(f'{head}( {self.flat(t, v)} )')
        elif t.kind == 'string':
            say(f'{head}"{v.hex()}')
        elif t.is_bytes:
            say(f'{head}#{v.hex()}')
        elif t.kind == 'vector':
            if self.mixed and key_of(t.of):
                v = self.mixed.sample(v, len(v))
            say(f'{head}[{len(v)}')
            for element in v:
                self.value(t.of, element)
            say(']')
        else:
            say(head + self.number(t, v))

    def table(self, table, value, head=''):
        self.lines.append(head + '{')
        for f in table.live:
            v = value[f.name]
            if f.type.kind in ('scalar', 'enum'):
                if v is not None:
                    self.lines.append(f'{f.name} ={self.number(f.type, v)}')
                elif f.optional:
                    self.lines.append(f'{f.name} -')
                else:
                    self.lines.append(f'{f.name} ~{self.number(f.type, f.default or 0)}')
            else:
                self.value(f.type, v, f'{f.name} ', f.nested)
        self.lines.append('}')


def text(table, value, mixed=None):
    t = Text(mixed)
    t.table(table, value)
    return '\n'.join(t.lines) + '\n'


def random_message(rng, schema):
    return Content(rng, rng.choice((5, 50, 200, 400))).table(schema.root, 1)
