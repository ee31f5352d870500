#!/usr/bin/env python3
"""The control side end to end, with no data plane: a telad whose node is fake_node.c, its admin socket, and telactl.

Links are not run here; that a change of the chain reaches calls is the business of tests/e2e.
"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

TELAD = os.environ["TELA_FAKE_TELAD"]
TELACTL = os.environ["TELA_TELACTL"]
PLUGINS = os.environ["TELA_TEST_PLUGINS"]

CONFIG = """\
node: {{name: server, admin: {admin}, hook_deadline_ms: 60000}}
cores:
  - {{cpu: 0}}
peers:
  - {{name: bench, address: 10.77.0.2}}
services:
  - name: svc
    config: {{limit: 3, limits: {{rate: 5}}}}
    plugins:
      - plugin: limit
      - {{plugin: plain, as: plain1}}
      - plugin: wrapper
"""


# Where a hook hangs on purpose, or something is left behind at the end. A slow machine may miss it.
SHORT = CONFIG.replace("60000", "400")


def so(name):
    return os.path.join(PLUGINS, name + ".so")


class Node:
    """A running telad, one connection to it, and its standard error in a file."""

    def __init__(self, config=CONFIG, **environment):
        self.folder = tempfile.TemporaryDirectory()
        self.admin = os.path.join(self.folder.name, "a.sock")
        self.pin = os.path.join(self.folder.name, "pin")
        self.config = os.path.join(self.folder.name, "n.yaml")
        with open(self.config, "w") as f:
            f.write(config.format(admin=self.admin))
        self.log = open(os.path.join(self.folder.name, "log"), "w+")
        self.process = subprocess.Popen([TELAD, "--config", self.config], stdout=subprocess.PIPE, stderr=self.log,
                                        text=True, env=dict(os.environ, FAKE_NODE_PIN=self.pin, **environment))
        self.ready = self.process.stdout.readline()
        self.socket = None

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(self.admin)
        return s, s.makefile("r")

    def send(self, *requests):
        if not self.socket:
            self.socket, self.lines = self.connect()
        self.socket.sendall("".join(json.dumps(r) + "\n" for r in requests).encode())

    def receive(self):
        return json.loads(self.lines.readline())

    def ask(self, cmd, **arguments):
        self.send(dict(arguments, cmd=cmd))
        return self.receive()

    def wait(self, seen):
        """Until seen() is true; the test's own time limit ends it otherwise."""
        while not seen():
            time.sleep(0.01)

    def names(self):
        return [p["name"] for p in self.ask("chain.show", service="svc")["plugins"]]

    def ctl(self, *words, **options):
        return subprocess.run([TELACTL, "--socket", self.admin, *words], capture_output=True, text=True, timeout=60,
                              **options)

    def logged(self):
        with open(self.log.name) as f:
            return f.read()

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(60)
        self.process.stdout.close()
        self.log.close()
        if self.socket:
            self.lines.close()
            self.socket.close()
        return status


class NodeTest(unittest.TestCase):
    config = CONFIG

    def setUp(self):
        self.node = Node(self.config)
        self.addCleanup(self.node.folder.cleanup)

    def tearDown(self):
        self.assertEqual(self.node.end(), 0, "it ends with 0 after SIGTERM, whatever was tried before")

    def refused(self, reply, code, *parts):
        self.assertFalse(reply["ok"], reply)
        self.assertEqual(reply["error"]["code"], code, reply)
        for part in parts:
            self.assertIn(part, reply["error"]["message"])

    def done(self, reply):
        self.assertTrue(reply["ok"], reply)
        return reply


