"""A node that is called more than it can serve: it sheds what has waited too long, surely not executed, and says when to
come again; who calls by a policy comes again then."""
import json
import subprocess
import threading

import mesh


class Latency(mesh.Case):
    """Where the time of calls goes, as either end shows it."""

    def rows(self, node, *words):
        done = subprocess.run(['telactl', 'latency', *words, '-o', 'json'], executable=mesh.program('TELA_TELACTL'), text=True,
                              capture_output=True, env={'TELA_SOCKET': node.socket}, timeout=20)
        self.assertEqual(done.returncode, 0, done)
        return json.loads(done.stdout)['latency']

    def test_both_sides(self):
        mesh.schemas('echo')
        busy = {'plugin': 'fault', 'config': {'busy': '500us'}}
        server, client = self.mesh.server(services=[{'name': 'echo', 'plugins': [busy]}]), self.mesh.client()
        for method, payload in (('echo', mesh.table('echo.Message', data=b'x')),
                                ('later', mesh.table('echo.Delayed', delay_us=20_000, data=b'x'))):
            for _ in range(10):
                self.assertEqual(client.call('echo', method, payload, 'server', deadline_ms=20_000).status, 'OK')
        at = {(r['method'], r['side'], r['part']): r for r in self.rows(server, 'echo')}
        self.assertEqual(set(at), {('echo', 'callee', 'queue'), ('echo', 'callee', 'handler'), ('later', 'callee', 'queue'),
                                   ('later', 'callee', 'pending')})
        for row in at.values():
            self.assertTrue(1 <= row['samples'] <= row['calls'] <= 10, row)
            self.assertTrue(row['p50_ns'] <= row['p90_ns'] <= row['p99_ns'] <= row['p99.9_ns'] <= row['max_ns'], row)
        self.assertGreaterEqual(at['echo', 'callee', 'handler']['p50_ns'], 470_000)  # within a sixteenth
        self.assertGreaterEqual(at['later', 'callee', 'pending']['p50_ns'], 19_000_000)
        self.assertEqual(at['later', 'callee', 'pending']['calls'], 10)
        there = {r['part']: r for r in self.rows(client, 'echo.Echo.echo', 'core=0')}
        self.assertEqual(set(there), {'queue', 'callee', 'network'})
        self.assertGreaterEqual(there['callee']['p50_ns'], 470_000)
        there = {r['part']: r for r in self.rows(client, 'echo.later')}
        self.assertGreaterEqual(there['callee']['p50_ns'], 19_000_000)
        self.assertEqual(self.rows(client, 'echo.nothing'), [])
        self.assertEqual(self.rows(server, 'calculator'), [])
        table = subprocess.run(['telactl', 'latency'], executable=mesh.program('TELA_TELACTL'), text=True, capture_output=True,
                               env={'TELA_SOCKET': server.socket}, timeout=20).stdout
        self.assertIn('P99.9_NS', table.upper())
        self.assertFalse(server.ask('latency', core=7)['ok'])


class Overload(mesh.Case):
    each_test_anew = True

    def nodes(self, busy_us, target_us):
        mesh.schemas('echo')
        plugins = [{'plugin': 'counter'}, {'plugin': 'fault', 'config': {'busy': f'{busy_us}us'}}]
        return self.mesh.server(services=[{'name': 'echo', 'plugins': plugins}], shed_target_us=target_us)

    def test_shed(self):
        server, caller = self.nodes(500, 2000), self.mesh.caller()
        caller.start(threads=24, ms=60_000)
        mesh.until(lambda: server.counters()['calls_shed'] > 100, 'calls are shed')
        got = caller.stop()
        self.assertEqual(set(got['codes']), {'OK', 'RESOURCE_EXHAUSTED'}, got)
        shed = got['codes']['RESOURCE_EXHAUSTED']
        self.assertEqual(got['outcomes'], {'executed': got['codes']['OK'], 'not executed': shed, 'maybe executed': 0}, got)
        counters = server.counters()
        # Of these some were not even made: their node knows that this one is behind.
        self.assertEqual(counters['calls_refused'], counters['calls_shed'])
        self.assertLessEqual(counters['calls_shed'], shed)
        self.assertEqual(server.figures('counter')['calls'], got['codes']['OK'])

        def failures():
            return {f['reason']: f['calls'] for f in server.do('failures')['failures'] if f['side'] == 'callee'}
        mesh.until(lambda: failures() == {'overloaded': counters['calls_shed']}, 'why calls have failed is told')
        # Over: nothing is refused any more, once the CPUs leave the two alone for a while.
        mesh.until(lambda: caller.run(threads=1, calls=20)['codes'] == {'OK': 20}, 'no call is shed')

    def test_measured(self):
        """telabench finds the peak, asks for more, and tells apart what was refused and what was not even asked."""
        server, path = self.nodes(500, 1000), self.mesh.path('bench.yaml')
        port = {'name': 'mem0', 'device': self.mesh.device('client'), 'address': '10.77.0.2/24'}
        with open(path, 'w') as f:
            json.dump(self.mesh.config('bench', [port], mesh.cpus()[1], [('server', '10.77.0.1')]), f)

        def measured(*words):
            return subprocess.run([mesh.program('TELA_BENCH'), '--config', path, '--peer', 'server', *words],
                                  capture_output=True, text=True, timeout=60)
        self.assertEqual(measured('--rate', '10', 'overload').returncode, 2)
        few = ['-n', '1', '-s', '2', '-t', '0.15', '-r', '1', 'overload']
        done = measured('--json', *few)
        self.assertEqual(done.returncode, 0, done)
        got = json.loads(done.stdout)
        self.assertEqual([f['load'] for f in got['loads']], [1, 2, 3])
        self.assertEqual((got['failed'], got['checks_failed']), (0, 0))
        rates = [f['rate_asked'] for f in got['loads']]
        self.assertEqual(rates, [n * rates[0] for n in (1, 2, 3)])
        self.assertAlmostEqual(rates[0], got['peak']['calls_per_second'])
        counters = server.counters()
        self.assertLessEqual(sum(f['refused'] for f in got['loads']), counters['calls_shed'])
        self.assertEqual(counters['calls_refused'], counters['calls_shed'])
        done = measured(*few)
        self.assertEqual(done.returncode, 0, done)
        for words in ('peak: ', '3 times', 'held back/s'):
            self.assertIn(words, done.stdout)

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
