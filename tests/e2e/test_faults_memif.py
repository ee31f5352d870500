"""Peers that die, stop, come back or never read, over memif, and die at either end of vhost: every call ends inside its
deadline with a status, and whoever is left is well."""
import os
import select
import signal
import time

import mesh


class Case(mesh.Case):
    each_test_anew = True
    kind = 'memif'

    def setUp(self):
        super().setUp()
        self.mesh.kind = self.kind
        mesh.schemas('echo')
        self.echo = mesh.table('echo.Message', data=b'are you there?')

    def later(self, ms):
        return mesh.table('echo.Delayed', delay_us=ms * 1000, data=b'later')

    def works(self, caller, **options):
        got = caller.run(**{'threads': 4, 'calls': 400, **options})
        self.assertEqual((got['codes'], got['wrong']), ({'OK': got['calls']}, 0), got)

    def works_again(self, caller, seconds=60):
        """Calls end well again, after a while."""
        def ok():
            got = caller.run(threads=1, calls=1, deadline_ms=1000)
            return got['codes'].get('OK') == 1 and not got['wrong']
        mesh.until(ok, 'calls end well again', seconds)
        self.works(caller)

    def only(self, got, *codes):
        """Nothing but these ends."""
        self.assertEqual(set(got['codes']) - set(codes), set(), got)
        self.assertEqual((got['wrong'], got['refused']), (0, 0), got)

    def calls_end(self, caller, n):
        """As many as are under way end while their peer does not answer, and the next ones."""
        before = caller.calls()
        mesh.until(lambda: caller.calls() >= before + n, 'calls end without their peer')

    def quiet(self, server):
        """Nothing runs or is held any more, and an image can go."""
        mesh.until(lambda: server.in_flight() == 0, 'no call is in flight')
        server.do('chain.add', service='echo', plugin='counter')
        mesh.until(lambda: server.service('echo')['retiring'] == 0, 'the old image has retired: no pin is left')
        server.do('chain.remove', service='echo', name='counter')
        mesh.until(lambda: server.service('echo')['retiring'] == 0, 'the other image has retired')

    def pair(self):
        """Who has the socket must be there first."""
        caller = self.mesh.caller() if self.kind == 'virtio' else None
        server = self.mesh.server()
        return server, caller or self.mesh.caller()


class PeerKilled(Case):
    sizes = 32, 60_000

    def test_peer_killed_with_calls_pending(self):
        server, caller = self.pair()
        self.works(caller)
        caller.start(threads=8, calls=8, method='later', delay_us=50_000_000, deadline_ms=600_000)
        mesh.until(lambda: server.in_flight() == 8, 'eight calls are pending')
        server.kill()
        # A peer whose process has ended is noticed, long before any deadline.
        got = caller.result()
        self.only(got, 'UNAVAILABLE')
        self.assertEqual(got['outcomes'], {'executed': 0, 'not executed': 0, 'maybe executed': 8}, got)
        # Nobody there: told so before the deadline, and surely not executed.
        got = caller.run(threads=2, calls=4, deadline_ms=3000)
        self.only(got, 'UNAVAILABLE', 'DEADLINE_EXCEEDED')
        self.assertEqual(got['outcomes']['not executed'], 4, got)
        server.again()
        self.works_again(caller)

    def test_peer_killed_under_load(self):
        server, caller = self.pair()
        self.works(caller)
        for size in self.sizes:
            caller.start(threads=8, ms=60_000, bytes=size, deadline_ms=1000)
            mesh.until(lambda: caller.calls() > 100, 'calls are made')
            server.kill()
            self.calls_end(caller, 16)
            server = server.again()
            before = caller.calls()
            mesh.until(lambda: caller.calls() > before + 2000 * (32 / size) + 50, 'calls go on')
            got = caller.stop()
            self.only(got, 'OK', 'UNAVAILABLE', 'DEADLINE_EXCEEDED')
            self.works_again(caller)
        self.quiet(server)


class PeerKilledVirtio(PeerKilled):
    kind = 'virtio'
    sizes = 60_000,


