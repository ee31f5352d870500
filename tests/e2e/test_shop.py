"""The shop of services/shop on its three nodes, by its own configurations: what becomes of orders, what each refusal says and
changes, and the tree of a call over all of them."""
import json
import os
import re
import subprocess
import tempfile
import unittest

import mesh

SHOP, OBJECTS = mesh.program('TELA_SHOP'), os.path.join(mesh.program('TELA_SERVICES'), 'shop')
CARD = '4242424242424242'


class ShopNode(mesh.Node):
    def __init__(self, of, name):
        self.node, self.place, self.admin = name, (None, None), None
        self.socket = of.path(f'{name}.sock')
        with open(f'{SHOP}/{name}.yaml') as f:
            text = f.read().replace('cpu: 0', f'cpu: {mesh.cpus()[name == "edge"]}')
        text = re.sub(r'/tmp/tela-shop/(\w+\.so\b)', rf'{OBJECTS}/\1', text).replace('/tmp/tela-shop', of.folder)
        path = of.path(f'{name}.yaml')
        with open(path, 'w') as f:
            f.write(text)
        mesh.Process.__init__(self, of, name, [mesh.program('TELA_TELAD'), '--config', path])

    def again(self):
        node = ShopNode(self.mesh, self.node)
        node.wait_ready()
        return node


