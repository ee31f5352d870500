"""Three nodes in three network namespaces on one bridge, through the kernel's veth and af_packet or af_xdp: they are proper IP
hosts, everyone calls everyone, and still does when the network loses, repeats and damages frames."""
import json
import os
import random
import socket
import struct
import subprocess
import threading
import unittest

import mesh
import python_wire

SUBNET = '10.77.5'
HUB = 9   # the bridge's own address
CALLER = 4


class Network(mesh.Case):
    """a, b and c, each on a port of the bridge in namespace `hub`, each with the other two as peers."""
    names = 'abc'
    options = {}
    services = [{'name': 'echo', 'config': {'count_ids': 24}}, 'kv']
    driver = 'af_packet'

    @classmethod
    def arrange(cls):
        mesh.schemas('echo', 'kv')
        cls.hub = cls.mesh.namespace('hub')
        for words in ('link add br0 type bridge', f'addr add {SUBNET}.{HUB}/24 dev br0', 'link set br0 up',
                      'link set lo up'):
            cls.hub.ip(*words.split())
        cls.hub.run('sysctl', '-q', 'net.ipv6.conf.all.disable_ipv6=1', check=False)
        cls.plugged = {}
        cls.nodes = {}
        for i, name in enumerate(cls.names):
            space = cls.plug(name)
            port = {'name': 'p0', 'device': cls.device(), 'address': f'{SUBNET}.{i + 1}/24'}
            peers = [(n, f'{SUBNET}.{k + 1}') for k, n in enumerate(cls.names) if n != name]
            config = cls.mesh.config(name, [port], mesh.cpus()[i % 2], peers, cls.services, **cls.options)
            cls.nodes[name] = mesh.Node(cls.mesh, config, space, wait=False)
        for n in cls.nodes.values():
            n.wait_ready()
        cls.next_id = 1

    @classmethod
    def device(cls):
        return f'net_{cls.driver}0,iface=veth0'

    @classmethod
    def plug(cls, name):
        """A namespace with veth0, whose other end is port p-NAME of the bridge. The kernel has no address there."""
        space = cls.mesh.namespace(name)
        cls.hub.ip('link', 'add', f'p-{name}', 'type', 'veth', 'peer', 'name', 'veth0', 'netns', space.name)
        space.run('sysctl', '-q', 'net.ipv6.conf.all.disable_ipv6=1', check=False)
        space.ip('link', 'set', 'veth0', 'up')
        cls.hub.ip('link', 'set', f'p-{name}', 'master', 'br0', 'up')
        cls.plugged[name] = space
        return space

    @classmethod
    def data(cls, size):
        """Bytes nobody else sends: the id counted by echo, then noise."""
        cls.next_id += 1
        return struct.pack('<Q', cls.next_id) + random.randbytes(size - 8)

    def echo(self, who, whom, size, admin=None, deadline_ms=10_000):
        data = self.data(size)
        arguments = {'service': 'echo', 'method': 'echo', 'node': whom, 'deadline_ms': deadline_ms,
                     'payload': mesh.table('echo.Message', data=data).hex()}
        got = mesh.Call((admin or self.nodes[who]).ask('call', **arguments))
        self.assertEqual((got.status, got.outcome), ('OK', 'executed'), (who, whom, size, got))
        self.assertTrue(mesh.data_of(mesh.read('echo.Message', got.payload)) == data, f'{who} to {whom}: wrong bytes')
        return got

    def executed(self):
        """Executions in all; none was repeated."""
        total = 0
        for name, n in self.nodes.items():
            figures = n.figures('echo')
            self.assertEqual((figures['executed_twice'], figures['ids_out_of_range']), (0, 0), name)
            total += figures['executions']
        return total

    def sum(self, counter):
        return sum(n.counters()[counter] for n in self.nodes.values())