class CallerKilled(Case):
    ends = 'finish', 'kill', 'finish', 'kill'

    def test_caller_comes_and_goes(self):
        server = self.mesh.server()
        for end in self.ends:
            caller = self.mesh.caller()
            self.works(caller)
            getattr(caller, end)()
        self.quiet(server)

    def test_caller_killed_with_calls_pending(self):
        """The callee's handlers finish for nobody; slots, pins and images come back."""
        server, caller = self.pair()
        caller.start(threads=24, calls=24, method='later', delay_us=1_500_000)
        mesh.until(lambda: server.in_flight() == 24, 'calls are pending')
        caller.kill()
        # An image published meanwhile: the old one is pinned until the pending calls are done.
        server.do('chain.add', service='echo', plugin='counter', **{'as': 'meanwhile'})
        mesh.until(lambda: server.service('echo')['retiring'] == 0, 'the old image has retired')
        self.quiet(server)
        counters = server.counters()
        self.assertEqual(counters['calls_pending'], 24)
        caller = self.mesh.caller()
        self.works(caller)
        self.works(caller, threads=24, calls=48, method='later', delay_us=20_000)
        self.assertEqual(server.figures('meanwhile')['calls'], 448)


class CallerKilledVhost(CallerKilled):
    kind = 'vhost'
    ends = 'finish', 'kill'


