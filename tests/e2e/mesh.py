"""Nodes as real processes, and what a test needs to start, watch, disturb and end them.

A test file holds unittest classes derived from mesh.Case and ends with mesh.main(). Everything a Mesh made (processes,
namespaces, files) is gone when it ends, however it ends; what a test that was killed left behind, the next one removes.
Nothing waits without a limit, and nothing sleeps for a fixed time where something can be asked instead (until()).
"""
import atexit
import ctypes
import importlib
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True

SKIPPED = 77
PREFIX = 'tela-e2e-'


def program(variable):
    path = os.environ.get(variable)
    if not path:
        sys.exit(f'{variable} is not set: run this through "meson test --suite e2e"')
    return path


def skip(reason):
    print(f'SKIPPED: {reason}', flush=True)
    sys.exit(SKIPPED)


def need_root():
    if os.geteuid() != 0:
        skip('only root can make network namespaces and interfaces')


def need_namespaces():
    need_root()
    name = f'{PREFIX}{os.getpid()}-try'
    made = subprocess.run(['ip', 'netns', 'add', name], capture_output=True, text=True)
    if made.returncode:
        skip(f'no network namespaces here: {made.stderr.strip()}')
    subprocess.run(['ip', 'netns', 'del', name], check=True)


def until(condition, what, seconds=60.0, every=0.02):
    """Asks until the answer is true and returns it."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f'not within {seconds} s: {what}')
        time.sleep(every)


def cpus():
    """Two CPUs of this process, the same one twice if there is no other."""
    mine = sorted(os.sched_getaffinity(0))
    return mine[0], mine[-1]


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    # A test may have been started with these ignored, as a shell does for what runs in the background.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


# ---- admin socket ----

class Admin:
    """A connection to a node's admin socket: JSON lines, pipelined by id."""

    def __init__(self, path, seconds=10):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(seconds)
        self.socket.connect(path)
        self.pending = b''
        self.n = 0
        self.early = {}

    def send(self, cmd, **arguments):
        self.n += 1
        line = json.dumps({'cmd': cmd, 'id': self.n, **arguments}) + '\n'
        self.socket.sendall(line.encode())
        return self.n

    def receive(self, number, seconds=30):
        end = time.monotonic() + seconds
        while number not in self.early:
            while b'\n' not in self.pending:
                self.socket.settimeout(max(0.001, end - time.monotonic()))
                got = self.socket.recv(1 << 16)
                if not got:
                    raise AssertionError('the node closed its admin socket')
                self.pending += got
            line, self.pending = self.pending.split(b'\n', 1)
            reply = json.loads(line)
            self.early[reply['id']] = reply
        return self.early.pop(number)

    def ask(self, cmd, seconds=30, **arguments):
        return self.receive(self.send(cmd, **arguments), seconds)

    def close(self):
        self.socket.close()


class Call:
    """How a call ended."""

    def __init__(self, reply):
        self.reply = reply
        self.ok = reply.get('ok', False)
        self.status = reply['status'] if self.ok else 'NOT MADE'
        self.outcome = reply.get('outcome')
        self.message = reply['message'] if self.ok else reply['error']['message']
        self.error = None if self.ok else reply['error']['code']
        self.payload = bytes.fromhex(reply.get('payload', ''))
        self.took = reply.get('took_us', 0) / 1e6

    def __repr__(self):
        return f'<{self.status} {self.outcome} "{self.message}" {len(self.payload)} bytes, {self.took:.3f} s>'


# ---- processes ----