class Chain(NodeTest):
    START = ["wrapper", "svc", "auth", "limit", "plain1"]

    def test_ready_line(self):
        self.assertEqual(self.node.ready, f"telad: ready name=server admin={self.node.admin}\n")

    def test_order_and_what_is_taken_along(self):
        r = self.done(self.node.ask("chain.show", service="svc"))
        self.assertEqual([p["name"] for p in r["plugins"]], self.START)
        self.assertEqual([p["name"] for p in sorted(r["plugins"], key=lambda p: p["starts"])],
                         ["plain1", "auth", "limit", "svc", "wrapper"])
        self.assertEqual([p["name"] for p in r["plugins"] if p["automatic"]], ["auth"])
        self.assertEqual(r["plugins"][1]["config"], {"limit": "3", "limits.rate": "5"})

    def test_add_replace_remove(self):
        r = self.done(self.node.ask("chain.add", service="svc", plugin="counts", **{"as": "c", "before": "plain1"}))
        self.assertEqual((r["generation"], r["published"]), (2, True))
        self.assertEqual([p["name"] for p in r["plugins"]], ["wrapper", "svc", "auth", "limit", "c", "plain1"])
        old = [p["instance"] for p in r["plugins"]]
        r = self.done(self.node.ask("chain.replace", service="svc", name="c"))
        new = [p["instance"] for p in r["plugins"]]
        self.assertEqual([a == b for a, b in zip(old, new)], [True, True, True, True, False, True])
        r = self.done(self.node.ask("chain.remove", service="svc", name="c"))
        self.assertEqual([p["name"] for p in r["plugins"]], self.START)

    def test_replace_puts_configuration_over_the_old(self):
        self.done(self.node.ask("chain.replace", service="svc", name="plain1", config={"limit": 8, "limits.rate": 9}))
        self.done(self.node.ask("chain.replace", service="svc", name="plain1", config={"limit": None}))
        r = self.node.ask("chain.show", service="svc")
        self.assertEqual(r["plugins"][4]["config"], {"limits.rate": "9"})

    def test_apply_is_one_image_or_none(self):
        r = self.done(self.node.ask("chain.apply", service="svc", steps=[
            {"op": "add", "plugin": "plain", "as": "a"}, {"op": "add", "plugin": "plain", "as": "b"},
            {"op": "remove", "name": "plain1"}]))
        self.assertEqual((r["generation"], [p["name"] for p in r["plugins"]][-2:]), (2, ["a", "b"]))
        self.refused(self.node.ask("chain.apply", service="svc", steps=[
            {"op": "remove", "name": "a"}, {"op": "remove", "name": "ghost"}]), "NOT_FOUND", "no 'ghost'")
        self.assertIn("a", self.node.names())

    def test_what_is_refused_changes_nothing(self):
        ask, refused = self.node.ask, self.refused
        refused(ask("chain.add", service="none", plugin="plain"), "NOT_FOUND", "no service is named 'none'", "svc")
        refused(ask("chain.add", service="svc", plugin="none"), "NOT_FOUND", "no plugin is named 'none'")
        refused(ask("chain.add", service="svc", plugin="plain", **{"as": "plain1"}), "ALREADY_EXISTS", "plain1", "as=")
        refused(ask("chain.add", service="svc", plugin="plain", **{"as": "a b"}), "INVALID_ARGUMENT", "no name")
        refused(ask("chain.add", service="svc", plugin="plain", before="ghost"), "NOT_FOUND", "ghost")
        refused(ask("chain.add", service="svc", plugin="plain", before="wrapper"), "INVALID_ARGUMENT", "'plain'")
        refused(ask("chain.add", service="svc", plugin="plain", config={"bogus": 1}), "INVALID_ARGUMENT", "bogus",
                "limits.rate")
        refused(ask("chain.add", service="svc", plugin="svc2"), "INVALID_ARGUMENT", "svc2")
        refused(ask("chain.add", service="svc", plugin="lonely"), "NOT_FOUND", "lonely", "ghost")
        refused(ask("chain.add", service="svc", plugin="snake"), "FAILED_PRECONDITION", "a cycle in the call order: ",
                "snake", "plain1")
        refused(ask("chain.add", service="svc", plugin="failing"), "FAILED_PRECONDITION", "failing", "on purpose")
        refused(ask("chain.remove", service="svc", name="auth"), "FAILED_PRECONDITION", "auth", "limit")
        refused(ask("chain.remove", service="svc", name="svc"), "INVALID_ARGUMENT", "pause")
        r = ask("chain.show", service="svc")
        self.assertEqual(([p["name"] for p in r["plugins"]], r["generation"]), (self.START, 1))

    def test_automatic_goes_with_who_needs_it(self):
        self.done(self.node.ask("chain.remove", service="svc", name="limit"))
        self.assertEqual(self.node.names(), ["wrapper", "svc", "plain1"])

    def test_images_have_their_calls(self):
        for i in range(20):
            self.done(self.node.ask("chain.replace", service="svc", name="plain1"))
        self.node.wait(lambda: self.node.ask("images", service="svc")["retired"] == 20)
        r = self.done(self.node.ask("images", service="svc"))
        self.assertEqual(sorted((i["generation"], i["calls"]) for i in r["images"]), [(g, 10 * g) for g in range(1, 22)])
        r = self.node.ask("images", service="svc", **{"from": 5, "to": 7})
        self.assertEqual(sorted(i["generation"] for i in r["images"]), [5, 6, 7])
        r = self.node.ask("images", service="svc", limit=3)
        self.assertEqual((len(r["images"]), r["more"]), (3, True))
        self.refused(self.node.ask("images", service="none", limit=3), "NOT_FOUND", "no service is named 'none'")

    def test_registry(self):
        self.assertEqual(self.done(self.node.ask("registry")), {"ok": True, "entries": 0, "registry": []})
        for name in ("c1", "c2"):
            self.done(self.node.ask("chain.add", service="svc", plugin="counts", **{"as": name}))
        r = self.done(self.node.ask("registry"))
        self.assertEqual(r["entries"], 3)
        self.assertEqual([(e["kind"], e["key"], e["holder"].split(",")[0], e["value"], e["bytes"]) for e in r["registry"]],
                         [("bag", "counts", "svc/c1", "one", 3), ("bag", "counts", "svc/c2", "one", 3),
                          ("name", "counts.first", "svc/c1", "0102ff", 3)])
        self.assertEqual(len(self.done(self.node.ask("registry", prefix="counts."))["registry"]), 1)
        self.assertEqual(len(self.done(self.node.ask("registry", limit=2))["registry"]), 2)
        self.refused(self.node.ask("registry", limit=0), "INVALID_ARGUMENT", "expected 1..10000")
        self.assertIn("counts.first", self.node.ctl("registry", "prefix=counts.").stdout)
        self.done(self.node.ask("chain.remove", service="svc", name="c1", wait=True))
        self.assertEqual([e["holder"].split(",")[0] for e in self.node.ask("registry")["registry"]], ["svc/c2"])

    def test_published_and_stopped_are_told_apart(self):
        r = self.done(self.node.ask("chain.add", service="svc", plugin="counts"))
        self.assertEqual((r["published"], r["replaced"], r["old_stopped"]), (True, 0, True))
        with open(self.node.pin, "w"):
            pass
        r = self.done(self.node.ask("chain.replace", service="svc", name="counts"))
        self.assertEqual((r["published"], r["replaced"], r["old_stopped"]), (True, 1, False))
        self.node.send({"cmd": "chain.replace", "service": "svc", "name": "counts", "wait": True})
        self.node.wait(lambda: json.loads(self.node.ctl("chain", "show", "svc", "-o", "json").stdout)["generation"] == 4)
        os.unlink(self.node.pin)
        r = self.done(self.node.receive())
        self.assertEqual((r["published"], r["replaced"], r["old_stopped"]), (True, 1, True))
        self.assertIn("stopped_after_ms", r)
        r = self.done(self.node.ask("config.merge", service="svc", config={"plain1.limit": 5, "svc.limit": 6}, wait=True))
        self.assertEqual((r["changed"], r["replaced"], r["old_stopped"]), (2, 2, True))

    def test_changes_are_merged_while_too_many_images_are_pinned(self):
        with open(self.node.pin, "w"):
            pass
        self.node.send(*[{"cmd": "chain.replace", "service": "svc", "name": "plain1", "config": {"limit": i}}
                         for i in range(300)], {"cmd": "log.level", "id": "all are taken"})
        first = [self.done(self.node.receive()) for _ in range(257)]
        self.assertEqual([r["merged"] for r in first if "id" not in r], [1] * 256)
        os.unlink(self.node.pin)
        rest = [self.done(self.node.receive()) for _ in range(44)]
        self.assertEqual({(r["merged"], r["generation"]) for r in rest}, {(44, 258)})
        r = self.node.ask("chain.show", service="svc")
        self.assertEqual(r["plugins"][4]["config"], {"limit": "299"})
        self.assertEqual(self.node.ask("services")["services"][0]["merged_changes"], 44)

    def test_pause(self):
        self.done(self.node.ask("service.pause", service="svc"))
        self.assertEqual(self.done(self.node.ask("service.pause", service="svc"))["state"], "paused")
        self.done(self.node.ask("chain.replace", service="svc", name="plain1"))
        self.assertEqual(self.node.ask("services")["services"][0]["state"], "paused")
        self.assertEqual(self.done(self.node.ask("service.activate", service="svc"))["state"], "running")

    def test_stats(self):
        self.done(self.node.ask("chain.add", service="svc", plugin="counts"))
        r = self.done(self.node.ask("stats"))
        self.assertEqual(r["plugins"], [{"service": "svc", "plugin": "counts", "name": "seen", "value": 7}])
        self.assertEqual([c["counter"] for c in r["counters"]], ["rx_frames", "drop_short"])
        self.assertEqual([c["counter"] for c in self.node.ask("stats", drops=True)["counters"]], ["drop_short"])
        self.refused(self.node.ask("stats", core=7), "NOT_FOUND", "0..0")

    def test_call(self):
        r = self.done(self.node.ask("call", service="svc", method="Ping", payload="0a0b"))
        self.assertEqual((r["status"], r["payload"]), ("OK", "0a0b"))
        self.done(self.node.ask("call", service="test.Svc", method="1", payload="", node="bench"))
        self.refused(self.node.ask("call", service="svc", method="Pong"), "NOT_FOUND", "Pong", "Ping")
        self.refused(self.node.ask("call", service="svc", method="Ping", node="x"), "NOT_FOUND", "no peer")
        self.refused(self.node.ask("call", service="svc", method="Ping", payload="0"), "INVALID_ARGUMENT", "hex")
        self.refused(self.node.ask("call", service="svc", method="Ping", payload="000000"), "INVALID_ARGUMENT",
                     "no valid request")


