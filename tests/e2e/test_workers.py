"""Methods that block run on the node's workers: calls of others go on meanwhile, a drain waits for them, and a core that is held
is named with the method that holds it."""
import os
import struct

import mesh


class Workers(mesh.Case):
    each_test_anew = True

    @classmethod
    def arrange(cls):
        mesh.schemas('echo', 'calculator')

    def node(self, services, **node):
        config = {'device': self.mesh.memif('server'), 'name': 'mem0', 'address': '10.77.0.1/24'}
        return mesh.Node(self.mesh, self.mesh.config('server', [config], mesh.cpus()[0], [], services, **node))

    def slow(self):
        """echo with a plugin in front that waits when the message says so, in milliseconds."""
        return {'name': 'echo', 'plugins': [{'plugin': 'waits', 'object': f'{mesh.program("TELA_PLUGINS")}/waits.so'}]}

    def held(self):
        return {'name': 'echo', 'plugins': [{'plugin': 'holds', 'object': f'{mesh.program("TELA_PLUGINS")}/holds.so'}]}

    def message(self, ms):
        return mesh.table('echo.Message', data=struct.pack('<Q', ms))

    def test_a_blocking_plugin(self):
        server, client = self.node([self.slow(), 'calculator'], workers=2), self.mesh.client()
        got = client.call('echo', 'echo', self.message(0), 'server')
        self.assertEqual((got.status, mesh.data_of(mesh.read('echo.Message', got.payload))), ('OK', struct.pack('<Q', 0)))
        admin = client.connect()
        asked = [admin.send('call', service='echo', method='echo', node='server', deadline_ms=10_000,
                            payload=self.message(700).hex()) for _ in range(2)]
        mesh.until(lambda: server.service('echo')['in_flight'] == 2, 'both workers wait')
        for _ in range(50):  # their core does not
            got = client.call_fast('calculator', 'add', mesh.table('calculator.Operands', a=1.0, b=2.0), 'server')
            self.assertEqual(mesh.read('calculator.Result', got.payload).Value(), 3.0)
        self.assertEqual(server.service('echo')['in_flight'], 2)
        late = client.call_fast('echo', 'echo', self.message(1), 'server', deadline_ms=50)
        self.assertEqual(late.status, 'DEADLINE_EXCEEDED')
        for number in asked:
            self.assertEqual(mesh.Call(admin.receive(number)).status, 'OK')
        admin.close()
        mesh.until(lambda: server.counters()['work_skipped'] == 1, 'what came too late is not started')
        self.assertEqual(server.counters()['calls_worked'], 4)

    def test_a_method_by_configuration(self):
        server, client = self.node([{'name': 'calculator', 'blocking': 'divide sum'}], workers=1), self.mesh.client()

        def value(method, a, b):
            return client.call('calculator', method, mesh.table('calculator.Operands', a=a, b=b), 'server')
        self.assertEqual(mesh.read('calculator.Result', value('divide', 1.0, 8.0).payload).Value(), 0.125)
        got = value('divide', 1.0, 0.0)
        self.assertEqual((got.status, got.outcome, got.message), ('INVALID_ARGUMENT', 'executed', 'division by zero'))
        self.assertEqual(server.counters()['calls_worked'], 2)
        self.assertEqual(mesh.read('calculator.Result', value('add', 1.0, 8.0).payload).Value(), 9.0)
        self.assertEqual(server.counters()['calls_worked'], 2)
        series = mesh.table('calculator.Series', values=[0.5] * 1000)
        got = client.call('calculator', 'sum', series, 'server')
        self.assertEqual(mesh.read('calculator.Result', got.payload).Value(), 500.0)

    def test_refused(self):
        for services, node, words in (([{'name': 'calculator', 'blocking': 'all'}], {}, 'no workers'),
                                      ([{'name': 'calculator', 'blocking': 'add shout'}], {'workers': 1}, "no method 'shout'")):
            config = self.mesh.config('server', [], mesh.cpus()[0], [], services, **node)
            bad = mesh.Node(self.mesh, config, wait=False)
            self.assertEqual(bad.wait(), 1)
            self.assertIn(words, bad.text())
        server = self.node([self.slow(), 'calculator'])
        self.assertEqual(server.service('echo')['state'], 'failed')
        self.assertIn('no workers', server.service('echo')['last_error'])

    def test_drain_waits(self):
        server, client = self.node([self.slow()], workers=1), self.mesh.client()
        self.assertEqual(client.call('echo', 'echo', self.message(0), 'server').status, 'OK')
        admin = client.connect()
        number = admin.send('call', service='echo', method='echo', node='server', payload=self.message(600).hex())
        mesh.until(lambda: server.service('echo')['in_flight'] == 1, 'the worker waits')
        self.assertEqual(server.stop(), 0)
        got = mesh.Call(admin.receive(number))
        admin.close()
        self.assertEqual((got.status, mesh.data_of(mesh.read('echo.Message', got.payload))), ('OK', struct.pack('<Q', 600)))

    def test_a_core_that_is_held_is_named(self):
        server, client = self.node([self.held()], discovery=True), self.mesh.client()
        self.assertEqual(client.call('echo', 'echo', self.message(0), 'server').status, 'OK')
        admin = client.connect()
        number = admin.send('call', service='echo', method='echo', node='server', deadline_ms=20_000,
                            payload=self.message(3000).hex())
        core = mesh.until(lambda: [c for c in server.do('status')['cores'] if c['stalled']], 'the core is found')[0]
        self.assertEqual(core['running'], 'echo.Echo.echo')
        why = mesh.until(lambda: server.service('echo')['not_ready'], 'it takes no calls meanwhile')
        self.assertEqual(why, 'core 0 does not poll: echo.Echo.echo holds it')
        mesh.until(lambda: not server.do('discovery')['services'][0]['serves'], 'and says so')
        mesh.until(lambda: 'polls again' in server.text(), 'the core is free')
        mesh.until(lambda: server.service('echo')['ready'] and server.do('discovery')['services'][0]['serves'], 'it is back')
        self.assertIn('echo.Echo.echo holds it', server.text())
        self.assertEqual(server.counters()['stalls'], 1)
        self.assertEqual([c['running'] for c in server.do('status')['cores']], [''])
        admin.receive(number)  # OK, or the peer was taken for dead meanwhile
        admin.close()

    def crew(self, server):
        plugins = {p['name']: p for p in server.do('chain.show', service='echo')['plugins']}
        return {w['worker']: (w['runs'], w['restarts']) for w in plugins['ticks']['workers']}

    def test_tasks_of_a_data_core(self):
        """They run in its loop, one after the other is started again as threads are, and go with their plugin."""
        server, client = self.node(['echo']), self.mesh.client()
        die, ticks = self.mesh.path('die'), f'{mesh.program("TELA_PLUGINS")}/ticks.so'
        for strategy in (False, True):
            server.do('chain.add', service='echo', plugin='ticks', object=ticks, config={'die': die, 'all': strategy})
            before = server.figures('ticks')
            mesh.until(lambda: all(server.figures('ticks')[k] > before[k] + 10 for k in ('often', 'slow')), 'both tick')
            figures = server.figures('ticks')
            self.assertEqual(figures['elsewhere'], 0)
            self.assertGreater(figures['often'], figures['slow'] + 5, 'one in each pass, the other every 5 ms')
            self.assertEqual(self.crew(server), {'often': (True, 0), 'slow': (True, 0), 'dies': (True, 0)})
            with open(die, 'w'):
                pass
            mesh.until(lambda: self.crew(server)['dies'][1] > 0, 'it is started again')
            os.unlink(die)
            mesh.until(lambda: self.crew(server)['dies'][0], 'and runs')
            self.assertEqual(self.crew(server)['often'][1] > 0, strategy == 1)
            self.assertEqual(client.call('echo', 'echo', self.message(0), 'server').status, 'OK')
            server.do('chain.remove', service='echo', name='ticks')
        got = server.ask('chain.add', service='echo', plugin='ticks', config={'core': 7})
        self.assertIn('its worker often: Invalid argument', got['error']['message'])
        self.assertEqual(client.call('echo', 'echo', self.message(0), 'server').status, 'OK')
        self.assertEqual(server.stop(), 0)


if __name__ == '__main__':
    mesh.main()
