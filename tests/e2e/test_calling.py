"""Calls of a service that runs at several nodes: shared between them, failed over, repeated only where that is safe, and
left out those that fail; by the presets and options as telactl has them."""
import shlex
import signal
import subprocess

import mesh

SLOW_US = 1_500_000  # of an instance: nobody waits for it who need not


class Calling(mesh.Case):
    @classmethod
    def arrange(cls):
        mesh.schemas('echo', 'calculator')
        cls.ports, peers, cls.nodes = [], [], {}
        for i, name in enumerate(('a', 'b')):
            device = cls.mesh.memif('server', link=name, number=0)
            port = {'name': 'mem0', 'device': device, 'address': f'10.{80 + i}.0.1/24'}
            cls.nodes[name] = mesh.Node(cls.mesh, cls.mesh.config(
                name, [port], mesh.cpus()[0], [('front', f'10.{80 + i}.0.2')], cls.services()))
            cls.ports.append({'name': f'mem{i}', 'device': cls.mesh.memif('client', link=name, number=i),
                              'address': f'10.{80 + i}.0.2/24'})
            peers.append((name, f'10.{80 + i}.0.1'))
        peers.append(('ghost', '10.80.0.77'))
        cls.front = mesh.Node(cls.mesh, cls.mesh.config('front', cls.ports, mesh.cpus()[1], peers, ['calculator']))
        cls.before = {}

    @staticmethod
    def services():
        return [{'name': 'calculator', 'plugins': [{'plugin': 'counter'}]}, 'echo']

    def setUp(self):
        super().setUp()
        for node in self.nodes.values():
            mesh.until(lambda node=node: self.call(node=node.node).ok, f'{node.node} is up')
        # Instances that an earlier test made to fail take part again.
        self.before = self.served()

    def served(self):
        return {name: node.figures('counter')['calls'] for name, node in self.nodes.items()}

    def shares(self):
        now = self.served()
        return {name: now[name] - self.before[name] for name in now}

    def call(self, method='add', seconds=30, **options):
        arguments = {'node': 'a,b', **options}
        operands = mesh.table('calculator.Operands', a=1.0, b=2.0)
        return mesh.Call(self.front.ask('call', seconds, service='calculator', method=method, payload=operands.hex(),
                                        **arguments))

    def later(self, delay_us=0, data=b'x', **options):
        payload = mesh.table('echo.Delayed', delay_us=delay_us, data=data)
        return mesh.Call(self.front.ask('call', service='echo', method='later', payload=payload.hex(),
                                        **{'node': 'a,b', **options}))

    def pause(self, name, service='calculator'):
        self.nodes[name].do('service.pause', service=service, reason='a rest')
        self.addCleanup(self.nodes[name].do, 'service.activate', service=service)

    def test_shared(self):
        for policy in ('mesh', 'malla'):
            for balance in ('round_robin', 'least', 'weighted', 'hash'):
                self.before = self.served()
                got = [self.call(node='b,a', policy=policy, balance=balance) for _ in range(8)]
                self.assertEqual({c.status for c in got}, {'OK'}, got)
                self.assertEqual(sum(self.shares().values()), 8)
                if balance == 'round_robin':
                    self.assertEqual(set(self.shares().values()), {4})
                if balance == 'hash':  # all have one key
                    self.assertEqual(set(self.shares().values()), {0, 8})

    def test_as_documented(self):
        with open(self.mesh.path('request.bin'), 'wb') as f:
            f.write(mesh.table('calculator.Operands', a=1.0, b=2.0))
        command = 'telactl call --raw calculator add payload=@request.bin node=a,b policy=mesh balance=least'
        done = subprocess.run(shlex.split(command), executable=mesh.program('TELA_TELACTL'), cwd=self.mesh.folder,
                              capture_output=True, text=True, env={'TELA_SOCKET': self.front.socket}, timeout=20)
        self.assertEqual(done.returncode, 0, done)

    def test_local_first(self):
        for _ in range(4):
            self.assertEqual(self.call(node='a,.,b').status, 'OK')
        self.assertEqual(self.shares(), {'a': 0, 'b': 0})

    def test_failover_at_once(self):
        """A paused instance surely does not execute: its calls go to the other one, with no wait between."""
        self.pause('a')
        retries = self.front.counters()['retries']
        got = [self.call(policy='malla') for _ in range(6)]
        self.assertEqual({(c.status, c.outcome) for c in got}, {('OK', 'executed')}, got)
        self.assertEqual(self.front.counters()['retries'], retries)  # malla waits a second before another round
        self.assertEqual(self.shares(), {'a': 0, 'b': 6})
        # One that cannot be reached at all, likewise.
        self.assertEqual(self.call(node='ghost,b', policy='malla', deadline_ms=10_000).status, 'OK')

    def test_nobody(self):
        self.pause('a')
        self.pause('b')
        got = self.call(fail_fast=True)
        self.assertEqual((got.status, got.outcome), ('UNAVAILABLE', 'not executed'), got)
        got = self.call(wait=True, deadline_ms=300)
        self.assertEqual((got.status, got.outcome), ('DEADLINE_EXCEEDED', 'not executed'), got)
        self.assertGreaterEqual(got.took, 0.3)
        self.assertEqual(self.shares(), {'a': 0, 'b': 0})

    def test_waits_for_one(self):
        """Scenario 44: a service that appears while the call is tried again."""
        self.pause('a')
        self.pause('b')
        other = self.front.connect()
        number = other.send('call', service='calculator', method='add', node='a,b', wait=True, deadline_ms=20_000,
                            payload=mesh.table('calculator.Operands', a=1.0, b=2.0).hex())
        mesh.until(lambda: self.front.counters()['retries'] > 2, 'it is tried again')
        self.nodes['b'].do('service.activate', service='calculator')
        self.assertEqual(other.receive(number)['status'], 'OK')
        other.close()

    def test_retry_budget(self):
        """Nobody takes calls: a fresh client has ten rounds of retries, a call earns a fifth of one; then calls end at once."""
        self.pause('a')
        self.pause('b')
        fresh = {'hedge_us': 77_777, 'deadline_ms': 60_000}  # a client that no other test has
        for rounds in (10, 0, 0):
            before = self.front.counters()['retries']
            got = self.call(**fresh)
            self.assertEqual((got.status, got.outcome), ('UNAVAILABLE', 'not executed'), got)
            self.assertEqual(self.front.counters()['retries'] - before, rounds)
        self.assertEqual(self.shares(), {'a': 0, 'b': 0})

    def test_what_may_have_run_is_not_repeated(self):
        """echo.later is not idempotent: after a deadline of the attempt nobody knows, and nobody tries again."""
        made = self.front.counters()['calls_made']
        got = self.later(delay_us=700_000, deadline_ms=100)
        self.assertEqual((got.status, got.outcome), ('DEADLINE_EXCEEDED', 'maybe executed'), got)
        self.assertEqual(self.front.counters()['calls_made'] - made, 1)

    def test_errors_of_the_method_are_final(self):
        made = self.front.counters()['calls_made']
        got = mesh.Call(self.front.ask('call', service='calculator', method='divide', node='a,b',
                                       payload=mesh.table('calculator.Operands', a=1.0).hex()))
        self.assertEqual((got.status, got.outcome, got.reply['name']),
                         ('INVALID_ARGUMENT', 'executed', 'division_by_zero'), got)
        self.assertEqual(self.front.counters()['calls_made'] - made, 1)

    def slow(self, name):
        self.nodes[name].do('chain.add', service='calculator', plugin='fault',
                            config={'delay_ppm': 1_000_000, 'delay': f'{SLOW_US}us'})
        self.addCleanup(self.nodes[name].do, 'chain.remove', service='calculator', name='fault')

    def all(self, **options):
        reply = self.front.do('call', service='calculator', method='add', node='a,b,.', all=True,
                              payload=mesh.table('calculator.Operands', a=1.0, b=2.0).hex(), **options)
        return {r['node']: (r['status'], r['outcome']) for r in reply['replies']}, reply

    def test_all_at_once(self):
        ok = ('OK', 'executed')
        self.assertEqual(self.all()[0], {'a': ok, 'b': ok, '.': ok})
        self.assertEqual(self.shares(), {'a': 1, 'b': 1})
        self.pause('a')  # one that fails: nobody takes its place
        self.assertEqual(self.all()[0], {'a': ('UNAVAILABLE', 'not executed'), 'b': ok, '.': ok})
        self.assertEqual(self.shares(), {'a': 1, 'b': 2})
        self.slow('b')
        states, reply = self.all(quorum=1)
        self.assertEqual((states['.'], states['b'][0]), (ok, 'CANCELLED'))
        self.assertLess(reply['took_us'], SLOW_US)
        states, reply = self.all(deadline_ms=100)
        self.assertEqual(states['b'], ('DEADLINE_EXCEEDED', 'maybe executed'))
        for i in range(40):  # more than there is room for at once
            self.assertEqual(self.all(quorum=1)[0]['.'], ok)
        refused = self.front.ask('call', service='calculator', method='add', node='a,b', all=True, quorum=3,
                                 payload=mesh.table('calculator.Operands').hex())
        self.assertIn('Invalid argument', refused['error']['message'])

    def test_all_with_one_that_is_not_there(self):
        reply = self.front.do('call', service='calculator', method='add', node='ghost,b', all=True, deadline_ms=5000,
                              payload=mesh.table('calculator.Operands').hex())
        self.assertEqual([(r['node'], r['status'], r['outcome']) for r in reply['replies']],
                         [('ghost', 'UNAVAILABLE', 'not executed'), ('b', 'OK', 'executed')])

    def test_hedge(self):
        """One of two is slow: its calls are asked of the other one too, which answers first."""
        self.slow('b')
        before = self.front.counters()
        got = [self.call(hedge_us=5000) for _ in range(4)]
        self.assertEqual({c.status for c in got}, {'OK'}, got)
        self.assertLess(max(c.took for c in got), SLOW_US / 1e6, got)
        self.assertGreaterEqual(self.front.counters()['hedges'] - before['hedges'], 1)
        mesh.until(lambda: self.front.in_flight() == 0, 'nothing is left of the slow ones')
        self.assertEqual([self.call(node='a,b,.', hedge_us=5000).status for _ in range(2)], ['OK'] * 2)

    def test_hedge_only_what_may_run_twice(self):
        before = self.front.counters()
        got = self.later(delay_us=100_000, hedge_us=1000)
        self.assertEqual(got.status, 'OK', got)
        self.assertEqual(self.front.counters()['hedges'], before['hedges'])

    def test_bad_options(self):
        for options, said in (({'policy': 'hope'}, 'expected mesh or malla'), ({'balance': 'fair'}, 'round_robin, least'),
                              ({'node': 'a,nobody'}, 'no peer is named "nobody"'), ({'node': 'a,a'}, 'a is named twice'),
                              ({'node': 'a,'}, 'no peer is named ""'), ({'node': ','.join('a' * 70)}, 'expected 1 to 64')):
            got = self.call(**options)
            self.assertFalse(got.ok, options)
            self.assertIn(said, got.message)

    def test_y_a_node_that_ends_meanwhile(self):
        """It may have run there, and echo.later may not run twice: nobody asks the other one, in all the time that is left."""
        for node in self.nodes.values():
            mesh.until(lambda node=node: node.in_flight() == 0, 'what earlier tests left there has ended')
        made = self.front.counters()['calls_made']
        other = self.front.connect()
        payload = mesh.table('echo.Delayed', delay_us=8_000_000, data=b'x')
        number = other.send('call', service='echo', method='later', node='a,b', deadline_ms=20_000, payload=payload.hex())
        name = mesh.until(lambda: [n for n in self.nodes if self.nodes[n].in_flight()], 'one of them has it')[0]
        self.nodes[name].kill(signal.SIGKILL)
        self.nodes[name].end()
        got = mesh.Call(other.receive(number))
        other.close()
        self.assertEqual((got.status, got.outcome), ('UNAVAILABLE', 'maybe executed'), got)
        self.assertEqual(self.front.counters()['calls_made'] - made, 1)
        self.nodes[name] = self.nodes[name].again()

    def test_z_a_node_that_ends(self):
        """Killed and started again: idempotent calls go on all the time."""
        self.nodes['a'].kill(signal.SIGKILL)
        self.nodes['a'].end()
        for _ in range(10):
            got = self.call(deadline_ms=10_000)
            self.assertEqual(got.status, 'OK', got)
        self.nodes['a'] = self.nodes['a'].again()
        mesh.until(lambda: (self.call(), self.nodes['a'].figures('counter')['calls'] > 0)[1], 'it is called again')


if __name__ == '__main__':
    mesh.main()