class Loading(NodeTest):
    def add(self, plugin, name, **more):
        return self.node.ask("chain.add", service="svc", plugin=plugin, object=so(name), **more)


class Objects(Loading):
    def test_load_swap_unload(self):
        self.done(self.add("loaded", "loaded"))
        r = self.done(self.node.ask("chain.replace", service="svc", name="loaded", object=so("loaded2")))
        self.assertEqual(r["plugins"][-1]["version"], "2.0")
        self.done(self.node.ask("chain.remove", service="svc", name="loaded"))
        self.node.wait(lambda: not [p for p in self.node.ask("plugins")["plugins"] if p["object"]])
        self.done(self.add("loaded", "loaded"))

    def test_an_overwritten_file_is_another_build(self):
        path = os.path.join(self.node.folder.name, "x.so")
        for name, version in ("loaded", "1.0"), ("loaded2", "2.0"):
            with open(so(name), "rb") as source, open(path, "wb") as f:
                f.write(source.read())
            r = self.done(self.node.ask("chain.add", service="svc", plugin="loaded", object=path, **{"as": name}))
            self.assertEqual(r["plugins"][-1]["version"], version)
        self.assertEqual([p["version"] for p in r["plugins"]][-2:], ["1.0", "2.0"])

    def test_bad_objects_are_named_and_all_else_works(self):
        garbage = os.path.join(self.node.folder.name, "garbage.so")
        with open(garbage, "w") as f:
            f.write("not an object")
        self.refused(self.add("loaded", "missing"), "NOT_FOUND", "missing.so", "No such file")
        self.refused(self.add("loaded", "other_schema"), "FAILED_PRECONDITION", "loaded", "another schema of test.Svc")
        self.refused(self.add("loaded", "wrong_abi"), "FAILED_PRECONDITION", "wrong_abi.so", "built for plugin ABI", "rebuild it")
        self.refused(self.add("loaded", "no_entry"), "INVALID_ARGUMENT", "no_entry.so", "tela_plugin_v1")
        self.refused(self.add("another", "loaded"), "INVALID_ARGUMENT", "holds plugin loaded, not another")
        self.refused(self.add("loaded", "start_fails", config={"who": "me"}), "FAILED_PRECONDITION", "no licence for me")
        for path in garbage, self.node.folder.name, "/dev/zero":
            self.refused(self.node.ask("chain.add", service="svc", plugin="loaded", object=path), "INVALID_ARGUMENT", path)
        self.assertNotIn("loaded", self.node.names())
        self.done(self.add("loaded", "loaded"))

    def test_what_cannot_be_unloaded_is_reported(self):
        self.done(self.add("loaded", "nodelete"))
        self.done(self.node.ask("chain.remove", service="svc", name="loaded"))
        self.node.wait(lambda: [p for p in self.node.ask("plugins")["plugins"] if p["state"] == "kept"])
        self.done(self.add("loaded", "nodelete"))


