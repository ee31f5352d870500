"""Random schemas and messages: what telac makes against C++, Python and JavaScript, both ways, and against damage.

A run is one seed: a batch of random schemas, for each of them random messages. Every message is written by ours, by C++,
Python and JavaScript (each for the schemas that flatc can generate it for); both verifiers accept every buffer, and all
readers print the same text of it. Then each buffer is damaged many times: whatever ours accepts is read without leaving
the buffer (ASan, UBSan) and as C++ reads it, and what C++ accepts ours does, unless one table or vector is reached by
several paths and the visits do not fit. What tela_fb_print() makes of a message is JSON of which libflatbuffers makes
the same message again. Needs flatc, gcc or clang, libflatbuffers and Python's flatbuffers; JavaScript
takes part with --npm, a folder into which npm's flatbuffers is installed, and needs node, esbuild and npm. A run that
fails says how to replay it, and where its schemas and messages are.

    run.py --telac build/schemas/telac --seed 7            replays one run
    run.py --telac build/schemas/telac --runs 100          a long one, with fresh seeds
"""
import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import traceback

import content
import dags
import emit_c
import emit_cpp
import fixed
import lang_js
import lang_python
import packs
from schemas import random_schema
from shell import Failed, call, call_all

HERE = os.path.dirname(os.path.abspath(__file__))
SANITIZE = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer', '-g']
WARNINGS = ['-Wall', '-Wextra', '-Werror', '-Wshadow', '-Wpointer-arith', '-Wwrite-strings',
            '-Wno-unused-function', '-Wno-missing-field-initializers',
            '-Wno-unknown-warning-option',  # gcc's is no use with -fsanitize, as its manual says:
            '-Wno-maybe-uninitialized']


class Batch:
    def __init__(self, seed, options, folder):
        self.rng = random.Random(seed)
        self.seed, self.options, self.folder = seed, options, folder
        self.schemas = [dags.schema(), fixed.schema(), *(random_schema(self.rng, i) for i in range(options.schemas))]

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, data):
        with open(self.path(name), 'wb' if isinstance(data, bytes) else 'w') as f:
            f.write(data)

    # ---- code ----

    def compile_schema(self, schema):
        flatc, names = self.options.flatc, [stem + '.fbs' for stem in schema.stems()]
        for name, text in schema.texts().items():
            self.write(name, text)
        for stem in schema.stems():
            call(flatc, '-b', '--schema', '--bfbs-builtins', '--bfbs-comments', stem + '.fbs', cwd=self.folder)
            call(self.options.telac, '--schema-name', stem + '.fbs', stem + '.bfbs', cwd=self.folder)
        call(flatc, '--cpp', '--gen-mutable', *names, cwd=self.folder)
        if 'python' in schema.languages:
            call(flatc, '--python', '-o', 'python', *names, cwd=self.folder)
        if 'js' in schema.languages and self.options.modules:
            call(flatc, '--ts', '-o', 'js', *names, cwd=self.folder)

    def compile(self):
        for schema in self.schemas:
            self.compile_schema(schema)
        self.write('ours.c', emit_c.emit(self.schemas))
        self.write('theirs.cc', emit_cpp.emit(self.schemas))
        cc, cxx, oracle = self.options.cc, self.options.cxx, self.options.oracle
        include = ['-I', self.folder, '-I', HERE, '-I', self.options.include]
        commands = [  # optimized they run no faster: what takes time is flatc's code and the texts
            [cc, '-std=gnu11', '-O0', *SANITIZE, *WARNINGS, *include, '-c', 'ours.c'],
            [cxx, '-std=c++17', '-O0', '-w', *include, '-c', 'theirs.cc'],
        ]
        if not oracle:
            oracle = 'oracle.o'
            commands.append([cxx, '-std=c++17', '-O1', '-Wall', '-Wextra', '-Werror', *SANITIZE[:1], *include, '-c',
                             os.path.join(HERE, 'oracle.cc')])
        call_all(commands, self.folder)
        call(cxx, *SANITIZE[:1], 'theirs.o', 'ours.o', oracle, '-lflatbuffers', '-o', 'oracle', cwd=self.folder)

    # ---- messages ----

    def messages(self):
        """The pack of texts, the values for Python."""
        texts, values = b'', []
        for i, data in enumerate(dags.crafted()):
            texts += packs.record(data[0], 0, i, data[1])
        for number, schema in enumerate(self.schemas):
            for i in range(self.options.messages):
                value = content.random_message(self.rng, schema)
                plain, mixed = content.text(schema.root, value), content.text(schema.root, value, self.rng)
                texts += packs.record('w', number, i, mixed.encode()) + packs.record('e', number, i, plain.encode())
                values.append((number, i, value, plain))
        self.write('texts.pack', texts)
        return values

    def run(self):
        self.compile()
        values = self.messages()
        inputs = ['texts.pack']
        self.write('python.pack', lang_python.write(self, values))
        inputs.append('python.pack')
        if self.options.modules:
            lang_js.prepare(self)
            lang_js.write(self)
            inputs.append('js.pack')
        said = call(self.path('oracle'), 'all.pack', str(self.options.damage), str(self.seed), *inputs, cwd=self.folder)
        with open(self.path('all.pack.json'), encoding='utf-8', newline='\n') as f:
            for line in f:
                json.loads(line)
        read = lang_python.check(self)
        if self.options.modules:
            read += ', ' + lang_js.check(self)
        return f'{said.strip()}; {read}'


