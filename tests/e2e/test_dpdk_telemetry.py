"""What a node says under DPDK's own telemetry socket, beside what telactl says."""
import json
import os
import shutil
import signal
import socket
import subprocess
import threading

import mesh

LONGEST = 1 << 16


class Telemetry:
    """A connection to it: a greeting, then one JSON object for each command."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(30)
        self.socket.connect(path)
        self.greeting = json.loads(self.socket.recv(LONGEST))

    def ask(self, command):
        self.socket.sendall(command.encode())
        return json.loads(self.socket.recv(LONGEST))[command.split(',')[0]]

    def close(self):
        self.socket.close()


def folder(node):
    """As DPDK and dpdk-telemetry.py choose it."""
    base = os.environ.get('RUNTIME_DIRECTORY') or (
        '/var/run' if os.geteuid() == 0 else os.environ.get('XDG_RUNTIME_DIR', '/tmp'))
    return os.path.join(base, 'dpdk', f'tela-{node.node}-{node.pid}')


class Case(mesh.Case):
    each_test_anew = True

    def connect(self, node):
        telemetry = Telemetry(os.path.join(folder(node), 'dpdk_telemetry.v2'))
        self.addCleanup(telemetry.close)
        return telemetry

    def test_counters(self):
        server, caller = self.mesh.server(discovery=False), self.mesh.caller()
        caller.run(threads=1, calls=100, deadline_ms=20_000)
        caller.end()
        t = self.connect(server)
        self.assertEqual(t.greeting['pid'], server.pid)

        def same():  # nobody calls any more, but what has been sent may still come
            before, found, after = server.counters(), t.ask('/tela/counters'), server.counters()
            return before == after and (before, found)

        expected, found = mesh.until(same, 'counters that rest')
        self.assertEqual(found, expected)
        self.assertEqual(found['calls_served'], 100)
        self.assertGreater(found['rx_frames'], 0)
        self.assertEqual(set(t.ask('/tela/drops')), {name for name in expected if name.startswith('drop_')})
        core = {c['counter']: c['value'] for c in server.do('stats', zero=True, core=0)['counters']}
        self.assertEqual(t.ask('/tela/counters,0')['calls_served'], core['calls_served'])
        done = subprocess.run([shutil.which('dpdk-telemetry.py') or mesh.skip('no dpdk-telemetry.py'), '-f',
                               os.path.basename(folder(server))],
                              input='/tela/counters\n', capture_output=True, text=True, timeout=60)
        self.assertEqual(json.loads(done.stdout)['/tela/counters']['calls_served'], 100, done)

    def test_parts(self):
        server = self.mesh.server()
        t = self.connect(server)
        status = server.do('status')
        node = t.ask('/tela/node')
        self.assertEqual((node['name'], f'{node["incarnation"]:016x}', node['cores'], node['ports']),
                         ('server', status['incarnation'], 1, 1))
        self.assertEqual((t.ask('/tela/cores'), t.ask('/tela/ports')), ([0], [0]))
        self.assertEqual(t.ask('/tela/core,0')['cpu'], status['cores'][0]['cpu'])
        port = t.ask('/tela/port,0')
        self.assertEqual({k: port[k] for k in ('name', 'driver', 'address', 'mac', 'mtu')},
                         {'name': status['ports'][0]['port'], **{k: status['ports'][0][k] for k in
                          ('driver', 'address', 'mac', 'mtu')}})
        services = {s['schema_name'] for s in server.do('services')['services']}
        self.assertEqual(set(t.ask('/tela/services')), services)
        name = next(s['schema_name'] for s in server.do('services')['services'] if s['service'] == 'echo')
        self.assertEqual(t.ask(f'/tela/service,{name}'), {'published': 1, 'admits': 1, 'drains': 0, 'in_flight': 0})
        server.do('service.pause', service='echo')
        self.assertEqual(t.ask(f'/tela/service,{name}')['admits'], 0)
        for wrong in ('/tela/core', '/tela/core,', '/tela/core,1', '/tela/core,-1', '/tela/core,0x0', '/tela/core,0 ',
                      '/tela/core,99999999999999999999', '/tela/counters,1', '/tela/counters,x', '/tela/port,7',
                      '/tela/service', '/tela/service,nobody', '/tela/service,' + 'x' * 900):
            self.assertIsNone(t.ask(wrong), wrong)

    def test_while_services_come_and_go(self):
        """DPDK's threads read while the control thread adds, removes and ends."""
        server = self.mesh.server(('echo', 'calculator'))
        stop, wrong = threading.Event(), []

        def read():
            t = Telemetry(os.path.join(folder(server), 'dpdk_telemetry.v2'))
            try:
                while not stop.is_set():
                    for name in t.ask('/tela/services') or ():
                        if name.startswith('kv') or name.startswith('echo'):
                            t.ask(f'/tela/service,{name}')
                    if t.ask('/tela/counters') is None:
                        return  # it ends
            except (OSError, ValueError):
                pass  # it has ended
            finally:
                t.close()
                if server.popen.poll() not in (None, 0):
                    wrong.append(server.popen.returncode)

        readers = [threading.Thread(target=read) for _ in range(2)]
        for r in readers:
            r.start()
        for _ in range(5):
            server.do('service.add', definition={'text': 'name: kv', 'name': 'kv.yaml', 'folder': '/'})
            server.do('service.remove', service='kv')
        self.assertEqual(server.stop(), 0)
        stop.set()
        for r in readers:
            r.join(60)
        self.assertEqual(wrong, [])
        self.assertFalse(os.path.exists(folder(server)))

    def test_switched_off(self):
        """Nothing listens, and a node that is killed so leaves an empty folder, which the next one removes."""
        server = self.mesh.server(dpdk_telemetry=False)
        self.assertEqual(os.listdir(folder(server)), [])
        server.kill(signal.SIGKILL)
        killed = folder(server)
        again = server.again()
        self.assertFalse(os.path.exists(killed))
        self.assertEqual(again.stop(), 0)
        self.assertFalse(os.path.exists(folder(again)))


if __name__ == '__main__':
    mesh.main()
