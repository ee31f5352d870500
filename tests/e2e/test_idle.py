"""Cores that sleep until a device interrupts: they answer at once after a long silence, miss nothing, cost nothing when
nothing comes, and are refused where a device has no receive interrupts."""
import os
import time

import mesh

CALLS = 600


def cpu_seconds(process):
    """What it has used, in user and kernel mode."""
    with open(f'/proc/{process.pid}/stat') as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Case(mesh.Case):
    def node(self, name, device, idle, address, peer, cpu, services=(), namespace=None, wait=True):
        port = {'name': 'p0', 'device': device, 'address': f'{address}/24'}
        config = self.mesh.config(name, [port], cpu, [('peer', peer)], services)
        config['cores'][0]['idle'] = idle
        return mesh.Node(self.mesh, config, namespace, wait=wait)

    def asleep(self, node):
        """Once it has gone to sleep until something happens: its passes have all but ended."""
        def rests():
            before = node.counters()['sleeps']
            time.sleep(0.1)
            return node.counters()['sleeps'] - before < 40
        mesh.until(rests, f'{node.node} is quiet')

    def check(self, server, caller):
        self.well(caller, calls=1)
        # A long silence, then a call.
        self.asleep(server)
        used, began = cpu_seconds(server), time.monotonic()
        time.sleep(1)
        used, took = cpu_seconds(server) - used, time.monotonic() - began
        got = self.well(caller, calls=1)
        print(f'    a quiet node: {100 * used / took:.1f} % of a CPU; the call after that took {got["worst_ms"]} ms')
        self.run_calls(server, caller, CALLS)

    def well(self, caller, calls, **options):
        got = caller.run(**{'threads': 1, 'calls': calls, 'bytes': 64, 'deadline_ms': 10_000, **options})
        self.assertEqual((got['codes'], got['wrong'], got['refused']), ({'OK': calls}, 0, 0), got)
        return got

    def run_calls(self, server, caller, calls):
        """Each when the core may just be falling asleep."""
        before = server.counters()
        self.well(caller, calls, pause_us=600)
        after = server.counters()
        sleeps, interrupts, missed = (after[k] - before[k] for k in ('sleeps', 'interrupts', 'interrupts_missed'))
        print(f'    {calls} calls: {sleeps} sleeps, {interrupts} interrupts, {missed} missed')
        self.assertGreater(interrupts, calls // 4)
        self.assertLess(missed, calls // 20)
        # Pending calls: another thread answers, whose wake is not the device's.
        self.well(caller, 100, threads=4, method='later', delay_us=3000)
        # And a load under which nobody sleeps.
        self.well(caller, 400, threads=8)


class Tap(Case):
    """Two taps on a bridge."""

    def test_tap(self):
        mesh.need_namespaces()
        if not os.path.exists('/dev/net/tun'):
            self.skipTest('no /dev/net/tun here')
        space = self.mesh.namespace('taps')
        space.run('sysctl', '-q', 'net.ipv6.conf.default.disable_ipv6=1', check=False)
        space.ip('link', 'add', 'br0', 'type', 'bridge')
        space.ip('link', 'set', 'br0', 'up')
        server = self.node('server', 'net_tap0,iface=dtap0', 'interrupt', '10.77.8.1', '10.77.8.2', mesh.cpus()[0],
                           ['echo'], space)
        caller = mesh.Caller(self.mesh, 'net_tap0,iface=dtap1', '10.77.8.2/24', '10.77.8.1', mesh.cpus()[1], space)
        for name in ('dtap0', 'dtap1'):
            space.ip('link', 'set', name, 'master', 'br0')
        self.check(server, caller)
        self.assertEqual(server.do('cores')['cores'][0]['idle'], 'interrupt')
        self.assertEqual((caller.finish(), server.stop()), (0, 0))


class Vhost(Case):
    def test_vhost(self):
        """The callee has vhost's end."""
        server = self.node('server', self.mesh.vhost('server'), 'interrupt', '10.77.0.1', '10.77.0.2', mesh.cpus()[0],
                           ['echo'])
        caller = mesh.Caller(self.mesh, self.mesh.vhost('client'), '10.77.0.2/24', '10.77.0.1', mesh.cpus()[1])
        self.check(server, caller)
        # Another peer at the same socket: other descriptors, the same node.
        caller.kill()
        caller = mesh.Caller(self.mesh, self.mesh.vhost('client'), '10.77.0.2/24', '10.77.0.1', mesh.cpus()[1])
        self.run_calls(server, caller, CALLS // 3)
        self.assertEqual((caller.finish(), server.stop()), (0, 0))

    def test_virtio_user(self):
        """Both ends sleep; the callee has virtio's."""
        caller = self.node('caller', self.mesh.vhost('server', 'm1'), 'interrupt', '10.77.0.2', '10.77.0.1', mesh.cpus()[1])
        server = self.node('callee', self.mesh.vhost('client', 'm1'), 'interrupt', '10.77.0.1', '10.77.0.2', mesh.cpus()[0],
                           ['echo'])
        mesh.schemas('echo')
        data = b'who is there?'
        payload = mesh.table('echo.Message', data=data)
        for _ in range(3):
            self.asleep(server)
            got = caller.call_fast('echo', 'echo', payload, 'peer', 10_000)
            self.assertEqual(got.status, 'OK', got)
            self.assertEqual(mesh.data_of(mesh.read('echo.Message', got.payload)), data)
        counters = server.counters()
        self.assertGreaterEqual(counters['interrupts'], 3)
        self.assertLess(counters['interrupts_missed'], 3)
        self.assertEqual((server.stop(), caller.stop()), (0, 0))


class Refused(Case):
    def test_memif(self):
        node = self.node('server', self.mesh.memif('server'), 'interrupt', '10.77.0.1', '10.77.0.2', mesh.cpus()[0], wait=False)
        self.assertNotEqual(node.wait(), 0)
        self.assertIn('port p0: driver net_memif has no receive interrupts', node.text())
        self.assertIn('adaptive', node.text())


if __name__ == '__main__':
    mesh.main()
