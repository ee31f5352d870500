"""The shipped plugins between two nodes, as an operator configures them: who may call what, how often, what is kept,
what is made to fail, and what of all that the caller, the figures and the log say."""
import base64
import hashlib
import hmac
import json
import os
import shlex
import subprocess
import time

import mesh

SECRET = b'a secret of some length'


def token(subject, seconds=600, secret=SECRET, **claims):
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b'=')
    head = part(b'{"alg":"HS256","typ":"JWT"}')
    body = part(json.dumps({'sub': subject, 'exp': time.time() + seconds, **claims}).encode())
    return (head + b'.' + body + b'.' + part(hmac.new(secret, head + b'.' + body, hashlib.sha256).digest())).decode()


class Plugins(mesh.Case):
    @classmethod
    def arrange(cls):
        mesh.schemas('echo', 'calculator')
        cls.server = cls.mesh.server(('calculator',))
        cls.client = cls.mesh.client()

    def nodes(self, *plugins):
        """The service with these plugins, in this order, until the test ends."""
        self.server.do('chain.apply', service='calculator', steps=[{'op': 'add', **p} for p in plugins])
        self.addCleanup(self.take_out)

    def take_out(self):
        for p in self.server.do('chain.show', service='calculator')['plugins']:
            if p['name'] != 'calculator':
                self.server.do('chain.remove', service='calculator', name=p['name'])

    def add(self, a=1.0, b=2.0, method='add', **options):
        arguments = {'service': 'calculator', 'method': method, 'node': 'server',
                     'payload': mesh.table('calculator.Operands', a=a, b=b).hex(), **options}
        return self.client.do('call', **arguments)

    def named(self, reply):
        return reply['result'], reply['name'], reply['http']

    def figures(self, plugin):
        return self.server.figures(plugin)

    def test_auth(self):
        path = self.mesh.path('secret')
        with open(path, 'wb') as f:
            f.write(SECRET + b'\n')
        self.nodes({'plugin': 'auth', 'config': {'secret_file': path, 'allow':
                                                 'add:alice,bob;subtract:bob;multiply:anonymous;divide:*'}})

        def as_(who, method='add'):
            return self.named(self.add(method=method, metadata={'authorization': who}))
        ok, forbidden = ('ok', 'ok', 200), ('error', 'forbidden', 403)
        alice, bob, carol = token('alice'), 'Bearer ' + token('bob'), token('carol')
        for _ in range(3):
            self.assertEqual([as_(t) for t in (alice, bob, carol)], [ok, ok, forbidden])
            self.assertEqual([as_(t, 'subtract') for t in (alice, bob, carol)], [forbidden, ok, forbidden])
            self.assertEqual([as_(t, 'divide') for t in (alice, bob, carol)], [ok, ok, ok])
        self.assertEqual(self.figures('auth')['verified'], 2)  # each token once; carol's was known when she was refused
        self.assertEqual(self.named(self.add()), ('error', 'unauthorized', 401))
        self.assertEqual(self.add(method='multiply')['status'], 'OK')
        self.assertEqual(as_(token('alice', secret=b'another secret, longer')), ('error', 'token_invalid', 400))
        self.assertEqual(as_(token('alice', -1)), ('error', 'token_expired', 400))
        self.assertEqual(as_('x' * 890), ('error', 'token_invalid', 400))
        self.assertEqual(as_(alice[:-1]), ('error', 'token_invalid', 400))
        for line in ('info calculator.Calculator plugin=auth: a token of nobody is refused: token_invalid',
                     'info calculator.Calculator.add: carol may not call it'):
            mesh.until(lambda line=line: line in self.server.text(), line)
        reply = self.add(metadata={'authorization': token('alice', secret=b'wrong')})
        self.assertEqual((reply['status'], reply['outcome']), ('UNAUTHENTICATED', 'executed'))
        command = """telactl call calculator.add '{"a": 1}' --meta authorization=TOKEN"""
        words = shlex.split(command.replace('TOKEN', alice))
        done = subprocess.run(words, executable=mesh.program('TELA_TELACTL'), capture_output=True, text=True, timeout=20,
                              env={'TELA_SOCKET': self.server.socket})
        self.assertEqual((done.returncode, json.loads(done.stdout)), (0, {'value': 1.0}), done)
        # One that expires stops to be taken.
        short = token('alice', 1.5)
        self.assertEqual(as_(short), ok)
        mesh.until(lambda: as_(short) == ('error', 'token_expired', 400), 'the token expires')

    def test_a_token_travels_once(self):
        """Then an index, until the token ends or the operator changes who may what."""
        path = self.mesh.path('secret')
        with open(path, 'wb') as f:
            f.write(SECRET)
        self.nodes({'plugin': 'auth', 'as': 'auth', 'config': {'secret_file': path, 'allow': 'add:alice,bob'}})
        alice, bob = token('alice'), token('bob')

        def as_(who):
            return self.named(self.add(metadata={'authorization': who}))

        def since(before):
            return {k: v - before[k] for k, v in self.server.counters().items() if 'identities' in k and v != before[k]}
        ok = ('ok', 'ok', 200)
        for who in (alice, bob, alice, bob):
            self.assertEqual(as_(who), ok)
        before = self.server.counters()
        for who in (alice, 'Bearer ' + bob, bob) * 3:  # a token in other words is another one to its caller
            self.assertEqual(as_(who), ok)
        self.assertGreaterEqual(since(before)['identities_used'], 6)
        self.assertEqual(self.figures('auth')['verified'], 2)
        # It ends: asked for, and refused by what it says.
        brief = token('alice', seconds=2)
        self.assertEqual((as_(brief), as_(brief), as_(brief)), (ok, ok, ok))
        before = self.server.counters()
        mesh.until(lambda: as_(brief) == ('error', 'token_expired', 400), 'it has ended')
        self.assertGreaterEqual(since(before)['identities_stale'], 1)
        self.assertEqual(as_(alice), ok)
        # Another allow list: known tokens are looked at again, once.
        before = self.server.counters()
        self.server.do('config.merge', service='calculator', config={'auth.allow': 'add:alice'})
        self.assertEqual((as_(alice), as_(bob)), (ok, ('error', 'forbidden', 403)))
        self.assertEqual(since(before)['identities_stale'], 2)
        for _ in range(4):
            self.assertEqual((as_(alice), as_(bob)), (ok, ('error', 'forbidden', 403)))
        self.assertEqual(since(before)['identities_stale'], 2)
        # Another plugin comes and goes: nobody is asked.
        self.server.do('chain.add', service='calculator', plugin='stamp')
        self.assertEqual(as_(alice), ok)
        self.assertEqual(since(before)['identities_stale'], 2)

    def test_auth_refuses_its_configuration(self):
        path = self.mesh.path('short')
        with open(path, 'wb') as f:
            f.write(b'short\n')
        for config, said in (({}, 'secret_file: is missing'), ({'secret_file': path}, '16 to 1024 bytes, found 5'),
                             ({'secret_file': '/nowhere'}, 'cannot be read: No such file'),
                             ({'secret_file': path, 'allow': 'add'}, 'allow: expected a mapping')):
            reply = self.server.ask('chain.add', service='calculator', plugin='auth', config=config)
            self.assertFalse(reply['ok'])
            self.assertIn(said, reply['error']['message'])
        self.assertEqual(self.add()['status'], 'OK')

    def test_rate_limit(self):
        self.nodes({'plugin': 'rate_limit', 'config': {'rate': 1, 'burst': 3}})
        replies = [self.add() for _ in range(5)]
        self.assertEqual([r['name'] for r in replies].count('ok'), 3)
        refused = [r for r in replies if r['name'] != 'ok']
        self.assertEqual(self.named(refused[0]), ('error', 'rate_limited', 429))
        self.assertTrue(0 < refused[0]['retry_after_us'] <= 1_000_000, refused)
        self.assertEqual(self.add(method='subtract')['status'], 'OK')  # another bucket
        self.assertEqual(self.figures('rate_limit')['refused'], len(refused))
        mesh.until(lambda: self.add()['status'] == 'OK', 'the next one may')

    def test_cache(self):
        self.nodes({'plugin': 'cache', 'config': {'ttl': '10min', 'methods': 'add,divide'}}, {'plugin': 'counter'})
        for i in range(3):
            self.assertEqual(self.add(4.0, 5.0)['payload'], self.add(4.0, 5.0)['payload'])
        figures = self.figures('cache')
        self.assertEqual((figures['hits'], figures['misses'], figures['kept']), (5, 1, 1))
        self.assertEqual(self.figures('counter')['calls'], 1)  # it stands below: a hit never came there
        self.add(4.0, 6.0)
        self.add(4.0, 5.0, method='subtract')
        self.add(4.0, 5.0, method='subtract')
        self.assertEqual(self.figures('cache')['kept'], 2)
        for _ in range(2):  # errors are not kept
            self.assertEqual(self.add(1.0, 0.0, method='divide')['name'], 'division_by_zero')
        self.assertEqual((self.figures('cache')['kept'], self.figures('cache')['hits']), (2, 5))

    def test_cache_expires(self):
        self.nodes({'plugin': 'cache', 'config': {'ttl': '1ms'}})
        self.add()
        mesh.until(lambda: (self.add(), self.figures('cache')['misses'] > 1)[1], 'it is asked again')

    def test_request_and_status(self):
        self.nodes({'plugin': 'request'}, {'plugin': 'status', 'config': {'contact': 'ops@example.org'}},
                   {'plugin': 'rate_limit', 'config': {'rate': 1, 'burst': 2}})
        self.assertEqual(self.add()['status'], 'OK')
        reply = self.add(1.0, 0.0, method='divide')
        self.assertEqual(reply['metadata'], {'node': 'server', 'contact': 'ops@example.org'})
        self.assertNotIn('metadata', self.add())
        self.assertEqual(self.add()['metadata']['node'], 'server')
        figures = self.figures('request')
        self.assertEqual((figures['add.ok'], figures['add.error'], figures['divide.error']), (2, 1, 1))

    def test_fault(self):
        self.nodes({'plugin': 'fault', 'as': 'hidden', 'config': {'error': 'out_of_cheese', 'error_ppm': 1_000_000}})
        reply = self.add()
        self.assertEqual(self.named(reply), ('error', 'internal_error', 500))
        number = reply['message'].removeprefix('Internal reference ')
        mesh.until(lambda: f'warn calculator.Calculator.add: Internal reference {number}: out_of_cheese' in self.server.text(),
                   'the log explains it')
        self.server.do('chain.replace', service='calculator', name='hidden', config={'error': 'conflict'})
        self.assertEqual(self.named(self.add()), ('error', 'conflict', 409))
        self.server.do('chain.replace', service='calculator', name='hidden',
                       config={'error_ppm': 0, 'delay_ppm': 1_000_000, 'delay': '30ms'})
        reply = self.add()
        self.assertEqual(reply['status'], 'OK')
        self.assertGreaterEqual(reply['took_us'], 30_000)
        self.server.do('chain.replace', service='calculator', name='hidden',
                       config={'delay_ppm': 0, 'drop_ppm': 1_000_000})
        reply = self.add(deadline_ms=100)
        self.assertEqual((reply['status'], reply['outcome']), ('DEADLINE_EXCEEDED', 'maybe executed'))
        self.assertEqual(self.figures('hidden')['drops'], 1)
        mesh.until(lambda: self.server.in_flight() == 0, 'the dropped call has gone')
        self.server.do('chain.remove', service='calculator', name='hidden')
        self.assertEqual(self.add()['status'], 'OK')

    def test_fault_repeats_itself(self):
        def run():
            self.server.do('chain.add', service='calculator', plugin='fault',
                           config={'error_ppm': 300_000, 'seed': 7, 'error': 'gone'})
            names = [self.add()['name'] for _ in range(40)]
            self.server.do('chain.remove', service='calculator', name='fault')
            return names
        first = run()
        self.assertEqual(first, run())
        self.assertTrue(3 < first.count('gone') < 25, first)

    def test_log(self):
        path = self.mesh.path('calls.log')
        self.nodes({'plugin': 'tracer', 'config': {'sample': 1}}, {'plugin': 'log', 'config': {'file': path, 'repeats': 2}})
        for _ in range(9):
            self.add(1.0, 0.0, method='divide')

        def lines(what):
            if not os.path.exists(path):
                return []
            with open(path) as f:
                return [line for line in f if 'code=INVALID_ARGUMENT' in line and what in line]
        line = mesh.until(lambda: lines(' method=divide '), 'a line is written')[0]
        words = dict(word.split('=') for word in line.split()[1:])
        spans = mesh.until(lambda: self.server.do('trace', trace=words['trace'])['spans'], 'the span that it names is there')
        self.assertEqual((spans[0]['span'], spans[0]['kind']), (words['span'], 'in'))
        told = mesh.until(lambda: lines(' repeated='), 'what was repeated is told')
        self.assertTrue(1 <= int(told[0].split('=')[-1]) <= 7, told)

    def test_log_says_the_request(self):
        """As JSON by the schema, also of a call that waits in between."""
        path = self.mesh.path('requests.log')
        self.nodes({'plugin': 'log', 'config': {'file': path, 'request': 96}})
        self.add(1.5, -2.0)
        self.server.do('chain.add', service='calculator', plugin='fault', config={'delay_ppm': 1_000_000, 'delay': '1ms'})
        self.add(7.0, 0.0, method='divide')

        def line(what):
            def find():
                if not os.path.exists(path):
                    return None
                with open(path) as f:
                    return next((line for line in f if what in line), None)
            return mesh.until(find, f'a line with {what} is written')
        self.assertTrue(line(' method=add ').endswith(' request={"a":1.5,"b":-2}\n'))
        self.assertIn(' request={"a":7}\n', line('code=INVALID_ARGUMENT'))

    def test_validate(self):
        self.nodes({'plugin': 'validate', 'config': {'rules': 'Operands.a=-1000..1000; Series.values=1..3'}})
        self.assertEqual(self.add(a=1000.0)['name'], 'ok')
        served = self.figures('validate')['refused']
        reply = self.add(a=1000.5)
        self.assertEqual(self.named(reply), ('error', 'validation_failed', 400))
        self.assertEqual((reply['message'], reply['data']), ('calculator.Operands.a is more than allowed',
                                                             {'field': 'a', 'table': 'calculator.Operands'}))
        self.assertEqual(self.add(b=float('inf'))['message'], 'calculator.Operands.b is not finite')
        odd = mesh.table('calculator.Expression', op=77).hex()
        self.assertEqual(self.add(method='evaluate', payload=odd)['message'],
                         'calculator.Expression.op is none of the values that its type has')
        self.assertEqual(self.figures('validate')['refused'] - served, 3)

        def failed(node, method):
            rows = node.do('failures')['failures']
            return [(r['code'], r['calls']) for r in rows
                    if (r['service'], r['method'], r['reason']) == ('calculator.Calculator', method, 'validation_failed')]
        self.assertEqual(failed(self.server, 'evaluate'), [('INVALID_ARGUMENT', 1)])
        self.assertEqual(failed(self.client, 'evaluate'), [('INVALID_ARGUMENT', 1)])
        reply = self.server.ask('chain.add', service='calculator', plugin='validate', **{'as': 'other'},
                                config={'rules': 'Operands.c=1..2'})
        self.assertIn('no request of the service holds Operands.c', reply['error']['message'])
        reply = self.server.ask('chain.add', service='calculator', plugin='validate', **{'as': 'other'},
                                config={'text': 'latin1'})
        self.assertIn("text: expected utf8 or any, found 'latin1'", reply['error']['message'])

    def test_all_together(self):
        """In the order of the list, except that what needs another stands below it."""
        path = self.mesh.path('secret')
        with open(path, 'wb') as f:
            f.write(SECRET)
        self.nodes({'plugin': 'request'}, {'plugin': 'cache'}, {'plugin': 'rate_limit', 'config': {'rate': 1, 'burst': 2}},
                   {'plugin': 'auth', 'config': {'secret_file': path}}, {'plugin': 'status'})
        alice, bob = ({'authorization': token(who)} for who in ('alice', 'bob'))
        self.assertEqual(self.add()['name'], 'unauthorized')  # and takes no turn of anybody
        self.assertEqual([self.add(metadata=alice)['name'] for _ in range(3)], ['ok', 'ok', 'rate_limited'])
        self.assertEqual(self.add(metadata=bob)['name'], 'ok')
        # alice's reply is kept for alice: bob's call ran
        self.assertEqual((self.figures('cache')['kept'], self.figures('cache')['hits']), (2, 1))


if __name__ == '__main__':
    mesh.main()