class Shop(mesh.Case):
    @classmethod
    def arrange(cls):
        for name, text in (('secret', 'a secret of this test\n'), ('other', 'the secret of another shop\n')):
            with open(cls.mesh.path(name), 'w') as f:
                f.write(text)
        cls.token = {who: cls.signed('secret', who) for who in ('alice', 'bob', 'clerk')}
        cls.token['stranger'] = cls.signed('other', 'alice')
        cls.edge, cls.back, cls.bank = (ShopNode(cls.mesh, name) for name in ('edge', 'back', 'bank'))
        cls.know(cls.edge, cls.back, cls.bank)

    def setUp(self):
        super().setUp()
        self.know()

    @classmethod
    def know(cls, *nodes):
        for node in nodes:
            node.wait_ready()
        mesh.until(lambda: all(cls.serving(s) for s in ('shop.Users', 'shop.Products', 'shop.Payments')),
                   'the edge knows who serves what')

    @classmethod
    def serving(cls, service):
        return [s for s in cls.edge.do('discovery')['services'] if s['service'] == service and s['serves']]

    @classmethod
    def signed(cls, secret, who):
        return subprocess.run([f'{SHOP}/token', cls.mesh.path(secret), who], check=True, capture_output=True,
                              text=True).stdout.strip()

    def call(self, node, method, what, who='alice', *words):
        meta = ('--meta', f'authorization={self.token[who]}') if who else ()
        return node.ctl('call', method, json.dumps(what), *meta, *words)[1]

    def order(self, *words, who='alice', user=7, lamps=1, chairs=None, card=CARD):
        lines = [{'product': 'lamp', 'quantity': lamps}]
        if chairs is not None:
            lines.append({'product': 'chair', 'quantity': chairs})
        return self.call(self.edge, 'orders.place', {'user': user, 'lines': lines, 'card': card}, who, *words)

    def left(self):
        return [self.call(self.back, 'products.get', {'name': name})['reply']['left'] for name in ('lamp', 'chair')]

    def figures(self):
        return [self.edge.figures('orders')[name] for name in ('begun', 'placed', 'astray')]

    def spans(self, trace, wanted):
        """Of all nodes, once so many have ended."""
        def told():
            found = []
            for node in (self.edge, self.back, self.bank):
                reply = node.ask('trace', trace=trace)
                found += reply['spans'] if reply['ok'] else []
            return found if len(found) >= wanted and all('took_ns' in s for s in found) else None
        return sorted(mesh.until(told, f'{wanted} spans of {trace} have ended'), key=lambda s: s['began_ns'])

    @staticmethod
    def in_vain(span):
        """Asked of a node that does not serve: a busy machine may keep the edge from hearing who does."""
        return span['kind'] == 'out' and span.get('status') == 'service_not_available'

    def tree(self, trace, wanted):
        """The spans as (kind, name, node, status), each with those below it."""
        spans = mesh.until(lambda: (lambda s: len(s) >= wanted and s)(
            [s for s in self.spans(trace, wanted) if not self.in_vain(s)]), f'{wanted} spans of {trace}')
        self.assertEqual(len(spans), wanted, spans)

        def below(above):
            return [((s['kind'], s['name'].removeprefix('shop.'), s['node'], s.get('status', '')), below(s['span']))
                    for s in spans if s.get('above') == above]
        return below(None)

    @staticmethod
    def asked(name, node, *below, status='ok', served=''):
        return (('out', name, 'edge', status), [(('in', name, node, served), list(below))])

    def test_created(self):
        left, figures = self.left(), self.figures()
        got = self.order('--trace', lamps=2, chairs=1)
        self.assertEqual((got['status'], got['result'], got['name'], got['http']), ('OK', 'created', 'created', 201), got)
        self.assertEqual(got['reply']['cents'], 2 * 2500 + 12000)
        self.assertEqual(self.left(), [left[0] - 2, left[1] - 1])
        self.assertEqual(self.figures(), [figures[0] + 1, figures[1] + 1, 0])
        paid = self.call(self.bank, 'payments.find', {'order': got['reply']['number']}, 'clerk')['reply']
        self.assertEqual((paid['id'], paid['cents']), (got['reply']['payment'], 17000))
        self.assertEqual(self.tree(got['trace'], 12), [
            (('out', 'Orders.place', 'edge', 'created'), [
                (('in', 'Orders.place', 'edge', 'created'), [
                    (('own', 'place the order', 'edge', ''), [
                        self.asked('Users.get', 'back'), self.asked('Products.reserve', 'back'),
                        self.asked('Products.reserve', 'back'),
                        self.asked('Payments.charge', 'bank', (('own', 'ask the bank', 'bank', ''), []))])])])])

    def test_refused(self):
        """Each by whoever it is that refuses; nothing has changed, and nothing was charged."""
        self.assertEqual(self.left()[1] > 0, True)
        left, paid = self.left(), self.bank.figures('auth')['verified']
        for options, name, http, data in (
                ({'who': None}, 'unauthorized', 401, None),
                ({'who': 'stranger'}, 'token_invalid', 400, None),
                ({'lamps': 101}, 'validation_failed', 400, {'field': 'quantity', 'table': 'shop.Line'}),
                ({'card': '42'}, 'validation_failed', 400, {'field': 'card', 'table': 'shop.NewOrder'}),
                ({'user': 77}, 'not_found', 404, None),
                ({'user': 8}, 'forbidden', 403, None),
                ({'lamps': 50}, 'insufficient_stock', 409, {'product': 'lamp', 'available': str(left[0])}),
                ({'chairs': 3}, 'insufficient_stock', 409, {'product': 'chair', 'available': str(left[1])}),
                ({'card': '4242424242424243'}, 'payment_declined', 402, {'reason': 'number'}),
                ({'lamps': 4, 'chairs': 1}, 'payment_declined', 402, {'reason': 'limit'})):
            got = self.order(**options)
            self.assertEqual((got['name'], got['http'], got.get('data'), got['result']), (name, http, data, 'error'), got)
            self.assertEqual(self.left(), left, options)
        self.assertEqual(self.figures()[2], 0)
        self.assertEqual(self.bank.figures('payments'), {})
        self.assertLessEqual(self.bank.figures('auth')['verified'] - paid, 1)

    def test_undone(self):
        """The tree of an order that gives back what it had reserved."""
        got = self.order('--trace', lamps=1, chairs=99)
        refused = 'insufficient_stock'
        self.assertEqual(self.tree(got['trace'], 11), [
            (('out', 'Orders.place', 'edge', refused), [
                (('in', 'Orders.place', 'edge', refused), [
                    (('own', 'place the order', 'edge', ''), [
                        self.asked('Users.get', 'back'), self.asked('Products.reserve', 'back'),
                        self.asked('Products.reserve', 'back', status=refused, served=refused),
                        self.asked('Products.give_back', 'back')])])])])

    def test_asks_who_serves(self):
        """And nobody else, as long as the edge knows who does."""
        def asked_in_vain():
            forgotten = self.edge.text().count('not known any more')
            spans = self.spans(self.order('--trace', chairs=99)['trace'], 11)
            return [any(map(self.in_vain, spans))] if self.edge.text().count('not known any more') == forgotten else None
        self.assertEqual(mesh.until(asked_in_vain, 'an order while all are known', 10, 0.5), [False])

    def test_rate_limited(self):
        """Bob alone: alice's orders are counted apart."""
        got = mesh.until(lambda: (lambda r: r['name'] == 'rate_limited' and r)(self.order(who='bob')), 'bob is refused', 20, 0)
        self.assertEqual((got['http'], got['outcome']), (429, 'executed'))
        self.assertTrue(0 < got['retry_after_us'] <= 500_000, got)
        self.assertEqual(self.order(user=77)['name'], 'not_found')

    def test_too_late(self):
        """The caller waits no longer than it said; the bank has charged all the same, so the goods stay reserved."""
        self.bank.do('config.merge', service='payments', config={'payments.bank': '900ms'})
        self.addCleanup(self.bank.do, 'config.merge', service='payments', config={'payments.bank': '20ms'})
        left, figures = self.left(), self.figures()
        got = self.order('--deadline', '400ms', '--trace')
        self.assertEqual((got['status'], got['outcome']), ('DEADLINE_EXCEEDED', 'maybe executed'), got)
        order = self.tree(got['trace'], 10)[0]
        self.assertEqual(order[1][0][0][3], 'order_unsettled', order)
        self.assertEqual(order[1][0][1][0][1][2][0][3], 'timeout', order)
        self.assertEqual(self.left(), [left[0] - 1, left[1]])
        self.assertEqual(self.figures(), [figures[0] + 1, figures[1], figures[2]])

    def test_undone_for_nobody(self):
        """The caller has gone while the second line is reserved: what the first has taken goes back all the same."""
        left = self.left()
        self.back.do('chain.add', service='products', plugin='fault', config={'delay_ppm': '1000000', 'delay': '400ms'})
        self.addCleanup(self.back.ask, 'chain.remove', service='products', name='fault')
        got = self.order('--deadline', '600ms', '--trace', lamps=1, chairs=1)
        self.assertEqual((got['status'], got['outcome']), ('DEADLINE_EXCEEDED', 'maybe executed'), got)
        order = self.tree(got['trace'], 11)[0][1][0]
        self.assertEqual(order[0], ('in', 'Orders.place', 'edge', 'order_unsettled'))
        self.assertEqual([entry[0][1:4:2] for entry in order[1][0][1]], [
            ('Users.get', 'ok'), ('Products.reserve', 'ok'), ('Products.reserve', 'timeout'), ('Products.give_back', 'ok')])
        self.back.do('chain.remove', service='products', name='fault')
        self.assertEqual((self.left(), self.figures()[2]), (left, 0))

    def test_undone_after_its_service(self):
        """Its service is drained, at once, while stock goes back for an order that nobody waits for any more."""
        left = self.left()
        self.back.do('chain.add', service='products', plugin='fault', config={'delay_ppm': '1000000', 'delay': '700ms'})
        self.addCleanup(self.back.ask, 'chain.remove', service='products', name='fault')
        self.addCleanup(self.edge.ask, 'service.activate', service='orders')
        self.assertEqual(self.order('--deadline', '900ms', lamps=1, chairs=1)['status'], 'DEADLINE_EXCEEDED')
        self.edge.do('service.pause', service='orders')
        self.edge.do('service.drain', service='orders', deadline_ms=0)
        self.back.do('chain.remove', service='products', name='fault', wait=True)
        mesh.until(lambda: self.left() == left, 'the lamp is back')
        self.edge.do('service.activate', service='orders')
        self.assertEqual(self.order(user=77)['name'], 'not_found')

    def test_who_may_what(self):
        user = {'id': 9, 'name': 'carol'}
        self.assertEqual(self.call(self.back, 'users.add', user)['name'], 'forbidden')
        self.assertEqual(self.call(self.back, 'users.add', user, 'clerk')['name'], 'created')
        self.assertEqual(self.call(self.back, 'users.add', user, 'clerk')['name'], 'conflict')
        self.assertEqual(self.call(self.back, 'users.get', {'id': 9})['reply'], user)
        self.assertEqual(self.call(self.bank, 'payments.find', {'order': 1})['name'], 'forbidden')
        self.assertEqual(self.call(self.bank, 'payments.find', {'order': 1}, 'clerk')['name'], 'not_found')

    def test_wrong_configurations(self):
        for node, service, key, value, said in (
                (self.edge, 'orders', 'nodes', '', 'nodes: expected 1..16'),
                (self.edge, 'orders', 'nodes', 'back,nobody', 'nobody'),
                (self.back, 'users', 'users', '7:alice,bob', 'users[1]: expected ID:NAME, found \'bob\''),
                (self.back, 'products', 'stock', 'lamp:1:-1', 'expected NAME:CENTS:LEFT'),
                (self.bank, 'payments', 'bank', 'long', 'bank: expected a time')):
            reply = node.ask('config.merge', service=service, config={f'{service}.{key}': value})
            self.assertFalse(reply['ok'], (key, value))
            self.assertIn(said, reply['error']['message'])

    def test_z_bank_killed(self):
        """While it charges: nobody knows whether it has. While it is away: surely not, and what was reserved goes back."""
        self.bank.do('config.merge', service='payments', config={'payments.bank': '5s'})
        left, before = self.left(), self.bank.counters()['calls_worked']
        order = {'user': 7, 'lines': [{'product': 'lamp', 'quantity': 1}], 'card': CARD}
        placing = subprocess.Popen(
            [mesh.program('TELA_TELACTL'), '--socket', self.edge.socket, '-o', 'json', 'call', 'orders.place',
             json.dumps(order), '--meta', f'authorization={self.token["alice"]}', '--trace'], stdout=subprocess.PIPE, text=True)
        self.addCleanup(placing.stdout.close)
        mesh.until(lambda: self.bank.counters()['calls_worked'] > before, 'the bank is asked')
        self.bank.leave()
        self.bank.kill()
        got = json.loads(placing.communicate(timeout=20)[0])
        self.assertEqual((got['name'], got['http'], got['outcome']), ('order_unsettled', 502, 'executed'), got)
        self.assertEqual(got['data']['step'], 'charge')
        self.assertRegex(got['data']['order'], r'^\d+$')
        self.assertEqual(self.left(), [left[0] - 1, left[1]])
        got = self.order()
        self.assertEqual((got['name'], got['outcome']), ('service_not_available', 'executed'), got)
        self.assertEqual(self.left(), [left[0] - 1, left[1]])
        type(self).bank = self.bank.again()
        self.know(self.bank)
        self.assertEqual(self.order()['reply']['payment'], 1)
        self.assertEqual(self.figures()[2], 0)