class Hanging(Loading):
    config = SHORT

    def test_a_hook_that_hangs(self):
        self.node.send({"cmd": "chain.add", "service": "svc", "plugin": "hangs", "object": so("start_hangs"), "id": "h"},
                       {"cmd": "status", "id": "s"})
        self.assertEqual(self.node.receive()["id"], "s", "others are answered meanwhile")
        self.refused(self.node.receive(), "DEADLINE_EXCEEDED", "start hook of hangs")
        self.assertEqual(self.node.ask("status")["lifecycle"]["abandoned"], 1)
        self.done(self.add("loaded", "loaded"))
        kept = [p for p in self.node.ask("plugins")["plugins"] if p["plugin"] == "hangs"][0]
        self.assertEqual(kept["state"], "kept")
        self.assertIn("hangs", kept["reason"])

    def test_a_stop_hook_that_hangs(self):
        self.done(self.add("stops", "stop_hangs"))
        self.done(self.node.ask("chain.remove", service="svc", name="stops"))
        self.node.wait(lambda: self.node.ask("status")["lifecycle"]["abandoned"] == 1)
        self.assertIn("the stop hook of stops in svc", self.node.logged())
        self.done(self.add("loaded", "loaded"))

    def test_an_object_that_hangs_while_loading(self):
        self.refused(self.add("loaded", "ctor_hangs"), "DEADLINE_EXCEEDED", "ctor_hangs.so")
        self.refused(self.add("loaded", "loaded"), "UNAVAILABLE", "loaded.so", "ctor_hangs.so hangs")
        self.done(self.node.ask("chain.add", service="svc", plugin="counts"))