class Process:
    """A child with its output in a file."""

    def __init__(self, mesh, name, words, namespace=None, user=None, **options):
        self.mesh = mesh
        self.name = name
        self.log = os.path.join(mesh.folder, f'{name}.{len(mesh.processes)}.log')
        if user is not None:
            words = ['setpriv', '--reuid', str(user), '--regid', str(user), '--clear-groups'] + words
        if namespace:
            words = ['ip', 'netns', 'exec', namespace.name] + words
        with open(self.log, 'wb') as to:
            self.popen = subprocess.Popen(words, stderr=to, preexec_fn=die_with_parent, cwd=mesh.folder,
                                          **{'stdout': to, 'stdin': subprocess.DEVNULL, **options})
        self.pid = self.popen.pid
        mesh.processes.append(self)

    def text(self):
        with open(self.log, errors='replace') as f:
            return f.read()

    def kill(self, number=signal.SIGKILL):
        self.popen.send_signal(number)
        if number == signal.SIGKILL:
            self.popen.wait(60)

    def wait(self, seconds=60):
        return self.popen.wait(seconds)

    def running(self):
        return self.popen.poll() is None

    def end(self):
        if self.running():
            self.popen.send_signal(signal.SIGCONT)
            self.popen.kill()
            self.popen.wait(60)


class Node(Process):
    """telad with a configuration given as a dictionary (JSON is YAML too)."""

    def __init__(self, mesh, config, namespace=None, user=None, wait=True):
        self.config = config
        self.node = config['node']['name']
        self.socket = config['node']['admin']
        path = os.path.join(mesh.folder, f'{self.node}.yaml')
        with open(path, 'w') as f:
            json.dump(config, f, indent=1)
        self.place = (namespace, user)
        super().__init__(mesh, self.node, [program('TELA_TELAD'), '--config', path], namespace, user)
        self.admin = None
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds=60):
        def ready():
            if not self.running():
                raise AssertionError(f'{self.node} ended with {self.popen.returncode} before it was ready:\n{self.text()}')
            return 'telad: ready' in self.text()
        until(ready, f'{self.node} is ready', seconds)

    def again(self):
        """The same node once more; this process must have ended."""
        return Node(self.mesh, self.config, *self.place)

    def connect(self):
        return Admin(self.socket)

    def ask(self, cmd, seconds=30, **arguments):
        """One command over the admin socket; a reply that is an error is handed back as it is."""
        if self.admin is None:
            self.admin = self.connect()
        try:
            return self.admin.ask(cmd, seconds, **arguments)
        except (OSError, AssertionError):
            self.leave()
            raise

    def do(self, cmd, seconds=30, **arguments):
        reply = self.ask(cmd, seconds, **arguments)
        if not reply['ok']:
            raise AssertionError(f'{self.node}: {cmd} {arguments}: {reply["error"]}')
        return reply

    def ctl(self, *words, seconds=30):
        """telactl -o json; returns exit status and the reply."""
        done = subprocess.run([program('TELA_TELACTL'), '--socket', self.socket, '-o', 'json', *words],
                              capture_output=True, text=True, timeout=seconds)
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError:
            raise AssertionError(f'telactl {words}: {done.returncode}, {done.stdout!r}, {done.stderr!r}') from None

    def call(self, service, method, payload=b'', node=None, deadline_ms=None, seconds=30):
        """One call through telactl, its payload through a file as a person would."""
        path = os.path.join(self.mesh.folder, f'payload.{random.getrandbits(48):x}')
        with open(path, 'wb') as f:
            f.write(payload)
        words = ['call', '--raw', service, method, f'payload=@{path}']
        if node:
            words.append(f'node={node}')
        if deadline_ms:
            words.append(f'deadline_ms={deadline_ms}')
        try:
            _, reply = self.ctl(*words, seconds=seconds)
        finally:
            os.unlink(path)
        return Call(reply)

    def call_fast(self, service, method, payload=b'', node=None, deadline_ms=None, seconds=30):
        """The same over the open admin connection: no process a call."""
        arguments = {'service': service, 'method': method, 'payload': payload.hex()}
        if node:
            arguments['node'] = node
        if deadline_ms:
            arguments['deadline_ms'] = deadline_ms
        return Call(self.ask('call', seconds, **arguments))

    def counters(self):
        reply = self.do('stats', zero=True)
        return {c['counter']: c['value'] for c in reply['counters']}

    def figures(self, plugin):
        """What an instance counts."""
        reply = self.do('stats')
        return {p['name']: p['value'] for p in reply['plugins'] if p['plugin'] == plugin}

    def service(self, name):
        for s in self.do('services')['services']:
            if s['service'] == name:
                return s
        raise AssertionError(f'{self.node} has no service {name}')

    def peer(self, name):
        for p in self.do('status')['peers']:
            if p['peer'] == name:
                return p
        raise AssertionError(f'{self.node} has no peer {name}')

    def in_flight(self):
        return self.do('status')['in_flight']

    def leave(self):
        if self.admin:
            self.admin.close()
            self.admin = None

    def end(self):
        self.leave()
        super().end()

    def stop(self, number=signal.SIGTERM, seconds=60):
        """Returns the exit status."""
        self.leave()
        self.popen.send_signal(number)
        return self.wait(seconds)


