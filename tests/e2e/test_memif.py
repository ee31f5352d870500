"""Two nodes over memif: every service, every way a call can end, and an end that waits for calls in flight."""
import itertools
import os
import random
import struct
import threading
import time
import unittest

import mesh

EXECUTED, NOT_EXECUTED, MAYBE_EXECUTED = 'executed', 'not executed', 'maybe executed'


class Services(mesh.Case):
    @classmethod
    def arrange(cls):
        mesh.schemas('bytes', 'echo', 'calculator', 'kv')
        cls.server = cls.mesh.server(('echo', 'calculator', 'kv', 'bytes'))
        cls.client = cls.mesh.client()

    def call(self, service, method, payload=b'', **options):
        return self.client.call(service, method, payload, 'server', **options)

    def answer(self, name, *words, **options):
        """The reply's root table, of a call that must end well."""
        got = self.call(*words, **options)
        self.assertEqual((got.status, got.outcome), ('OK', EXECUTED), got)
        return mesh.read(name, got.payload)

    def echo(self, data, node='server'):
        got = self.client.call_fast('echo', 'echo', mesh.table('echo.Message', data=data), node)
        self.assertEqual(got.status, 'OK', got)
        return mesh.data_of(mesh.read('echo.Message', got.payload))

    def test_echo(self):
        for size in (0, 1, 7, 8, 31, 32, 100, 255, 256, 257, 1000):
            data = os.urandom(size)
            reply = self.answer('echo.Message', 'echo', 'echo', mesh.table('echo.Message', data=data))
            self.assertEqual(mesh.data_of(reply), data)
        # absent is not the same as empty to a reader, but both are no bytes
        self.assertEqual(mesh.data_of(self.answer('echo.Message', 'echo', '1', mesh.table('echo.Message'))), b'')

    def test_echo_around_a_fragment(self):
        """Every size from just below one fragment to just above two."""
        for size in list(range(1880, 2010, 3)) + list(range(3800, 3960, 7)):
            data = random.randbytes(size)
            self.assertEqual(self.echo(data), data, size)

    def test_echo_large(self):
        # The admin socket takes 256 KiB of reply; test_echo_a_mebibyte has the rest of the way.
        for size in (10_000, 65_535, 65_536, 65_537, 200_000, 262_000):
            data = random.randbytes(size)
            self.assertEqual(self.echo(data), data, size)

    def test_echo_later(self):
        data = os.urandom(40)
        began = time.monotonic()
        reply = self.answer('echo.Message', 'echo', 'later', mesh.table('echo.Delayed', delay_us=150_000, data=data))
        self.assertEqual(mesh.data_of(reply), data)
        self.assertGreaterEqual(time.monotonic() - began, 0.15)
        self.assertGreater(self.server.counters()['calls_pending'], 0)

    def test_a_slow_call_keeps_nobody_waiting(self):
        slow = mesh.table('echo.Delayed', delay_us=2_000_000)
        thread = threading.Thread(target=self.call, args=('echo', 'later', slow))
        thread.start()
        mesh.until(lambda: self.server.in_flight() == 1, 'the slow call is there')
        self.echo(b'meanwhile')
        self.assertEqual(self.server.in_flight(), 1, 'the other call had to wait for the slow one')
        thread.join()
        self.assertEqual(self.server.in_flight(), 0)

    def test_bytes(self):
        """The handler sees them in the buffers that they came in, or in one piece."""
        for size in (0, 1, 1500, 5_000, 65_536, 200_000):
            data = random.randbytes(size)
            for method, pieces in (('sum', size > 4_000), ('put_whole', False)):
                got = self.client.call_fast('bytes', method, data, 'server')
                self.assertEqual(got.status, 'OK', got)
                taken = mesh.read('bytes.Taken', got.payload)
                self.assertEqual(taken.Len(), size)
                self.assertEqual(taken.Pieces() > 1, pieces)
                expected = 0
                for b in data if method == 'sum' else b'':
                    expected = (expected * 31 + b) & (1 << 64) - 1
                self.assertEqual(taken.Sum(), expected)
        for method, size in itertools.product(('get', 'get_lent'), (0, 10, 100_000)):
            got = self.client.call_fast('bytes', method, mesh.table('bytes.Wanted', len=size), 'server')
            self.assertEqual(got.payload, bytes((i * 7 + (i >> 8)) & 255 for i in range(size)))

    def test_kv(self):
        keys = [b'\0', b'\0\0', b'a\0b', bytes(range(200)), b'\xff' * 32]
        for i, key in enumerate(keys):
            value = bytes([i]) * (i * 300) + b'\0end'
            done = self.answer('kv.Done', 'kv', 'put', mesh.table('kv.Item', key=key, value=value))
            self.assertFalse(done.Existed())
        for i, key in enumerate(keys):
            got = self.answer('kv.Value', 'kv', 'get', mesh.table('kv.Key', key=key))
            self.assertTrue(got.Found())
            self.assertEqual(mesh.data_of(got, 1), bytes([i]) * (i * 300) + b'\0end')
        self.assertTrue(self.answer('kv.Done', 'kv', 'put', mesh.table('kv.Item', key=keys[0], value=b'new')).Existed())
        self.assertEqual(mesh.data_of(self.answer('kv.Value', 'kv', 'get', mesh.table('kv.Key', key=keys[0])), 1), b'new')
        stats = self.answer('kv.Stats', 'kv', 'stats', mesh.table('kv.Empty'))
        self.assertEqual(stats.Items(), len(keys))
        for key in keys:
            self.assertTrue(self.answer('kv.Done', 'kv', 'remove', mesh.table('kv.Key', key=key)).Existed())
            self.assertFalse(self.answer('kv.Done', 'kv', 'remove', mesh.table('kv.Key', key=key)).Existed())
            self.assertFalse(self.answer('kv.Value', 'kv', 'get', mesh.table('kv.Key', key=key)).Found())
        self.assertEqual(self.answer('kv.Stats', 'kv', 'stats', mesh.table('kv.Empty')).Items(), 0)

    def operands(self, method, a, b):
        return self.call('calculator', method, mesh.table('calculator.Operands', a=a, b=b))

    def value(self, method, a, b):
        got = self.operands(method, a, b)
        self.assertEqual(got.status, 'OK', got)
        return mesh.read('calculator.Result', got.payload).Value()

    def test_calculator(self):
        self.assertEqual(self.value('add', 2.5, -1.0), 1.5)
        self.assertEqual(self.value('subtract', 2.5, -1.0), 3.5)
        self.assertEqual(self.value('multiply', 2.5, 4.0), 10.0)
        self.assertEqual(self.value('divide', 1.0, 8.0), 0.125)
        self.assertEqual(self.value('add', 0.0, 0.0), 0.0)  # all defaults: fields left out
        series = mesh.table('calculator.Series', values=[0.5] * 1000)
        self.assertEqual(self.answer('calculator.Result', 'calculator', 'sum', series).Value(), 500.0)

    def test_division_by_zero(self):
        got = self.operands('divide', 1.0, 0.0)
        self.assertEqual((got.status, got.outcome, got.message), ('INVALID_ARGUMENT', EXECUTED, 'division by zero'))

    def test_evaluate(self):
        def node(op, left, right):
            return mesh.thing('calculator.Expression', op=op, left=left, right=right)

        def leaf(value):
            return mesh.thing('calculator.Expression', value=value)
        # (1 + 2) * (10 / 4)
        left, right = node(1, leaf(1.0), leaf(2.0)), node(4, leaf(10.0), leaf(4.0))
        whole = mesh.table('calculator.Expression', op=3, left=left, right=right)
        self.assertEqual(self.answer('calculator.Result', 'calculator', 'evaluate', whole).Value(), 7.5)
        deep = leaf(1.0)
        for _ in range(40):
            deep = node(1, deep, leaf(1.0))
        got = self.call('calculator', 'evaluate', mesh.table('calculator.Expression', op=1, left=deep, right=leaf(1.0)))
        self.assertEqual((got.status, got.message), ('INVALID_ARGUMENT', 'deeper than 32'))

    def test_unknown_names(self):
        echo = mesh.table('echo.Message', data=b'x')
        got = self.call('echo', 'shout', echo)
        self.assertEqual(got.error, 'NOT_FOUND')
        self.assertIn('echo, later', got.message)
        self.assertEqual(self.call('ecko', 'echo', echo).error, 'NOT_FOUND')
        self.assertEqual(self.client.call('echo', 'echo', echo, 'nobody').error, 'NOT_FOUND')
        status, reply = self.client.ctl('call', '--raw', 'echo', 'echo', 'payload=xyz', 'node=server')
        self.assertEqual((status, reply['ok']), (1, False))

    def test_service_that_is_not_there(self):
        """The client serves nothing: a call to itself is surely not executed."""
        got = self.client.call('echo', 'echo', mesh.table('echo.Message', data=b'x'))
        self.assertEqual((got.status, got.outcome), ('UNAVAILABLE', NOT_EXECUTED), got)

    def test_local_call(self):
        got = self.server.call('echo', 'echo', mesh.table('echo.Message', data=b'at home'))
        self.assertEqual(got.status, 'OK', got)
        self.assertEqual(mesh.data_of(mesh.read('echo.Message', got.payload)), b'at home')
        got = self.server.call('echo', 'later', mesh.table('echo.Delayed', delay_us=50_000, data=b'and later'))
        self.assertEqual(mesh.data_of(mesh.read('echo.Message', got.payload)), b'and later')

    def test_bad_payload(self):
        for bad in (b'', b'\xff' * 16, struct.pack('<I', 0xffff), mesh.table('echo.Message', data=b'x' * 50)[:-20]):
            got = self.call('echo', 'echo', bad)
            self.assertEqual(got.error, 'INVALID_ARGUMENT', got)
        # a required field left out
        self.assertEqual(self.call('kv', 'get', mesh.table('kv.Empty')).error, 'INVALID_ARGUMENT')
        self.assertEqual(self.echo(b'still well'), b'still well')

    def test_deadline(self):
        later = mesh.table('echo.Delayed', delay_us=700_000, data=b'too late')
        before = self.server.counters()
        got = self.call('echo', 'later', later, deadline_ms=100)
        self.assertEqual((got.status, got.outcome), ('DEADLINE_EXCEEDED', MAYBE_EXECUTED), got)
        self.assertEqual(self.echo(b'next'), b'next')
        mesh.until(lambda: self.server.in_flight() == 0, 'the callee is done with the call')
        after = self.server.counters()
        for name in ('calls_detached', 'drop_detached'):  # it was given up before its reply
            self.assertEqual(after[name] - before[name], 1, name)

    def test_pause(self):
        self.server.do('service.pause', service='calculator', reason='counting beans')
        got = self.operands('add', 1.0, 1.0)
        self.assertEqual((got.status, got.outcome, got.message), ('UNAVAILABLE', NOT_EXECUTED, 'counting beans'))
        self.assertEqual(self.echo(b'others go on'), b'others go on')
        self.server.do('service.activate', service='calculator')
        self.assertEqual(self.value('add', 1.0, 1.0), 2.0)

    def test_what_is_shown(self):
        self.assertEqual(self.echo(b'x'), b'x')
        self.assertEqual(self.client.peer('server')['state'], 'up')
        status = self.server.ctl('status')[1]
        self.assertEqual(status['state'], 'running')
        self.assertEqual(status['ports'][0]['link'], 'up')
        names = {s['service']: s['state'] for s in self.server.ctl('services')[1]['services']}
        self.assertEqual(names, {'echo': 'running', 'calculator': 'running', 'kv': 'running',
                                 'bytes': 'running', 'reflection': 'running'})
        for command in ('plugins', 'commands', 'stats'):
            self.assertEqual(self.server.ctl(command)[0], 0)
        for words in (('chain', 'show', 'echo'), ('images', 'echo'), ('stats', 'drops=true')):
            self.assertEqual(self.server.ctl(*words)[0], 0)