class Protocol(NodeTest):
    def test_malformed_lines_do_not_end_the_connection(self):
        s, lines = self.node.connect()
        for text, part in (("{\"cmd\":}", "byte 8"), ("[]", "one JSON object"), ("{\"x\":1}", "'cmd' is missing"),
                           ("{\"cmd\":\"frob\"}", "frob"), ("{\"cmd\":\"chain.add\"}", "'service' is missing"),
                           ("{\"cmd\":\"status\",\"id\":[]}", "'id'"), ("\x00", "not JSON"),
                           ("{\"cmd\":\"status\",\"what\":1}", "takes no 'what'")):
            s.sendall(text.encode() + b"\n")
            reply = json.loads(lines.readline())
            self.assertFalse(reply["ok"])
            self.assertIn(part, reply["error"]["message"])
        s.sendall(b"\n\n{\"cmd\":\"status\"}\n")
        self.assertTrue(json.loads(lines.readline())["ok"])
        lines.close()
        s.close()

    def test_an_endless_line(self):
        s, lines = self.node.connect()
        try:
            s.sendall(b" " * (3 << 20))
        except OSError:
            pass  # closed while we wrote
        self.assertIn("1 MiB", lines.readline())
        lines.close()
        s.close()
        self.done(self.node.ask("status"))

    def test_last_line_without_its_end(self):
        s, lines = self.node.connect()
        s.sendall(b"{\"cmd\":\"status\",\"id\":1}\n{\"cmd\":\"status\",\"id\":2}")
        s.shutdown(socket.SHUT_WR)
        self.assertEqual([json.loads(l)["id"] for l in lines], [1, 2])
        lines.close()
        s.close()

    def test_pipelined_without_id_in_order(self):
        self.node.send(*[{"cmd": c, "service": "svc"} if c != "status" else {"cmd": c}
                         for c in ["chain.show", "status", "images"] * 500])
        for _ in range(500):
            self.assertIn("stopping", self.node.receive())
            self.assertIn("cores", self.node.receive())
            self.assertIn("images", self.node.receive())

    def test_many_clients(self):
        clients = [self.node.connect() for _ in range(32)]
        for s, lines in clients:
            s.sendall(b"{\"cmd\":\"services\"}\n")
            self.assertTrue(json.loads(lines.readline())["ok"])
        s, lines = self.node.connect()
        self.assertIn("too many", lines.readline())
        clients.append((s, lines))
        for s, lines in clients:
            lines.close()
            s.close()
        self.node.wait(lambda: "more than" not in self.node.ctl("status").stderr and
                       self.node.ctl("status").returncode == 0)

    def test_a_client_that_does_not_read_is_no_trouble(self):
        s, lines = self.node.connect()
        s.setblocking(False)
        line = b"{\"cmd\":\"commands\"}\n" * 1000
        sent = 0
        try:
            while sent < 64 << 20:
                sent += s.send(line)
        except BlockingIOError:
            pass
        self.assertLess(sent, 64 << 20, "its requests are no longer taken")
        self.done(self.node.ask("status"))
        lines.close()
        s.close()

    def test_a_client_that_goes_with_commands_under_way(self):
        for _ in range(20):
            s, lines = self.node.connect()
            s.sendall((json.dumps({"cmd": "chain.add", "service": "svc", "plugin": "counts"}) + "\n" + json.dumps(
                {"cmd": "chain.remove", "service": "svc", "name": "counts"}) + "\n").encode() * 50)
            lines.close()
            s.close()
        self.node.wait(lambda: self.node.ask("status")["ok"])
        self.assertIn(self.node.names()[-1], ("plain1", "counts"))

    def test_socket_is_for_owner_and_group(self):
        self.assertEqual(os.stat(self.node.admin).st_mode & 0o777, 0o660)

    def test_a_stranger_is_refused(self):
        if os.getuid() != 0:
            self.skipTest("another user can only be made by root")
        os.chmod(self.node.folder.name, 0o711)
        os.chmod(self.node.admin, 0o666)  # so that only SO_PEERCRED stands between
        code = ("import os, socket, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534); "
                "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.makefile().readline())")
        r = subprocess.run([sys.executable, "-c", code, self.node.admin], capture_output=True, text=True, timeout=60)
        self.assertIn("PERMISSION_DENIED", r.stdout, r.stderr)


