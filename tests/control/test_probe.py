#!/usr/bin/env python3
"""Probes over HTTP: what they say as services move, and what they do with everything that is no probe."""
import http.client
import os
import re
import socket
import unittest

from test_service import Life, config
from test_admin import Node


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Probes(Life):
    drain_ms = 300

    def setUp(self):
        super().setUp()
        self.node.end()
        for _ in range(5):  # somebody else may take the port meanwhile
            self.port = free_port()
            self.node = Node(config(None, self.status).replace(
                "hook_deadline_ms", f'probes: "127.0.0.1:{self.port}", hook_deadline_ms').replace(
                "drain_deadline_ms: 300", f"drain_deadline_ms: {self.drain_ms}"), TELA_RECORD=self.record.name)
            if self.node.ready:
                break
        self.assertTrue(self.node.ready, self.node.logged())
        self.addCleanup(self.node.folder.cleanup)

    def get(self, path, method="GET"):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        c.request(method, path)
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r.status, text

    def raw(self, data, half_close=True):
        """What comes back, to its end."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as s:
            try:
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
            except OSError:  # it has heard enough
                pass
            got = b""
            try:
                while more := s.recv(65536):
                    got += more
            except ConnectionResetError:
                pass
            return got


class Says(Probes):
    def test_as_services_move(self):
        self.node.wait(lambda: self.get("/readyz") == (200, "ok\n"))
        self.assertEqual(self.get("/livez"), (200, "ok\n"))
        self.assertEqual(self.get("/readyz/rec?verbose"), (200, "[+]rec ok\nok\n".replace("[+]", "[+] ")))
        self.assertEqual(self.get("/livez?verbose=1")[1].splitlines()[:2], ["[+] core 0 ok", "[+] rec ok"])
        self.assertEqual(self.get("/readyz", "HEAD"), (200, ""))
        self.put("unready-reca")
        self.node.wait(lambda: self.get("/readyz/rec") == (503, "[-] rec: reca: no pool\n"))
        self.assertEqual(self.get("/readyz"), (503, "[-] rec: reca: no pool\n"))
        self.assertEqual(self.get("/livez/rec"), (200, "ok\n"))
        self.drop("unready-reca")
        self.node.wait(lambda: self.get("/readyz/rec")[0] == 200)
        self.done(self.move("pause"))
        self.assertEqual(self.get("/readyz/rec"), (503, "[-] rec: paused\n"))
        self.assertEqual(self.get("/readyz"), (200, "ok\n"))  # as its operator wants it
        self.assertEqual(self.get("/livez")[0], 200)
        self.done(self.move("deactivate"))
        self.assertEqual(self.get("/readyz/rec"), (503, "[-] rec: stopped\n"))

    def test_failed_is_not_live(self):
        self.done(self.move("deactivate"))
        self.put("fail-start-recb")
        self.assertFalse(self.move("activate")["ok"])
        self.node.wait(lambda: self.service()["failed_starts"] == 4 and self.service()["state"] == "failed")
        for path in "/livez/rec", "/livez":
            self.assertEqual(self.get(path)[0], 503)
            self.assertIn("start of recb fails on purpose", self.get(path)[1])
        self.assertEqual(self.get("/readyz/rec"), (503, "[-] rec: failed\n"))

    def test_a_unix_socket(self):
        path = os.path.join(self.record.name, "probe.sock")
        self.node.end()
        self.node = Node(config().replace(
            "hook_deadline_ms", f"probes: {path}, hook_deadline_ms"), TELA_RECORD=self.record.name)
        self.addCleanup(self.node.folder.cleanup)
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            s.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
            got = b""
            while more := s.recv(4096):
                got += more
        self.assertRegex(got, rb"^HTTP/1.1 200 OK\r\n(?s:.*)\r\n\r\nok\n$")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o660)
        self.node.end()
        self.assertFalse(os.path.exists(path))

    def test_addresses_that_are_none(self):
        for wrong in ("nowhere", "1.2.3.4:99999", "127.0.0.1:1:2", "/nowhere/at/all.sock"):
            node = Node(config().replace(
                "hook_deadline_ms", f'probes: "{wrong}", hook_deadline_ms'), TELA_RECORD=self.record.name)
            self.assertEqual(node.ready, "")
            self.assertIn("node.probes", node.logged())
            self.assertEqual(node.end(), 1)
            node.folder.cleanup()


class Drains(Probes):
    drain_ms = 60000

    def test_draining(self):
        """It says so until it has ended."""
        self.put("busy-recb")
        self.node.wait(lambda: self.get("/readyz")[0] == 200)
        self.done(self.node.ask("drain"))
        status, text = self.get("/readyz")
        self.assertEqual((status, text.splitlines()[0]), (503, "[-] node: draining"))
        self.assertEqual(self.get("/livez")[0], 200)
        self.drop("busy-recb")
        self.assertEqual(self.node.process.wait(60), 0)


class Hostile(Probes):
    def test_other_paths_and_methods(self):
        for path in ("/", "/live", "/livezz", "/livez/nobody", "/livez/rec/", "/livez//rec", "/readyz/", "/livez/%72ec",
                     "/livez/../readyz", "/livez/" + "x" * 1000, "//livez"):
            self.assertIn(self.get(path)[0], (404, 400), path)
        for method in "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "BREW":
            self.assertIn(self.get("/livez", method)[0], (400, 405, 501), method)

    def test_requests_that_are_none(self):
        """Whatever comes: an error or the end of the connection, and the next probe is answered."""
        for data in (b"\r\n\r\n", b"GET\r\n\r\n", b"GET /livez HTTP/9.9\r\n\r\n", b"GET /livez\x00 HTTP/1.1\r\n\r\n",
                     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
                     b"GET http://[::1/livez HTTP/1.1\r\n\r\n",
                     b"POST /livez HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\nx",
                     b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
                     b"GET /livez HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
                     b"GET /livez HTTP/1.1\r\nX: " + b"z" * 100000 + b"\r\n\r\n", os.urandom(5000)):
            got = self.raw(data)
            self.assertFalse(re.match(rb"HTTP/1.\d 200", got), data[:40])
            self.assertEqual(self.get("/livez"), (200, "ok\n"), data[:40])

    def test_headers_are_not_believed(self):
        for header in (b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked",
                       b"no colon", b"Expect: 100-continue", b"Connection: keep-alive"):
            got = self.raw(b"GET /livez HTTP/1.1\r\n" + header + b"\r\n\r\n")
            self.assertTrue(got.startswith(b"HTTP/1.1 200 OK"), header)

    def test_pieces_and_more_than_one(self):
        """A request may come byte by byte; a second one on a connection is not answered."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n":
                s.sendall(bytes([byte]))
            self.assertTrue(s.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n"))
        got = self.raw(b"GET /livez HTTP/1.1\r\n\r\nGET /livez HTTP/1.1\r\n\r\n")
        self.assertEqual(got.count(b" 200 OK\r\n"), 1)

    def test_more_connections_than_it_takes(self):
        """Idle ones hold places until they go; then those that waited are answered."""
        self.node.ask("status")
        before = self.sockets()
        held = [socket.create_connection(("127.0.0.1", self.port), 60) for _ in range(40)]
        for s in held:
            s.sendall(b"GET /livez HT")
        self.node.wait(lambda: self.sockets() == before + 32)
        more = [socket.create_connection(("127.0.0.1", self.port), 60) for _ in range(20)]
        for s in more:
            s.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        for _ in range(3):  # its loop goes round
            self.node.ask("status")
        self.assertEqual(self.sockets(), before + 32, "no more than so many are open at once")
        for s in held:
            s.close()
        for s in more:
            self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 200 OK"))
            s.close()
        self.assertEqual(self.get("/livez")[0], 200)

    def sockets(self):
        folder, n = f"/proc/{self.node.process.pid}/fd", 0
        for fd in os.listdir(folder):
            try:
                n += os.readlink(os.path.join(folder, fd)).startswith("socket:")
            except OSError:
                pass  # closed meanwhile
        return n

    def test_it_ends_with_connections_open(self):
        s = socket.create_connection(("127.0.0.1", self.port), 60)
        s.sendall(b"GET /livez HT")
        self.node.ask("status")
        self.assertEqual(self.node.end(), 0)
        try:
            self.assertEqual(s.recv(10), b"")
        except ConnectionResetError:
            pass
        s.close()


if __name__ == "__main__":
    unittest.main()
