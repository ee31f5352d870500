#!/usr/bin/env python3
"""Whole services added to and removed from a node that runs: definitions, refusals, hooks and their order, what is left."""
import json
import os
import subprocess
import unittest

import test_service
from test_admin import TELAD, so
from test_service import Life, STARTED, config, told

CONFIG = """\
node: {{name: server, admin: {admin}, hook_deadline_ms: HOOK_MS, drain_deadline_ms: 300, start_retry_ms: 20, start_retries: 3}}
cores:
  - {{cpu: 0}}
services:
  - name: svc
"""
REC = """\
name: rec
plugins:
  - plugin: recb
  - plugin: reca
"""
WRONG = (  # a definition, where it is wrong in the service's own file, and what is said
    ("name: rec\nplugins:\n  - plugin: recb\n    confg: {}\n", 4, "plugins[0]", "unknown key 'confg'; known are plugin, as"),
    ("name: rec\nplugins:\n  - plugin: recb\n  - plugin: recb\n", 4, "plugins[1].plugin", "'recb' is already there"),
    ("name: rec\nweight: heavy\n", 2, "weight", "expected 1..1000000, found 'heavy'"),
    ("plugins: []\n", 1, "", "'name' is missing"),
    ("name: rec\nplugins: reca\n", 2, "plugins", "expected a list, found 'reca'"),
    ("name: " + "n" * 64 + "\n", 1, "name", "expected a name of 1 to 63 characters"),
    ("name: ghost\n", 1, "", "no plugin named 'ghost' is linked in"),
    ("name: plain\n", 1, "", "plugin plain serves nothing"),
    ("name: rec\nplugins:\n  - plugin: ghost\n", 3, "plugins[0]", "no plugin named 'ghost' is linked in"),
    ("name: rec\nplugins:\n  - plugin: recb\n    config: {nonsense: 1}\n", 4, "plugins[0].config.nonsense", "unknown key"),
    ("name: rec\nconfig:\n  x: [1]\n", 3, "config.x", "expected a text, found a list"),
    ("name: rec\nconfig:\n  y:\n    z: -1\n", 4, "config.y.z", "expected 0..4294967295, found '-1'"),
    ("name: rec\nplugins:\n  - plugin: lonely\n", 1, "", "ghost"),
    ("name: rec\nblocking: nothing\n", 1, "", "has no method 'nothing'"),
    ("name: [rec\n", 2, "", "not YAML"),
    ("name: rec\nname: rec\n", 2, "name", "is there twice"),
    ("- name: rec\n", 1, "", "expected a mapping"),
    ("", 1, "", "is empty"),
    ("name: rec\n---\nname: svc2\n", 3, "", "a second document"),
)


