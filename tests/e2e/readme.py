"""Every command that a README shows is run: here, or by the step of deploy/test that is named here.

Commands are the lines of blocks marked sh, and code in running text that begins with a program of ours. One that
nothing here covers is a failure.

usage: readme.py SOURCE BUILD [--list]
"""
import glob
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

SOURCE, BUILD = (os.path.abspath(p) for p in sys.argv[1:3])
PROGRAMS = (r'(deploy/|services/shop/|bench/table\b|tshark\b|\.ci/|tela(d|ctl|bench|c)\b|tela-|meson\b|ninja\b|flatc\b|cc\b|'
            r'gcc\b|pkg-config\b)')

# What runs elsewhere: a step of deploy/test, or the file whose text holds the command.
ELSEWHERE = {
    'telactl trace also=/run/tela/other.sock 4bf92f35': 'file tests/e2e/test_trace.py',
    'deploy/demo': 'step demo',
    'deploy/test': 'file .ci/run',
    'bench/table --json table.json --plots plots': 'step bench',
    'telabench --put': 'step bench',
    'telabench overload': 'file tests/e2e/test_overload.py',
    'tela-micro --benchmark_filter=hand': 'step bench',
    'tela-micro --benchmark_filter=plugins': 'step bench',
    'telactl latency': 'file tests/e2e/test_overload.py',
    'telactl forwards': 'file tests/e2e/test_forward.py',
    'telactl status': 'file tests/e2e/mesh.py',
    'telactl cores': 'file tests/e2e/mesh.py',
    'telactl limits': 'file tests/e2e/test_memif.py',
    'deploy/setup --undo': 'file deploy/demo',
    'telactl call --raw calculator add payload=@request.bin node=a,b policy=mesh balance=least':
        'file tests/e2e/test_calling.py',
    """telactl call calculator.add '{"a": 1}' --meta authorization=TOKEN""": 'file tests/e2e/test_plugins.py',
    'meson install': 'file tests/e2e/test_wireshark_crafted.py',
    'meson test -C build': 'step gcc',
    'meson test -C build --suite services': 'step gcc',
    'meson test -C build --suite e2e': 'step gcc',
    'meson test -C build --suite sim': 'step gcc',
    'python3 -B tests/sim/plant.py . build': 'file tests/sim/meson.build',
}
SIM = 'build/tests/sim/tela-sim'  # its own test runs what its README shows
# Cheap and alone: the command and a text that its output must hold.
ALONE = {
    'telad --help config': 'udp_port',
    'telad --help rate_limit': 'calls/s',
    'telad --help': 'telad --config',
    'telad --version': 'telad',
    'telactl --help': 'telactl',
    'telac --help': 'telac',
    'telabench --help': 'telabench',
    'deploy/setup --check': 'setup:',
    'pkg-config tela': None,  # the name of a package, not a command; not installed here
}

failures = []


def fail(text):
    failures.append(text)
    print(f'readme.py: {text}', flush=True)


# ---- what the READMEs show ----

class Readme:
    def __init__(self, path):
        self.path = os.path.relpath(path, SOURCE)
        text = open(path).read()
        self.blocks = re.findall(r'^([^\n]*)\n+```(\w*)\n(.*?)^```$', text, re.S | re.M)  # line above, language, text
        self.prose = re.sub(r'^```.*?^```$', '', text, flags=re.S | re.M)

    def block(self, above=None, language=None):
        found = [b[2] for b in self.blocks if (above is None or above in b[0]) and language in (None, b[1])]
        if not found:
            fail(f'{self.path}: no block {above or language}')
        return found[0] if found else ''

    def shell(self):
        """The commands of its shell blocks, in order."""
        for above, language, text in self.blocks:
            if language in ('sh', 'bash', 'console', 'shell'):
                for line in text.replace('\\\n', ' ').splitlines():
                    line = re.sub(r'\s+', ' ', re.sub(r'(^|\s)#.*', '', line)).strip()
                    if line:
                        yield line.removeprefix('$ ')
            elif not language and re.match(PROGRAMS + r'\S*( |$)', text) and '->' not in text:
                fail(f'{self.path}: a block of commands that is not marked sh: {text.splitlines()[0]}')

    def inline(self):
        for code in re.findall(r'`([^`\n]+)`', self.prose):
            if re.match(PROGRAMS, code) and ' ' in code:
                yield code


def readmes():
    for path in sorted(glob.glob(f'{SOURCE}/**/README.md', recursive=True)):
        if not os.path.relpath(path, SOURCE).startswith('build'):
            yield Readme(path)


# ---- running ----

