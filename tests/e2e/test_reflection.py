"""What nodes say of the services they serve, and calls by schema from the command line."""
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import unittest

import mesh


class Service(mesh.Case):
    """The service that a node has without being told, called by its own schema."""
    SERVED = ('calculator.Calculator', 'echo.Echo', 'kv.Kv', 'tela.reflection.Reflection')

    @classmethod
    def arrange(cls):
        mesh.schemas('reflection')
        cls.server = cls.mesh.server()
        cls.client = cls.mesh.client()

    def ask(self, method, request, node='server', **fields):
        return self.client.call_fast('reflection', method, mesh.table(f'tela.reflection.{request}', **fields), node)

    def services(self, node='server'):
        got = self.ask('services', 'Nothing', node)
        self.assertEqual(got.status, 'OK', got)
        all = mesh.read('tela.reflection.Services', got.payload)
        return {s.Name().decode(): s for s in (all.Services(i) for i in range(all.ServicesLength()))}

    def test_services(self):
        found = self.services()
        self.assertEqual(tuple(sorted(found)), self.SERVED)
        self.assertEqual(f'{found["echo.Echo"].Hash():016x}', self.server.service('echo')['schema'])
        self.assertEqual(tuple(self.services(None)), ('tela.reflection.Reflection',))

    def test_schemas_are_those_that_flatc_made(self):
        for name, service in self.services().items():
            got = self.ask('schema', 'Name', name=name)
            self.assertEqual(got.status, 'OK', got)
            schema = mesh.read('tela.reflection.Schema', got.payload)
            with open(os.path.join(mesh.program('TELA_BFBS'), name.split('.')[-2] + '.bfbs'), 'rb') as f:
                self.assertEqual(mesh.data_of(schema, 2), f.read())
            self.assertEqual((schema.Name().decode(), schema.Hash()), (name, service.Hash()))
            self.assertEqual(len(mesh.data_of(schema, 2)), service.SchemaBytes())

    def test_no_such_service(self):
        for name in ('echo', 'echo.Ech', 'echo.Echoo', '', 'x' * 3000):
            got = self.ask('schema', 'Name', name=name)
            self.assertEqual((got.status, got.message), ('NOT_FOUND', 'no service of that name'), got)

    def test_off(self):
        config = self.mesh.config('quiet', [], mesh.cpus()[0], services=['echo'], reflection=False)
        quiet = mesh.Node(self.mesh, config)
        self.assertEqual([s['service'] for s in quiet.do('services')['services']], ['echo'])
        got = quiet.call_fast('reflection', 'services', mesh.table('tela.reflection.Nothing'))
        self.assertEqual((got.status, got.message), ('UNAVAILABLE', 'no such service on this node'))
        self.assertEqual(quiet.stop(), 0)

    def test_of_a_shared_object(self):
        """A service that was loaded is shown and called like any other, also after another build took its place."""
        build = os.path.join(mesh.program('TELA_SERVICES'), 'calculator.so')
        loads = mesh.Node(self.mesh, self.mesh.config('loads', [], mesh.cpus()[0],
                                                      services=[{'name': 'calculator', 'object': build}]))
        again = shutil.copy(build, self.mesh.path('again.so'))
        for _ in range(2):
            self.assertIn('schema', loads.do('schema', service='calculator'))
            self.assertEqual(loads.ctl('call', 'calculator.add', '{"a": 2}')[1]['reply'], {'value': 2})
            loads.do('chain.replace', service='calculator', name='calculator', object=again)
        self.assertEqual(loads.stop(), 0)

    def test_listed_with_plugins_of_its_own(self):
        services = [{'name': 'echo'}, {'name': 'reflection', 'plugins': [{'plugin': 'counter'}]}]
        own = mesh.Node(self.mesh, self.mesh.config('own', [], mesh.cpus()[0], services=services))
        self.assertEqual([s['service'] for s in own.do('services')['services']], ['echo', 'reflection'])
        self.assertEqual([p['name'] for p in own.do('chain.show', service='reflection')['plugins']],
                         ['reflection', 'counter'])
        self.assertEqual(own.stop(), 0)