class Load(mesh.Case):
    @classmethod
    def arrange(cls):
        cls.server = cls.mesh.server(({'name': 'echo', 'config': {'count_ids': 20}},))
        cls.caller = cls.mesh.caller()

    def clean(self, got, calls):
        self.assertEqual((got['codes'], got['calls'], got['wrong'], got['refused']), ({'OK': calls}, calls, 0, 0), got)

    def test_many_threads(self):
        """More threads than the slots that a session opens with."""
        before = self.server.figures('echo')['executions']
        self.clean(self.caller.run(threads=20, calls=20_000, bytes=32), 20_000)
        figures = self.server.figures('echo')
        self.assertEqual((figures['executions'] - before, figures['executed_twice']), (20_000, 0), figures)

    def test_mixed_sizes(self):
        for size in (8, 255, 1999, 2000, 2001, 5000, 70_000):
            self.clean(self.caller.run(threads=6, calls=60, bytes=size), 60)

    def test_a_mebibyte(self):
        """Several at once."""
        for size in (900_000, (1 << 20) - 8, 1 << 20):
            self.clean(self.caller.run(threads=3, calls=12, bytes=size, deadline_ms=20_000), 12)

    def test_sixteen_mebibytes(self):
        self.clean(self.caller.run(threads=1, calls=3, bytes=(1 << 24) - 64, deadline_ms=20_000), 3)

    def test_later(self):
        self.clean(self.caller.run(threads=24, calls=480, bytes=64, method='later', delay_us=20_000), 480)