class Place:
    """A folder to run commands in, with the built programs on the path and a checkout at $TELA."""

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix='tela-readme-')
        tela = os.path.join(self.dir, 'tela')
        os.mkdir(tela)
        for name in ('schemas', 'dataplane', 'services', 'deploy'):
            os.symlink(os.path.join(SOURCE, name), os.path.join(tela, name))
        os.symlink(BUILD, os.path.join(tela, 'build'))
        self.admin = os.path.join(self.dir, 'admin.sock')
        self.env = {**os.environ, 'TELA': tela, 'TELA_SOCKET': self.admin,
                    'PATH': f'{BUILD}:{BUILD}/bench:{BUILD}/schemas:' + os.environ['PATH']}
        self.nodes = []
        return self

    def __exit__(self, *_):
        while self.nodes:
            self.end_node(self.nodes.pop())
        shutil.rmtree(self.dir)

    def write(self, name, text):
        with open(os.path.join(self.dir, name), 'w') as f:
            f.write(text)

    def run(self, command, cwd=None, expect='', code=0):
        done = subprocess.run(command, shell=True, cwd=cwd or self.dir, env=self.env, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        if done.returncode != code or not re.search(expect, done.stdout, re.S):
            fail(f'{command}: exit {done.returncode}\n{done.stdout[-3000:]}')
        else:
            print(f'ran: {command}', flush=True)
        return done.stdout

    def start_node(self, command):
        """A node stays: it is ready before the next command."""
        with open(os.path.join(self.dir, f'log{len(self.nodes)}'), 'w') as log:
            node = subprocess.Popen('exec ' + command, shell=True, cwd=self.dir, env=self.env, stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=subprocess.STDOUT)
        self.nodes.append(node)
        end = time.monotonic() + 30
        while 'telad: ready' not in open(log.name).read():
            if node.poll() is not None or time.monotonic() > end:
                fail(f'{command}: not ready:\n{open(log.name).read()}')
                return
            time.sleep(0.05)
        print(f'ran: {command}', flush=True)

    @staticmethod
    def end_node(node):
        node.terminate()
        try:
            code = node.wait(20)
        except subprocess.TimeoutExpired:
            node.kill()
            code = node.wait()
        if code:
            fail(f'telad ended with {code}')

    def adapt(self, yaml):
        """A README's configuration for this machine: its own sockets, a CPU that is there and may be shared."""
        mine = f'share_cpu: true, huge_pages: false, admin: {self.admin}'
        yaml = re.sub(r'^node: \{name: (\w+)', rf'node: {{name: \1, {mine}', yaml, flags=re.M)
        yaml = yaml.replace('/run/tela/', self.dir + '/')
        return re.sub(r'cpu: \d+', f'cpu: {min(os.sched_getaffinity(0))}', yaml)


def run_a_node(readme, commands):
    with Place() as place:
        place.write('node.yaml', place.adapt(readme.block(language='yaml')))
        for command in commands:
            if command == 'telad --config node.yaml':
                place.start_node(command)
            else:
                place.run(command)


def write_a_service(readme, commands):
    """The service of services/README.md is made as it says, and a node takes it."""
    said = {'hello there': 'HELLO THER!', 'who is there': 'WHO IS THER?', 'hello': 'HELLO', 'registry': 'shout/bang',
            'plugins check': 'max_bytes +65536',
            'config show': 'check.max_bytes +2000 +65536', '2kB': 'expected 1..16777216 bytes, found .2kB.'}
    with Place() as place:
        for name in ('shout.fbs', 'ending.h', 'bang.c'):
            place.write(name, readme.block(above=f'`{name}`'))
        # The service with what it is given later: a callback of its own, which nobody hooks at first.
        service, asks = readme.block(above='`shout.c`:'), readme.block(above='in `shout.c`')
        reply = '\treturn shout_Shout_shout_reply'
        place.write('shout.c', '#include "ending.h"\n' + service.replace(reply, asks + reply))
        for command in commands:
            if not command.startswith('telactl'):
                place.run(command)
        services = re.sub(r'object: \S+', f'object: {place.dir}/shout.so', readme.block(language='yaml'))
        place.write('node.yaml', place.adapt('node: {name: server}\ncores:\n  - {cpu: 0}\n' + services))
        place.run('telad --config node.yaml --check', expect='right')
        place.start_node('telad --config node.yaml')
        for command in commands:
            if command.startswith('telactl'):
                expect = next((e for part, e in said.items() if part in command), '')
                place.run(command, expect=expect, code=int('2kB' in command))


def grow_a_calculator(readme, commands):
    """The files and commands of the tutorial in their order; `said` has what some of them say, and their exit status."""
    said = {'"a": 84': ('42', 0), '{"a": 1, "b": 0}': ('division by zero', 1), '{"a": 2, "b": 0}': ('division_by_zero', 1),
            'chain show': ('round.*guard.*calc', 0), '{"a": 1, "b": 0.001}': ('division_by_zero', 1),
            'digits=many': ('digits: expected 0..12, found .many.', 1), 'config show': ('round.digits +2 +2', 0),
            '"a": 0.003': ('"value": 3\\b', 0), '"b": 22}': ('42', 0),
            '{"a": 1, "b": 1}': ('paused', 1), '{"a": 1, "b": 2}': ('"value": 3\\b', 0)}
    with Place() as place:
        for name in ('arith.fbs', 'calc.c', 'guard.c', 'round.c', 'one.yaml', 'two.yaml'):
            cpu = f'cpu: {min(os.sched_getaffinity(0))}'
            text = re.sub(r'cpu: \d+', cpu, readme.block(above=f'`{name}`'))
            place.write(name, text.replace('/tmp/tela-calc', place.dir))
        for command in commands:
            if 'calc2.so calc.c' in command:
                gone = readme.block(above='can go from')
                place.write('calc.c', readme.block(above='`calc.c`:').replace(gone, ''))
            if command.startswith('telad --config') and '--check' not in command:
                place.start_node(command)
            else:
                expect, code = next((e for part, e in said.items() if part in command), ('', 0))
                place.run(command, expect=expect, code=code)


def visit_the_shop(readme, commands):
    """`run` to its end; then the nodes that it leaves up, until it is interrupted. Nothing stays."""
    said = {'describe': ('place.NewOrder. : Order', 0), '{"product": "chair"}': ('trace .*"cents": 17000', 0),
            'trace NUMBER': ('spans, .*own ask the bank', 0), "424242\"}'$": ('unauthorized', 1),
            ': 101': ('validation_failed, 400, field=quantity', 1), '"quantity": 3': ('product=chair, available=1', 1),
            '4243': ('payment_declined, 402, reason=number', 1), '500ms': ('DEADLINE_EXCEEDED.*maybe executed', 1),
            'stats': ('astray', 0)}
    with Place() as place:
        root, shop, number, stays = place.env['TELA'], os.path.join(place.dir, 'shop'), '', None
        place.env['TMPDIR'] = place.dir
        for shown in commands:
            command = shown.replace('/tmp/tela-shop', shop).replace('NUMBER', number)
            if '--stay' in command:
                stays = subprocess.Popen(command.split(), cwd=root, env=place.env, stdout=subprocess.PIPE, text=True)
                if not any('ready in' in line for line in stays.stdout):
                    fail(f'{command}: ended with {stays.wait()}')
                continue
            expect, code = next((e for part, e in said.items() if re.search(part, shown)), ('', 0))
            out = place.run(command, cwd=root, expect=expect, code=code)
            number = next(iter(re.findall(r'^trace (\w+)$', out, re.M)), number)
        stays.send_signal(signal.SIGINT)
        if stays.wait(30) != 130 or os.path.exists(shop):
            fail(f'services/shop/run --stay: ended with {stays.returncode}, left {os.listdir(place.dir)}')
        left = [p for p in glob.glob('/proc/[0-9]*/cmdline') if shop in read_if_there(p)]
        if left:
            fail(f'services/shop/run --stay: left processes behind: {left}')


def read_if_there(path):
    try:
        return open(path).read()
    except OSError:
        return ''


def operate_services(readme, commands):
    with Place() as place:
        place.write('node.yaml', place.adapt('node: {name: server}\ncores:\n  - {cpu: 0}\nservices:\n  - name: echo\n'))
        place.write('kv.yaml', readme.block(above='`kv.yaml`'))
        place.start_node('telad --config node.yaml')
        for command in commands:
            place.run(command, expect='kv' if ' kv' in command else 'level' if ' log level' in command else 'echo')


def look_at_a_capture(readme, commands):
    """Two calls of the service of services/README.md, whose schema is the one of one's own."""
    os.environ.update(TELA_WIRESHARK=f'{SOURCE}/deploy/wireshark', TELA_BFBS=f'{BUILD}/schemas',
                      TELA_SCHEMAS=f'{SOURCE}/schemas', TELA_FLATC=shutil.which('flatc'))
    import mesh
    import test_wireshark_crafted as crafted
    import wire_capture
    mesh.schemas('frame', 'echo')
    services = Readme(f'{SOURCE}/services/README.md')
    with Place() as place:
        place.write('shout.fbs', services.block(above='`shout.fbs`'))
        text = struct.pack('<IHHHHiII', 12, 6, 8, 4, 0, 8, 4, 3) + b'abc\0'
        calls = [crafted.request(mesh.table('echo.Message', data=b'abc')), crafted.response(mesh.table('echo.Message'), 1),
                 crafted.request(text, 'shout.Shout', 1, call=2)]
        ends = ['10.0.0.1', '10.0.0.2', '10.0.0.1']  # there, back, there
        frames = [wire_capture.ethernet(crafted.datagram(c, number=i + 1), ends[i & 1], ends[(i & 1) + 1])
                  for i, c in enumerate(calls)]
        wire_capture.write_pcap(os.path.join(place.dir, 'calls.pcapng'), frames)
        for command in commands:
            expect = 'Request echo.Echo.echo #1' if command.endswith('calls.pcapng') else ''
            expect = 'Request shout.Shout.shout #2 28 B' if 'tela.schemas' in command else expect
            expect = 'echo.Echo.echo' if 'tela.time' in command else expect
            expect = 'Global Lua Plugins' if 'folders' in command else expect
            place.run(command, expect=expect)


def write_a_schema(readme, commands):
    """The schema of schemas/README.md and all of its C, which is one program."""
    with Place() as place:
        place.write('shop.fbs', readme.block(language='fbs'))
        place.write('shop.c', '#include <stdio.h>\n\n#include "shop.h"\n#include "tela_fb_print.h"\n\n' + '\n'.join(
            text for _, language, text in readme.blocks if language == 'c'))
        for command in commands:
            place.run(command)
            if command.startswith('cc '):
                for compiler in filter(shutil.which, ('gcc', 'clang')):
                    place.run(compiler + command.removeprefix('cc'))


def schemas_by_hand(readme, commands):
    evolve_a_schema([c for c in commands if ' lint ' in c])
    write_a_schema(readme, [c for c in commands if ' lint ' not in c])


def evolve_a_schema(commands):
    """kv.fbs gets a field, beside the version that it was."""
    with Place() as place:
        text = open(f'{SOURCE}/schemas/kv.fbs').read()
        for folder in ('old', 'schemas'):
            os.mkdir(os.path.join(place.dir, folder))
        place.write('old/kv.fbs', text)
        place.write('schemas/kv.fbs', text.replace('table Empty { }', 'table Empty { since : ulong; }'))
        for command in commands:
            place.run(command, expect='schemas/kv.fbs can be deployed beside old/kv.fbs')
        if 'kv.Kv 0x' not in open(f'{place.dir}/schemas/kv.compat').read():
            fail('telac lint --record has recorded nothing')


def elsewhere(readme, command):
    kind, where = ELSEWHERE[command].split()
    if kind == 'step':
        held = f'def step_{where}(' in open(f'{SOURCE}/deploy/test_steps.py').read()
    else:
        held = command.split()[0] in open(f'{SOURCE}/{where}').read()
    if not held:
        fail(f'{readme.path}: {command}: {ELSEWHERE[command]} does not run it')


def main():
    shown = set()
    for readme in readmes():
        shell = list(readme.shell())
        rest = []
        for command in dict.fromkeys([*shell, *readme.inline()]):
            if '--list' in sys.argv:
                print(f'{readme.path}: {command}')
            shown.add(command)
            if command.startswith(SIM + ' ') and readme.path == 'tests/sim/README.md':
                continue
            if command in ELSEWHERE:
                elsewhere(readme, command)
            elif command in ALONE:
                if ALONE[command]:
                    with Place() as place:
                        place.run(command, cwd=place.env['TELA'], expect=ALONE[command])
            elif command in shell:
                rest.append(command)
            else:
                fail(f'{readme.path}: nothing runs `{command}`')
        scenario = {'README.md': run_a_node, 'schemas/README.md': schemas_by_hand,
                    'services/README.md': write_a_service, 'services/tutorial/README.md': grow_a_calculator,
                    'services/shop/README.md': visit_the_shop,
                    'control/README.md': operate_services,
                    'deploy/wireshark/README.md': look_at_a_capture}.get(readme.path)
        if scenario and rest:
            scenario(readme, rest)
        else:
            for command in rest:
                fail(f'{readme.path}: nothing runs: {command}')
    for text in failures:  # again, where a log that was cut still has it
        print('failed: ' + text[:600])
    print(f'{len(shown)} commands shown, {len(failures)} failures')
    return 1 if failures else 0


sys.exit(main())