class Calls(mesh.Case):
    """telactl describe and telactl call, as a person types them."""

    @classmethod
    def arrange(cls):
        cls.server = cls.mesh.server(('echo', 'calculator', 'kv', 'bytes'))
        cls.client = cls.mesh.client()

    def ctl(self, *words, node=None, body=None):
        return subprocess.run([mesh.program('TELA_TELACTL'), '--socket', (node or self.server).socket, *words],
                              capture_output=True, text=True, timeout=30, input=body)

    def shown(self, *words, **options):
        """What it prints of a command that must end well."""
        done = self.ctl(*words, **options)
        self.assertEqual((done.returncode, done.stderr), (0, ''), done)
        return done.stdout

    def refused(self, status, said, *words, **options):
        done = self.ctl(*words, **options)
        self.assertEqual((done.returncode, done.stdout), (status, ''), done)
        self.assertIn(said, done.stderr)

    def answer(self, *words, **options):
        return json.loads(self.shown('call', *words, **options))

    # ---- describe ----

    def test_all_methods(self):
        rows = [line.split()[:2] for line in self.shown('describe').splitlines()[1:]]
        self.assertIn(['echo.Echo', 'later'], rows)
        self.assertIn(['kv.Kv', 'stats'], rows)
        self.assertEqual(len(rows), 2 + 6 + 4 + 2 + 5)
        far = [line.split()[:2] for line in self.shown('describe', '--peer', 'server', node=self.client).splitlines()[1:]]
        self.assertEqual(sorted(far), sorted(rows))
        self.assertEqual(far, sorted(far, key=lambda row: row[0]))

    def test_a_service(self):
        for name in ('kv', 'kv.Kv'):
            text = self.shown('describe', name)
            self.assertIn(self.server.service('kv')['schema'], text)
            self.assertRegex(text, r'get +2 +kv.Key +kv.Value +1000000 +yes')
        methods = json.loads(self.shown('describe', 'echo', '-o', 'json'))['methods']
        self.assertEqual([(m['method'], m['id'], m['idempotent'], m['deadline_us']) for m in methods],
                         [('echo', 1, None, None), ('later', 2, None, None)])
        self.assertEqual(methods[0]['doc'], 'Answers with the same data.')

    def test_a_method(self):
        text = self.shown('describe', 'calculator.evaluate')
        self.assertIn('  evaluate(Expression) : Result (idempotent, method_id: "6");', text)
        self.assertIn('/// A tree: a leaf has only `value`', text)
        self.assertIn('  op : Op = literal;', text)
        self.assertNotIn('Series', text)

    def test_bytes(self):
        """They are no JSON: what a method takes is shown, and how it is called."""
        text = self.shown('describe', 'bytes')
        self.assertRegex(text, r'sum +3 +\(bytes\) +bytes.Taken')
        self.assertRegex(text, r'get +4 +bytes.Wanted +\(bytes\) +yes')
        for words in (('call', 'bytes.get', '{"len": 3}'), ('call', 'bytes.put'), ('describe', 'bytes.put')):
            self.refused(1, 'it takes or answers bytes, which are no JSON', *words)
        self.refused(1, f'telactl call --raw bytes.Bytes 4 schema={self.server.service("bytes")["schema"]} payload=@FILE',
                     'call', 'bytes.get')

    def test_the_template_is_a_call(self):
        """What describe shows last can be run as it stands."""
        for name in ('echo.echo', 'calculator.add', 'calculator.evaluate', 'calculator.sum', 'kv.put', 'kv.stats',
                     'tela.reflection.services'):
            command = self.shown('describe', name).split('\ntelactl ', 1)[1]
            done = subprocess.run(f'{mesh.program("TELA_TELACTL")} --socket {self.server.socket} {command}', shell=True,
                                  capture_output=True, text=True, timeout=30)
            self.assertNotEqual(done.returncode, 2, (command, done))
            self.assertTrue(done.stdout.startswith('{') or 'INVALID_ARGUMENT' in done.stderr, (command, done))

    def test_schemas_compile_to_what_they_were(self):
        """The text of a schema, through flatc and telac, has the hash that the node calls by."""
        for service in self.server.do('schema')['services']:
            stem = service['schema_name'].split('.')[-2]
            path = self.mesh.path(f'{stem}.fbs')
            with open(path, 'w') as f:
                f.write(self.shown('describe', '--fbs', service['schema_name']))
            subprocess.run([mesh.program('TELA_FLATC'), '-b', '--schema', '--bfbs-builtins', '--bfbs-comments', '-o',
                            self.mesh.folder, path], check=True, timeout=30)
            subprocess.run([mesh.program('TELA_TELAC'), '-o', self.mesh.folder, self.mesh.path(f'{stem}.bfbs')],
                           check=True, timeout=30)
            with open(self.mesh.path(f'{stem}_rpc.h')) as f:
                self.assertIn(f'_SCHEMA_HASH UINT64_C(0x{service["hash"]})', f.read())

    # ---- call ----

    def both(self, *words, **options):
        """The same answer from the node itself and through another."""
        here = self.answer(*words, **options)
        self.assertEqual(self.answer(*words, '--peer', 'server', node=self.client, **options), here)
        return here

    def test_every_service(self):
        self.assertEqual(self.both('echo.echo', '{"data": "gr\u00fc\u00dfe"}'), {'data': 'gr\u00fc\u00dfe'})
        self.assertEqual(self.both('echo.Echo.later', '{"data": [0, 255], "delay_us": 1000}'), {'data': [0, 255]})
        self.assertEqual(self.both('calculator.add', '{"a": 0.1, "b": 0.2}'), {'value': 0.1 + 0.2})
        self.assertEqual(self.both('calculator.divide', '{"a": 1e-13, "b": 1}'), {'value': 1e-13})
        self.assertEqual(self.both('calculator.sum', '{"values": [1, 2, 3]}'), {'value': 6})
        self.assertEqual(self.both('calculator.evaluate', '{"op": "multiply", "left": {"value": 6}, "right": {"value": 7}}'),
                         {'value': 42})
        self.assertEqual(self.answer('kv.put', '{"key": "k", "value": "v"}'), {'existed': False})
        self.assertEqual(self.both('kv.get', '{"key": [107]}'), {'found': True, 'value': 'v'})
        self.assertEqual(self.both('kv.stats')['items'], 1)
        self.assertEqual(self.answer('kv.remove', '{"key": "k"}'), {'existed': True})
        self.assertEqual(len(self.both('tela.reflection.services')['services']), 5)

    def test_large(self):
        data = ''.join(random.choices('abcdefghij', k=100_000))
        self.assertEqual(self.both('echo.echo', '-', body=json.dumps({'data': data})), {'data': data})

    def test_where_the_body_comes_from(self):
        path = self.mesh.path('body.json')
        with open(path, 'w') as f:
            f.write('{"a": 1,\n "b": 2}\n')
        self.assertEqual(self.answer('calculator.add', '@' + path), {'value': 3})
        self.assertEqual(self.answer('calculator.add', '-', body='{"a": 4}'), {'value': 4})
        self.assertEqual(self.answer('calculator.add'), {'value': 0})
        with open(path, 'w') as f:
            f.write('{"a": 1,\n "b": "2"}\n')
        self.refused(2, f'{path}:2:7: b: expected a number (double), found "2"', 'call', 'calculator.add', '@' + path)
        self.refused(2, 'standard input:1:1: expected a value', 'call', 'calculator.add', '-', body='}')
        self.refused(2, '/nowhere/x: cannot be read', 'call', 'calculator.add', '@/nowhere/x')

    def test_as_json(self):
        got = self.answer('echo.echo', '{"data": "ab"}', '-o', 'json')
        self.assertEqual((got['ok'], got['status'], got['outcome'], got['reply']),
                         (True, 'OK', 'executed', {'data': [97, 98]}))
        done = self.ctl('call', 'calculator.divide', '{"a": 1}', '-o', 'json')
        got = json.loads(done.stdout)
        self.assertEqual((done.returncode, got['status'], got['message']), (1, 'INVALID_ARGUMENT', 'division by zero'))
        self.assertEqual((got['result'], got['name'], got['http']), ('error', 'division_by_zero', 422))
        self.assertNotIn('reply', got)

    def test_calls_that_fail(self):
        self.refused(1, 'calculator.Calculator.divide: INVALID_ARGUMENT: division by zero (executed)',
                     'call', 'calculator.divide', '{"a": 1}')
        self.refused(1, '\n  error: division_by_zero, 422\n', 'call', 'calculator.divide', '{"a": 1}')
        self.refused(1, '\n  error: timeout, 408\n', 'call', 'echo.later', '{"delay_us": 600000}', '--deadline', '50ms')
        self.refused(1, 'DEADLINE_EXCEEDED', 'call', 'echo.later', '{"delay_us": 600000}', '--deadline', '50ms')
        self.assertEqual(self.answer('echo.later', '{"delay_us": 60000}', '--deadline', '10s'), {})

    def test_one_way(self):
        before = self.server.counters()
        self.assertEqual(self.shown('call', 'calculator.divide', '{"a": 1}', '--one-way'), 'ok\n')
        after = self.server.counters()
        for counter in ('calls_one_way', 'one_way_failed'):  # a division by zero, and nobody hears
            self.assertEqual(after[counter] - before[counter], 1, counter)

    def test_wrong_words(self):
        for status, said, *words in (
                (2, 'JSON:1:15: expected \',\' or \'}\', found \'"\'', 'call', 'echo.echo', '{"data": "hi" "x": 1}'),
                (2, 'JSON:1:30: left.op: expected one of literal, add', 'call', 'calculator.evaluate',
                 '{"op": "add", "left": {"op": "plus"}}'),
                (2, "JSON:1:1: field 'key' is missing, which kv.Key requires", 'call', 'kv.get'),
                (2, 'JSON:1:2: echo.Message has no field "dada"; it has data', 'call', 'echo.echo', '{"dada": 1}'),
                (1, "kv.Kv has no method 'got'; it has put, get, remove, stats", 'call', 'kv.got'),
                (1, "no service is named 'kw'; there are echo.Echo", 'call', 'kw.get'),
                (1, "no service is named 'nobody'", 'describe', 'nobody'),
                (2, 'expected SERVICE.METHOD', 'call', 'echo'),
                (2, 'expected SERVICE.METHOD', 'call'),
                (2, 'not understood', 'call', 'echo', 'echo', 'payload=00'),
                (2, 'not understood', 'call', 'echo.echo', '--metadata', 'x'),
                (2, '250ms', 'call', 'echo.echo', '{}', '--deadline', '5'),
                (2, '--fbs needs a service', 'describe', '--fbs'),
                (1, "no peer is named 'nobody'", 'describe', '--peer', 'nobody'),
                (1, "no peer is named 'nobody'", 'call', 'echo.echo', '--peer', 'nobody')):
            self.refused(status, said, *words)

    def test_help(self):
        self.assertIn('SERVICE.METHOD', self.shown('call', '--help'))
        self.assertIn('payload', self.shown('call', '--raw', '--help'))
        self.assertIn('--fbs', self.shown('describe', '--help'))
        self.assertIn('describe', self.shown('--help'))

    def test_batch(self):
        done = self.ctl('batch', body='call --raw echo echo payload=0000\n')
        self.assertEqual(done.returncode, 1)
        self.assertIn('no valid request', done.stderr)
        done = self.ctl('batch', body='call echo.echo {}\n')
        self.assertEqual(done.returncode, 2)
        self.assertIn('in a batch only call --raw', done.stderr)

    def test_a_peer_that_says_nothing(self):
        """Without reflection a peer can be called with bytes only, and the tool says so."""
        link = {'name': 'mem1', 'device': self.mesh.memif('server', 'm1', 1), 'address': '10.78.0.1/24'}
        quiet = mesh.Node(self.mesh, self.mesh.config('quiet', [link], mesh.cpus()[0], services=['echo'], reflection=False))
        link = {'name': 'mem1', 'device': self.mesh.memif('client', 'm1', 1), 'address': '10.78.0.2/24'}
        asks = mesh.Node(self.mesh, self.mesh.config('asks', [link], mesh.cpus()[1], [('quiet', '10.78.0.1')]))
        mesh.until(lambda: asks.call_fast('echo', 'echo', b'\x08\0\0\0\4\0\4\0\4\0\0\0', 'quiet').status == 'OK',
                   'the peer answers')
        self.refused(1, 'node.reflection: false', 'describe', '--peer', 'quiet', node=asks)
        self.refused(1, 'node.reflection: false', 'call', 'echo.echo', '--peer', 'quiet', node=asks)
        self.assertIn('later', self.shown('describe', 'echo', node=quiet))  # who may use the socket may know
        self.assertEqual((asks.stop(), quiet.stop()), (0, 0))

    def test_calls_by_hash(self):
        """What the tool sends: a call that the local node knows nothing of is the callee's to accept."""
        def call(**arguments):
            return self.client.ask('call', **{'service': 'echo.Echo', 'method': '1', 'payload': '', 'node': 'server',
                                              **arguments})
        right = self.server.service('echo')['schema']
        empty = b'\x08\0\0\0\4\0\4\0\4\0\0\0'.hex()
        self.assertEqual(call(schema=right, payload=empty)['status'], 'OK')
        self.assertEqual(call(schema=right)['status'], 'INVALID_ARGUMENT')
        self.assertEqual(call(schema='0' * 16, payload=empty)['status'], 'FAILED_PRECONDITION')
        self.assertEqual(call(schema=right, payload=empty, method='77')['status'], 'UNIMPLEMENTED')
        self.assertEqual(call(schema=right, payload=empty, service='x.Y')['status'], 'UNAVAILABLE')
        for wrong in ({'schema': '12'}, {'schema': 'x' * 16}, {'schema': right, 'method': 'echo'},
                      {'schema': right, 'method': '65536'}, {'schema': right, 'service': ''},
                      {'schema': right, 'service': 'x' * 256}, {'schema': '0x' + right[2:]}):
            self.assertEqual(call(**wrong)['error']['code'], 'INVALID_ARGUMENT', wrong)