class Whole(Life):
    def setUp(self):
        saved, test_service.CONFIG = test_service.CONFIG, CONFIG
        self.addCleanup(setattr, test_service, "CONFIG", saved)
        super().setUp()

    def services(self):
        return {s["service"]: s for s in self.node.ask("services")["services"]}

    def add(self, text=REC, name="rec.yaml", **more):
        return self.node.ask("service.add", definition=dict({"text": text, "name": name}, **more))

    def remove(self, **more):
        return self.node.ask("service.remove", service="rec", **more)

    def test_there_and_back(self):
        """Three times: each is as the first. What was there before is not touched."""
        svc = self.services()["svc"]
        for _ in range(3):
            self.seen = 0
            if os.path.exists(os.path.join(self.record.name, "events")):
                self.drop("events")
            r = self.done(self.add())
            self.assertEqual([r[k] for k in ("service", "state", "admin")], ["rec", "running", "active"])
            self.assertEqual(self.events(), STARTED + told("starting>running"))
            self.assertEqual(self.done(self.node.ask("chain.show", service="rec"))["generation"], 1)
            self.refused(self.add(), "ALREADY_EXISTS", "service rec is there already: it is running")
            r = self.done(self.remove())
            self.assertEqual([r[k] for k in ("service", "removed", "cancelled")], ["rec", True, 0])
            self.assertEqual(self.events(), told("running>pausing") + told("pausing>paused") + told("paused>stopping") +
                             ["stop rec", "stop reca", "stop recb"] + told("stopping>stopped", True))
            self.assertEqual(list(self.services()), ["svc"])
        self.assertEqual(self.services()["svc"], dict(svc, ready=True, not_ready=""))
        self.refused(self.remove(), "NOT_FOUND", "no service is named 'rec'; there are svc")
        self.refused(self.node.ask("service.pause", service="rec"), "NOT_FOUND", "no service is named 'rec'")

    def test_from_a_file_and_from_standard_input(self):
        path = os.path.join(self.record.name, "rec.yaml")
        with open(path, "w") as f:
            f.write(REC)
        ran = self.node.ctl("service", "add", path)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual(self.node.ctl("service", "remove", "rec").returncode, 0)
        tree = {"name": "rec", "status": "pause", "plugins": [{"plugin": "recb"}, {"plugin": "reca"}]}
        for text in (json.dumps(tree), json.dumps(tree, indent=4), json.dumps(tree, indent="\t")):
            ran = self.node.ctl("-o", "json", "service", "add", "-", input=text)
            self.assertEqual(ran.returncode, 0, ran.stdout)
            self.assertEqual(json.loads(ran.stdout)["state"], "paused")
            self.assertEqual(self.node.ctl("service", "remove", "rec", "deadline_ms=0").returncode, 0)
        ran = self.node.ctl("service", "add", "-", input="name: rec\nglobal: perhaps\n")
        self.assertEqual((ran.returncode, ran.stderr), (1, "telactl: INVALID_ARGUMENT: standard input:2: global: "
                                                           "expected true or false, found 'perhaps'\n"))
        ran = self.node.ctl("service", "add", "-", input="name: rec\nweight: 0\nglobal: 7\n")
        self.assertEqual(ran.stderr, "telactl: INVALID_ARGUMENT: standard input:2: weight: expected 1..1000000, found '0'\n"
                                     "standard input:3: global: expected true or false, found '7'\n")
        ran = self.node.ctl("service", "add", path + ".none")
        self.assertEqual((ran.returncode, ran.stderr), (2, f"telactl: {path}.none: cannot be read: No such file or directory\n"))
        with open(path, "wb") as f:
            f.write(b"name: \xff\n")
        self.assertIn("is not text in UTF-8", self.node.ctl("service", "add", path).stderr)
        self.assertEqual(list(self.services()), ["svc"])

    def test_wrong_definitions(self):
        """What is said names file, line and key, and is what --check says of the same service in a node's file."""
        for text, line, key, what in WRONG:
            with self.subTest(text=text):
                error = self.add(text)["error"]
                self.assertEqual(error["code"], "INVALID_ARGUMENT")
                self.assertTrue(error["message"].startswith(f"rec.yaml:{line}: "), error)
                self.assertIn(what, error["message"])
                self.assertIn(key, error["message"])
                if not text.startswith("name: rec\n") or "---" in text:
                    continue
                path = os.path.join(self.record.name, "n.yaml")
                with open(path, "w") as f:
                    f.write("node: {name: n}\ncores: [{cpu: 0}]\nservices:\n  - " + text.replace("\n", "\n    ").rstrip() + "\n")
                check = subprocess.run([TELAD, "--config", path, "--check"], capture_output=True, text=True, timeout=60)
                said = error["message"].split(": ")[-1].split("\n")[0]
                self.assertIn(said.split(" (line")[0], check.stderr)
                self.assertIn(f"n.yaml:{line + 3}: ", check.stderr)
        reply = self.add("name: rec\nweight: 0\nglobal: 7\n")
        self.assertEqual(reply["error"]["message"].count("\n"), 1, "every error is told at once")
        self.refused(self.node.ask("service.add", definition="name: rec"), "INVALID_ARGUMENT", "'definition' must be")
        self.refused(self.node.ask("service.add", definition={"text": 7}), "INVALID_ARGUMENT", "'definition' must be")
        self.refused(self.node.ask("service.remove", service="svc", deadline_ms=3600001), "INVALID_ARGUMENT", "0..3600000")
        self.assertEqual((list(self.services()), self.events()), (["svc"], []))

    def test_a_large_one(self):
        self.done(self.add("name: rec\n#" + "x" * (900 << 10)))
        ran = self.node.ctl("service", "add", "-", input="#" * ((128 << 10) + 1))
        self.assertEqual((ran.returncode, ran.stderr), (2, "telactl: -: more than 131072 bytes\n"))

    def test_an_object_that_is_none(self):
        """Found when it is loaded: the line is that of what names it; a relative path is the client's."""
        reply = self.add("name: rec\nplugins:\n  - plugin: recb\n  - plugin: loaded\n    object: nowhere/loaded.so\n",
                         folder="/tmp/folder")
        self.refused(reply, "NOT_FOUND", "rec.yaml:4: service rec is not added", "/tmp/folder/nowhere/loaded.so")
        reply = self.add(f"name: rec\nobject: {so('wrong_abi')}\n")
        self.refused(reply, "FAILED_PRECONDITION", "rec.yaml:1: service rec is not added", "wrong_abi.so", "ABI")
        self.assertEqual((list(self.services()), self.events()), (["svc"], []))
        self.done(self.add())

    def test_another_service_of_the_same_schema(self):
        self.done(self.add())
        reply = self.add(f"name: rec2\nobject: {so('serves_rec')}\n")
        self.refused(reply, "ALREADY_EXISTS", "another service of this node serves test.Rec: rec2 is not added")
        self.assertEqual(list(self.services()), ["svc", "rec"])

    def test_a_service_that_needs_a_plugin(self):
        """It is taken along at each change anew, and the service stays the first of the list."""
        self.done(self.add("name: svc2\n"))
        for name in ("one", "two"):
            self.done(self.node.ask("chain.add", service="svc2", plugin="plain", **{"as": name}))
            self.refused(self.node.ask("chain.remove", service="svc2", name="svc2"), "INVALID_ARGUMENT", "is the service itself")
            self.refused(self.node.ask("chain.remove", service="svc2", name="auth"), "FAILED_PRECONDITION", "svc2 needs it")
        self.assertEqual([(p["name"], p["automatic"]) for p in self.node.ask("chain.show", service="svc2")["plugins"]],
                         [("auth", True), ("svc2", False), ("one", False), ("two", False)])

    def test_a_start_that_fails(self):
        """It was never there: what had started is stopped, and nothing is tried again."""
        self.put("fail-start-reca")
        self.refused(self.add(), "FAILED_PRECONDITION", "rec.yaml:1: service rec is not added",
                     "the start hook of reca in rec failed: start of reca fails on purpose")
        self.assertEqual(list(self.services()), ["svc"])
        events = self.events()
        self.assertEqual(events[:9], STARTED[:8] + ["stop recb"])
        self.assertEqual((events.count("start reca"), events.count("stop recb")), (1, 1))
        self.refused(self.add(name="/" + "x" * 4000 + "/rec.yaml"), "FAILED_PRECONDITION", "...xxx",
                     "xxx/rec.yaml:1: service rec is not added: the start hook of reca in rec failed")
        self.drop("fail-start-reca")
        self.assertEqual(self.done(self.add())["state"], "running")

    def test_a_start_that_hangs(self):
        self.node.end()
        self.node = test_service.Node(config(CONFIG, hangs=True), TELA_RECORD=self.record.name, ASAN_OPTIONS="detect_leaks=0")
        self.addCleanup(self.node.folder.cleanup)
        self.put("hang-start-reca")
        self.refused(self.add(), "DEADLINE_EXCEEDED", "start hook of reca in rec did not return in time")
        self.assertEqual(list(self.services()), ["svc"])
        self.assertEqual(self.node.ask("status")["lifecycle"]["abandoned"], 1)
        self.done(self.node.ask("chain.add", service="svc", plugin="counts"))
        self.done(self.add("name: svc2\n"))
        self.drop("hang-start-reca")
        self.assertEqual(self.done(self.add())["state"], "running")
        self.assertEqual(self.done(self.remove())["removed"], True)
        self.put("hang-stop-reca")
        self.done(self.add())
        self.assertEqual(self.done(self.remove())["removed"], True)
        self.assertIn("the stop hook of reca in rec", self.node.logged())
        self.drop("hang-stop-reca")

    def test_what_is_asked_of_it_meanwhile(self):
        """In the order given: what comes behind the removal finds it going, or gone."""
        self.done(self.add())
        with open(self.node.pin, "w"):
            pass
        self.node.send({"cmd": "service.remove", "service": "rec", "id": "r"})
        other = Whole.other(self)
        self.node.wait(lambda: [s for s in other.ask("services")["services"]
                                if s["service"] == "rec" and s["state"] == "stopping"])
        self.refused(other.ask("service.remove", service="rec"), "FAILED_PRECONDITION", "is being removed already")
        self.refused(other.ask("service.add", definition={"text": REC}), "ALREADY_EXISTS", "it is being removed")
        other.send({"cmd": "service.activate", "service": "rec", "id": "a"},
                   {"cmd": "chain.add", "service": "rec", "plugin": "plain", "id": "c"})
        self.refused(self.node.receive(), "DEADLINE_EXCEEDED", "service rec is stopping", "1 images")
        os.unlink(self.node.pin)
        self.refused(other.receive(), "FAILED_PRECONDITION", "it is being removed")
        self.refused(other.receive(), "UNAVAILABLE", "service rec is not running")
        self.node.wait(lambda: list(self.services()) == ["svc"])
        self.done(self.add())

    other = test_service.Drain.other

    def test_while_cores_still_look_at_it(self):
        """What would refer to it is refused: a change, say, that loads an object first."""
        self.done(self.add())
        with open(self.node.pin + ".remove", "w"):
            pass
        self.node.send({"cmd": "service.remove", "service": "rec", "id": "r"})
        other = Whole.other(self)
        self.node.wait(lambda: other.ask("chain.add", service="rec", plugin="hangs", object=so("start_hangs"))["error"]["code"]
                       == "FAILED_PRECONDITION")
        for command, more in (("chain.add", {"plugin": "loaded", "object": so("loaded")}), ("service.activate", {}),
                              ("config.merge", {"config": {"reca.x": 1}}), ("service.remove", {}), ("service.drain", {})):
            self.refused(other.ask(command, service="rec", **more), "FAILED_PRECONDITION", "is being removed")
        os.unlink(self.node.pin + ".remove")
        self.done(self.node.receive())
        self.done(self.add())

    def test_removed_while_it_starts(self):
        """Both are answered: that it is not added, because its start failed, and that it is gone."""
        self.node.end()
        self.node = test_service.Node(config(CONFIG, hangs=True), TELA_RECORD=self.record.name, ASAN_OPTIONS="detect_leaks=0")
        self.addCleanup(self.node.folder.cleanup)
        self.put("hang-start-reca")
        self.node.send({"cmd": "service.add", "definition": {"text": REC, "name": "rec.yaml"}})
        other = Whole.other(self)
        self.node.wait(lambda: [s for s in other.ask("services")["services"]
                                if s["service"] == "rec" and s["state"] == "starting"])
        other.send({"cmd": "service.remove", "service": "rec"})
        self.refused(self.node.receive(), "DEADLINE_EXCEEDED", "rec.yaml:1: service rec is not added")
        self.assertEqual(self.done(other.receive())["service"], "rec")
        self.assertEqual(list(self.services()), ["svc"])
        self.drop("hang-start-reca")

    def test_undone_while_it_drains(self):
        self.put("busy-recb")
        self.done(self.add())
        self.node.send({"cmd": "service.remove", "service": "rec", "deadline_ms": 60000})
        self.node.wait(lambda: [s for s in self.other().ask("services")["services"]
                                if s["service"] == "rec" and s["state"] == "paused"])
        self.assertEqual(self.done(self.other().ask("service.activate", service="rec"))["state"], "running")
        self.refused(self.node.receive(), "FAILED_PRECONDITION", "the removal is undone: service rec has been activated")
        self.assertEqual(self.done(self.remove(deadline_ms=50))["removed"], True)

    def test_one_that_failed_or_never_ran(self):
        self.put("fail-start-reca")
        self.done(self.add(REC + "status: inactive\n"))
        self.assertEqual((self.services()["rec"]["state"], self.events()), ("stopped", []))
        self.refused(self.node.ask("service.activate", service="rec"), "FAILED_PRECONDITION", "fails on purpose")
        self.assertEqual(self.done(self.remove())["removed"], True)
        self.done(self.add(REC + "status: inactive\n"))
        self.assertEqual(self.done(self.remove())["removed"], True)
        self.done(self.node.ask("service.remove", service="svc"))
        self.assertEqual(self.services(), {})

    def test_what_a_plugin_has_registered_goes(self):
        self.done(self.add("name: svc2\nplugins: [{plugin: counts}]\n"))
        self.assertEqual({e["holder"].split("/")[0] for e in self.node.ask("registry")["registry"]}, {"svc2"})
        self.done(self.node.ask("service.remove", service="svc2"))
        self.assertEqual(self.node.ask("registry")["registry"], [])

    def test_its_object_is_unloaded(self):
        self.done(self.add(f"name: rec2\nobject: {so('serves_rec')}\n"))
        plugin = [p for p in self.node.ask("plugins")["plugins"] if p["plugin"] == "rec2"][0]
        self.assertEqual((plugin["state"], plugin["reason"]), ("loaded", "a service of the node has its schema"))
        self.done(self.node.ask("service.deactivate", service="rec2"))
        self.done(self.node.ask("service.activate", service="rec2"))
        self.done(self.node.ask("service.remove", service="rec2"))
        self.node.wait(lambda: "rec2" not in [p["plugin"] for p in self.node.ask("plugins")["plugins"]])

    def test_again_and_again(self):
        """Commands of many at once, in the order given."""
        self.node.send(*[{"cmd": "service.add", "definition": {"text": f"name: {name}\n"}} if i % 2 == 0 else
                         {"cmd": "service.remove", "service": name, "deadline_ms": 0}
                         for name in ("rec", "svc2") for i in range(1)])
        self.assertEqual([self.done(self.node.receive())["state"] for _ in range(2)], ["running"] * 2)
        for _ in range(30):
            self.node.send({"cmd": "service.remove", "service": "rec", "deadline_ms": 0},
                           {"cmd": "service.remove", "service": "svc2", "deadline_ms": 0})
            self.assertEqual([self.done(self.node.receive())["service"] for _ in range(2)], ["rec", "svc2"])
            self.node.send({"cmd": "service.add", "definition": {"text": REC}},
                           {"cmd": "service.add", "definition": {"text": "name: svc2\n"}})
            self.assertEqual([self.done(self.node.receive())["state"] for _ in range(2)], ["running"] * 2)

    def test_the_node_ends_meanwhile(self):
        self.put("busy-recb")
        self.done(self.add())
        self.node.send({"cmd": "service.remove", "service": "rec", "deadline_ms": 60000, "id": "r"})
        self.assertTrue(Whole.other(self).ask("drain")["draining"])
        self.node.process.wait(60)


if __name__ == "__main__":
    unittest.main(verbosity=2)
