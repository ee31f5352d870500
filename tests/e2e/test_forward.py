"""A client process, its node, and the nodes behind that: calls that are sent on.

    client ---memif--- middle ---memif--- b: echo, calculator with auth, bytes
                             \\---memif--- c: echo
"""
import os
import random
import signal
import subprocess
import threading

import mesh
from test_plugins import SECRET, token


class Forward(mesh.Case):
    @classmethod
    def arrange(cls):
        mesh.schemas('bytes', 'echo', 'calculator', 'kv')
        near, far = mesh.cpus()
        with open(cls.mesh.path('secret'), 'wb') as f:
            f.write(SECRET)
        auth = {'plugin': 'auth', 'config': {'secret_file': cls.mesh.path('secret'), 'allow': 'add:alice'}}
        services = {'b': ['echo', 'bytes', {'name': 'calculator', 'plugins': [auth]}], 'c': ['echo']}
        cls.back, peers = {}, []
        ports = [{'name': 'apps', 'device': cls.mesh.memif('server', 'm', 0), 'address': '10.80.0.1/24', 'forward': True}]
        for i, name in enumerate('bc', 1):
            port = {'name': 'mem0', 'device': cls.mesh.memif('server', name, 0), 'address': f'10.8{i}.0.1/24'}
            cls.back[name] = mesh.Node(cls.mesh, cls.mesh.config(name, [port], far, [('middle', f'10.8{i}.0.2')],
                                                                 services[name], discovery=True, heartbeat_ms=300))
            ports.append({'name': f'mem{i}', 'device': cls.mesh.memif('client', name, i), 'address': f'10.8{i}.0.2/24'})
            peers.append((name, f'10.8{i}.0.1'))
        cls.middle = mesh.Node(cls.mesh, cls.mesh.config('middle', ports, near, peers, ['kv'], discovery=True,
                                                         heartbeat_ms=300, forward_balance='round_robin'))
        port = {'name': 'mem0', 'device': cls.mesh.memif('client', 'm', 0), 'address': '10.80.0.2/24'}
        cls.client = mesh.Node(cls.mesh, cls.mesh.config('client', [port], mesh.cpus()[1], [('middle', '10.80.0.1')]))

    def setUp(self):
        super().setUp()
        self.until_served(*(name for name, node in self.back.items() if node.running()))

    def forwards(self, service='echo.Echo'):
        """Peers that calls of it go to, and how many went."""
        _, reply = self.middle.ctl('forwards')
        return {f['peer']: f['calls'] for f in reply['forwards'] if f['service'] == service and f['serves']}

    def until_served(self, *by):
        mesh.until(lambda: set(self.forwards()) == set(by), f'echo is sent on to {by}')

    def call(self, service, method, payload=b'', **options):
        return mesh.Call(self.client.ask('call', service=service, method=method, node='middle', payload=payload.hex(),
                                         **options))

    def echo(self, data=b'x', **options):
        return self.call('echo', 'echo', mesh.table('echo.Message', data=data), **options)

    def later(self, delay_us, **options):
        return self.call('echo', 'later', mesh.table('echo.Delayed', delay_us=delay_us, data=b'x'), **options)

    def add(self, method='add', **options):
        return self.call('calculator', method, mesh.table('calculator.Operands', a=1.0, b=2.0), **options)

    def counted(self, *names):
        counters = self.middle.counters()
        return [counters[n] for n in names]

    def test_a_echo(self):
        before, = self.counted('calls_forwarded')
        sizes = (0, 1, 32, 256, 1000, 1500, 4000, 10_000, 70_000, 120_000)
        for size in sizes:
            data = random.randbytes(size)
            got = self.echo(data)
            self.assertEqual((got.status, got.outcome), ('OK', 'executed'), got)
            self.assertEqual(mesh.data_of(mesh.read('echo.Message', got.payload)), data)
        self.assertEqual(self.counted('calls_forwarded'), [before + len(sizes)])

    def test_a_bytes(self):
        """The callee takes them as segments, as ever."""
        data = random.randbytes(100_000)
        got = self.call('bytes', 'sum', data)
        self.assertEqual(got.status, 'OK', got)
        self.assertEqual(mesh.read('bytes.Taken', got.payload).Len(), len(data))
        for method in ('get', 'get_lent'):
            got = self.call('bytes', method, mesh.table('bytes.Wanted', len=len(data)))
            self.assertEqual(got.payload, bytes((i * 7 + (i >> 8)) & 255 for i in range(len(data))))

    def test_a_shared_by_all_that_serve(self):
        before = self.forwards()
        for _ in range(20):
            self.assertEqual(self.echo().status, 'OK')
        self.assertEqual({p: n - before[p] for p, n in self.forwards().items()}, {'b': 10, 'c': 10})

    def test_a_what_is_here_is_not_sent_on(self):
        before, = self.counted('calls_forwarded')
        self.assertEqual(self.call('kv', 'stats', mesh.table('kv.Empty')).status, 'OK')
        self.assertEqual(self.counted('calls_forwarded'), [before])

    def test_b_refused(self):
        """Who is no client process, and services that nobody serves just now."""
        back = self.back['c']
        got = back.call_fast('calculator', 'add', mesh.table('calculator.Operands', a=1.0, b=2.0), 'middle')
        self.assertEqual((got.status, got.outcome, got.message),
                         ('UNAVAILABLE', 'not executed', 'no such service on this node'), got)
        self.back['b'].do('service.pause', service='bytes')
        mesh.until(lambda: not self.forwards('bytes.Bytes'), 'nobody serves it any more')
        got = self.call('bytes', 'get', mesh.table('bytes.Wanted', len=8))
        self.assertEqual((got.status, got.outcome, got.message),
                         ('UNAVAILABLE', 'not executed', 'no such service on this node'), got)
        self.back['b'].do('service.activate', service='bytes')
        mesh.until(lambda: self.forwards('bytes.Bytes'), 'and again')
        self.assertEqual(self.call('bytes', 'get', mesh.table('bytes.Wanted', len=8)).status, 'OK')

    def test_b_deadline(self):
        got = self.later(10_000_000, deadline_ms=200)
        self.assertEqual((got.status, got.outcome), ('DEADLINE_EXCEEDED', 'maybe executed'), got)
        mesh.until(lambda: self.middle.in_flight() == 0, 'nothing of it is left in the middle')

    def test_b_in_progress(self):
        got = self.later(300_000)
        self.assertEqual(got.status, 'OK', got)
        self.assertGreaterEqual(got.took, 0.3)

    def test_c_identity(self):
        """The client's own token reaches the callee, which alone says who that is; after that an index does."""
        back = self.back['b']
        verified = back.figures('auth')['verified']
        before = back.counters()['identities_used']
        for _ in range(4):
            self.assertEqual(self.add(metadata={'authorization': token_of('alice')}).status, 'OK')
            self.assertEqual(self.add(metadata={'authorization': token_of('bob')}).status, 'PERMISSION_DENIED')
            self.assertEqual(self.add().status, 'UNAUTHENTICATED')
        self.assertEqual(back.figures('auth')['verified'], verified + 1)
        self.assertGreater(back.counters()['identities_used'], before)
        got = self.add(metadata={'authorization': token('alice', secret=b'of the node between')})
        self.assertEqual(got.status, 'UNAUTHENTICATED')

    def test_d_a_service_that_comes_here(self):
        """From then on it is served here, also to those that had been sent on."""
        self.assertEqual(self.echo().status, 'OK')
        self.middle.do('service.add', definition={'text': 'name: echo', 'name': 'echo.yaml', 'folder': '/'})
        mesh.until(lambda: not self.forwards(), 'it is sent on no more')
        before, = self.counted('calls_forwarded')
        for _ in range(4):
            self.assertEqual(self.echo().status, 'OK')
        self.assertEqual(self.counted('calls_forwarded'), [before])
        self.middle.do('service.remove', service='echo')
        self.until_served('b', 'c')
        self.assertEqual(self.echo().status, 'OK')

    def test_e_pause(self):
        self.back['b'].do('service.pause', service='echo')
        for _ in range(10):  # known or not yet: surely not executed there, so the other one has it
            self.assertEqual(self.echo().status, 'OK')
        self.until_served('c')
        self.back['b'].do('service.activate', service='echo')
        self.until_served('b', 'c')

    def test_y_killed(self):
        """A callee that ends with the call: nobody knows whether it ran, and nobody runs it again."""
        self.back['b'].do('service.pause', service='echo')
        self.until_served('c')
        got = []
        thread = threading.Thread(target=lambda: got.append(self.later(20_000_000)))
        thread.start()
        mesh.until(lambda: self.back['c'].in_flight() == 1, 'the call is there')
        self.back['c'].kill()
        thread.join()
        self.assertEqual((got[0].status, got[0].outcome), ('UNAVAILABLE', 'maybe executed'), got)
        self.back['b'].do('service.activate', service='echo')
        self.until_served('b')
        self.assertEqual(self.echo().status, 'OK')

    def test_z_client_killed(self):
        """Its call ends behind too."""
        back = [n for n in self.back.values() if n.running()]
        admin = self.client.connect()
        admin.send('call', service='echo', method='later', node='middle',
                   payload=mesh.table('echo.Delayed', delay_us=60_000_000, data=b'x').hex())
        mesh.until(lambda: sum(n.in_flight() for n in back) == 1, 'the call is there')
        cancelled = sum(n.counters()['calls_cancelled'] for n in back)
        self.client.kill()
        admin.close()
        mesh.until(lambda: sum(n.counters()['calls_cancelled'] for n in back) == cancelled + 1,
                   'the callee was told')
        mesh.until(lambda: self.middle.in_flight() == 0, 'nothing of it is left in the middle')

    def test_h_configuration(self):
        """Nobody could say where calls are sent on to."""
        path = self.mesh.path('bad.yaml')
        for text, wrong in (('{name: x, discovery: false}', 'ports[0].forward: without node.discovery'),
                            ('{name: x, forward_balance: hash}', 'forward_balance: expected one of round_robin, least')):
            with open(path, 'w') as f:
                f.write(f'node: {text}\ncores: [{{cpu: 0}}]\n'
                        'ports: [{name: p, device: net_null0, address: 10.0.0.1/24, forward: true}]\n')
            done = subprocess.run([mesh.program('TELA_TELAD'), '--config', path, '--check'], capture_output=True,
                                       text=True, timeout=20)
            self.assertEqual(done.returncode, 1, done)
            self.assertIn(wrong, done.stdout + done.stderr)


    def test_i_as_documented(self):
        """The node of control/README.md."""
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../control/README.md')) as f:
            text = f.read().split('(`node.yaml`):\n\n```yaml\n')[1].split('```')[0]
        admin = self.mesh.path('documented.sock')
        text = text.replace('{name: middle', f'{{name: documented, huge_pages: false, share_cpu: true, admin: {admin}')
        text = text.replace('/run/tela/', self.mesh.path('documented-')).replace('cpu: 1', f'cpu: {mesh.cpus()[0]}')
        path = self.mesh.path('documented.yaml')
        with open(path, 'w') as f:
            f.write(text)
        node = mesh.Process(self.mesh, 'documented', [mesh.program('TELA_TELAD'), '--config', path])
        mesh.until(lambda: 'telad: ready' in node.text() or not node.running(), 'it is ready', 20)
        done = subprocess.run('telactl forwards'.split(), executable=mesh.program('TELA_TELACTL'), capture_output=True,
                              text=True, env={'TELA_SOCKET': admin}, timeout=20)
        self.assertEqual(done.returncode, 0, (done, node.text()))
        node.kill(signal.SIGTERM)
        self.assertEqual(node.wait(), 0)


tokens = {}


def token_of(subject):
    """The same each time."""
    return tokens.setdefault(subject, token(subject))


if __name__ == '__main__':
    mesh.main()