def one(seed, options):
    """Whether it went well; its folder is kept if not."""
    folder = tempfile.mkdtemp(prefix=f'telac-random-{seed}-', dir=options.keep)
    try:
        print(f'seed {seed}: {Batch(seed, options, folder).run()}', flush=True)
    except Exception as e:
        why = str(e) if isinstance(e, Failed) else traceback.format_exc()
        sizes = f'--schemas {options.schemas} --messages {options.messages} --damage {options.damage}'
        print(f'seed {seed} FAILED: {why}\nschemas and messages are in {folder}; replay with\n'
              f'  python3 {os.path.abspath(__file__)} --telac {options.telac} --seed {seed} {sizes}', flush=True)
        return False
    except BaseException:
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)
    return True


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--telac', required=True, help='the compiler')
    p.add_argument('--flatc', default='flatc')
    p.add_argument('--include', default=os.path.join(HERE, '..', '..', '..', 'schemas'), help='the folder of tela_fb.h')
    p.add_argument('--cc', default=os.environ.get('CC', 'gcc'))
    p.add_argument('--cxx', default=os.environ.get('CXX', 'g++'))
    p.add_argument('--oracle', help='oracle.cc, compiled already by these compilers with sanitizers')
    p.add_argument('--npm', metavar='FOLDER', help='JavaScript too: what it needs is installed here, unless it is '
                   'there; exit status 77 if it cannot be had')
    p.add_argument('--seed', type=int, nargs='+', default=[], help='the runs to make (default: a fresh one)')
    p.add_argument('--runs', type=int, default=1, help='how many fresh ones, if there is no --seed')
    p.add_argument('--schemas', type=int, default=12, help='schemas of a run (default: %(default)s)')
    p.add_argument('--messages', type=int, default=8, help='messages of a schema (default: %(default)s)')
    p.add_argument('--damage', type=int, default=60, help='damaged copies of a buffer (default: %(default)s)')
    p.add_argument('--keep', help='the folder in which a failed run is kept (default: the system\'s temporary one)')
    options = p.parse_args()
    options.telac = os.path.abspath(options.telac)
    options.oracle = os.path.abspath(options.oracle) if options.oracle else None
    options.include = os.path.abspath(options.include)
    options.keep = os.path.abspath(options.keep) if options.keep else None
    return options


def main():
    options = parse()
    try:
        options.modules = lang_js.install(os.path.abspath(options.npm)) if options.npm else None
    except lang_js.Missing as e:
        print(f'SKIP: {e}')
        return 77
    seeds = options.seed or [random.SystemRandom().randrange(1, 1 << 31) for _ in range(options.runs)]
    return 0 if all(one(seed, options) for seed in seeds) else 1


if __name__ == '__main__':
    sys.exit(main())
