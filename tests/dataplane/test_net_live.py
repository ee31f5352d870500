#!/usr/bin/python3
"""The IP host against the kernel's: over af_packet on a veth pair, over a tap, and memif between two processes.

    namespace tela-N-k            namespace tela-N-h
    kernel 10.9.0.1 on va  <veth>  vb  pinghost (net_af_packet) 10.9.0.2
    kernel 10.9.1.1 on tt  <tap>       pinghost (net_tap)       10.9.1.2

usage: test_net_live.py PINGHOST ECHO   (the two programs); needs root
"""
import json, os, re, signal, socket, subprocess, sys, tempfile, threading, time

PINGHOST, ECHO = sys.argv[1:3]
KERNEL, HOST = f"tela-{os.getpid()}-k", f"tela-{os.getpid()}-h"
CPUS = sorted(os.sched_getaffinity(0))


def run(*args, check=True):
    r = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    if check and r.returncode:
        raise AssertionError(f"{' '.join(args)}:\n{r.stdout}")
    return r.stdout


def ip(ns, *args):
    return run("ip", "-n", ns, *args)


class Program:
    """A child whose lines are kept; stop() returns them all."""

    def __init__(self, *args, ns=None):
        prefix = ["ip", "netns", "exec", ns] if ns else []
        self.lines = []
        self.p = subprocess.Popen([*prefix, *args], stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.p.stdout:
            self.lines.append(line.strip())

    def wait_for(self, start, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for line in list(self.lines):
                if line.startswith(start):
                    return line
            if self.p.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"no '{start}' from {self.p.args}: {self.lines}")

    def stop(self, how=signal.SIGTERM):
        if self.p.poll() is None:
            self.p.send_signal(how)
        code = self.p.wait(20)
        self.reader.join(5)
        return code, self.lines

    def counters(self):
        code, lines = self.stop()
        assert code == 0, f"pinghost ended with {code}: {lines}"
        return {n: int(v) for n, v in (l.split() for l in lines if re.fullmatch(r"[a-z_]+ \d+", l))}


def no_tx_checksum(ns, interface):
    """ethtool -K interface tx off: the kernel finishes the checksums of what its own sockets send."""
    SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17
    code = (f"import fcntl, socket, struct, ctypes\n"
            f"v = ctypes.create_string_buffer(struct.pack('II', {ETHTOOL_STXCSUM}, 0))\n"
            f"s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            f"r = struct.pack('16sP16x', b'{interface}', ctypes.addressof(v))\n"
            f"fcntl.ioctl(s, {SIOCETHTOOL}, r)\n")
    run("ip", "netns", "exec", ns, sys.executable, "-c", code)


def udp_echo(ns, address, sizes):
    """Sends datagrams from a kernel socket in `ns` and wants them back."""
    code = (f"import socket, os\n"
            f"s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)\n"
            f"for n in {sizes}:\n"
            f"    d = os.urandom(n); s.sendto(d, ('{address}', 7447)); assert s.recv(65536) == d, n\n")
    run("ip", "netns", "exec", ns, sys.executable, "-c", code)


def ping(ns, address, *args):
    """The kernel has the ICMP; `ping` may not be installed, so a raw socket asks."""
    code = (f"import socket, struct, os, time\n"
            f"s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP); s.settimeout(5)\n"
            f"def csum(b):\n"
            f"    b += b'\\0' * (len(b) % 2); t = sum(struct.unpack('!%dH' % (len(b) // 2), b))\n"
            f"    t = (t >> 16) + (t & 0xffff); t += t >> 16; return ~t & 0xffff\n"
            f"for seq, n in enumerate((0, 56, 1, 1472)):\n"
            f"    d = os.urandom(n); h = struct.pack('!BBHHH', 8, 0, 0, 77, seq)\n"
            f"    h = struct.pack('!BBHHH', 8, 0, csum(h + d), 77, seq)\n"
            f"    s.sendto(h + d, ('{address}', 0))\n"
            f"    while True:\n"
            f"        r = s.recv(65536)[20:]\n"
            f"        if r[0] == 0 and r[4:8] == h[4:8]: break\n"
            f"    assert r[8:] == d and csum(r) == 0, (seq, n)\n")
    run("ip", "netns", "exec", ns, sys.executable, "-c", code)
    if os.path.exists("/bin/ping"):
        out = run("ip", "netns", "exec", ns, "/bin/ping", "-c", "3", "-i", "0.2", "-W", "5", address)
        assert " 3 received" in out, out


def neighbour(ns, address):
    return ip(ns, "neigh", "show", address)


def test_af_packet():
    ip(KERNEL, "link", "add", "va", "type", "veth", "peer", "name", "vb", "netns", HOST)
    for ns, interface in ((KERNEL, "va"), (HOST, "vb")):
        ip(ns, "link", "set", interface, "mtu", "1500", "up")
    no_tx_checksum(KERNEL, "va")
    ip(KERNEL, "addr", "add", "10.9.0.1/24", "dev", "va")
    host = Program(PINGHOST, "net_af_packet0,iface=vb", "10.9.0.2/24", "10.9.0.1", str(CPUS[-1]), ns=HOST)
    try:
        assert "mtu=1500" in host.wait_for("ready")
        host.wait_for("peer known")  # ARP, our question
        ping(KERNEL, "10.9.0.2")     # ARP, the kernel's question; ICMP
        assert "lladdr" in neighbour(KERNEL, "10.9.0.2")
        udp_echo(KERNEL, "10.9.0.2", [0, 1, 17, 18, 19, 500, 1471, 1472])
    finally:
        c = host.counters()
    assert c["icmp_echo"] >= 4 and c["arp_learnt"] >= 1 and c["arp_asked"] >= 1, c
    assert "drop_udp_checksum" not in c and "drop_ip_checksum" not in c, c


def test_tap():
    host = Program(PINGHOST, "net_tap0,iface=tt", "10.9.1.2/24", "10.9.1.1", str(CPUS[-1]), ns=KERNEL)
    try:
        host.wait_for("ready")
        ip(KERNEL, "addr", "add", "10.9.1.1/24", "dev", "tt")
        ip(KERNEL, "link", "set", "tt", "up")
        ping(KERNEL, "10.9.1.2")
        udp_echo(KERNEL, "10.9.1.2", [0, 1, 18, 500, 1472])
        host.wait_for("peer known")
    finally:
        c = host.counters()
    assert c["icmp_echo"] >= 4 and c["arp_requests"] >= 1, c
    assert "tt" not in ip(KERNEL, "link", "show"), "the tap should be gone"


def memif(role, socket_path):
    return f"--device=net_memif0,role={role},id=0,socket={socket_path},socket-abstract=no,rsize=8"


def echo(role, path, cpu, *more):
    return Program(ECHO, role, memif(role, path), f"--cpu={cpu}", "--no-huge", *more)


def test_memif():
    """Client first; then the server is killed under load, leaves its socket behind, and comes back."""
    with tempfile.TemporaryDirectory() as d:
        path = d + "/s"
        shared = ["--share-cpu"]  # other tests may run beside this one
        client = echo("client", path, CPUS[-1], "--seconds=6", "--json", *shared)
        time.sleep(0.5)
        server = echo("server", path, CPUS[0], *shared)
        time.sleep(1.5)
        for _ in range(3):
            server.stop(signal.SIGKILL)
            assert os.path.exists(path)
            server = echo("server", path, CPUS[0], *shared)
            time.sleep(0.8)
        code, lines = client.p.wait(60), client.stop()[1]
        assert code == 0, f"the client died with {code}: it was in a burst when its memory went"
        r = json.loads(lines[-1])
        assert r["rate"] > 0 and r["samples"] > 0, r
        code, _ = server.stop()
        assert code == 0 and not os.path.exists(path), "the server cleans up"
        assert not [f for f in os.listdir("/run/dpdk") if f.endswith(f"-{server.p.pid}")]


def test_memif_hang_up():
    """Who connects and hangs up at once does not end the server (memif_quirks.c)."""
    with tempfile.TemporaryDirectory() as d:
        server = echo("server", d + "/s", CPUS[0], "--share-cpu")
        end = time.monotonic() + 10
        while not os.path.exists(d + "/s") and time.monotonic() < end:
            time.sleep(0.05)
        for _ in range(200):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.connect(d + "/s")
            s.close()
        client = echo("client", d + "/s", CPUS[-1], "--seconds=0.5", "--json", "--share-cpu")
        assert client.p.wait(30) == 0 and json.loads(client.stop()[1][-1])["rate"] > 0
        code, _ = server.stop()
        assert code == 0, f"the server ended with {code}"


def test_claim():
    """A CPU has one poller; the sentence names the CPU and the key."""
    with tempfile.TemporaryDirectory() as d:
        server = echo("server", d + "/s", CPUS[0])
        end = time.monotonic() + 10
        while not os.path.exists(d + "/s") and time.monotonic() < end:
            if server.p.poll() is not None:
                print("SKIP test_claim: another poller has the CPU already", flush=True)
                return
            time.sleep(0.05)
        r = subprocess.run([ECHO, "server", memif("server", d + "/t"), f"--cpu={CPUS[0]}", "--no-huge"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
        server.stop()
        assert r.returncode == 1 and f"CPU {CPUS[0]}" in r.stderr and "share_cpu" in r.stderr, r.stderr
        assert str(server.p.pid) in r.stderr, "it names the holder: " + r.stderr


def main():
    if os.geteuid():
        print("SKIP: network namespaces need root")
        return 77
    failed = 0
    try:
        for ns in (KERNEL, HOST):
            run("ip", "netns", "add", ns)
            ip(ns, "link", "set", "lo", "up")
        for test in (test_af_packet, test_tap, test_memif, test_memif_hang_up, test_claim):
            try:
                test()
                print("ok  ", test.__name__, flush=True)
            except (AssertionError, subprocess.TimeoutExpired) as e:
                failed += 1
                print("FAIL", test.__name__, e, flush=True)
    finally:
        for ns in (KERNEL, HOST):
            run("ip", "netns", "del", ns, check=False)
    return 1 if failed else 0


sys.exit(main())
