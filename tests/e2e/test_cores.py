"""Nodes of several cores: every core of the callee is used, and every frame comes to the core that it is for, by a queue of
its own where the device has one, else by a ring from the core that has it."""
import json
import os

import mesh

CALLS = 6000


class Case(mesh.Case):
    each_test_anew = True

    @classmethod
    def arrange(cls):
        mesh.schemas('echo')

    def node(self, name, device, address, n_cores, peers=(), services=(), namespace=None):
        port = {'name': 'p0', 'device': device, 'address': f'{address}/24'}
        config = self.mesh.config(name, [port], 0, peers, services)
        config['cores'] = [{'cpu': c, 'idle': 'adaptive'} for c in self.cpus(n_cores)]
        return mesh.Node(self.mesh, config, namespace)

    def cpus(self, n):
        if n == 2 and mesh.cpus()[0] == mesh.cpus()[1]:
            mesh.skip('there is only one CPU for two cores')
        return mesh.cpus()[-n:]

    def cores(self, node, key):
        return [c[key] for c in node.do('cores')['cores']]

    def reached(self, node):
        return [(q['queues'], q['reached_by']) for q in node.do('cores')['queues']]

    def run_calls(self, caller, threads=8, calls=CALLS, size=64):
        got = caller.run(threads=threads, calls=calls, bytes=size, deadline_ms=20_000)
        self.assertEqual((got['codes'], got['wrong'], got['refused']), ({'OK': calls}, 0, 0), got)

    def check_once(self, server, calls):
        figures = server.figures('echo')
        self.assertEqual((figures['executions'], figures['executed_twice']), (calls, 0), figures)


