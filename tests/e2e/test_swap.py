"""Plugins come, go and are replaced under load: no call fails, none runs under two images, and every call is counted
by exactly one."""
import os
import shutil
import subprocess
import threading

import mesh


class Swap(mesh.Case):
    each_test_anew = True

    def setUp(self):
        super().setUp()
        mesh.schemas('calculator')
        self.server = self.mesh.server(['calculator', {'name': 'echo', 'config': {'count_ids': 24}, 'plugins': [
            {'plugin': 'stamp', 'as': f'stamp{bit}', 'config': {'bit': bit}} for bit in (1, 2)]}])

    def images(self, service):
        reply = self.server.do('images', service=service, limit=10000)
        self.assertFalse(reply['more'])
        return reply['images']

    def settled(self, service):
        mesh.until(lambda: self.server.service(service)['retiring'] == 0, 'all old images have retired')
        return self.images(service)

    def accounted(self, got, generations):
        """Every call of the run was executed once, under one of the images, all of which are known."""
        self.assertEqual(set(got['codes']), {'OK'}, got)
        self.assertEqual((got['wrong'], got['refused'], got['torn'], got['stamped']), (0, 0, 0, got['calls']), got)
        images = self.settled('echo')
        self.assertEqual(sorted(i['generation'] for i in images), list(range(1, generations + 1)))
        self.assertEqual(sum(i['calls'] for i in images), got['calls'])
        figures = self.server.figures('echo')
        self.assertEqual((figures['executions'], figures['executed_twice']), (got['calls'], 0))

    def under_load(self, changes, **options):
        """Runs `changes` while calls are made; returns the caller's result."""
        caller = self.mesh.caller()
        caller.start(**{'threads': 6, 'stamp': 1, 'ms': 120_000, **options})
        mesh.until(lambda: caller.calls() > 20, 'calls are made')
        changes(caller)
        before = caller.calls()
        mesh.until(lambda: caller.calls() > before + 20, 'calls go on')
        return caller.stop()

    def test_add_and_remove(self):
        def changes(_caller):
            for _ in range(150):
                self.server.do('chain.add', service='echo', plugin='counter')
                self.server.do('chain.remove', service='echo', name='counter')
            self.server.do('chain.add', service='echo', plugin='counter', **{'as': 'last'})
        got = self.under_load(changes)
        self.accounted(got, 302)
        # The last one has seen exactly the calls of the last image.
        self.assertEqual(self.server.figures('last')['calls'], self.images('echo')[-1]['calls'])
        self.assertEqual(got['generations'][1], 302)

    def test_replace_with_a_shared_object(self):
        """Another build of a plugin, and back: loaded, unloaded, its calls in between."""
        builds = []
        for i in range(3):
            builds.append(self.mesh.path(f'stamp{i}.so'))
            shutil.copy(os.path.join(mesh.program('TELA_SERVICES'), 'stamp.so'), builds[-1])

        def changes(_caller):
            for i in range(60):
                self.server.do('chain.replace', service='echo', name='stamp1', object=builds[i % 3])
        got = self.under_load(changes)
        self.accounted(got, 61)
        shown = self.server.do('chain.show', service='echo')['plugins']
        self.assertEqual([p['name'] for p in shown], ['echo', 'stamp1', 'stamp2'])
        self.assertEqual(shown[1]['object'], builds[59 % 3])
        self.server.do('chain.remove', service='echo', name='stamp1')
        mesh.until(lambda: len([p for p in self.server.do('plugins')['plugins'] if p['object']]) == 0,
                   'what is not used any more is unloaded', 10)

        def is_mapped():
            with open(f'/proc/{self.server.pid}/maps') as f:
                return 'tela-plugin' in f.read()
        mesh.until(lambda: not is_mapped(), 'no object is mapped any more')  # it is not listed when unloading begins

    def test_reconfigure_with_calls_pending(self):
        """Each image is pinned by calls of 30 ms; their answers come from the image that they began under."""
        def changes(_caller):
            for i in range(100):
                self.server.do('chain.replace', service='echo', name='stamp2', config={'bit': 3 + i % 50})
        got = self.under_load(changes, method='later', delay_us=30_000, threads=16)
        self.accounted(got, 101)

    def test_replace_the_service_itself(self):
        """The echo instance with its thread and its pending calls makes way for another. (Each counts its own executions.)"""
        def changes(_caller):
            for i in range(20):
                self.server.do('chain.replace', service='echo', name='echo', config={'queue': 512 << (i % 2)})
        got = self.under_load(changes, method='later', delay_us=10_000, threads=8)
        self.assertEqual((set(got['codes']), got['wrong'], got['torn'], got['refused']), ({'OK'}, 0, 0, 0), got)
        images = self.settled('echo')
        self.assertEqual(sum(i['calls'] for i in images), got['calls'])
        self.assertEqual(self.server.figures('echo')['executed_twice'], 0)

    def test_many_operators(self):
        """Several connections change one service at once: changes are made one after another, none is lost."""
        failed = []

        def operator(number):
            try:
                admin = self.server.connect()
                for _ in range(25):
                    name = f'counter{number}'
                    for cmd, arguments in (('chain.add', {'plugin': 'counter', 'as': name}), ('chain.remove', {'name': name})):
                        reply = admin.ask(cmd, service='echo', **arguments)
                        if not reply['ok']:
                            failed.append(reply)
                admin.close()
            except Exception as e:  # pylint: disable=broad-except
                failed.append(e)

        def changes(_caller):
            operators = [threading.Thread(target=operator, args=(i,)) for i in range(5)]
            for t in operators:
                t.start()
            for t in operators:
                t.join(60)
        got = self.under_load(changes)
        self.assertEqual(failed, [])
        self.accounted(got, 251)

    def test_telactl_batch(self):
        """Operators with a file of commands: 200 changes, pipelined."""
        lines = ''.join(f'chain add echo counter as=c{i}\nchain remove echo c{i}\n' for i in range(100))

        def changes(_caller):
            done = subprocess.run([mesh.program('TELA_TELACTL'), '--socket', self.server.socket, '-o', 'json', 'batch'],
                                  input=lines, capture_output=True, text=True, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, ''))
            self.assertEqual(done.stdout.count('"ok":true'), 200)
        self.accounted(self.under_load(changes), 201)

    def test_override(self):
        """A plugin that answers in the service's place: from its publication on, and not a call longer than it stands there."""
        add = mesh.table('calculator.Operands', a=1.0, b=2.0)

        def value():
            got = self.server.call_fast('calculator', 'add', add)
            self.assertEqual(got.status, 'OK', got)
            return mesh.read('calculator.Result', got.payload).Value()
        self.assertEqual(value(), 3.0)
        for i in range(30):
            self.server.do('chain.add', service='calculator', plugin='override', config={'value': i})
            self.assertEqual(value(), float(i))
            self.server.do('chain.replace', service='calculator', name='override', config={'value': i + 0.5})
            self.assertEqual(value(), i + 0.5)
            self.server.do('chain.remove', service='calculator', name='override')
            self.assertEqual(value(), 3.0)
        self.assertEqual(sum(i['calls'] for i in self.settled('calculator')), 91)

    def test_order(self):
        """Where plugins stand does not depend on when they came: the service above those that do not wrap it."""
        self.server.do('chain.add', service='calculator', plugin='check')
        self.server.do('chain.add', service='calculator', plugin='override')
        self.server.do('chain.add', service='calculator', plugin='counter', before='check')
        names = [p['name'] for p in self.server.do('chain.show', service='calculator')['plugins']]
        self.assertEqual(names.index('override') < names.index('calculator'), True, names)
        self.assertEqual(names.index('counter') < names.index('check'), True, names)
        self.server.do('chain.remove', service='calculator', name='override')
        names = [p['name'] for p in self.server.do('chain.show', service='calculator')['plugins']]
        self.assertEqual(names, ['calculator', 'counter', 'check'])