class OneNode(mesh.Case):
    """All four on one node and without plugins: everybody may order for anybody."""

    def test_orders(self):
        services = [{'name': 'orders', 'config': {'nodes': '.'}}, {'name': 'users', 'config': {'users': '7:alice'}},
                    {'name': 'products', 'config': {'stock': 'lamp:2500:3'}}, {'name': 'payments'}]
        for s in services:
            s['object'] = f'{OBJECTS}/{s["name"]}.so'
        node = mesh.Node(self.mesh, self.mesh.config('one', [], mesh.cpus()[0], services=services, workers=1))
        line = {'product': 'lamp', 'quantity': 2}
        for order, said in (({'user': 7, 'lines': [line]}, 'created'), ({'user': 7, 'lines': [line]}, 'insufficient_stock'),
                            ({'user': 7, 'lines': [line] * 17}, 'invalid_parameters'),
                            ({'user': 1, 'lines': [line]}, 'not_found'),
                            ({'user': 7, 'lines': [{'product': 'x' * 300}]}, 'not_found')):
            got = node.ctl('call', 'orders.place', json.dumps({**order, 'card': CARD}))[1]
            self.assertEqual(got['name'], said, got)
        self.assertEqual(node.ctl('call', 'products.get', '{"name": "lamp"}')[1]['reply']['left'], 1)
        self.assertEqual(node.stop(), 0)