class Quiet(Network):
    def test_a_ping(self):
        """The kernel asks by ARP and ICMP; the node, not its kernel, has the address."""
        for i, name in enumerate(self.names):
            said = self.hub.run('ping', '-c', '3', '-i', '0.2', '-W', '2', f'{SUBNET}.{i + 1}', check=False).stdout
            self.assertIn('3 received', said)
            counters = self.nodes[name].counters()
            self.assertGreaterEqual(counters['icmp_echo'], 3)
            self.assertGreaterEqual(counters['arp_requests'], 1)
            neighbour = self.hub.run('ip', '-j', 'neigh', 'show', 'dev', 'br0', f'{SUBNET}.{i + 1}').stdout
            self.assertEqual(json.loads(neighbour)[0]['lladdr'], self.nodes[name].do('status')['ports'][0]['mac'])
        # as large as the MTU allows, and an address that nobody has
        said = self.hub.run('ping', '-c', '2', '-i', '0.2', '-s', '1472', '-M', 'do', f'{SUBNET}.1', check=False).stdout
        self.assertIn('2 received', said)
        self.assertNotEqual(self.hub.run('ping', '-c', '1', '-W', '1', f'{SUBNET}.77', check=False).returncode, 0)

    def test_everyone_calls_everyone(self):
        before = self.executed()
        for who in self.names:
            for whom in self.names:
                if who != whom:
                    for size in (8, 100, 1400, 1500, 6000, 200_000):
                        self.echo(who, whom, size)
        self.assertEqual(self.executed() - before, 36)
        for n in self.nodes.values():
            self.assertEqual({p['state'] for p in n.do('status')['peers']}, {'up'})
            counters = n.counters()
            self.assertGreaterEqual(counters['arp_asked'], 1)
            self.assertGreaterEqual(counters['arp_learnt'], 2)
            self.assertEqual((counters['drop_crc'], counters['drop_udp_checksum'], counters['drop_replay']), (0, 0, 0))

    def test_integrity_is_crc32c(self):
        """The first datagrams on the wire carry the flag and a right CRC."""
        catcher = python_wire.Tap(self.plugged['a'], 'veth0')
        try:
            self.echo('a', 'b', 64)
            seen = catcher.datagrams(1, 5)  # what comes in: the driver's own frames bypass whoever listens
        finally:
            catcher.close()
        for datagram in seen:
            self.assertEqual(datagram[1] & 3, 1)
            self.assertTrue(python_wire.crc_right(datagram), datagram.hex())

    def test_z_node_that_ends_and_comes_back(self):
        """While it is away callers are told so; then it is reached by who only calls, without a call of its own."""
        self.echo('a', 'c', 100)
        self.assertEqual(self.nodes['c'].stop(), 0)
        got = self.nodes['a'].call_fast('echo', 'echo', mesh.table('echo.Message', data=self.data(8)), 'c', 2000)
        self.assertIn(got.status, ('UNAVAILABLE', 'DEADLINE_EXCEEDED'))
        self.assertEqual(got.outcome, 'not executed', got)
        self.nodes['c'] = self.nodes['c'].again()

        def reached():
            got = self.nodes['a'].call_fast('echo', 'echo', mesh.table('echo.Message', data=self.data(8)), 'c', 1000)
            return got.status == 'OK'
        mesh.until(reached, 'the node that came back is reached')
        self.echo('c', 'a', 100)
        # The same without a farewell, and with a call under way: silence is noticed long before the deadline.
        self.echo('a', 'c', 100)
        admin = self.nodes['a'].connect()
        later = mesh.table('echo.Delayed', delay_us=60_000_000, data=self.data(8)).hex()
        number = admin.send('call', service='echo', method='later', node='c', payload=later, deadline_ms=600_000)
        mesh.until(lambda: self.nodes['c'].in_flight() == 1, 'the call is pending')
        self.nodes['c'].kill()
        got = mesh.Call(admin.receive(number, 40))
        admin.close()
        self.assertEqual((got.status, got.outcome), ('UNAVAILABLE', 'maybe executed'), got)
        self.nodes['c'] = self.nodes['c'].again()
        mesh.until(reached, 'the node that was killed is reached')