class Hostile(unittest.TestCase):
    """A node that lies: telactl ends with a sentence, and its terminal sees no control character."""

    def ask(self, replies, *words):
        """telactl, of a socket that gives these replies in turn."""
        folder = tempfile.mkdtemp(prefix=f'{mesh.PREFIX}{os.getpid()}-')
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, 'lies.sock')
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        listener.settimeout(20)
        tool = subprocess.Popen([mesh.program('TELA_TELACTL'), '--socket', path, *words], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)
        try:
            node, _ = listener.accept()
            node.settimeout(20)
            with node, node.makefile('rw') as lines:
                for reply in replies:
                    if not lines.readline():
                        break
                    lines.write(json.dumps(reply) + '\n')
                    lines.flush()
            out, said = tool.communicate(timeout=30)
        finally:
            listener.close()
            tool.kill()
            tool.wait()
        for text in (out, said):
            self.assertNotRegex(text, rb'[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]')
        self.assertGreaterEqual(tool.returncode, 0, said)
        return tool.returncode, out.decode(), said.decode()

    def replies(self, bfbs, *more, name='echo.Echo'):
        service = {'service': 'echo', 'schema_name': name, 'hash': '0' * 16, 'schema_bytes': len(bfbs) or 1}
        return [{'ok': True, 'commands': []}, {'ok': True, 'services': [service]},
                {'ok': True, 'schema': bfbs.hex(), **service}, *more]

    def right(self):
        with open(os.path.join(mesh.program('TELA_BFBS'), 'echo.bfbs'), 'rb') as f:
            return f.read()

    def test_schemas(self):
        for wrong in (b'', b'BFBS', b'\0' * 100, self.right()[:-40], b'\xff' * 300, self.right() * 400,
                      self.right().replace(b'echo.Message', b'echo.M\x1b[2Je'), self.right().replace(b'data', b'\x9bxyz'),
                      self.right().replace(b'data', b'; { ')):
            for words in (('describe',), ('describe', 'echo'), ('describe', 'echo.echo'), ('call', 'echo.echo', '{}')):
                status, _, said = self.ask(self.replies(wrong), *words)
                self.assertEqual(status, 1, (wrong[:20], words, said))
                self.assertTrue(said.startswith('telactl: echo.Echo: '), said)

    def test_comments(self):
        """A comment may hold what it will; it is shown as text."""
        wrong = self.right().replace(b'Answers with', b'An\x1b[31m\nwith')
        status, out, _ = self.ask(self.replies(wrong), 'describe', 'echo.echo')
        self.assertEqual(status, 0)
        self.assertIn('/// An?[31m?with the same data.', out)

    def test_replies(self):
        def reply(payload, **other):
            return {'ok': True, 'status': 'OK', 'outcome': 'executed', 'message': '', 'payload': payload, **other}
        for payload in ('00', 'ff' * 16, 'zz', '04000000' + 'f0ffffff' * 4):
            status, out, said = self.ask(self.replies(self.right(), reply(payload)), 'call', 'echo.echo')
            self.assertEqual((status, out), (1, ''), payload)
            self.assertIn('echo.Echo.echo: ', said)
        # A result may have no data: its name is shown.
        status, out, _ = self.ask(self.replies(self.right(), reply('', name='created')), 'call', 'echo.echo')
        self.assertEqual((status, out), (0, 'created\n'))
        wrong = reply('', status='\x1b[0m', message='a\nb\u009b', result='error', name='x\ny', http=500)
        status, _, said = self.ask(self.replies(self.right(), wrong), 'call', 'echo.echo')
        self.assertEqual((status, said), (1, 'telactl: echo.Echo.echo: ?[0m: a?b?? (executed)\n  error: x?y, 500\n'))

    def test_names(self):
        status, _, said = self.ask(self.replies(self.right(), name='x\x1b]0;y\x07'), 'describe', 'echo.echo')
        self.assertEqual(status, 1)
        self.assertIn('the schema has no service x?]0;y?', said)

    def test_no_sense(self):
        for second in ({'ok': True}, {'ok': True, 'services': 7}, {'ok': True, 'services': [7, {}, None]}, {'ok': 1}, [], {}):
            for words in (('describe',), ('describe', 'echo'), ('call', 'echo.echo')):
                self.ask([{'ok': True, 'commands': []}, second, {'ok': True}], *words)


class Linked(unittest.TestCase):
    """JSON by schema stays out of the daemon and the library."""

    def test_only_telactl_has_libflatbuffers(self):
        build = os.path.dirname(mesh.program('TELA_TELAD'))
        found = {}
        for name in ('telad', 'libtela.so', 'telactl'):
            path = os.path.join(build, name)
            needed = subprocess.run(['readelf', '-dW', path], capture_output=True, text=True, check=True, timeout=60).stdout
            symbols = subprocess.run(['nm', '-C', path], capture_output=True, text=True, check=True, timeout=60).stdout
            found[name] = ('libflatbuffers' in needed, 'flatbuffers::' in symbols, 'libstdc++' in needed)
        self.assertEqual(found['telactl'], (True, True, True))
        self.assertEqual((found['telad'][:2], found['libtela.so'][:2]), ((False, False), (False, False)))


if __name__ == '__main__':
    mesh.main()
