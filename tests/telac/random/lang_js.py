"""Has messages written and read by npm's flatbuffers (peer.js). flatc 2.0.8 makes TypeScript only, which esbuild turns
into JavaScript; the package is in neither Debian nor this tree: npm installs the one that npm/package-lock.json pins by
its hash."""
import fcntl
import json
import os
import re
import shutil
import subprocess

from model import Struct, Table, Union
from shell import call

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = ('package.json', 'package-lock.json')


class Missing(Exception):
    """What JavaScript would need and cannot be had here."""


def read(*names):
    try:
        with open(os.path.join(*names)) as f:
            return f.read()
    except FileNotFoundError:
        return None


def install(folder):
    """The folder of the modules, in `folder`; they are there already if what is pinned is what was installed last."""
    for name in ('node', 'esbuild', 'npm'):
        if not shutil.which(name):
            raise Missing(f'there is no {name}')
    os.makedirs(folder, exist_ok=True)
    modules, done = os.path.join(folder, 'node_modules'), os.path.join(folder, 'installed')
    wanted = ''.join(read(HERE, 'npm', name) for name in FILES)
    with open(os.path.join(folder, 'lock'), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if read(done) == wanted:
            return modules
        for name in FILES:
            shutil.copy(os.path.join(HERE, 'npm', name), folder)
        npm = subprocess.run(['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund', '--fetch-retries=1',
                              '--fetch-timeout=20000'], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
        if npm.returncode:
            if subprocess.run(['npm', 'ping', '--fetch-retries=0', '--fetch-timeout=20000'], cwd=folder,
                              stdin=subprocess.DEVNULL, capture_output=True).returncode:
                raise Missing(f'the registry of npm cannot be reached: {npm.stdout[-300:]!r}')
            raise RuntimeError(f'npm ci: exit {npm.returncode}\n{npm.stdout[-3000:]}')
        with open(done, 'w') as f:
            f.write(wanted)
    return modules


def of_type(t):
    return {'kind': t.kind, 'base': t.base, 'ref': t.ref.full if t.ref else None, 'of': of_type(t.of) if t.of else None}


def of_decl(d):
    if isinstance(d, Union):
        return {'name': d.name, 'members': [of_type(t) for _, t, _ in d.members]}
    fields = d.live if isinstance(d, Table) else d.fields
    return {'name': d.name, 'fields': [{
        'name': f.name, 'type': of_type(f.type), 'slot': f.slot, 'optional': f.optional,
        'nested': f.nested.full if f.nested else None} for f in fields]}


def of_schema(schema):
    if 'js' not in schema.languages:
        return None
    decls = {d.full: of_decl(d) for d in schema.decls if isinstance(d, (Struct, Table, Union))}
    return {'stem': schema.stem, 'root': schema.root.full, 'identifier': schema.identifier, 'decls': decls}


def classes(batch):
    """{schema: {class: file}}; the file of a whole schema does not export what nothing refers to."""
    found = {}
    for folder, _, names in os.walk(batch.path('js')):
        stem = os.path.relpath(folder, batch.path('js')).split('/')[0].split('-')[0]
        for name in names:
            with open(os.path.join(folder, name)) as f:
                for c in re.findall(r'^export class (\w+)', f.read(), re.M):
                    found.setdefault(stem, {})[c] = os.path.join(folder, name[:-len('.ts')])
    return found


def prepare(batch):
    """The code of all schemas in one file, and what they declare."""
    entry, code = 'import * as flatbuffers from "flatbuffers";\n', ''
    for stem, files in sorted(classes(batch).items()):
        entry += ''.join(f'import {{ {c} as {stem}_{c} }} from "{path}";\n' for c, path in files.items())
        code += f'  {stem}: {{ ' + ', '.join(f'{c}: {stem}_{c}' for c in files) + ' },\n'
    batch.write('entry.ts', f'{entry}export {{ flatbuffers }};\nexport const code = {{\n{code}}};\n')
    batch.write('schemas.json', json.dumps([of_schema(s) for s in batch.schemas]))
    os.environ['NODE_PATH'] = batch.options.modules  # where esbuild finds the package
    call('esbuild', 'entry.ts', '--bundle', '--platform=node', '--format=cjs', '--log-level=warning', '--outfile=code.js',
         cwd=batch.folder)


def write(batch):
    call('node', os.path.join(HERE, 'peer.js'), 'write', 'code.js', 'schemas.json', 'texts.pack', 'js.pack',
         cwd=batch.folder)


def check(batch):
    return call('node', os.path.join(HERE, 'peer.js'), 'check', 'code.js', 'schemas.json', 'all.pack', cwd=batch.folder).strip()
