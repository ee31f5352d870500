"""Has messages written and read by npm's flatbuffers (peer.js). flatc 2.0.8 makes TypeScript only, which esbuild turns
into JavaScript; the package itself is neither in Debian nor in this tree and no test downloads it: whoever has it says where."""
import json
import os
import re
import shutil

from model import Struct, Table, Union
from shell import call

HERE = os.path.dirname(os.path.abspath(__file__))
VERSION = '2.0.7'  # of npm's flatbuffers, the one that goes with flatc 2.0.8


def find(npm):
    """The folder of its modules, and what is missing."""
    missing = [f'no {name}' for name in ('node', 'esbuild') if not shutil.which(name)]
    modules = os.path.join(os.path.abspath(npm), 'node_modules') if npm else ''
    package = os.path.join(modules, 'flatbuffers', 'package.json')
    if not modules or not os.path.exists(package):
        missing.append(f'TELA_NPM is no folder in which `npm install flatbuffers@{VERSION}` was run')
    else:
        with open(package) as f:
            found = json.load(f)['version']
        if found != VERSION:
            missing.append(f'the package in TELA_NPM has version {found}, not {VERSION}')
    return '' if missing else modules, ', '.join(missing)


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
    os.environ['NODE_PATH'] = batch.options.npm  # where esbuild finds the package
    call('esbuild', 'entry.ts', '--bundle', '--platform=node', '--format=cjs', '--log-level=warning', '--outfile=code.js',
         cwd=batch.folder)


def write(batch):
    call('node', os.path.join(HERE, 'peer.js'), 'write', 'code.js', 'schemas.json', 'texts.pack', 'js.pack',
         cwd=batch.folder)


def check(batch):
    return call('node', os.path.join(HERE, 'peer.js'), 'check', 'code.js', 'schemas.json', 'all.pack', cwd=batch.folder).strip()
