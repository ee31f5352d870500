"""What a node leaves behind when it ends: nothing after SIGTERM and SIGINT, nothing that matters after SIGKILL."""
import glob
import json
import os
import signal
import subprocess

import mesh

RUNTIME = ('/run', '/var/run', '/tmp', '/dev/shm', '/dev/hugepages', '/run/lock', '/run/user')


def dpdk_folders():
    return {f for base in ('/var/run/dpdk', '/run/dpdk', '/tmp/dpdk') for f in glob.glob(f'{base}/*')}


def huge_pages():
    """In use, in all sizes."""
    used = 0
    for folder in glob.glob('/sys/kernel/mm/hugepages/*'):
        def number(name, of=folder):
            with open(os.path.join(of, name)) as f:
                return int(f.read())
        used += number('nr_hugepages') - number('free_hugepages')
    return used


class Leftovers(mesh.Case):
    each_test_anew = True

    def setUp(self):
        super().setUp()
        mesh.schemas('echo')
        self.echo = mesh.table('echo.Message', data=b'anybody there?')

    def seen(self, *nodes):
        """Everything a node makes outside of itself, by name: those of these nodes, or of processes that are gone."""
        found = set()
        for folder in RUNTIME:
            for name in os.listdir(folder) if os.path.isdir(folder) else ():
                if any(f'-{n.pid}' in name or f'.{n.pid}' in name for n in nodes):
                    found.add(os.path.join(folder, name))
        found |= {f for f in dpdk_folders() if any(f.endswith(f'-{n.pid}') for n in nodes)}
        found |= {os.path.join(self.mesh.folder, f) for f in os.listdir(self.mesh.folder)
                  if not f.endswith(('.log', '.yaml'))}
        return found

    def children(self, *nodes):
        return [p for n in nodes for p in
                subprocess.run(['ps', '--ppid', str(n.pid), '-o', 'pid='], capture_output=True, text=True).stdout.split()]

    def pair(self):
        server, client = self.mesh.server(), self.mesh.client()
        self.assertEqual(client.call('echo', 'echo', self.echo, 'server').status, 'OK')
        return server, client

    def test_does_not_start(self):
        """What DPDK says of it is part of the log: all of standard error is JSON."""
        config = self.mesh.config('server', [{'name': 'm0', 'device': 'net_pcap0,rx_pcap=/nowhere.pcap',
                                              'address': '10.90.0.1/24'}],
                                  mesh.cpus()[0], log={'format': 'json'})
        node = mesh.Node(self.mesh, config, wait=False)
        self.assertEqual(node.popen.wait(60), 1)
        lines = [json.loads(line) for line in node.text().splitlines()]
        dpdk = [line for line in lines if line.get('component') == 'dpdk']
        self.assertTrue(any('/nowhere.pcap' in line['message'] for line in dpdk), lines)
        self.assertEqual({line['level'] for line in dpdk}, {'error'})
        self.assertIn('cannot be made', lines[-1]['message'])
        self.assertNotIn('component', lines[-1])

    def test_asked_to_end(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server, client = self.pair()
            self.assertTrue(os.path.exists(server.socket) and os.path.exists(self.mesh.path('m0.memif')))
            self.assertEqual(self.children(server, client), [])
            self.assertEqual((client.stop(number), server.stop(number)), (0, 0))
            self.assertEqual(self.seen(server, client), set())

    def test_asked_by_command(self):
        server, client = self.pair()
        for n in (client, server):
            n.do('drain')
            n.leave()
            self.assertEqual(n.wait(), 0)
        self.assertEqual(self.seen(server, client), set())

    def test_asked_twice(self):
        """The second time it waits for nobody, and still leaves nothing."""
        server, caller = self.mesh.server(drain_deadline_ms=60_000), self.mesh.caller()
        caller.start(threads=2, calls=2, method='later', delay_us=50_000_000, deadline_ms=60_000)
        mesh.until(lambda: server.in_flight() == 2, 'calls are pending')
        server.leave()
        server.popen.send_signal(signal.SIGTERM)
        mesh.until(lambda: 'draining' in server.text(), 'it drains')
        self.assertTrue(server.running())
        self.assertEqual(server.stop(signal.SIGTERM, 20), 0)
        self.assertEqual(caller.result()['codes'], {'UNAVAILABLE': 2})
        self.assertEqual(caller.finish(), 0)
        self.assertEqual(self.seen(server, caller), set())

    def test_refused_start(self):
        """A node that cannot start leaves nothing, not even for the one whose place it wanted."""
        server, client = self.pair()
        port = {'name': 'mem0', 'device': self.mesh.memif('server', 'm1'), 'address': '10.77.9.1/24'}
        other = self.mesh.config('other', [port], mesh.cpus()[0], services=['echo'], admin=server.socket)
        refused = mesh.Node(self.mesh, other, wait=False)
        self.assertEqual(refused.wait(), 1)
        self.assertIn('another node answers there', refused.text())
        port = {'name': 'mem0', 'device': self.mesh.memif('server'), 'address': '10.77.9.1/24'}
        refused = mesh.Node(self.mesh, self.mesh.config('third', [port], mesh.cpus()[0]), wait=False)
        self.assertEqual(refused.wait(), 1)
        self.assertEqual(client.call('echo', 'echo', self.echo, 'server').status, 'OK')
        client.stop()
        server.stop()
        self.assertEqual(self.seen(server, client, refused), set())

    def test_killed(self):
        """What is left does not stand in the way of the same node, which removes it when it ends."""
        used = huge_pages()
        server, client = self.pair()
        for _ in range(3):
            server.kill()
            client.kill()
            left = self.seen(server, client)
            self.assertLessEqual({f for f in left if f.startswith(self.mesh.folder)},
                                 {server.socket, client.socket, self.mesh.path('m0.memif')})
            self.assertLessEqual(huge_pages(), used, 'no huge page is kept by nobody')
            first = (server, client)
            server, client = server.again(), client.again()
            mesh.until(lambda c=client: c.call('echo', 'echo', self.echo, 'server', deadline_ms=500).status == 'OK', 'calls work')
            # Its run-time folder goes with the next start of any node.
            self.assertEqual({f for f in self.seen(*first) if not f.startswith(self.mesh.folder)}, set())
        self.assertEqual((client.stop(), server.stop()), (0, 0))
        self.assertEqual(self.seen(server, client), set())

    def test_killed_in_a_namespace(self):
        """A namespace can go as soon as its node has."""
        mesh.need_namespaces()
        hub, space = self.mesh.namespace('hub'), self.mesh.namespace('n')
        hub.ip('link', 'add', 'p0', 'type', 'veth', 'peer', 'name', 'veth0', 'netns', space.name)
        space.ip('link', 'set', 'veth0', 'up')
        port = {'name': 'p0', 'device': 'net_af_packet0,iface=veth0', 'address': '10.77.8.1/24'}
        node = mesh.Node(self.mesh, self.mesh.config('n', [port], mesh.cpus()[0], services=['echo']), space)
        node.kill()
        node = node.again()
        self.assertEqual(node.stop(), 0)
        for n in (hub, space):
            n.delete()
            self.assertFalse(os.path.exists(f'/run/netns/{n.name}'))
        self.assertEqual(self.seen(node), set())


if __name__ == '__main__':
    mesh.main()