class Caller(Process):
    """The program that calls from many threads and checks every reply (caller.c)."""

    def __init__(self, mesh, device, address, peer, cpu, namespace=None, wait=True, variable='TELA_CALLER'):
        super().__init__(mesh, 'caller', [program(variable), f'caller{len(mesh.processes)}', device, address, peer,
                         str(cpu)], namespace, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pending = b''
        self.first = 1  # no id is used twice, so that the other side may count executions of each
        if wait and self.line(20) != 'ready':
            raise AssertionError(f'the caller did not start:\n{self.text()}')

    def line(self, seconds):
        end = time.monotonic() + seconds
        while b'\n' not in self.pending:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.popen.stdout], [], [], left)[0]:
                raise AssertionError(f'the caller said nothing within {seconds} s')
            got = os.read(self.popen.stdout.fileno(), 1 << 16)
            if not got:
                raise AssertionError(f'the caller ended:\n{self.text()}')
            self.pending += got
        line, self.pending = self.pending.split(b'\n', 1)
        return line.decode()

    def say(self, text):
        self.popen.stdin.write(text.encode() + b'\n')
        self.popen.stdin.flush()

    def start(self, **options):
        self.say(f'run first={self.first} ' + ' '.join(f'{k}={v}' for k, v in options.items()))

    def calls(self, seconds=60):
        """Ended so far, of the run under way."""
        self.say('calls')
        return json.loads(self.line(seconds))['calls']

    def result(self, seconds=60):
        got = json.loads(self.line(seconds))
        if 'error' in got:
            raise AssertionError(got['error'])
        self.first += got['calls'] + got['refused'] + 32
        return got

    def stop(self, seconds=60):
        self.say('stop')
        return self.result(seconds)

    def run(self, seconds=60, **options):
        self.start(**options)
        return self.result(seconds)

    def finish(self, seconds=60):
        self.popen.stdin.close()
        return self.wait(seconds)

    def end(self):
        super().end()
        self.popen.stdin.close()
        self.popen.stdout.close()


class Namespace:
    def __init__(self, mesh, name):
        self.name = f'{PREFIX}{os.getpid()}-{random.getrandbits(24):06x}-{name}'
        subprocess.run(['ip', 'netns', 'add', self.name], check=True)
        mesh.namespaces.append(self)

    def run(self, *words, check=True, seconds=20):
        return subprocess.run(['ip', 'netns', 'exec', self.name, *words], check=check, capture_output=True, text=True,
                              timeout=seconds)

    def ip(self, *words):
        done = self.run('ip', *words, check=False)
        if done.returncode:
            raise AssertionError(f'ip {" ".join(words)}: {done.stderr.strip()}')

    def delete(self):
        subprocess.run(['ip', 'netns', 'del', self.name], capture_output=True)


# ---- all of it ----

