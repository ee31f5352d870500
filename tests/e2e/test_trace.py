"""Traces over three nodes: who decides, what each node records, and the tree that telactl makes of it."""
import json
import subprocess

import mesh

OBJECT = f'{mesh.program("TELA_PLUGINS")}/relay.so'


class Trace(mesh.Case):
    """front, middle and back, each joined to the next; what front's echo is asked with relay=2 goes through all of them."""

    @classmethod
    def arrange(cls):
        mesh.schemas('echo', 'calculator')
        back, links = mesh.cpus()[1], [cls.mesh.memif('server', link=name) for name in ('fm', 'mb')]
        cls.back = mesh.Node(cls.mesh, cls.mesh.config(
            'back', [{'name': 'm0', 'device': links[1], 'address': '10.91.0.1/24'}], back, [('middle', '10.91.0.2')],
            [cls.echo()]))
        cls.middle = mesh.Node(cls.mesh, cls.mesh.config(
            'middle', [{'name': 'm0', 'device': links[0], 'address': '10.90.0.1/24'},
                       {'name': 'm1', 'device': cls.mesh.memif('client', link='mb', number=1), 'address': '10.91.0.2/24'}],
            mesh.cpus()[0], [('front', '10.90.0.2'), ('back', '10.91.0.1')], [cls.echo('back')]))
        cls.front = mesh.Node(cls.mesh, cls.mesh.config(
            'front', [{'name': 'm0', 'device': cls.mesh.memif('client', link='fm'), 'address': '10.90.0.2/24'}], back,
            [('middle', '10.90.0.1')], [cls.echo('middle', 0), 'calculator']))
        cls.nodes = [cls.front, cls.middle, cls.back]

    @staticmethod
    def echo(peer=None, sample=1):
        plugins = [{'plugin': 'tracer', 'config': {'sample': sample}}]
        if peer:
            plugins.append({'plugin': 'relay', 'object': OBJECT, 'config': {'peer': peer}})
        return {'name': 'echo', 'plugins': plugins}

    def setUp(self):
        super().setUp()
        mesh.until(lambda: self.relayed(2).status == 'OK', 'all three are up')

    def relayed(self, times, **options):
        payload = mesh.table('echo.Message', data=b'hello')
        return mesh.Call(self.front.ask('call', service='echo', method='echo', payload=payload.hex(),
                                        metadata={'relay': str(times), **options.pop('metadata', {})}, **options))

    def typed(self, *words):
        """telactl as a person types it."""
        return subprocess.run([mesh.program('TELA_TELACTL'), '--socket', self.front.socket, *words], capture_output=True,
                              text=True, timeout=30)

    def spans(self, trace, wanted):
        """Of all nodes, once there are so many and none is open."""
        def told():
            found = []
            for node in self.nodes:
                reply = node.ask('trace', trace=trace)
                found += reply['spans'] if reply['ok'] else []
            return found if len(found) == wanted and all('took_ns' in s for s in found) else None
        return mesh.until(told, f'{wanted} spans of {trace} have ended')

    def assert_chain(self, spans, wanted):
        """Each below the one before."""
        by_id, above = {s['span']: s for s in spans}, None
        self.assertEqual(len(by_id), len(spans))
        for kind, name, node in wanted:
            below = [s for s in spans if s.get('above') == above]
            self.assertEqual([(s['kind'], s['name'], s['node']) for s in below], [(kind, name, node)], spans)
            above = below[0]['span']

    def test_through_all_of_them(self):
        got = self.relayed(2, trace=True)
        self.assertEqual((got.status, mesh.data_of(mesh.read('echo.Message', got.payload))), ('OK', b'hello'))
        spans = self.spans(got.reply['trace'], 8)
        name = 'echo.Echo.echo'
        self.assert_chain(spans, [('out', name, 'front'), ('in', name, 'front'), ('own', 'relaying', 'front'),
                                  ('out', name, 'front'), ('in', name, 'middle'), ('own', 'relaying', 'middle'),
                                  ('out', name, 'middle'), ('in', name, 'back')])
        self.assertEqual({s['trace'] for s in spans}, {got.reply['trace']})
        own = [s for s in spans if s['kind'] == 'own']
        self.assertEqual([d.get('attribute') or d.get('event') for d in own[0]['details']], ['left', 'answered'])
        for above in spans:  # on one clock at least: a span holds what is below it
            for s in spans:
                if s.get('above') == above['span'] and s['node'] == above['node']:
                    self.assertGreaterEqual(s['began_ns'], above['began_ns'])
                    self.assertLessEqual(s['took_ns'], above['took_ns'])

    def test_tree(self):
        done = self.typed('call', 'echo.echo', '{"data": "hello"}', '--meta', 'relay=2', '--trace')
        self.assertEqual((done.returncode, done.stderr[:6]), (0, 'trace '), done)
        trace = done.stderr.split()[1]
        self.spans(trace, 8)
        also = f'{self.middle.socket},{self.back.socket}'
        done = self.typed('trace', trace[:12], f'also={also}')
        lines = done.stdout.splitlines()
        self.assertEqual(done.returncode, 0, done)
        self.assertIn(f'trace {trace}, ', lines[0])
        self.assertTrue(lines[0].endswith(': 8 spans, 0 failed'), lines[0])
        self.assertIn('out echo.Echo.echo ', lines[1])  # told by telactl, which calls by number
        drawn = [x.split('echo.Echo.')[0].split('relaying')[0] for x in lines[1:] if not x.startswith(' ' * 40)]
        depths = [3 * n for n in range(8)]
        self.assertEqual(drawn, [' ' * (n - 3) + ('`- ' if n else '') + kind + ' ' for n, kind in
                                 zip(depths, ('out', 'in', 'own', 'out', 'in', 'own', 'out', 'in'))])
        self.assertTrue(lines[-1].rstrip().endswith('back'), lines)
        self.assertTrue(any('attribute left=1' in x for x in lines), lines)
        self.assertTrue(any('event answered after' in x for x in lines), lines)
        done = self.typed('-o', 'json', 'trace', trace, '--also', also)
        self.assertEqual(len(json.loads(done.stdout)['spans']), 8)
        self.assertIn(trace, self.typed('trace').stdout)

    def test_decided_at_the_root(self):
        """Of calls that come from outside; the nodes behind, which sample all, go along."""
        before = [node.figures('tracer') for node in self.nodes]
        self.front.do('config.merge', service='echo', config={'tracer.sample': '10'})
        self.addCleanup(self.front.do, 'config.merge', service='echo', config={'tracer.sample': '0'})
        for _ in range(30):
            self.assertEqual(self.relayed(2).status, 'OK')
        now = [node.figures('tracer') for node in self.nodes]
        self.assertEqual(now[0]['begun'], 3)
        for i in (1, 2):
            self.assertEqual(now[i]['begun'] - before[i]['begun'], 0)
            self.assertEqual(now[i]['joined'] - before[i]['joined'], 3)

    def test_failed(self):
        self.back.do('service.pause', service='echo', reason='a rest')
        self.addCleanup(self.back.do, 'service.activate', service='echo')
        got = self.relayed(2, trace=True)
        self.assertEqual(got.status, 'UNAVAILABLE')
        spans = self.spans(got.reply['trace'], 7)  # nothing was served at the back
        last = [s for s in spans if s['kind'] == 'out' and s['node'] == 'middle'][0]
        self.assertEqual((last['status'], last['error']), ('service_not_available', True))
        self.assertTrue(all(s.get('error') for s in spans if s['kind'] != 'own'), spans)

    def test_object_of_clients(self):
        """It goes with its last client: until then those look at descriptors that stand in the object."""
        self.front.do('chain.remove', service='echo', name='relay')
        mesh.until(lambda: not [p for p in self.front.ask('plugins')['plugins'] if p['plugin'] == 'relay'],
                   'relay is unloaded')
        self.front.do('chain.add', service='echo', plugin='relay', object=OBJECT, config={'peer': 'middle', 'keep': 'true'})
        self.assertEqual(self.relayed(2).status, 'OK')
        self.front.do('chain.remove', service='echo', name='relay')
        kept = mesh.until(lambda: [p for p in self.front.ask('plugins')['plugins']
                                   if p['plugin'] == 'relay' and p['state'] == 'kept'], 'relay is not unloaded')
        self.assertIn('clients', kept[0]['reason'])
        for weight in (2, 1):  # an announcement, which steers clients by the names of their services
            self.middle.do('service.weight', service='echo', weight=weight)
            self.assertEqual(self.typed('call', 'echo.echo', '{"data": "hello"}').returncode, 0)
        self.front.do('chain.add', service='echo', plugin='relay', object=OBJECT, config={'peer': 'middle'})
        self.assertEqual(self.relayed(2).status, 'OK')

    def test_request_out(self):
        """A link of the caller adds to what goes over the wire, or keeps it from going."""
        got = self.relayed(2, trace=True)
        own = {s['node']: s for s in self.spans(got.reply['trace'], 8) if s['kind'] == 'own'}
        self.assertEqual([d['value'] for d in own['middle']['details'] if d.get('attribute') == 'via'], ['a link'])
        self.assertEqual([d for d in own['front']['details'] if d.get('attribute') == 'via'], [])
        served = self.back.counters()['calls_served']
        got = self.relayed(2, trace=True, metadata={'forbid': '0'})
        self.assertEqual((got.status, got.reply['name']), ('PERMISSION_DENIED', 'forbidden'))
        spans = self.spans(got.reply['trace'], 7)
        last = [s for s in spans if s['kind'] == 'out' and s['node'] == 'middle'][0]
        self.assertEqual((last['status'], last['error']), ('forbidden', True))
        self.assertEqual(self.back.counters()['calls_served'], served)
        self.assertEqual(self.middle.counters()['calls_intercepted'], 1)

    def test_cancelled_with_the_root(self):
        """The first caller waits no longer than its deadline, nor does anybody behind."""
        got = self.relayed(2, deadline_ms=1)
        self.assertIn(got.status, ('DEADLINE_EXCEEDED', 'OK'))
        for node in self.nodes:
            mesh.until(lambda node=node: node.in_flight() == 0, f'{node.name} has nothing left')

    def test_asked_wrongly(self):
        for trace, said in (('xyz', 'hexadecimal'), ('deadbeef', 'no trace'), ('0' * 40, 'hexadecimal'), ('', 'hexadecimal')):
            reply = self.front.ask('trace', trace=trace)
            self.assertFalse(reply['ok'])
            self.assertIn(said, reply['error']['message'])


if __name__ == '__main__':
    mesh.main()
