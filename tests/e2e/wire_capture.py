"""A capture of nodes' traffic made by DPDK's own tools, and tshark to read it.

    client ==memif== |0   testpmd   1| --af_packet, veth-- server      a Tap: dpdk-testpmd forwards between its ports in
           ==memif== |2            3| ==memif=========                 pairs, dpdk-dumpcap sees what passes 0 and 2
"""
import json
import os
import shutil
import signal
import struct
import subprocess

import mesh

PAGES = 96  # of 2 MiB: what testpmd and dumpcap take
LUA = os.path.join(mesh.program('TELA_WIRESHARK'), 'tela.lua')
SCHEMAS = mesh.program('TELA_BFBS')


def need_tools(*names):
    for name in names:
        if not shutil.which(name):
            mesh.skip(f'there is no {name}: tshark and, for a capture, dpdk-testpmd and dpdk-dumpcap are wanted')


def need_huge_pages():
    with open('/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages') as f:
        if int(f.read()) < PAGES:
            mesh.skip(f'dpdk-dumpcap attaches to its process through huge pages: {PAGES} free ones of 2 MiB wanted')


class Tap:
    """dpdk-testpmd between links, dpdk-dumpcap on it."""

    def __init__(self, m, namespace, devices, watched):
        self.mesh, self.namespace = m, namespace
        self.prefix = f'tela-{os.getpid()}'
        folder = m.path('huge')
        os.mkdir(folder)
        # Mounts of its own: the pages and what EAL keeps in /run are gone with the last process in it.
        script = (f'mkdir -p /run/dpdk && mount -t tmpfs none /run/dpdk && mount -t hugetlbfs none {folder} && '
                  'exec setarch -R stdbuf -oL "$@"')
        words = ['unshare', '-m', 'sh', '-c', script, 'sh', 'dpdk-testpmd',
                 '--lcores', f'0@{mesh.cpus()[0]},1@{mesh.cpus()[1]}', '--no-pci', f'--file-prefix={self.prefix}',
                 f'--huge-dir={folder}']
        for device in devices:
            words += ['--vdev', device]
        words += ['--', '--total-num-mbufs=4096', '--forward-mode=io', '--port-topology=paired', '--auto-start']
        self.testpmd = mesh.Process(m, 'testpmd', words, namespace, stdin=subprocess.PIPE)
        self.wait_said(self.testpmd, 'Press enter to exit')
        self.dumpcaps = [self.dumpcap(port) for port in watched]
        for process, _ in self.dumpcaps:
            self.wait_said(process, 'Packets captured')

    def dumpcap(self, port):
        """One captures one port: it takes the last -i only. What the two share must be at the same addresses, and under the
        same numbers: testpmd is linked with one more mempool driver."""
        path = self.mesh.path(f'port{port}.pcapng')
        words = ['nsenter', '-t', str(self.testpmd.pid), '-m', 'setarch', '-R',
                 'env', 'LD_PRELOAD=librte_mempool_dpaa.so.23', 'dpdk-dumpcap',
                 f'--file-prefix={self.prefix}', '-i', str(port), '-w', path]
        return mesh.Process(self.mesh, f'dumpcap{port}', words), path

    @staticmethod
    def wait_said(process, text):
        def said():
            if not process.running():
                raise AssertionError(f'{process.name} ended with {process.popen.returncode}:\n{process.text()}')
            return text in process.text()
        mesh.until(said, f'{process.name} says "{text}"', 30)

    def stop(self):
        """Ends the captures; the file of both, in the order of time."""
        for process, _ in self.dumpcaps:
            process.popen.send_signal(signal.SIGINT)
            if process.wait(20) != 0:
                raise AssertionError(f'{process.name}: {process.popen.returncode}:\n{process.text()}')
        both = self.mesh.path('both.pcapng')
        subprocess.run(['mergecap', '-w', both, *(path for _, path in self.dumpcaps)], check=True, timeout=60)
        self.testpmd.end()
        self.testpmd.popen.stdin.close()
        return both


# ---- tshark ----

def tshark(path, *words, script=LUA, seconds=120, **options):
    """What it says. It must end well, and nothing of Lua may have failed: not in a frame's tree either."""
    lua = ['-X', f'lua_script:{script}', '-X', f'lua_script1:{SCHEMAS}'] if script else []
    done = subprocess.run(['tshark', '-2', '-n', *lua, '-r', path, *words], capture_output=True, timeout=seconds,
                          stdin=subprocess.DEVNULL, **options)
    out, said = done.stdout.decode(errors='replace'), done.stderr.decode(errors='replace')
    wrong = [line for line in (out + said).splitlines() if 'Lua Error' in line or 'Lua:' in line or 'tela.lua:' in line]
    if done.returncode or wrong:
        raise AssertionError(f'tshark {words}: {done.returncode}: {wrong[:5]} {said[-2000:]}')
    return out


def frames(path, only='tela', **options):
    """A dictionary a frame that a filter lets through: its layers."""
    text = tshark(path, '-Y', only, '-T', 'json', '--no-duplicate-keys', **options)
    return [frame['_source']['layers'] for frame in json.loads(text)]


def several(value):
    return value if isinstance(value, list) else [value]


def packets(path, only='tela', **options):
    """Tela's packets, each a dictionary with its frame under 'frame', and that one's addresses."""
    found = []
    for layers in frames(path, only, **options):
        for datagram in several(layers['tela']):
            for packet in several(datagram.get('tela', [])):
                found.append({**packet, 'frame': int(layers['frame']['frame.number']),
                              'addresses': (layers['ip']['ip.src'], layers['ip']['ip.dst'])})
    return found


def numbers(path, only):
    """Of the frames that a filter lets through."""
    return {int(line) for line in tshark(path, '-Y', only, '-T', 'fields', '-e', 'frame.number').split()}


def lines(path):
    """What the list says of each frame, by its number."""
    words = ['-T', 'fields', '-e', 'frame.number', '-e', '_ws.col.Info']
    return dict(line.split('\t', 1) for line in tshark(path, *words).splitlines())


# ---- pcap files ----

ETHERNET, IPV4, UDP = 14, 20, 8
HEADERS = ETHERNET + IPV4 + UDP


def read_pcap(path):
    with open(path, 'rb') as f:
        data = f.read()
    magic, = struct.unpack_from('<I', data)
    assert magic in (0xa1b2c3d4, 0xa1b23c4d), hex(magic)
    at, frames = 24, []
    while at < len(data):
        length, = struct.unpack_from('<I', data, at + 8)
        frames.append(data[at + 16:at + 16 + length])
        at += 16 + length
    return frames


def write_pcap(path, frames, whole=None):
    """Frames a millisecond apart; whole[i] is how long frame i was on the wire."""
    with open(path, 'wb') as f:
        f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 262144, 1))
        for i, frame in enumerate(frames):
            f.write(struct.pack('<IIII', i // 1000, i % 1000 * 1000, len(frame), whole[i] if whole else len(frame)) + frame)


def ethernet(datagram, source='10.0.0.1', to='10.0.0.2', ports=(7447, 7447)):
    """A frame around a datagram."""
    def address(text):
        return bytes(int(n) for n in text.split('.'))
    udp = struct.pack('>HHHH', *ports, UDP + len(datagram), 0)
    ip = struct.pack('>BBHHHBBH', 0x45, 0, IPV4 + UDP + len(datagram), 0, 0x4000, 64, 17, 0) + address(source) + address(to)
    return bytes(12) + b'\x08\0' + ip + udp + datagram