class Interrupted(unittest.TestCase):
    """services/shop/run, just when it has made its folder."""

    def test_leaves_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (('mkdir', 'kill -TERM $PPID\n'), ('cp', 'echo too late\n')):
                with open(f'{folder}/{name}', 'w') as f:
                    f.write(f'#!/bin/sh\nPATH=/usr/bin:/bin {name} "$@"\n{text}')
                os.chmod(f'{folder}/{name}', 0o755)
            for stay in (['--stay', f'{folder}/stay'], []):
                ran = subprocess.run([f'{SHOP}/run', '--build', os.path.dirname(mesh.program('TELA_TELAD')), *stay],
                                     env={**os.environ, 'PATH': f'{folder}:{os.environ["PATH"]}', 'TMPDIR': folder},
                                     stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
                self.assertEqual((ran.returncode, ran.stdout), (143, ''), ran.stderr)
                self.assertEqual(sorted(os.listdir(folder)), ['cp', 'mkdir'])
            ran = subprocess.run([f'{SHOP}/run', '--build', os.path.dirname(mesh.program('TELA_TELAD')), '--stay', folder],
                                 stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
            self.assertEqual((ran.returncode, ran.stderr), (1, f'run: {folder} is there already\n'))
            self.assertTrue(os.path.exists(f'{folder}/cp'))


if __name__ == '__main__':
    mesh.main()