class Faults(Case):
    def test_peer_killed_while_sending(self):
        """Large messages both ways: what was held for them is given back."""
        server, caller = self.mesh.server(), self.mesh.caller()
        self.works(caller)
        for _ in range(3):
            caller.start(threads=6, ms=60_000, bytes=1_000_000, deadline_ms=2000)
            mesh.until(lambda: caller.calls() >= 6, 'calls are made')
            server.kill()
            server = server.again()
            got = caller.stop()
            self.only(got, 'OK', 'UNAVAILABLE', 'DEADLINE_EXCEEDED', 'RESOURCE_EXHAUSTED')
            self.works_again(caller)
        # More at once than would go if one buffer of 16 a round were lost.
        self.works(caller, threads=5, calls=20, bytes=1_000_000, deadline_ms=10_000)

    def test_peer_stopped(self):
        server, caller = self.mesh.server(), self.mesh.caller()
        self.works(caller)
        caller.start(threads=6, ms=60_000, deadline_ms=700)
        mesh.until(lambda: caller.calls() > 100, 'calls are made')
        server.kill(signal.SIGSTOP)
        self.calls_end(caller, 12)
        server.kill(signal.SIGCONT)
        got = caller.stop()
        self.only(got, 'OK', 'UNAVAILABLE', 'DEADLINE_EXCEEDED')
        self.assertGreater(got['calls'], got['codes'].get('OK', 0), 'some calls met the pause')
        self.works_again(caller)
        self.quiet(server)

    def test_silence_that_counts(self):
        """A stopped peer is down as soon as its core has announced and no earlier."""
        later = self.later(4000).hex()
        client = self.mesh.client()
        for pause_ms, status, outcome in ((1, 'UNAVAILABLE', 'maybe executed'), (60_000, 'OK', 'executed')):
            server = self.mesh.server(pause_ms=pause_ms)
            mesh.until(lambda: client.call('echo', 'echo', self.echo, 'server', deadline_ms=1000).status == 'OK',
                       'the server is reached')
            admin = client.connect()

            def pending(server=server, admin=admin):
                # One that fails before the server is stopped has met a pause of others' making.
                number = admin.send('call', service='echo', method='later', node='server', payload=later, deadline_ms=60_000)
                mesh.until(lambda: server.in_flight() or number in admin.early or select.select([admin.socket], [], [], 0)[0],
                           'the call is pending, or has failed')
                return number if server.in_flight() else None
            number = mesh.until(pending, 'a call is pending')
            server.kill(signal.SIGSTOP)
            if status == 'OK':
                time.sleep(1.5)  # longer than a peer on a shared CPU that announces nothing of its own
                server.kill(signal.SIGCONT)
            got = mesh.Call(admin.receive(number, 60))
            self.assertEqual((got.status, got.outcome), (status, outcome), got)
            server.kill()
            admin.close()

    def test_caller_stopped_for_two_seconds(self):
        """Its own absence is nobody's fault: afterwards calls work."""
        server, caller = self.mesh.server(), self.mesh.caller()
        caller.start(threads=6, ms=60_000, deadline_ms=5000)
        mesh.until(lambda: caller.calls() > 100, 'calls are made')
        caller.kill(signal.SIGSTOP)
        time.sleep(2)
        caller.kill(signal.SIGCONT)
        got = caller.stop()
        self.only(got, 'OK')
        self.works(caller)
        self.quiet(server)

    def test_wiped_peer(self):
        """Killed, its files removed, started anew: another incarnation that knows nothing of the first one's paths."""
        server, client = self.mesh.server(), self.mesh.client()
        self.assertEqual(client.call('echo', 'echo', self.echo, 'server').status, 'OK')
        first = server.do('status')['incarnation']
        mesh.until(lambda: client.peer('server')['incarnation'] == first, 'it is known by its incarnation')
        server.kill()
        os.unlink(self.mesh.path('m0.memif'))
        os.unlink(server.socket)
        server = server.again()
        mesh.until(lambda: client.call('echo', 'echo', self.echo, 'server', deadline_ms=500).status == 'OK',
                   'the new one is reached')
        second = server.do('status')['incarnation']
        self.assertNotEqual(first, second)
        mesh.until(lambda: client.peer('server')['incarnation'] == second, 'it is known to be another')

    def test_server_side_of_memif_comes_and_goes(self):
        """The memif server first, last, and several times; a client that is there before it."""
        port = {'name': 'mem0', 'device': self.mesh.memif('client'), 'address': '10.77.0.2/24'}
        client = mesh.Node(self.mesh, self.mesh.config('client', [port], mesh.cpus()[1], [('server', '10.77.0.1')]))
        got = client.call('echo', 'echo', self.echo, 'server', deadline_ms=500)
        self.assertIn((got.status, got.outcome), (('UNAVAILABLE', 'not executed'), ('DEADLINE_EXCEEDED', 'not executed')), got)
        for end in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
            server = self.mesh.server()
            mesh.until(lambda: client.call('echo', 'echo', self.echo, 'server', deadline_ms=500).status == 'OK',
                       'the server is reached')
            if end == signal.SIGTERM:
                self.assertEqual(server.stop(), 0)
            else:
                server.kill()
            mesh.until(lambda: client.do('status')['ports'][0]['link'] == 'down', 'the link is seen to be down')
            got = client.call('echo', 'echo', self.echo, 'server', deadline_ms=1000)
            self.assertNotEqual(got.status, 'OK')
        self.assertEqual(client.stop(), 0)

    def test_peer_that_never_reads(self):
        """Stopped with many large and small calls outstanding: rings fill, nothing else does."""
        server, caller = self.mesh.server(), self.mesh.caller()
        self.works(caller)
        server.kill(signal.SIGSTOP)
        for options in ({'bytes': 32}, {'bytes': 200_000}):
            got = caller.run(threads=24, calls=96, deadline_ms=400, **options)
            self.only(got, 'UNAVAILABLE', 'DEADLINE_EXCEEDED', 'RESOURCE_EXHAUSTED')
        server.kill(signal.SIGCONT)
        self.works_again(caller)
        self.works(caller, bytes=200_000, calls=100)
        self.quiet(server)

    def test_caller_that_never_reads(self):
        """The other way round: replies find no room, and the callee serves on."""
        server, caller = self.mesh.server(), self.mesh.caller()
        caller.start(threads=8, ms=60_000, bytes=100_000, deadline_ms=5000)
        mesh.until(lambda: caller.calls() > 100, 'calls are made')
        caller.kill(signal.SIGSTOP)
        mesh.until(lambda: server.in_flight() == 0, 'the callee is through')
        self.assertEqual(server.call('echo', 'echo', self.echo).status, 'OK')
        caller.kill(signal.SIGCONT)
        caller.stop()
        self.works_again(caller)
        self.quiet(server)

    def test_deadlines_of_pending_calls(self):
        """Callers that give up: their calls run on detached and are then gone."""
        server, caller = self.mesh.server(), self.mesh.caller()
        got = caller.run(threads=16, calls=64, method='later', delay_us=600_000, deadline_ms=100)
        self.only(got, 'DEADLINE_EXCEEDED')
        self.assertEqual(got['outcomes']['maybe executed'], 64, got)
        self.quiet(server)
        self.assertEqual(server.counters()['calls_detached'], 64)  # so each ended before its reply
        self.works(caller)


if __name__ == '__main__':
    mesh.main()