class Memif(Case):
    """A queue for each core of the client; queue n is core n's at both ends, as far as there are so many."""

    def pair(self, n_server, n_client):
        server = self.node('server', self.mesh.memif('server'), '10.77.0.1', n_server,
                           services=[{'name': 'echo', 'config': {'count_ids': 20}}])
        caller = mesh.Caller(self.mesh, self.mesh.memif('client'), '10.77.0.2/24', '10.77.0.1',
                             ','.join(str(c) for c in self.cpus(n_client)))
        self.run_calls(caller)
        self.check_once(server, CALLS)
        served = self.cores(server, 'served')
        self.assertEqual(sum(served), CALLS)
        self.assertGreater(min(served), CALLS // 50, served)
        return server, caller

    def test_two_to_two(self):
        server, caller = self.pair(2, 2)
        self.assertEqual(self.reached(server), [('0', 'queue'), ('1', 'queue')])
        for core in server.do('cores')['cores']:
            folder = f'/sys/devices/system/cpu/cpu{core["cpu"]}/node{core["socket"]}'
            self.assertTrue(os.path.isdir(folder) or core['socket'] == 0, core)
            self.assertIn(core['memory_socket'], (core['socket'], None), core)  # None: the kernel may not be asked
        self.assertEqual([p['buffers_elsewhere'] for p in server.do('status')['ports']], [False])
        self.assertEqual(self.cores(server, 'handed_in'), [0, 0])
        self.assertEqual(self.cores(server, 'handed_out'), [0, 0])
        for size in (1999, 70_000):
            self.run_calls(caller, calls=100, size=size)
        self.assertEqual(caller.finish(), 0)

    def test_two_to_one(self):
        server, caller = self.pair(1, 2)
        self.assertEqual(self.reached(server), [('0,1', 'queue')])
        self.assertEqual(self.cores(server, 'handed_in'), [0])
        self.assertEqual(caller.finish(), 0)

    def test_one_to_two(self):
        """The second core has no queue that the client knows: all that it gets and sends goes by the first."""
        server, caller = self.pair(2, 1)
        self.assertEqual(self.reached(server), [('0', 'queue'), ('', 'ring')])
        handed_in, served = self.cores(server, 'handed_in'), self.cores(server, 'served')
        self.assertGreater(handed_in[0], 0)
        self.assertGreater(handed_in[1], 0)
        self.assertGreater(served[1], 0)
        for size in (1999, 70_000):
            self.run_calls(caller, calls=100, size=size)
        self.assertEqual(server.counters()['drop_hand_full'], 0)
        self.assertEqual(caller.finish(), 0)

    def test_client_of_other_size_comes_back(self):
        """The queues that a client with two cores has used are rings of nobody for one with a single core."""
        server, caller = self.pair(2, 2)
        caller.kill()
        for n in (1, 2, 1):
            caller = mesh.Caller(self.mesh, self.mesh.memif('client'), '10.77.0.2/24', '10.77.0.1',
                                 ','.join(str(c) for c in self.cpus(n)))
            caller.first = 100_000 * (n + 1)
            self.run_calls(caller, calls=1000)
            self.assertEqual(self.reached(server)[1], ('1', 'queue') if n == 2 else ('', 'ring'))
            caller.kill()


class Packet(Case):
    """af_packet over a veth pair: with one queue, and with two that the kernel spreads frames over by a hash."""

    def pair(self, n_server, n_client, more=''):
        a, b = self.mesh.namespace('a'), self.mesh.namespace('b')
        a.ip('link', 'add', 'veth0', 'type', 'veth', 'peer', 'name', 'veth0', 'netns', b.name)
        for space in (a, b):
            space.run('sysctl', '-q', 'net.ipv6.conf.all.disable_ipv6=1', check=False)
            space.ip('link', 'set', 'veth0', 'up')
        device = 'net_af_packet0,iface=veth0' + more
        server = self.node('server', device, '10.77.6.1', n_server,
                           services=[{'name': 'echo', 'config': {'count_ids': 20}}], namespace=a)
        caller = mesh.Caller(self.mesh, device, '10.77.6.2/24', '10.77.6.1',
                             ','.join(str(c) for c in self.cpus(n_client)), namespace=b)
        self.run_calls(caller)
        self.check_once(server, CALLS)
        served = self.cores(server, 'served')
        self.assertGreater(min(served), CALLS // 50, served)
        return server, caller

    def test_one_queue(self):
        server, caller = self.pair(2, 2)
        self.assertEqual(self.reached(server), [('0', 'queue'), ('', 'ring')])
        handed_in, handed_out = self.cores(server, 'handed_in'), self.cores(server, 'handed_out')
        self.assertGreater(min(handed_in), 0)
        counters = server.counters()
        self.assertEqual(sum(handed_in), sum(handed_out))
        self.assertEqual((counters['drop_connection'], counters['drop_source'], counters['drop_crc']), (0, 0, 0), counters)
        self.run_calls(caller, calls=60, size=70_000)
        self.assertEqual(caller.finish(), 0)

    def test_one_queue_for_more_cores_than_call(self):
        server, caller = self.pair(2, 1)
        self.assertGreater(min(self.cores(server, 'handed_in')), 0)
        self.assertEqual(caller.finish(), 0)

    def test_hash(self):
        """Both ends spread by a hash: ports are tried until each core's frames come to it by themselves."""
        server, caller = self.pair(2, 2, ',qpairs=2')
        self.assertEqual(self.reached(server), [('0', 'hash'), ('1', 'hash')])
        before = sum(self.cores(server, 'handed_in'))
        self.run_calls(caller)
        self.assertEqual(sum(self.cores(server, 'handed_in')), before)
        self.assertEqual(caller.finish(), 0)

    def test_stopped_peer_comes_back(self):
        """A caller that is killed and started again is known on every core, and its old calls are gone."""
        server, caller = self.pair(2, 2)
        caller.kill()
        again = mesh.Caller(self.mesh, 'net_af_packet0,iface=veth0', '10.77.6.2/24', '10.77.6.1',
                            ','.join(str(c) for c in self.cpus(2)), namespace=self.mesh.namespaces[1])
        again.first = 100_000
        self.run_calls(again)
        self.check_once(server, 2 * CALLS)
        self.assertEqual(again.finish(), 0)


class Shown(Case):
    def test_command(self):
        server = self.node('server', self.mesh.memif('server'), '10.77.0.1', 2, services=['echo'])
        status, reply = server.ctl('cores')
        self.assertEqual((status, [c['core'] for c in reply['cores']]), (0, [0, 1]))
        self.assertEqual(json.dumps(reply['queues'][0]['port']), '"p0"')


if __name__ == '__main__':
    mesh.need_namespaces()
    mesh.main()
