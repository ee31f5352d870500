"""A schema that stays as it is, with all that telac covers, for the fuzz target and its corpus: the code that the random
ones get, and messages of it to begin with.

    fixed.py code OUT TELAC FLATC      into the folder OUT: every.h, every_generated.h, ours.c, theirs.cc
    fixed.py seeds OUT TELAC FLATC     (for a person) a corpus to begin with: messages by ours and C++, crafted buffers
"""
import os
import random
import subprocess
import sys
import tempfile

import content
import dags
import emit_c
import emit_cpp
import packs
from model import STRING, Enum, Field, Schema, Struct, Table, Type, Union, scalar
from shell import call


def vector(of):
    return Type('vector', of=of)


def fields(*declared):
    """Fields with their ids; a union takes two."""
    made, number = [], 0
    for name, t, *rest in declared:
        number += 1 + (t.kind == 'union' or (t.kind == 'vector' and t.of.kind == 'union'))
        made.append(Field(name, t, number - 1, **(rest[0] if rest else {})))
    return made


def schema():
    color = Enum('Color', 'every', base='byte', values=[('none', 0), ('red', 1), ('low', -128)])
    flags = Enum('Flags', 'every', base='ulong', values=[('first', 1), ('last', 1 << 62)], flags=True)
    color_type, flags_type = Type('enum', 'byte', color), Type('enum', 'ulong', flags)
    inner = Struct('Inner', 'every', fields=fields(('id', scalar('ushort'), {'key': True}), ('b', scalar('bool')),
                                                   ('x', Type('array', of=scalar('byte'), n=3)), ('c', color_type)))
    inner_type = Type('struct', ref=inner)
    outer = Struct('Outer', 'every', fields=fields(('d', scalar('double')), ('two', Type('array', of=inner_type, n=2)),
                                                   ('f', flags_type)), align=16)
    outer_type = Type('struct', ref=outer)
    leaf = Table('Leaf', 'every', fields=fields(('name', STRING, {'key': True, 'required': True}),
                                                ('gone', STRING, {'deprecated': True}), ('n', scalar('int'), {'default': -1})))
    other = Table('Other', 'every', shared_vtable=True, fields=fields(
        ('id', scalar('uint'), {'key': True}), ('text', STRING, {'shared': True}), ('many', vector(STRING))))
    leaf_type, other_type = Type('table', ref=leaf), Type('table', ref=other)
    one = Union('Any', 'every', members=[('every_Leaf', leaf_type, False), ('s', inner_type, True), ('text', STRING, True),
                                         ('o', other_type, True), ('big', outer_type, True)])
    any_type = Type('union', ref=one)
    root = Table('Root', 'every')
    root_type = Type('table', ref=root)
    root.fields = fields(
        ('flag', scalar('bool'), {'default': 1}), ('u8', scalar('ubyte')), ('u16', scalar('ushort')), ('i64', scalar('long')),
        ('f32', scalar('float'), {'default': 0x3fc00000}), ('color', color_type), ('flags', flags_type),
        ('maybe', scalar('double'), {'optional': True}), ('maybe_color', color_type, {'optional': True}),
        ('inner', inner_type), ('outer', outer_type), ('text', STRING), ('same', STRING, {'shared': True}),
        ('bytes', vector(scalar('ubyte'))), ('bools', vector(scalar('bool'))), ('longs', vector(scalar('long'))),
        ('aligned', vector(scalar('float')), {'align': 32}), ('texts', vector(STRING)), ('inners', vector(inner_type)),
        ('outers', vector(outer_type)), ('leaf', leaf_type), ('leaves', vector(leaf_type)), ('others', vector(other_type)),
        ('any', any_type), ('anys', vector(any_type)), ('left', root_type), ('kids', vector(root_type)),
        ('inside', vector(scalar('ubyte')), {'nested': leaf, 'nested_name': 'every.Leaf'}),
        ('deeper', vector(scalar('ubyte')), {'nested': other, 'nested_name': 'every.Other'}))
    return Schema('every', [color, flags, inner, outer, leaf, other, one, root], root, 'EVRY')


def code(out, telac, flatc):
    schemas = [schema(), dags.schema()]
    for s in schemas:
        for name, text in s.texts().items():
            with open(os.path.join(out, name), 'w') as f:
                f.write(text)
        for command in ([flatc, '-b', '--schema', '--bfbs-builtins', '--bfbs-comments', f'{s.stem}.fbs'],
                        [os.path.abspath(telac), f'{s.stem}.bfbs'], [flatc, '--cpp', '--gen-mutable', f'{s.stem}.fbs']):
            subprocess.run(command, cwd=out, check=True)
    for name, text in (('ours.c', emit_c.emit(schemas)), ('theirs.cc', emit_cpp.emit(schemas))):
        with open(os.path.join(out, name), 'w') as f:
            f.write(text)


def seeds(out, telac, flatc):
    rng, every, pack = random.Random(1), schema(), b''
    for i in range(8):
        value = content.Content(rng, 70 * i).table(every.root, 1)
        pack += packs.record('w', 0, i, content.text(every.root, value, rng).encode())
        pack += packs.record('e', 0, i, content.text(every.root, value).encode())
    for i, (what, data) in enumerate(dags.crafted()):
        pack += packs.record(what, 1, i, data)
    with tempfile.TemporaryDirectory() as folder:
        code(folder, telac, flatc)
        with open(os.path.join(folder, 'texts.pack'), 'wb') as f:
            f.write(pack)
        here = os.path.dirname(os.path.abspath(__file__))
        include = ['-I', folder, '-I', here, '-I', os.path.join(here, '../../../schemas')]
        call('gcc', '-std=gnu11', *include, '-c', 'ours.c', cwd=folder)
        call('g++', '-std=c++17', *include, os.path.join(here, 'oracle.cc'), 'theirs.cc', 'ours.o', '-lflatbuffers',
             '-o', 'oracle', cwd=folder)
        call(os.path.join(folder, 'oracle'), 'all.pack', '0', '1', 'texts.pack', cwd=folder)
        made = [r for path in ('texts.pack', 'all.pack') for r in packs.read(os.path.join(folder, path))]
    for what, prefixed, number, i, data in made:
        if what in 'XYC+':
            name = f'seed-{ {"+": "cpp", "C": "ours"}.get(what, "dag")}-{i}{"-prefixed" if prefixed else ""}'
            with open(os.path.join(out, name), 'wb') as f:
                f.write(bytes([252 + number + 2 * prefixed]) + data)


if __name__ == '__main__':
    {'code': code, 'seeds': seeds}[sys.argv[1]](*sys.argv[2:])