class Mesh:
    kind = 'memif'  # of device between server() and caller(); or vhost, where the server has the socket, or virtio

    def __init__(self):
        remove_remains()
        self.folder = tempfile.mkdtemp(prefix=f'{PREFIX}{os.getpid()}-')
        os.chmod(self.folder, 0o755)
        self.processes = []
        self.namespaces = []
        atexit.register(self.end)

    def path(self, name):
        return os.path.join(self.folder, name)

    def config(self, name, ports, cpu, peers=(), services=(), **node):
        return {
            'node': {'name': name, 'huge_pages': 'false', 'share_cpu': True, 'admin': self.path(f'{name}.sock'),
                     'discovery': False, **node},  # whoever counts calls counts those of heartbeats too
            'ports': ports,
            'cores': [{'cpu': cpu, 'idle': 'adaptive'}],
            'peers': [{'name': n, 'address': a} for n, a in peers],
            'services': [s if isinstance(s, dict) else {'name': s} for s in services],
        }

    def memif(self, role, link='m0', number=0):
        return (f'net_memif{number},role={role},id=0,socket={self.path(link)}.memif,socket-abstract=no,rsize=10,'
                'bsize=2048')

    def vhost(self, role, link='m0', number=0):
        """The server has vhost-user's socket, the client is a virtio driver in user space."""
        device = f'net_vhost{number},iface=' if role == 'server' else f'net_virtio_user{number},path='
        return f'{device}{self.path(link)}.vhost,queues=1'

    def virtio(self, role):
        return self.vhost('client' if role == 'server' else 'server')

    def device(self, role):
        return getattr(self, self.kind)(role)

    def server(self, services=('echo', 'calculator', 'kv'), wait=True, pause_ms=None, **node):
        """The node that a test calls, at 10.77.0.1."""
        port = {'name': 'mem0', 'device': self.device('server'), 'address': '10.77.0.1/24'}
        config = self.config('server', [port], cpus()[0], [('bench', '10.77.0.2')], services, **node)
        if pause_ms:
            config['cores'][0]['pause_ms'] = pause_ms
        return Node(self, config, wait=wait)

    def client(self, **node):
        """A node without services at 10.77.0.2 that has the first one as its peer."""
        port = {'name': 'mem0', 'device': self.device('client'), 'address': '10.77.0.2/24'}
        return Node(self, self.config('client', [port], cpus()[1], [('server', '10.77.0.1')], **node))

    def caller(self, **options):
        return Caller(self, self.device('client'), '10.77.0.2/24', '10.77.0.1', cpus()[1], **options)

    def namespace(self, name):
        return Namespace(self, name)

    def logs(self):
        return '\n'.join(f'---- {p.name} ({p.pid}, {p.popen.returncode}) ----\n{p.text()[-6000:]}' for p in self.processes)

    def end(self):
        atexit.unregister(self.end)
        for p in self.processes:
            p.end()
        for n in self.namespaces:
            n.delete()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.processes, self.namespaces = [], []


def alive(name):
    """Whether the test that made something of this name still runs."""
    number = name[len(PREFIX):].split('-')[0]
    return number.isdigit() and os.path.exists(f'/proc/{number}')


def remove_remains():
    if os.geteuid() == 0 and os.path.isdir('/run/netns'):
        for name in os.listdir('/run/netns'):
            if name.startswith(PREFIX) and not alive(name):
                subprocess.run(['ip', 'netns', 'del', name], capture_output=True)
    for name in os.listdir(tempfile.gettempdir()):
        if name.startswith(PREFIX) and not alive(name):
            shutil.rmtree(os.path.join(tempfile.gettempdir(), name), ignore_errors=True)


# ---- schemas in Python ----

made_of_schemas = []  # the folder of the modules, and names of the schemas there


