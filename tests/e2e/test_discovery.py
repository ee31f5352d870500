"""Three nodes that tell each other what they serve: services that come, go, pause and drain, nodes that end and come back, and
one that lies."""
import os

import mesh
from test_three_nodes import Network

PLUGINS = os.environ.get('TELA_PLUGINS', '')
LIAR, WATCHER = os.path.join(PLUGINS, 'liar.so'), os.path.join(PLUGINS, 'watcher.so')


class Discovery(Network):
    options = {'discovery': True, 'heartbeat_ms': 200, 'zone': 'here'}
    services = ['echo', {'name': 'kv', 'global': False}]

    def seen(self, who, of=None, service='echo.Echo'):
        """What node `who` knows of a service, by node."""
        known = {s['node']: s for s in self.nodes[who].do('discovery')['services'] if s['service'] == service}
        return known.get(of) if of else known

    def until_served(self, who, *by):
        mesh.until(lambda: {n for n, s in self.seen(who).items() if s['serves']} == set(by), f'{who} knows {by}')

    def everybody(self):
        for name in self.names:
            self.until_served(name, '.', *(n for n in self.names if n != name))

    def call_any(self, who, nodes, **more):
        return mesh.Call(self.nodes[who].ask('call', service='echo', method='echo', node=nodes, policy='mesh',
                                             payload=mesh.table('echo.Message', data=b'x').hex(), **more))

    def refused(self, who):
        return self.nodes[who].counters()['calls_refused']

    def test_a_everybody_is_known(self):
        self.everybody()
        s = self.seen('a', 'b')
        self.assertEqual([s[k] for k in ('state', 'version', 'weight', 'zone')], ['running', '1.0', 1, 'here'])
        self.assertLessEqual({'echo', 'later'}, set(s['methods']))
        own = self.seen('b', '.')
        self.assertEqual((s['schema'], s['incarnation']), (own['schema'], own['incarnation']))
        self.assertNotEqual(s['incarnation'], self.seen('a', 'c')['incarnation'])

    def test_b_what_is_not_global_never_leaves_its_node(self):
        """Neither by announcement nor by call."""
        for name in self.names:
            self.assertEqual(self.seen(name, service='kv.Kv'), {})
        put = mesh.table('kv.Item', key=b'k', value=b'v')
        self.assertEqual(self.nodes['b'].call_fast('kv', 'put', put, deadline_ms=2000).status, 'OK')
        got = self.nodes['a'].call_fast('kv', 'put', put, 'b', 2000)
        self.assertEqual((got.status, got.outcome, got.message),
                         ('UNAVAILABLE', 'not executed', 'no such service on this node'), got)

    def test_c_who_does_not_serve_is_not_asked(self):
        self.everybody()
        self.nodes['b'].do('service.pause', service='echo')
        mesh.until(lambda: self.seen('a', 'b')['state'] == 'paused', 'a knows of it')
        before = self.refused('b')
        for _ in range(20):
            self.assertEqual(self.call_any('a', 'b,c').status, 'OK')
        self.assertEqual(self.refused('b'), before)
        # Nobody is left: told without asking, or waited for until one serves again.
        got = self.call_any('a', 'b', fail_fast=True)
        self.assertEqual((got.status, got.outcome), ('UNAVAILABLE', 'not executed'), got)
        self.assertEqual(self.refused('b'), before)
        admin = self.nodes['a'].connect()
        number = admin.send('call', service='echo', method='echo', node='b', policy='mesh', wait=True, deadline_ms=20_000,
                            payload=mesh.table('echo.Message', data=b'x').hex())
        self.nodes['b'].do('service.activate', service='echo')
        self.assertEqual(mesh.Call(admin.receive(number)).status, 'OK')
        admin.close()
        self.everybody()

    def test_d_a_drain_refuses_nobody(self):
        """Callers look elsewhere before the gate closes."""
        self.everybody()
        before = self.refused('c')
        admin = self.nodes['c'].connect()
        drain = admin.send('service.drain', service='echo', deadline_ms=10_000)
        while admin_state(self.nodes['c']) != 'paused':
            self.assertEqual(self.call_any('a', 'b,c', fail_fast=True).status, 'OK')
        for _ in range(20):
            self.assertEqual(self.call_any('a', 'b,c', fail_fast=True).status, 'OK')
        self.assertTrue(admin.receive(drain)['drained'])
        admin.close()
        self.assertEqual(self.refused('c'), before)
        self.assertFalse(self.seen('a', 'c')['serves'])
        self.nodes['c'].do('service.activate', service='echo')
        self.everybody()

    def test_e_a_node_that_ends_and_comes_back(self):
        self.everybody()
        first = self.seen('a', 'b')['incarnation']
        self.nodes['b'].kill()
        mesh.until(lambda: not self.seen('a', 'b'), 'b is not known any more')
        self.assertIn('discovery: b is not known any more', self.nodes['a'].text())
        self.nodes['b'] = self.nodes['b'].again()
        self.everybody()
        self.assertNotEqual(self.seen('a', 'b')['incarnation'], first)

    def test_e_plugins_hear_of_it(self):
        """What is there when they start, what comes and goes; and they can wait for what they need."""
        self.everybody()
        a = self.nodes['a']
        a.do('chain.add', service='echo', plugin='watcher', object=WATCHER)
        for line in ('at start . echo.Echo', 'at start b echo.Echo', 'at start c echo.Echo'):
            mesh.until(lambda: f'watcher: {line}' in a.text(), line)
        incarnation = self.seen('a', 'b')['incarnation']
        self.nodes['b'].do('service.pause', service='echo')
        mesh.until(lambda: f'watcher: b echo.Echo goes {incarnation}' in a.text(), 'it goes')
        self.nodes['b'].do('service.activate', service='echo')
        mesh.until(lambda: f'watcher: b echo.Echo comes {incarnation}' in a.text(), 'it comes')
        mesh.until(lambda: 'watcher: no.Such: 110' in a.text(), 'ETIMEDOUT')
        self.assertNotIn('watcher: echo and calculator', a.text())
        config = self.nodes['c'].config
        self.assertEqual(self.nodes['c'].stop(), 0)
        mesh.until(lambda: 'watcher: c echo.Echo goes' in a.text(), 'with its node')
        self.nodes['c'] = mesh.Node(self.mesh, {**config, 'services': config['services'] + [{'name': 'calculator'}]},
                                    self.plugged['c'])
        mesh.until(lambda: 'watcher: echo and calculator: 0' in a.text(), 'both are there')
        mesh.until(lambda: 'watcher: c echo.Echo comes' in a.text(), 'with its node')
        a.do('chain.remove', service='echo', name='watcher')

    def served(self, who):
        """Calls of echo that node `who` has served, ever."""
        return sum(i['calls'] for i in self.nodes[who].do('images', service='echo')['images'])

    def share(self, n, **how):
        """Of n calls of a to b or c, how many each has served."""
        before = {w: self.served(w) for w in 'bc'}
        admin = self.nodes['a'].connect()
        payload = mesh.table('echo.Message', data=b'x').hex()
        for _ in range(n):
            self.assertEqual(mesh.Call(admin.ask('call', service='echo', method='echo', node='b,c', policy='mesh',
                                                 deadline_ms=10_000, payload=payload, **how)).status, 'OK')
        admin.close()
        return {w: self.served(w) - before[w] for w in 'bc'}

    def weigh(self, who, weight):
        self.nodes[who].do('service.weight', service='echo', weight=weight)
        mesh.until(lambda: self.seen('a', who)['weight'] == weight, f'a knows the weight of {who}')

    def test_e_weights_steer_at_once(self):
        """600 calls by announced weight, within five standard deviations; and the others do not look at it."""
        self.everybody()
        self.weigh('b', 5)
        got = self.share(600, balance='weighted')
        self.assertTrue(454 <= got['b'] <= 546 and sum(got.values()) == 600, got)
        self.weigh('c', 5)
        got = self.share(600, balance='weighted')
        self.assertTrue(239 <= got['b'] <= 361 and sum(got.values()) == 600, got)
        self.weigh('b', 1)
        got = self.share(600, balance='weighted')
        self.assertTrue(54 <= got['b'] <= 146 and sum(got.values()) == 600, got)
        self.assertEqual(self.share(100, balance='round_robin'), {'b': 50, 'c': 50})
        for bad in (0, 1_000_001):
            reply = self.nodes['b'].ask('service.weight', service='echo', weight=bad)
            self.assertIn('weight: expected 1..1000000', reply['error']['message'])
        self.weigh('c', 1)

    def test_e_zones_steer_at_once(self):
        """Those of the named zone, while there is one that serves; a node that comes back elsewhere is there at once."""
        self.everybody()
        self.move('c', 'there')
        for balance in ('round_robin', 'weighted', 'least', 'hash'):
            self.assertEqual(self.share(20, balance=balance, zone='there'), {'b': 0, 'c': 20})
        self.assertEqual(self.share(20, zone='here'), {'b': 20, 'c': 0})
        self.assertEqual(self.share(20, zone='nowhere'), {'b': 10, 'c': 10})
        self.nodes['c'].do('service.pause', service='echo')
        mesh.until(lambda: self.seen('a', 'c')['state'] == 'paused', 'a knows of it')
        self.assertEqual(self.share(20, zone='there')['b'], 20)
        self.nodes['c'].do('service.activate', service='echo')
        self.everybody()
        self.move('c', 'here')
        self.assertEqual(self.share(20, zone='here'), {'b': 10, 'c': 10})
        self.assertEqual(self.share(20, zone='there'), {'b': 10, 'c': 10})

    def move(self, who, zone):
        """The node starts anew in another zone."""
        config = self.nodes[who].config
        self.assertEqual(self.nodes[who].stop(), 0)
        self.nodes[who] = mesh.Node(self.mesh, {**config, 'node': {**config['node'], 'zone': zone}}, self.plugged[who])
        mesh.until(lambda: (self.seen('a', who) or {}).get('zone') == zone, f'a knows the zone of {who}')
        self.everybody()

    def test_f_lies(self):
        """A peer whose announcements are no good is not known, and nobody else suffers."""
        self.everybody()
        self.assertEqual(self.nodes['c'].stop(), 0)
        honest = self.nodes['c'].config
        for how, why in (('beat', None), ('garbage', None), ('many', 'too many services'), ('name', 'without a proper name'),
                         ('status', 'an unknown status'), ('version', 'no incarnation or version')):
            liar = self.lying(honest, how)
            mesh.until(lambda: liar.counters()['calls_served'] >= 6, 'it was asked')
            if why:
                mesh.until(lambda: f'discovery: c: not believed: {why}' in ' '.join(self.nodes['a'].text().split()) or
                           why in self.nodes['a'].text(), 'the log says why')
            self.assertEqual([s for s in self.nodes['a'].do('discovery')['services'] if s['node'] == 'c'], [])
            self.assertTrue(self.seen('a', 'b')['serves'])
            self.assertEqual(liar.stop(), 0)
        liar = self.lying(honest, 'flood')  # another version whenever it is asked: so be it
        mesh.until(lambda: self.seen('a', 'c', 'lie.L199'), 'it is believed')
        mesh.until(lambda: liar.counters()['calls_served'] >= 20, 'and asked again and again')
        self.assertEqual(self.call_any('a', 'b').status, 'OK')
        self.assertEqual(liar.stop(), 0)
        self.nodes['c'] = mesh.Node(self.mesh, honest, self.plugged['c'])

    def lying(self, honest, how):
        config = {**honest, 'node': {**honest['node'], 'discovery': False, 'reflection': False},
                  'services': [{'name': 'liar', 'object': LIAR, 'config': {'how': how}}]}
        return mesh.Node(self.mesh, config, self.plugged['c'])


def admin_state(node):
    return node.service('echo')['state']


if __name__ == '__main__':
    mesh.main()