class Faulty(Network):
    """Each way over the bridge: 1 % lost, 1 % twice, 0.1 % damaged."""
    share = 1  # of the calls

    @classmethod
    def arrange(cls):
        super().arrange()
        cls.plug('caller')
        program = cls.mesh.path('faults.o')
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'faults.bpf.c')
        made = subprocess.run(['clang', '-O2', '-target', 'bpf', f'-I/usr/include/{os.uname().machine}-linux-gnu',
                               '-DDROP_ONE_IN=100', '-DDUPLICATE_ONE_IN=100', '-DDAMAGE_ONE_IN=1000', '-c', source, '-o',
                               program], capture_output=True, text=True)
        if made.returncode:
            raise AssertionError(made.stderr)
        for name in cls.plugged:
            cls.hub.run('tc', 'qdisc', 'add', 'dev', f'p-{name}', 'clsact')
            cls.hub.run('tc', 'filter', 'add', 'dev', f'p-{name}', 'egress', 'bpf', 'da', 'obj', program, 'sec', 'classifier')

    def dropped(self):
        total = 0
        for name in self.plugged:
            for q in json.loads(self.hub.run('tc', '-s', '-j', 'qdisc', 'show', 'dev', f'p-{name}', 'clsact').stdout):
                total += q.get('drops', 0)
        return total

    def test_calls(self):
        """Every node calls both others, small and large by turns."""
        before, drops, n = self.executed(), self.dropped(), 300 // self.share
        wrong = []

        def calls(who):
            try:
                admin = self.nodes[who].connect()
                for i in range(n):
                    whom = random.choice([n for n in self.names if n != who])
                    self.echo(who, whom, 200_000 if i % 5 == 0 else random.choice((8, 64, 1450, 5000)), admin, 20_000)
                admin.close()
            except BaseException as e:  # pylint: disable=broad-except
                wrong.append((who, e))
        threads = [threading.Thread(target=calls, args=(who,)) for who in self.names]
        for t in threads:
            t.start()
        for t in threads:
            t.join(100)
        self.assertEqual(wrong, [])
        self.assertEqual(self.executed() - before, 3 * n)
        # The network did what it was asked to, and each was noticed.
        self.assertGreater(self.dropped() - drops, 50 // self.share)
        self.assertGreater(self.sum('resends'), 20 // self.share)
        self.assertGreater(self.sum('drop_replay'), 50 // self.share)
        self.assertGreater(self.sum('drop_crc'), 0)
        self.assertGreater(self.sum('drop_udp_checksum'), 0)

    def test_large_requests_with_small_replies(self):
        """The reply is the one packet whose loss the request's fragments must find out."""
        put = mesh.table('kv.Item', key=b'large', value=bytes(60_000))
        for _ in range(400):
            got = self.nodes['b'].call_fast('kv', 'put', put, 'c', 5000)
            self.assertEqual(got.status, 'OK', got)

    def test_small_requests_with_large_replies(self):
        put = mesh.table('kv.Item', key=b'large', value=bytes(60_000))
        self.assertEqual(self.nodes['c'].call_fast('kv', 'put', put, 'a', 5000).status, 'OK')
        for _ in range(400):
            got = self.nodes['c'].call_fast('kv', 'get', mesh.table('kv.Key', key=b'large'), 'a', 5000)
            self.assertEqual(got.status, 'OK', got)
            self.assertEqual(mesh.data_of(mesh.read('kv.Value', got.payload), 1), bytes(60_000))

    def test_many_at_once(self):
        """A caller with 12 threads: every reply is right, none executed twice."""
        caller = mesh.Caller(self.mesh, self.device(), f'{SUBNET}.{CALLER}/24', f'{SUBNET}.1', mesh.cpus()[1],
                             self.plugged['caller'])
        caller.first = 1 << 20  # ids of its own
        before = self.executed()
        calls = 0
        for n, options in ((20_000, {'threads': 12, 'bytes': 64}), (300, {'threads': 4, 'bytes': 200_000}),
                           (120, {'threads': 12, 'bytes': 100, 'method': 'later', 'delay_us': 50_000})):
            n //= self.share
            got = caller.run(deadline_ms=20_000, calls=n, **options)
            self.assertEqual((got['codes'], got['wrong'], got['refused']), ({'OK': n}, 0, 0), got)
            calls += n
        self.assertEqual(self.executed() - before, calls)
        self.assertEqual(caller.finish(), 0)


class FaultyXdp(Faulty):
    """The same on sockets that bypass most of the kernel."""
    driver, share = 'af_xdp', 3
    test_large_requests_with_small_replies = test_small_requests_with_large_replies = None

    @classmethod
    def arrange(cls):
        try:
            socket.socket(44, socket.SOCK_RAW, 0).close()  # AF_XDP
        except OSError as e:
            raise unittest.SkipTest(f'no AF_XDP sockets here: this kernel says {e.strerror}') from e
        super().arrange()


if __name__ == '__main__':
    mesh.need_namespaces()
    mesh.main()
