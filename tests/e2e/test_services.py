"""Whole services come and go while a node runs and peers call: those that stay never fail a call, a peer that already knew the
node calls what was added later, and what comes again by another schema is bound again."""
import json
import os

import mesh

PLUGINS = os.environ.get('TELA_PLUGINS', '')
SERVICES = os.environ.get('TELA_SERVICES', '')
CALCULATOR = {'name': 'calculator', 'object': os.path.join(SERVICES, 'calculator.so')}
KV = {'name': 'kv', 'plugins': [{'plugin': 'counter'}]}
NEXT = {'name': 'echo_next', 'object': os.path.join(PLUGINS, 'echo_next.so')}


class Node(mesh.Case):
    @classmethod
    def arrange(cls):
        mesh.schemas('echo', 'calculator', 'kv')
        cls.server = cls.mesh.server(['echo'], heartbeat_ms=20)

    def add(self, what):
        return self.server.do('service.add', definition={'text': json.dumps(what), 'name': what['name']})

    def remove(self, name, **more):
        return self.server.do('service.remove', service=name, **more)

    def names(self):
        return [s['service'] for s in self.server.do('services')['services']]


class Load(Node):
    def test_under_load(self):
        """No call of the other service fails, and its figures are not touched."""
        caller = self.mesh.caller()
        caller.start(threads=6, ms=120_000)
        mesh.until(lambda: caller.calls() > 20, 'calls are made')
        for _ in range(4):
            self.add(CALCULATOR)
            self.add(KV)
            self.remove('calculator')
            self.remove('kv', deadline_ms=0)
        before = caller.calls()
        mesh.until(lambda: caller.calls() > before + 20, 'calls go on')
        got = caller.stop()
        self.assertEqual(set(got['codes']), {'OK'}, got)
        self.assertEqual(self.server.service('echo')['generation'], 1)
        self.assertEqual(self.names(), ['echo', 'reflection'])
        with open(f'/proc/{self.server.pid}/maps') as maps:
            mesh.until(lambda: maps.seek(0) == 0 and 'tela-plugin' not in maps.read(), 'the object is unloaded')


class Peer(Node):
    @classmethod
    def arrange(cls):
        super().arrange()
        cls.client = cls.mesh.client()

    def test_called_by_a_peer_that_knew_the_node(self):
        request = mesh.table('echo.Message', data=b'x')
        self.assertEqual(self.client.call('echo', 'echo', request, 'server').status, 'OK')
        put = mesh.table('kv.Item', key=b'k', value=b'v')
        for _ in range(3):
            got = self.client.call_fast('kv', 'put', put, 'server', 2000)
            self.assertEqual((got.status, got.outcome, got.message),
                             ('UNAVAILABLE', 'not executed', 'no such service on this node'), got)
            self.add(KV)
            self.assertEqual(self.client.call('kv', 'put', put, 'server').status, 'OK')
            self.assertEqual(self.client.call('kv', 'put', put, 'server').status, 'OK')
            self.remove('kv')

    def test_again_by_a_later_schema(self):
        """Bound by today's, then by a later one that knows it, then again by today's: on one session."""
        request, before = mesh.table('echo.Message', data=b'x'), self.server.counters().get('rebinds', 0)

        def call():
            return self.client.call_fast('echo', 'echo', request, 'server', 2000)
        for definition, name in ((None, 'echo'), (NEXT, 'echo_next'), ({'name': 'echo'}, 'echo')):
            if definition:
                self.assertEqual(self.add(definition)['schema_name'], 'echo.Echo')
            for _ in range(2):
                self.assertEqual(call().status, 'OK')
            self.remove(name)
            for _ in range(2):
                self.assertEqual((call().status, call().outcome), ('UNAVAILABLE', 'not executed'))
        self.assertEqual(self.server.counters()['rebinds'] - before, 3, 'one for each time that it went')
        self.add({'name': 'echo'})

    def test_calls_that_wait(self):
        """Those under way are waited for; at the deadline they are cancelled, and no other is."""
        later = mesh.table('echo.Delayed', data=b'x', delay_us=600_000)
        admin = self.client.connect()
        call = {'service': 'echo', 'method': 'later', 'node': 'server', 'payload': later.hex(), 'deadline_ms': 20_000}
        number = admin.send('call', **call)
        mesh.until(lambda: self.server.service('echo')['in_flight'] == 1, 'it waits')
        self.assertEqual(self.remove('echo', deadline_ms=20_000)['cancelled'], 0)
        self.assertEqual(mesh.Call(admin.receive(number)).status, 'OK')
        self.add({'name': 'echo'})
        later = mesh.table('echo.Delayed', data=b'x', delay_us=5_000_000)
        number = admin.send('call', **dict(call, payload=later.hex()))
        mesh.until(lambda: self.server.service('echo')['in_flight'] == 1, 'it waits')
        self.assertEqual(self.remove('echo', deadline_ms=1)['cancelled'], 1)
        got = mesh.Call(admin.receive(number))
        self.assertEqual((got.status, got.outcome), ('UNAVAILABLE', 'maybe executed'), got)
        admin.close()
        self.add({'name': 'echo'})


class End(mesh.Case):
    """A node that ends: peers are told first, and for two heartbeats it still serves those that do not know yet."""
    @classmethod
    def arrange(cls):
        mesh.schemas('echo')

    def test_the_notice(self):
        server = self.mesh.server(['echo'], heartbeat_ms=1000)
        client, request = self.mesh.client(), mesh.table('echo.Message', data=b'x')
        self.assertEqual(client.call('echo', 'echo', request, 'server').status, 'OK')
        refused = server.counters().get('calls_refused', 0)
        server.do('drain')
        self.assertEqual(server.call_fast('echo', 'echo', request).status, 'OK')
        mesh.until(lambda: client.call_fast('echo', 'echo', request, 'server', 500).status == 'UNAVAILABLE', 'it has been told')
        self.assertEqual(server.counters().get('calls_refused', 0), refused, 'nobody has been refused for it')
        self.assertEqual(server.call_fast('echo', 'echo', request).status, 'OK')
        self.assertEqual(server.wait(), 0)


if __name__ == '__main__':
    mesh.main()