class Limits(mesh.Case):
    """What a session is granted, changed while calls run; what it does not use any more is given back."""
    each_test_anew = True

    def limits(self, *words):
        """telactl limits"""
        return self.server.ctl('limits', *words)

    def burst(self):
        got = self.caller.run(threads=24, calls=72, method='later', delay_us=150_000, deadline_ms=20_000)
        self.assertEqual((got['codes'], got['wrong'], got['refused']), ({'OK': 72}, 0, 0), got)

    def granted(self):
        counters = self.server.counters()
        return counters['slot_grants'] - counters['slot_returns']

    def test_limits(self):
        self.server = self.mesh.server()
        status, now = self.limits()
        self.assertEqual((status, now['window'], now['slots_per_session']), (0, 256, 1024))
        for bad in ('window=31', 'window=961', 'window=0', 'slots_per_session=7', 'slots_per_session=2049'):
            status, reply = self.limits(bad)
            self.assertEqual((status, reply['ok'], reply['error']['code']), (1, False, 'INVALID_ARGUMENT'), reply)
            self.assertIn('window is 32 to 960, slots_per_session 8 to 2048', reply['error']['message'])
        self.assertEqual(self.limits()[1], now)
        status, now = self.limits('window=64', 'slots_per_session=20')
        self.assertEqual((status, now['window'], now['slots_per_session']), (0, 64, 16))
        self.caller = self.mesh.caller()
        self.burst()
        self.assertEqual(self.granted(), 16)
        self.assertEqual(self.limits('slots_per_session=32')[0], 0)
        self.burst()
        self.assertEqual(self.granted(), 32)
        mesh.until(lambda: self.granted() == 8, 'slots that nobody uses are given back')
        self.burst()
        self.assertEqual(self.granted(), 32)