class Telactl(NodeTest):
    def test_tables_json_and_exit_codes(self):
        r = self.node.ctl("chain", "show", "svc")
        self.assertEqual(r.returncode, 0)
        self.assertIn("wrapper", r.stdout)
        self.assertEqual(json.loads(self.node.ctl("-o", "json", "status").stdout)["node"], "server")
        r = self.node.ctl("chain", "add", "svc", "none")
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertIn("NOT_FOUND", r.stderr)
        self.assertEqual(json.loads(self.node.ctl("-o", "json", "chain", "add", "svc", "none").stdout)["ok"], False)
        for words in ((), ("frob",), ("chain", "add", "svc"), ("-x",), ("stats", "--core", "x"), ("-o", "xml"),
                      ("config", "merge", "svc", "k" * 300 + "=1")):
            self.assertEqual(self.node.ctl(*words).returncode, 2, words)
        r = subprocess.run([TELACTL, "--socket", "/nonexistent", "status"], capture_output=True, text=True, timeout=60)
        self.assertEqual(r.returncode, 3)
        self.assertIn("/nonexistent", r.stderr)

    def test_keys_are_shown(self):
        r = self.done(self.node.ask("plugins", plugin="plain"))
        self.assertEqual([k["key"] for k in r["keys"]], ["limit", "limits.rate", "note", "names", "allow", "pause"])
        self.assertEqual(r["keys"][1], {"key": "limits.rate", "default": None, "required": False,
                                        "expected": "1..1000 calls/s", "help": "of another"})
        self.refused(self.node.ask("plugins", plugin="ghost"), "NOT_FOUND", "no plugin is named 'ghost'")
        self.done(self.node.ask("config.merge", service="svc", config={
            "plain1.names": ["a", "b,c"], "plain1.allow.x": "1", "plain1.allow.y": "2", "svc.pause": "1s"}))
        r = self.done(self.node.ask("config.show", service="svc"))
        self.assertEqual(r["config"]["plain1"]["names"], ["a", "b,c"])
        values = {k["key"]: (k["value"], k["default"]) for k in r["keys"]}
        self.assertEqual([values[k] for k in ("svc.limit", "svc.limits.rate", "svc.pause", "plain1.names", "plain1.allow")],
                         [("3", "10"), ("5", None), ("1s", "20ms"), ("a,b,c", None), ("x:1;y:2", None)])
        shown = self.node.ctl("config", "show", "svc").stdout
        self.assertRegex(shown, r"\nkey +value +default +required +expected +help\n")
        self.assertRegex(shown, r"\nsvc.pause +1s +20ms +no +a time such as 20ms or 2s +between them\n")
        self.done(self.node.ask("config.merge", service="svc", config={"plain1.note": "\u00e9" * 700}))
        keys = {k["key"]: k for k in self.node.ask("config.show", service="svc")["keys"]}
        self.assertEqual(keys["plain1.note"]["value"].rstrip("?"), "\u00e9" * 511, "cut within a character")

    def test_words(self):
        os.chdir(PLUGINS)
        r = self.node.ctl("-o", "json", "chain", "add", "svc", "loaded", "object=loaded.so", "as=x", "config.who=me")
        self.assertTrue(json.loads(r.stdout)["ok"], r.stdout)
        self.assertEqual(self.node.ask("chain.show", service="svc")["plugins"][-1]["config"], {"who": "me"})
        self.assertEqual(self.node.ctl("chain", "replace", "svc", "x", "unset=who").returncode, 0)
        self.assertEqual(self.node.ask("chain.show", service="svc")["plugins"][-1]["config"], {})
        self.assertEqual(self.node.ctl("config", "merge", "svc", "x.who=null").returncode, 0)
        self.assertEqual(self.node.ask("chain.show", service="svc")["plugins"][-1]["config"], {"who": "null"}, "a text as any")
        for words in (("chain", "replace"), ("config", "merge")):
            self.assertIn("unset=", self.node.ctl(*words, "--help").stdout)
        self.assertEqual(self.node.ctl("config", "merge", "svc", "unset=x.who").returncode, 0)
        self.assertEqual(self.node.ask("chain.show", service="svc")["plugins"][-1]["config"], {})
        r = self.node.ctl("-o", "json", "call", "--raw", "svc", "Ping", "-", input="ab")
        self.assertEqual(json.loads(r.stdout)["payload"], "6162")
        self.assertEqual(json.loads(self.node.ctl("-o", "json", "stats", "--drops").stdout)["counters"][0]["counter"],
                         "drop_short")

    def test_errors_say_what_there_is(self):
        for words, said in ((("chain",), "there are chain show, chain add, chain remove, chain replace, chain apply"),
                            (("chain", "frob"), "there are chain show"), (("frob",), "no command is named 'frob'"),
                            (("images", "svc", "from=x"), "from: expected a number, found 'x'"),
                            (("stats", "drops=maybe"), "drops: expected true or false, found 'maybe'"),
                            (("config", "merge", "svc", b"k\xff=1"), "a key is not UTF-8"),
                            (("chain", "add"), "see telactl chain add --help")):
            r = self.node.ctl(*words)
            self.assertEqual(r.returncode, 2, words)
            self.assertIn(said, r.stderr)
        for words, code, said in ((("faults", "9"), "NOT_FOUND", "no such port"),
                                  (("call", "--raw", "svc", "Ping", "hedge_us=4294967296"), "INVALID_ARGUMENT", "4294967295"),
                                  (("trace", "xyz"), "INVALID_ARGUMENT", "hexadecimal"),
                                  (("trace", "deadbeef"), "NOT_FOUND", "no trace")):
            r = self.node.ctl(*words)
            self.assertEqual(r.returncode, 1, words)
            self.assertIn(f"telactl: {code}: ", r.stderr)
            self.assertIn(said, r.stderr)
        # What went wrong before has nothing to do with it.
        self.assertEqual(self.node.ctl("config", "merge", "svc", "svc.nope=1").returncode, 1)
        self.node.ask("service.deactivate", service="svc")
        r = self.node.ctl("chain", "add", "svc", "counts")
        self.assertIn("service svc is not running: it is stopped\n", r.stderr)

    def test_tables_fit(self):
        lines = self.node.ctl("services").stdout.splitlines()
        self.assertLessEqual(max(map(len, lines)), 140, lines)
        self.assertNotIn("merged_changes", lines[0])  # there were none
        self.assertRegex(lines[1], r" \d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")
        self.assertEqual(self.node.ctl("limits").stdout.splitlines()[0].index("256"),
                         self.node.ctl("limits").stdout.splitlines()[1].index("1024"))

    def test_nothing_is_cut_in_silence(self):
        payload = "ab" * 40_000
        self.assertIn(payload, self.node.ctl("call", "--raw", "svc", "Ping", "-", input="\xab" * 20_000).stdout.replace(
            "c2ab", "abab"))
        long = "x" * 400
        self.assertEqual(self.node.ctl("chain", "replace", "svc", "plain1", f"note={long}").returncode, 0)
        shown = self.node.ctl("chain", "show", "svc").stdout
        self.assertIn(long[:200], shown)
        self.assertIn("x...\n", shown)

    def test_a_reply_that_speaks_to_the_terminal(self):
        """Names too, where a peer or a plugin chose them."""
        hostile = {"ok": True, "\x1b]0;key\x07": "\x1b[2Jvalue", "data": {"a\x9bb": "c\rd", "\u00e9\x7f": 1},
                   "rows": [{"x\x1bc": "y\nz"}]}
        path = os.path.join(self.node.folder.name, "hostile")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            s.listen()
            ctl = subprocess.Popen([TELACTL, "--socket", path, "status"], stdout=subprocess.PIPE)
            peer, _ = s.accept()
            with peer, peer.makefile("rw") as lines:
                for reply in self.node.ask("commands"), hostile:
                    lines.readline()
                    lines.write(json.dumps(reply) + "\n")
                    lines.flush()
                shown = ctl.communicate(timeout=60)[0].decode()
        self.assertEqual(shown, "data         a??b=c?d \u00e9?=1\n?]0;key?     ?[2Jvalue\n\nx?c\ny?z\n")

    def test_help_teaches(self):
        commands = self.node.ask("commands")["commands"]
        text = self.node.ctl("--help").stdout
        for c in commands:
            self.assertIn(c["command"].replace(".", " "), text)
            self.assertTrue(c["help"])
            raw = ["--raw"] if c["command"] == "call" else []
            self.assertIn(c["help"], self.node.ctl(*c["command"].split("."), *raw, "--help").stdout)
        for own, says in ("batch", "one command a line"), ("describe", "--fbs"), ("call", "--meta"), ("trace", "also"):
            r = self.node.ctl(own, "--help")
            self.assertEqual(r.returncode, 0)
            self.assertIn(says, r.stdout)

    def test_batch(self):
        lines = "# a comment\nchain add svc counts\nchain replace svc counts\nchain remove svc counts\n" * 1000
        r = self.node.ctl("-o", "json", "batch", input=lines)
        self.assertEqual(r.returncode, 0, r.stderr)
        replies = [json.loads(l) for l in r.stdout.splitlines()]
        self.assertEqual(len(replies), 3000)
        self.assertTrue(all(r["ok"] for r in replies))
        self.assertEqual(self.node.ctl("batch", input="chain remove svc x\nstatus\n").returncode, 1)


