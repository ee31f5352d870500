"""A node that is called more than it can serve: it sheds what has waited too long, surely not executed, and says when to
come again; who calls by a policy comes again then."""
import threading

import mesh


class Overload(mesh.Case):
    each_test_anew = True

    def nodes(self, busy_us, target_us):
        mesh.schemas('echo')
        plugins = [{'plugin': 'counter'}, {'plugin': 'fault', 'config': {'busy_us': busy_us}}]
        return self.mesh.server(services=[{'name': 'echo', 'plugins': plugins}], shed_target_us=target_us)

    def test_shed(self):
        server, caller = self.nodes(500, 2000), self.mesh.caller()
        caller.start(threads=24, ms=60_000)
        mesh.until(lambda: server.counters()['calls_shed'] > 100, 'calls are shed', 20)
        got = caller.stop()
        self.assertEqual(set(got['codes']), {'OK', 'RESOURCE_EXHAUSTED'}, got)
        shed = got['codes']['RESOURCE_EXHAUSTED']
        self.assertEqual(got['outcomes'], {'executed': got['codes']['OK'], 'not executed': shed, 'maybe executed': 0}, got)
        counters = server.counters()
        self.assertEqual((counters['calls_shed'], counters['calls_refused']), (shed, shed))
        self.assertEqual(server.figures('counter')['calls'], got['codes']['OK'])
        # Over: nothing is refused any more, once the CPUs leave the two alone for a while.
        mesh.until(lambda: caller.run(threads=1, calls=20)['codes'] == {'OK': 20}, 'no call is shed', 20)

    def test_off(self):
        server, caller = self.nodes(500, 0), self.mesh.caller()
        self.assertEqual(caller.run(threads=24, calls=2000)['codes'], {'OK': 2000})
        self.assertEqual(server.counters()['calls_shed'], 0)

    def test_come_again(self):
        """Callers with a retry budget: those refused are told OK in the end, or that there is no budget left."""
        server, client = self.nodes(5000, 1000), self.mesh.client()
        payload = mesh.table('echo.Message', data=b'once').hex()
        got, lock = [], threading.Lock()

        def calls(**options):
            admin = client.connect()
            for _ in range(40):
                reply = admin.ask('call', 60, service='echo', method='echo', node='server', payload=payload,
                                  deadline_ms=50_000, **options)
                with lock:
                    got.append(reply)
            admin.close()

        def together(**options):
            got.clear()
            threads = [threading.Thread(target=calls, kwargs=options) for _ in range(12)]
            for t in threads:
                t.start()
            for t in threads:
                t.join(100)
            self.assertEqual(len(got), 480)
            return {(r['status'], r['outcome']) for r in got}
        refused = ('RESOURCE_EXHAUSTED', 'not executed')
        self.assertEqual(together(), {('OK', 'executed'), refused})
        self.assertTrue(all(r['retry_after_us'] >= 1000 for r in got if r['status'] != 'OK'), got)
        made, shed = client.counters()['calls_made'], server.counters()['calls_shed']
        self.assertEqual(together(policy='mesh', wait=True), {('OK', 'executed')})
        counters = client.counters()
        self.assertEqual(counters['calls_made'] - made, 480 + server.counters()['calls_shed'] - shed)
        self.assertGreaterEqual(counters['retries'], server.counters()['calls_shed'] - shed)


if __name__ == '__main__':
    mesh.main()
