"""A caller that is a version ahead: it knows the schema of the node it calls as an earlier one of its own. And a callee that is
ahead of its caller."""
import os

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

    def test_same_version(self):
        server, caller = self.mesh.server(), self.mesh.caller()
        self.assertEqual(caller.run(threads=2, calls=100)['codes'], {'OK': 100})
        self.assertEqual(server.counters()['calls_refused'], 0)
        self.assertEqual(caller.finish(), 0)


mesh.main()
