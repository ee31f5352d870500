"""An ordinary user, without huge pages, in a folder of its own: shared memory needs no privilege."""
import os

import mesh

NOBODY = 65534


class NoRoot(mesh.Case):
    def test_a_pair(self):
        mesh.schemas('echo')
        user = NOBODY if os.geteuid() == 0 else None
        if user:
            os.chown(self.mesh.folder, user, user)
        nodes = {}
        for name, number, role, peer in (('server', 1, 'server', 2), ('client', 2, 'client', 1)):
            port = {'name': 'mem0', 'device': self.mesh.memif(role), 'address': f'10.77.0.{number}/24'}
            config = self.mesh.config(name, [port], mesh.cpus()[number - 1], [('peer', f'10.77.0.{peer}')], ['echo'])
            nodes[name] = mesh.Node(self.mesh, config, user=user)
        if user:
            with open(f'/proc/{nodes["server"].pid}/status') as f:
                status = dict(line.split(':', 1) for line in f)
            self.assertEqual(status['Uid'].split(), [str(user)] * 4)
            self.assertEqual(int(status['CapEff'], 16), 0)
        for who in nodes.values():
            for size in (10, 100_000):
                data = os.urandom(size)
                got = who.call('echo', 'echo', mesh.table('echo.Message', data=data), 'peer')
                self.assertEqual(got.status, 'OK', got)
                self.assertEqual(mesh.data_of(mesh.read('echo.Message', got.payload)), data)
        self.assertEqual(os.stat(nodes['server'].socket).st_mode & 0o777, 0o660)
        self.assertEqual([n.stop() for n in nodes.values()], [0, 0])
        self.assertFalse(os.path.exists(nodes['server'].socket))

    def test_reasons(self):
        """What an ordinary user cannot have is said with what to do."""
        if os.geteuid() != 0:
            self.skipTest('needs root to become somebody else')
        port = {'name': 'p0', 'device': 'net_af_packet0,iface=lo', 'address': '10.77.0.9/24'}
        os.chown(self.mesh.folder, NOBODY, NOBODY)
        node = mesh.Node(self.mesh, self.mesh.config('poor', [port], mesh.cpus()[0]), user=NOBODY, wait=False)
        self.assertEqual(node.wait(), 1)
        self.assertIn('net_af_packet0', node.text())
        node = mesh.Node(self.mesh, self.mesh.config('away', [], mesh.cpus()[0], admin='/root/nowhere/a.sock'), user=NOBODY,
                         wait=False)
        self.assertEqual(node.wait(), 1)
        self.assertIn('node.admin', node.text())


if __name__ == '__main__':
    mesh.main()