def schemas(*names):
    """Makes the modules that flatc makes of the schemas, nothing of ours, for as long as this process lasts. A folder in
    TELA_FROZEN holds those of another version."""
    if not made_of_schemas:
        made_of_schemas.append(tempfile.mkdtemp(prefix=f'{PREFIX}{os.getpid()}-'))
        atexit.register(shutil.rmtree, made_of_schemas[0], ignore_errors=True)
        sys.path.insert(0, made_of_schemas[0])
    for name in names:
        if name not in made_of_schemas:
            frozen = os.path.join(os.environ.get('TELA_FROZEN', ''), f'{name}.fbs')
            path = frozen if os.path.isfile(frozen) else os.path.join(program('TELA_SCHEMAS'), f'{name}.fbs')
            subprocess.run([program('TELA_FLATC'), '--python', '--gen-object-api', '-o', made_of_schemas[0], path],
                           check=True, timeout=30)
            made_of_schemas.append(name)
    importlib.invalidate_caches()


def table(name, /, **fields):
    """Bytes of a table: table('echo.Message', data=b'...')."""
    import flatbuffers
    module = importlib.import_module(name)
    short = name.rsplit('.', 1)[1]
    builder = flatbuffers.Builder(256)
    if any(isinstance(v, bytes) for v in fields.values()):
        # The object API would go through bytes one by one.
        vectors = {k: builder.CreateByteVector(v) if isinstance(v, bytes) else v for k, v in fields.items()}
        getattr(module, f'{short}Start')(builder)
        for key, value in vectors.items():
            getattr(module, f'{short}Add{camel(key)}')(builder, value)
        builder.Finish(getattr(module, f'{short}End')(builder))
    else:
        builder.Finish(thing(name, **fields).Pack(builder))
    return bytes(builder.Output())


def thing(name, /, **fields):
    """An object of the object API, to stand inside of another."""
    made = getattr(importlib.import_module(name), name.rsplit('.', 1)[1] + 'T')()
    for key, value in fields.items():
        setattr(made, key if hasattr(made, key) else camel(key)[0].lower() + camel(key)[1:], value)
    return made


def camel(name):
    return ''.join(w[0].upper() + w[1:] for w in name.split('_'))


def read(name, payload):
    """The root table of a buffer, as flatc's reader."""
    short = name.rsplit('.', 1)[1]
    return getattr(importlib.import_module(name), short).GetRootAs(bytearray(payload), 0)


def data_of(t, number=0):
    """A table's [ubyte] field of that number, counted from 0 in the schema; all at once, where the accessor takes them
    one by one."""
    at = t._tab.Offset(4 + 2 * number)
    if not at:
        return b''
    first = t._tab.Vector(at)
    return bytes(t._tab.Bytes[first:first + t._tab.VectorLen(at)])


# ---- running ----

class Case(unittest.TestCase):
    """One Mesh a class, in `mesh`, or one a test; what its nodes said is shown for a test that fails."""
    each_test_anew = False

    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh()
        cls.addClassCleanup(cls.mesh.end)
        try:
            cls.arrange()
        except BaseException:
            print(cls.mesh.logs(), file=sys.stderr)
            raise

    @classmethod
    def arrange(cls):
        pass

    def setUp(self):
        self.said = ''
        if self.each_test_anew:
            self.mesh = Mesh()
            self.addCleanup(self.mesh.end)
        self.addCleanup(self.take_logs)  # runs first

    def take_logs(self):
        self.said = self.mesh.logs()
        for p in self.mesh.processes:
            status = p.popen.poll()
            if status is not None and -status in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE):
                self.fail(f'{p.name} died of {signal.Signals(-status).name}')

    def run(self, result=None):
        failures = len(result.failures) + len(result.errors)
        began = time.monotonic()
        super().run(result)
        print(f'    {time.monotonic() - began:.1f} s', file=sys.stderr)
        if len(result.failures) + len(result.errors) > failures:
            print(self.said, file=sys.stderr)
        return result


def main():
    def ended(number, _frame):
        sys.exit(128 + number)  # so that atexit and finally run
    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGINT, ended)
    unittest.main(verbosity=2, failfast=False)