# What a node leaves behind on purpose is no leak.
LEFT_BEHIND = {"ASAN_OPTIONS": "detect_leaks=0"}


class End(unittest.TestCase):
    def test_drain_by_command(self):
        node = Node()
        self.assertTrue(node.ask("drain")["draining"])
        self.assertEqual(node.process.wait(60), 0)
        self.assertFalse(os.path.exists(node.admin))
        node.end()
        node.folder.cleanup()

    def test_second_signal_ends_at_once(self):
        node = Node(SHORT, **LEFT_BEHIND)
        with open(node.pin, "w"):
            pass  # its images cannot retire: the first signal alone would wait for them
        node.ask("chain.replace", service="svc", name="plain1")
        node.process.send_signal(signal.SIGTERM)
        node.wait(lambda: "draining" in node.logged())
        self.assertEqual(node.end(), 0)
        node.folder.cleanup()

    def test_pinned_images_do_not_hold_the_end_up_for_ever(self):
        node = Node(SHORT, **LEFT_BEHIND)
        with open(node.pin, "w"):
            pass
        node.ask("chain.replace", service="svc", name="plain1")
        self.assertEqual(node.end(), 0)
        node.folder.cleanup()

    def test_a_socket_left_behind_is_taken_over(self):
        node = Node()
        node.end(signal.SIGKILL)
        self.assertTrue(os.path.exists(node.admin))
        again = subprocess.Popen([TELAD, "--config", node.config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertIn("ready", again.stdout.readline())
        third = subprocess.run([TELAD, "--config", node.config], capture_output=True, text=True, timeout=60)
        self.assertEqual(third.returncode, 1)
        self.assertIn("another node answers there", third.stderr)
        again.terminate()
        again.communicate(timeout=60)
        self.assertEqual(again.returncode, 0)
        node.folder.cleanup()

    def test_a_service_that_fails_leaves_the_others(self):
        node = Node(CONFIG + f"      - {{{{plugin: failing}}}}\n  - name: svc2\n    plugins:\n"
                    f"      - {{{{plugin: x, object: {so('missing')}}}}}\n")
        self.assertEqual(node.ready, f"telad: ready name=server admin={node.admin} failed=svc failed=svc2\n")
        self.assertIn("n.yaml:16: did not start", node.logged().replace(node.folder.name + "/", ""))
        self.assertIn("failing in svc failed: on purpose", node.logged())
        reply = node.ask("chain.add", service="svc", plugin="plain")
        self.assertIn("is not running", reply["error"]["message"])
        self.assertFalse(node.ask("service.activate", service="svc")["ok"])
        self.assertEqual(node.end(), 0)
        node.folder.cleanup()


class Log(NodeTest):
    config = CONFIG.replace("node: {{", "node: {{log: {{format: json}}, ").replace(
        "  - name: svc", "  - name: svc\n    log_level: debug")

    def test_every_line_is_json(self):
        self.assertFalse(self.node.ask("chain.add", service="svc", plugin="no \x1b such\n")["ok"])
        lines = [json.loads(line) for line in self.node.logged().splitlines()]
        self.assertTrue(all({"time", "level", "node", "message"} <= line.keys() for line in lines), lines)
        self.assertEqual({line["node"] for line in lines}, {"server"})
        self.assertTrue(any("no \x1b such\n" in line["message"] for line in lines), lines)

    def levels(self):
        reply = self.done(self.node.ask("log.level"))
        return reply["level"], {s["service"]: s["level"] for s in reply["services"]}

    def test_levels(self):
        self.assertEqual(self.levels(), ("info", {"svc": "debug"}))
        self.done(self.node.ask("log.level", level="warn"))
        self.assertEqual(self.done(self.node.ask("log.level", level="error", service="svc"))["level"], "error")
        self.assertEqual(self.levels(), ("warn", {"svc": "error"}))
        self.assertEqual(self.done(self.node.ask("log.level", service="svc"))["level"], "error")
        self.done(self.node.ask("log.level", level="node", service="svc"))
        self.assertEqual(self.levels(), ("warn", {}))
        self.refused(self.node.ask("log.level", level="loud"), "INVALID_ARGUMENT", "loud")
        self.refused(self.node.ask("log.level", level="node"), "INVALID_ARGUMENT", "node")
        self.refused(self.node.ask("log.level", level="loud", service="svc"), "INVALID_ARGUMENT", "loud")
        self.refused(self.node.ask("log.level", level="info", service="none"), "NOT_FOUND", "none")


class Check(unittest.TestCase):
    def check(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write(text)
            f.flush()
            r = subprocess.run([TELAD, "--config", f.name, "--check"], capture_output=True, text=True, timeout=60)
            return r.returncode, (r.stdout + r.stderr).replace(f.name, "n.yaml")

    HEAD = "node: {name: n}\ncores: [{cpu: 0}]\nservices:\n- name: svc\n"

    def test_check(self):
        self.assertEqual(self.check(self.HEAD), (0, "n.yaml: right\n"))
        for tail, error in (
            ("  plugins:\n  - {plugin: ghost}\n", "n.yaml:6: services[0].plugins[0]: no plugin named 'ghost' is linked in"),
            ("  plugins:\n  - {plugin: plain}\n  - {plugin: snake}\n", "n.yaml:4: services.svc: a cycle in the call order: "),
            ("  plugins:\n  - {plugin: lonely}\n", "n.yaml:4: services.svc: lonely needs or wraps 'ghost'"),
            ("  plugins:\n  - {plugin: plain, config: {x: 1}}\n", "n.yaml:6: services[0].plugins[0].config.x: unknown key; "
             "known are limit, limits.rate"),
            (f"  plugins:\n  - {{plugin: loaded, object: {so('other_schema')}}}\n",
             "n.yaml:6: services[0].plugins[0]: plugin loaded was built from another schema"),
            (f"  plugins:\n  - {{plugin: loaded, object: {so('wrong_abi')}}}\n", "built for plugin ABI"),
            (f"  plugins:\n  - {{plugin: loaded, object: {so('missing')}}}\n", "n.yaml:6: services[0].plugins[0].object:"),
            ("  config:\n    limit: -1\n    limits: {rate: 2000}\n    names: [a, b, c, d]\n    allow: {x: [y]}\n    puase: 1s\n",
             "n.yaml:6: services[0].config.limit: expected 0..4294967295, found '-1'\n"
             "n.yaml:7: services[0].config.limits.rate: expected 1..1000 calls/s, found '2000'\n"
             "n.yaml:8: services[0].config.names: expected 0..3 of them, found 4\n"
             "n.yaml:9: services[0].config.allow.x: expected a text, found a list\n"),
            ("  config: {puase: 1s}\n", "n.yaml:5: services[0].config.puase: unknown key, did you mean 'pause'?"),
            ("- name: plain\n", "n.yaml:5: services[1]: plugin plain serves nothing"),
            ("  colour: red\n", "n.yaml:5: services[0]: unknown key 'colour'"),
        ):
            status, text = self.check(self.HEAD + tail)
            self.assertEqual(status, 1, text)
            self.assertIn(error, text)

    def test_usage(self):
        for words, status in ((["--help"], 0), (["--version"], 0), (["--help", "config"], 0), (["--help", "plain"], 0),
                              (["--help", "ghost"], 2), ([], 2), (["--frob"], 2),
                              (["--config", "x", "y"], 2), (["--config", "/nonexistent"], 1)):
            r = subprocess.run([TELAD, *words], capture_output=True, text=True, timeout=60)
            self.assertEqual(r.returncode, status, words)


if __name__ == "__main__":
    unittest.main(verbosity=2)