class Held(mesh.Case):
    """Calls that keep what was replaced from stopping: at the drain deadline they are cancelled."""
    @classmethod
    def arrange(cls):
        mesh.schemas('echo')
        waits = {'plugin': 'waits', 'object': f'{mesh.program("TELA_PLUGINS")}/waits.so'}
        cls.server = cls.mesh.server([{'name': 'echo', 'plugins': [waits]}], workers=1, drain_deadline_ms=200)
        cls.client = cls.mesh.client()

    def call(self, method, payload):
        admin = self.client.connect()
        self.addCleanup(admin.close)
        number = admin.send('call', service='echo', method=method, node='server', payload=payload.hex(), deadline_ms=20_000)
        mesh.until(lambda: self.server.service('echo')['in_flight'] == 1, 'it waits')
        return lambda: mesh.Call(admin.receive(number))

    def later(self, ms):
        return self.call('later', mesh.table('echo.Delayed', data=b'x', delay_us=ms * 1000))

    def ended(self, got):
        self.assertEqual((got.status, got.outcome), ('UNAVAILABLE', 'maybe executed'), got)
        self.assertIn('did not drain in time', got.message)
        mesh.until(lambda: self.server.service('echo')['retiring'] == 0, 'nothing holds the old image')
        self.assertEqual(self.client.call('echo', 'echo', mesh.table('echo.Message', data=b'y'), 'server').status, 'OK')

    def test_a_thread_answers_later(self):
        reply = self.later(15_000)
        changed = self.server.do('chain.replace', service='echo', name='echo', config={'count_ids': 24}, wait=True)
        self.assertEqual((changed['replaced'], changed['old_stopped']), (1, True), changed)
        self.ended(reply())
        self.assertEqual(self.server.counters()['calls_torn'], 1)

    def test_nothing_is_to_stop(self):
        """An old image that only brings in less: its calls end as they would."""
        reply = self.later(700)
        self.server.do('chain.add', service='echo', plugin='counter', wait=True)
        self.assertEqual(reply().status, 'OK')
        self.server.do('chain.remove', service='echo', name='counter', wait=True)

    def test_a_worker_has_it(self):
        """Its caller is told in time; what the worker runs cannot be stopped before it returns."""
        reply = self.call('echo', mesh.table('echo.Message', data=(1800).to_bytes(8, 'little')))
        changed = self.server.do('chain.replace', service='echo', name='waits', wait=True)
        self.assertEqual((changed['old_stopped'], changed['waits_for']), (False, 'calls under an older image'), changed)
        self.ended(reply())


if __name__ == '__main__':
    mesh.main()