class Drain(mesh.Case):
    each_test_anew = True

    @classmethod
    def arrange(cls):
        mesh.schemas('echo')

    def test_calls_in_flight_are_answered(self):
        # It ends when they are answered, long before it would give them up.
        server, caller = self.mesh.server(drain_deadline_ms=600_000), self.mesh.caller()
        self.assertEqual(caller.run(threads=1, calls=10)['codes'], {'OK': 10})
        caller.start(threads=6, calls=6, method='later', delay_us=500_000, deadline_ms=5000)
        mesh.until(lambda: server.in_flight() >= 6, 'six calls are pending')
        status = server.stop()
        got = caller.result()
        self.assertEqual(got['codes'], {'OK': 6}, got)
        self.assertEqual(status, 0)
        self.assertEqual(caller.finish(), 0)

    def test_one_way_calls(self):
        """Their callers have gone when they were accepted; the drain waits for what they still do."""
        server, caller = self.mesh.server(), self.mesh.caller()
        for size in (64, 5000):
            got = caller.run(threads=4, calls=400, bytes=size, one_way=1)
            self.assertEqual((got['codes'], got['wrong'], got['outcomes']['executed']), ({'OK': 400}, 0, 400), got)
        self.assertEqual(caller.run(threads=2, calls=40)['codes'], {'OK': 40})
        counters = server.counters()
        self.assertEqual([counters[c] for c in ('calls_one_way', 'one_way_replies', 'one_way_failed', 'calls_served',
                                                'calls_detached', 'drop_detached')], [800, 800, 0, 840, 0, 0])
        got = caller.run(threads=6, calls=6, method='later', delay_us=1_000_000, one_way=1)
        self.assertEqual((got['codes'], got['wrong']), ({'OK': 6}, 0), got)
        self.assertEqual(server.in_flight(), 6)
        self.assertEqual(server.stop(), 0)
        self.assertIn('draining: 6 calls in flight', server.text())
        self.assertNotIn('cancelled', server.text())
        self.assertEqual(caller.finish(), 0)

    def test_a_service(self):
        """It leaves, waits for its calls and cancels those that take too long; activate undoes it."""
        server, client = self.mesh.server(), self.mesh.client()
        echo = mesh.table('echo.Message', data=b'x')
        other, third = client.connect(), server.connect()

        def later(ms):
            number = other.send('call', service='echo', method='later', node='server', deadline_ms=20_000,
                                payload=mesh.table('echo.Delayed', delay_us=ms * 1000, data=b'x').hex())
            mesh.until(lambda: server.service('echo')['in_flight'] == 1, 'the call is pending')
            return number
        slow = later(1500)
        drain = third.send('service.drain', service='echo', deadline_ms=15_000)
        mesh.until(lambda: server.service('echo')['state'] == 'paused', 'its gate is closed')
        refused = client.call('echo', 'echo', echo, 'server')
        self.assertEqual((refused.status, refused.outcome, refused.message),
                         ('UNAVAILABLE', NOT_EXECUTED, 'draining'), refused)
        how = server.do('service.drain', service='echo', poll=True)
        self.assertEqual([how[k] for k in ('draining', 'drained', 'waits_for')], [True, False, 'calls in flight'])
        self.assertEqual(mesh.Call(other.receive(slow)).status, 'OK')
        drained = third.receive(drain)
        self.assertEqual([drained[k] for k in ('drained', 'in_flight', 'cancelled')], [True, 0, 0])
        server.do('service.activate', service='echo')
        self.assertEqual(client.call('echo', 'echo', echo, 'server').status, 'OK')
        slow = later(3000)
        drained = server.do('service.drain', service='echo', deadline_ms=300)
        self.assertEqual([drained[k] for k in ('drained', 'cancelled', 'waits_for')], [False, 1, 'calls in flight'])
        cancelled = mesh.Call(other.receive(slow))
        self.assertEqual((cancelled.status, cancelled.outcome), ('UNAVAILABLE', MAYBE_EXECUTED), cancelled)
        self.assertIn('1 calls in flight are cancelled', server.text())
        mesh.until(lambda: server.do('service.drain', service='echo', poll=True)['drained'], 'its handler has ended')
        other.close()
        third.close()

    def test_new_calls_are_refused(self):
        """While a call is still answered, new ones are surely not executed; what is left at the deadline is ended."""
        server, client = self.mesh.server(drain_deadline_ms=1000), self.mesh.client()
        echo = mesh.table('echo.Message', data=b'x')
        self.assertEqual(client.call('echo', 'echo', echo, 'server').status, 'OK')
        other = server.connect()
        slow = other.send('call', service='echo', method='later', deadline_ms=5000,
                          payload=mesh.table('echo.Delayed', delay_us=3_000_000, data=b'x').hex())
        mesh.until(lambda: server.service('echo')['in_flight'] == 1, 'the call is pending')
        server.do('drain')
        refused = client.call('echo', 'echo', echo, 'server')
        self.assertEqual((refused.status, refused.outcome), ('UNAVAILABLE', NOT_EXECUTED), refused)
        self.assertEqual(server.wait(), 0)
        other.close()
        self.assertEqual(client.stop(), 0)


if __name__ == '__main__':
    mesh.main()
