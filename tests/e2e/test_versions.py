"""A caller that is a version ahead: it knows the schema of the node it calls as an earlier one of its own. And a callee that is
ahead of its caller."""
import json
import os
import subprocess

import mesh

MESSAGE = bytes.fromhex('080000000400040004000000')  # an echo.Message of no fields


class Versions(mesh.Case):
    each_test_anew = True

    @classmethod
    def arrange(cls):
        mesh.schemas('echo')

    def test_caller_ahead(self):
        server, caller = self.mesh.server(), self.mesh.caller(variable='TELA_CALLER_NEXT')
        got = caller.run(threads=8, calls=2000, bytes=64)
        self.assertEqual((got['codes'], got['outcomes']), ({'OK': 2000}, {'executed': 2000, 'not executed': 0,
                                                                          'maybe executed': 0}), got)
        counters = server.counters()
        self.assertEqual(counters['calls_served'], 2000)
        self.assertTrue(1 <= counters['calls_refused'] <= 8, counters)  # what was asked before the first answer came
        self.assertGreaterEqual(counters['binds'], 1)
        self.assertEqual(caller.finish(), 0)

    def test_callee_ahead(self):
        """It takes what it knows as an earlier version of its own: nothing is refused, nor asked twice."""
        ahead = {'name': 'echo_next', 'object': os.path.join(mesh.program('TELA_PLUGINS'), 'echo_next.so')}
        server, caller = self.mesh.server(services=[ahead]), self.mesh.caller()
        got = caller.run(threads=8, calls=2000, bytes=64)
        self.assertEqual((got['codes'], got['wrong'], got['outcomes']['executed']), ({'OK': 2000}, 0, 2000), got)
        counters = server.counters()
        self.assertEqual((counters['calls_served'], counters['calls_refused']), (2000, 0))
        self.assertGreaterEqual(counters['binds'], 1)
        # The same, and no earlier version of its own: its own callers.
        self.assertEqual(caller.finish(), 0)
        caller = self.mesh.caller(variable='TELA_CALLER_NEXT')
        self.assertEqual(caller.run(threads=2, calls=100)['codes'], {'OK': 100})
        self.assertEqual(caller.finish(), 0)

    def test_method_added_at_run_time(self):
        """A plugin built from the later schema adds its method to a service that runs: there, and gone with it."""
        server = self.mesh.server()
        schema = [s['hash'] for s in server.do('schema')['services'] if s['schema_name'] == 'echo.Echo'][0]

        def count(payload=MESSAGE):
            return server.do('call', service='echo.Echo', method='9', schema=schema, payload=payload.hex())

        self.assertEqual(count()['status'], 'UNIMPLEMENTED')
        for _ in range(2):
            server.do('chain.add', service='echo', plugin='echo_count',
                      object=os.path.join(mesh.program('TELA_PLUGINS'), 'echo_count.so'))
            self.assertEqual(count()['status'], 'OK')
            self.assertEqual(count(b'abc')['status'], 'INVALID_ARGUMENT')  # verified as the plugin's schema says
            server.do('chain.remove', service='echo', name='echo_count')
            self.assertEqual(count()['status'], 'UNIMPLEMENTED')

    def test_added_method_is_shown(self):
        """By its name, here and to peers, as long as it is there; no schema says more of it."""
        server, client = self.mesh.server(discovery=True), self.mesh.client(discovery=True)

        def described(node, *more):
            rows = json.loads(self.typed(node, '-o', 'json', 'describe', 'echo', *more).stdout)['methods']
            return {m['method']: (m['id'], m['request']) for m in rows}

        def announced():
            found = [s for s in client.do('discovery')['services'] if s['node'] == 'server' and s['service'] == 'echo.Echo']
            return [s['methods'] for s in found]
        own = {'echo': (1, 'echo.Message'), 'later': (2, 'echo.Delayed')}
        mesh.until(lambda: announced() == [['echo', 'later']], 'the service is announced')
        server.do('chain.add', service='echo', plugin='echo_count',
                  object=os.path.join(mesh.program('TELA_PLUGINS'), 'echo_count.so'))
        self.assertEqual(described(server), {**own, 'count': (9, None)})
        self.assertEqual(described(client, '--peer', 'server'), {**own, 'count': (9, None)})
        all = self.typed(client, 'describe', '--peer', 'server').stdout
        self.assertRegex(all, r'count +9 .*added by a plugin, shows no schema')
        mesh.until(lambda: announced() == [['echo', 'later', 'count']], 'its method is announced')
        for command in ('describe', 'call'):
            done = self.typed(client, command, 'echo.count', '--peer', 'server')
            self.assertEqual(done.returncode, 1)
            words = done.stderr.split('telactl ')[-1].replace('@FILE', MESSAGE.hex()).split()
            got = json.loads(self.typed(client, '-o', 'json', *words).stdout)
            self.assertEqual((got['status'], words[-2]), ('OK', 'node=server'), got)
        server.do('chain.remove', service='echo', name='echo_count')
        self.assertEqual(described(client, '--peer', 'server'), own)
        mesh.until(lambda: announced() == [['echo', 'later']], 'it is announced no more')

    @staticmethod
    def typed(node, *words):
        return subprocess.run([mesh.program('TELA_TELACTL'), '--socket', node.socket, *words], capture_output=True, text=True,
                              timeout=30)

    def test_same_version(self):
        server, caller = self.mesh.server(), self.mesh.caller()
        self.assertEqual(caller.run(threads=2, calls=100)['codes'], {'OK': 100})
        self.assertEqual(server.counters()['calls_refused'], 0)
        self.assertEqual(caller.finish(), 0)


mesh.main()
