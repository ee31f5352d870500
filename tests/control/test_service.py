#!/usr/bin/env python3
"""The life of a service: statuses, hooks and their orders, failures and new tries, readiness, drain.

"Scenario N" is a row of tests/scenarios.md. The plugins are recorder_test.c's: rec over reca over recb.
"""
import json
import os
import subprocess
import tempfile
import unittest

from test_admin import Node, NodeTest, TELACTL

CONFIG = """\
node: {{name: server, admin: {admin}, hook_deadline_ms: HOOK_MS, drain_deadline_ms: 300, start_retry_ms: 20,
       start_retry_max_ms: 60, start_retries: 3}}
cores:
  - {{cpu: 0}}
services:
  - name: rec
    status: STATUS
    plugins:
      - plugin: recb
      - plugin: reca
"""
STARTED = ["status rec unknown>starting unstarted", "status reca unknown>starting unstarted",
           "status recb unknown>starting unstarted", "config rec", "config reca", "config recb",
           "start recb", "start reca", "start rec"]


def told(move, unstarted=False):
    return [f"status {name} {move}{' unstarted' if unstarted else ''}" for name in ("rec", "reca", "recb")]


def config(text=None, status="active", hangs=False, retries=3):
    """Only where a hook hangs on purpose is its deadline one that a slow machine may miss."""
    text = (text or CONFIG).replace("STATUS", status).replace("HOOK_MS", "400" if hangs else "60000")
    return text.replace("start_retries: 3", f"start_retries: {retries}")


class Life(NodeTest):
    status = "active"
    files = ()
    retries = 3

    def other(self):
        """Another connection, so that replies do not mix."""
        if not hasattr(self, "second"):
            self.second = Node.__new__(Node)
            self.second.socket, self.second.lines = self.node.connect()
            self.addCleanup(self.second.socket.close)
            self.addCleanup(self.second.lines.close)
        return self.second

    def setUp(self):
        self.record = tempfile.TemporaryDirectory()
        self.addCleanup(self.record.cleanup)
        for name in self.files:
            self.put(name)
        hangs = any(name.startswith("hang") for name in self.files)
        self.node = Node(config(None, self.status, hangs, self.retries), TELA_RECORD=self.record.name,
                         ASAN_OPTIONS="detect_leaks=0" if hangs else "")
        self.addCleanup(self.node.folder.cleanup)
        self.seen = 0

    def put(self, name):
        with open(os.path.join(self.record.name, name), "w"):
            pass

    def drop(self, name):
        os.unlink(os.path.join(self.record.name, name))

    def events(self):
        """What was recorded since the last time."""
        try:
            with open(os.path.join(self.record.name, "events")) as f:
                lines = f.read().splitlines()
        except FileNotFoundError:
            lines = []
        fresh, self.seen = lines[self.seen:], len(lines)
        return fresh

    def service(self):
        return self.node.ask("services")["services"][0]

    def move(self, word, **more):
        return self.node.ask("service." + word, service="rec", **more)


class Moves(Life):
    def test_start_and_stop(self):
        """Scenarios 15, 18: config top down, start bottom up, stop top down."""
        self.assertEqual(self.events(), STARTED + told("starting>running"))
        r = self.done(self.move("deactivate", reason="for the test"))
        self.assertEqual((r["state"], r["admin"], r["reason"]), ("stopped", "inactive", "for the test"))
        self.assertEqual(self.events(), told("running>stopping") + ["stop rec", "stop reca", "stop recb"] +
                         told("stopping>stopped", True))

    def test_pause_and_resume(self):
        """Scenarios 22, 23, 34: workers are not touched, nothing is started again."""
        self.node.wait(lambda: self.service()["ready"])
        self.events()
        r = self.done(self.move("pause"))
        self.assertEqual((r["state"], r["admin"]), ("paused", "pause"))
        self.assertEqual(self.events(), told("running>pausing") + told("pausing>paused"))
        self.assertEqual((self.service()["ready"], self.service()["not_ready"]), (False, "paused"))
        self.assertEqual(self.done(self.move("activate"))["state"], "running")
        self.assertEqual(self.events(), told("paused>starting") + told("starting>running"))
        self.node.wait(lambda: self.service()["ready"])

    def test_stop_and_start_again(self):
        """Scenario 24; and what was changed at run time is what starts again."""
        self.done(self.node.ask("chain.replace", service="rec", name="reca", config={"x": 5}))
        self.done(self.node.ask("chain.add", service="rec", plugin="plain"))
        self.done(self.move("deactivate"))
        self.events()
        reply = self.node.ask("chain.add", service="rec", plugin="counts")
        self.refused(reply, "UNAVAILABLE", "rec is not running", "stopped")
        self.assertEqual(self.done(self.move("activate"))["state"], "running")
        self.assertEqual(self.events(), [e.replace("unknown", "stopped") for e in STARTED] + told("starting>running"))
        plugins = self.node.ask("chain.show", service="rec")["plugins"]
        self.assertEqual([p["name"] for p in plugins], ["rec", "reca", "recb", "plain"])
        self.assertEqual(plugins[1]["config"], {"x": "5"})

    def test_from_paused_to_stopped_and_back(self):
        self.done(self.move("pause"))
        self.done(self.move("deactivate"))
        self.events()
        self.assertEqual(self.done(self.move("pause"))["state"], "paused")
        self.assertEqual(self.events()[-6:], told("starting>pausing") + told("pausing>paused"))

    def test_what_has_not_stopped_in_time(self):
        """A change with wait=true is answered after drain_deadline_ms, whatever is left."""
        with open(self.node.pin, "w"):
            pass
        r = self.done(self.node.ask("chain.replace", service="rec", name="reca", wait=True))
        self.assertEqual((r["published"], r["replaced"], r["old_stopped"], r["waits_for"]),
                         (True, 1, False, "calls under an older image"))
        os.unlink(self.node.pin)

    def test_the_same_again_is_nothing(self):
        """Scenarios 17, 25."""
        self.events()
        r = self.done(self.move("activate", reason="never seen"))
        self.assertEqual((r["state"], r["reason"]), ("running", ""))
        self.done(self.move("pause", reason="first"))
        self.events()
        self.assertEqual(self.done(self.move("pause", reason="second"))["reason"], "first")
        self.assertEqual(self.events(), [])

    def test_in_quick_succession(self):
        """Scenario 26."""
        words = ["pause", "activate", "deactivate", "activate"]
        self.node.send(*[{"cmd": "service." + w, "service": "rec"} for w in words])
        self.assertEqual([self.done(self.node.receive())["state"] for _ in words],
                         ["paused", "running", "stopped", "running"])

    def test_what_is_shown(self):
        """Scenarios 27, 28, 30, adapted: there is no reason before the first move."""
        s = self.service()
        self.assertEqual([s[k] for k in ("state", "admin", "reason", "last_error", "last_error_at", "live", "failed_starts")],
                         ["running", "active", "", "", 0, True, 0])
        self.assertGreater(s["since"], 0)
        for word, state, admin in (("pause", "paused", "pause"), ("deactivate", "stopped", "inactive")):
            self.done(self.move(word, reason="because " + word))
            s = self.service()
            self.assertEqual([s[k] for k in ("state", "admin", "reason", "live")], [state, admin, "because " + word, True])
        self.refused(self.node.ask("service.pause", service="nobody"), "NOT_FOUND", "no service is named 'nobody'")
        self.refused(self.move("activate", reason="x" * 64), "INVALID_ARGUMENT", "at most 63 bytes, found 64")

    def test_status_is_cheap(self):
        """Scenario 31 as a count: 1000 answers, and no time asserted."""
        self.node.send(*[{"cmd": "services"}] * 1000)
        self.assertEqual({self.node.receive()["services"][0]["state"] for _ in range(1000)}, {"running"})

    def test_a_stop_that_calls_hold_up(self):
        """The command ends at the drain deadline and says what holds; the service stops when it lets go."""
        self.node.end()
        self.node = Node(config().replace("drain_deadline_ms: 300", "drain_deadline_ms: 50"),
                         TELA_RECORD=self.record.name)
        self.addCleanup(self.node.folder.cleanup)
        self.events()
        with open(self.node.pin, "w"):
            pass
        self.refused(self.move("deactivate"), "DEADLINE_EXCEEDED", "stopping", "1 images")
        self.assertEqual(self.service()["state"], "stopping")
        self.assertNotIn("stop rec", self.events())
        os.unlink(self.node.pin)
        self.node.wait(lambda: self.service()["state"] == "stopped")
        self.assertIn("stop recb", self.events())


class StartsPaused(Life):
    status = "pause"

    def test_starts_paused(self):
        """Scenario 29, adapted: its plugins run, so that it can be resumed at once."""
        self.assertEqual(self.service()["state"], "paused")
        self.assertEqual(self.events(), STARTED + told("starting>pausing") + told("pausing>paused"))
        self.assertEqual(self.done(self.move("activate"))["state"], "running")


class StartsInactive(Life):
    status = "inactive"

    def test_starts_inactive(self):
        self.assertEqual((self.service()["state"], self.events()), ("stopped", []))
        self.assertEqual(self.done(self.move("activate"))["state"], "running")


class Fails(Life):
    files = ("fail-start-reca",)

    def test_only_what_had_started_is_stopped(self):
        self.node.wait(lambda: self.service()["next_try_ms"] is None and self.service()["failed_starts"] == 4)
        events = self.events()
        self.assertEqual(events[:12], STARTED[:8] + ["stop recb", "status rec starting>failed unstarted",
                                                     "status reca starting>failed unstarted",
                                                     "status recb starting>failed unstarted"])
        self.assertEqual(events.count("start reca"), 4, "the start and three tries")
        s = self.service()
        self.assertEqual([s[k] for k in ("state", "live", "ready", "tries_left")], ["failed", False, False, 0])
        self.assertIn("start of reca fails on purpose", s["last_error"])
        self.assertGreater(s["last_error_at"], 0)
        self.drop("fail-start-reca")
        self.assertEqual(self.done(self.move("activate"))["state"], "running")
        self.assertEqual(self.service()["failed_starts"], 0)

    def test_deactivated_it_is_not_tried_again(self):
        self.done(self.move("deactivate"))
        self.assertEqual([self.service()[k] for k in ("state", "next_try_ms")], ["stopped", None])


class NewTry(Life):
    files = ("fail-start-reca",)
    retries = 1000000

    def test_a_new_try_succeeds(self):
        self.drop("fail-start-reca")
        events = []
        self.node.wait(lambda: events.extend(self.events()) or events[-3:] == told("starting>running"))
        self.assertEqual(self.service()["state"], "running")


class Backoff(Life):
    files = ("fail-start-reca",)

    def test_it_doubles_up_to_the_maximum(self):
        """1 ms, 2, 4 ... come to more than 50 by themselves, and never to more than the maximum."""
        self.node.end()
        self.node = Node(config(retries=1000).replace("start_retry_ms: 20", "start_retry_ms: 1").replace(
            "max_ms: 60", "max_ms: 200"), TELA_RECORD=self.record.name)
        self.addCleanup(self.node.folder.cleanup)
        seen = []
        self.node.wait(lambda: seen.append(self.service()["next_try_ms"] or 0) or seen[-1] > 100)
        self.assertLessEqual(max(seen), 200)


class FailsConfig(Life):
    files = ("fail-config-recb",)

    def test_nothing_is_started(self):
        self.node.wait(lambda: self.service()["state"] == "failed")
        self.assertNotIn("start recb", self.events())


class Hangs(Life):
    files = ("hang-start-reca",)

    def test_a_start_that_hangs_is_not_tried_again(self):
        s = self.service()
        self.assertEqual((s["state"], s["next_try_ms"]), ("failed", None))
        self.assertIn("start hook of reca in rec did not return in time", s["last_error"])
        self.assertEqual(self.node.ask("status")["lifecycle"]["abandoned"], 1)
        self.drop("hang-start-reca")
        self.assertEqual(self.done(self.move("activate"))["state"], "running")


class HangsLater(Life):
    files = ("hang-status-none",)

    def test_a_status_hook_that_hangs_swallows_nothing(self):
        self.put("hang-status-reca")
        self.events()
        self.assertEqual(self.done(self.move("pause"))["state"], "paused")
        self.assertEqual(self.events(), ["status rec running>pausing", "status reca running>pausing",
                                         "status recb running>pausing", "status rec pausing>paused",
                                         "status recb pausing>paused"])
        self.assertEqual(self.done(self.move("activate"))["state"], "running")

    def test_a_drain_joins_one_that_closes_the_gate(self):
        self.put("hang-status-reca")
        self.node.send({"cmd": "service.drain", "service": "rec", "id": "d"})
        other = Drain.other(self)
        self.node.wait(lambda: other.ask("services")["services"][0]["state"] == "pausing")
        self.assertEqual(self.done(other.ask("service.drain", service="rec"))["state"], "paused")
        self.assertEqual(self.done(self.node.receive())["state"], "paused")

    def test_a_ready_hook_that_hangs(self):
        self.node.wait(lambda: self.service()["ready"])
        self.put("hang-ready-recb")
        self.node.wait(lambda: "ready hook of recb in rec hangs" in self.service()["not_ready"])
        self.assertEqual(self.service()["state"], "running")


class HangsInStats(Life):
    files = ("hang-stats-recb",)

    def test_it_hangs_once_and_holds_nothing_up(self):
        for _ in range(2):
            r = self.done(self.node.ask("stats"))
            self.assertEqual(self.node.ask("status")["lifecycle"]["abandoned"], 1)
        self.assertEqual(self.done(self.move("deactivate"))["state"], "stopped")
        self.drop("hang-stats-recb")
        self.assertEqual(self.done(self.move("activate"))["state"], "running")
        r = self.done(self.node.ask("stats"))
        self.assertEqual(r["plugins"], [{"service": "rec", "plugin": "recb", "name": "seen", "value": 1}])


class Config(Life):
    def merge(self, **config):
        return self.node.ask("config.merge", service="rec", config={k.replace("__", "."): v for k, v in config.items()})

    def instances(self):
        return {p["name"]: p["instance"] for p in self.node.ask("chain.show", service="rec")["plugins"]}

    def test_merge(self):
        """Scenarios 36, 37: other keys keep their values, other plugins their instances, the status stays."""
        before = self.instances()
        self.events()
        r = self.done(self.merge(reca__x=1, reca__y__z=2, recb__x=True))
        self.assertEqual((r["changed"], r["config"]),
                         (2, {"rec": {}, "reca": {"x": "1", "y.z": "2"}, "recb": {"x": "true"}}))
        self.assertEqual(self.events()[:4], ["config reca", "config recb", "start recb", "start reca"])
        after = self.instances()
        self.assertEqual([before[n] == after[n] for n in ("rec", "reca", "recb")], [True, False, False])
        r = self.done(self.merge(reca__x=None))
        self.assertEqual(r["config"]["reca"], {"y.z": "2"})
        self.assertEqual(self.instances()["recb"], after["recb"])
        self.assertEqual((self.service()["state"], self.done(self.node.ask("config.show", service="rec"))["config"]),
                         ("running", r["config"]))

    def test_what_is_there_already_changes_nothing(self):
        self.done(self.merge(reca__x="1"))
        before = self.instances()
        self.assertEqual(self.done(self.merge(reca__x=1, recb__x=None))["changed"], 0)
        self.assertEqual(self.instances(), before)

    def test_behind_changes_that_replace_what_it_names(self):
        """What it names has been replaced, and the one before has gone, when its turn comes."""
        words = [{"cmd": "chain.replace", "service": "rec", "name": "reca"},
                 {"cmd": "chain.add", "service": "rec", "plugin": "counts", "object": "/nowhere/at/all.so"},
                 {"cmd": "config.merge", "service": "rec", "config": {"reca.x": 4}}]
        for _ in range(10):
            words[2]["config"]["reca.x"] += 1
            self.node.send({"cmd": "chain.replace", "service": "rec", "name": "reca"}, words[0], words[0], words[1], words[2])
            for _ in range(3):
                self.done(self.node.receive())
            self.refused(self.node.receive(), "NOT_FOUND", "/nowhere/at/all.so")
            self.assertEqual(self.done(self.node.receive())["config"]["reca"], {"x": str(words[2]["config"]["reca.x"])})

    def test_what_stays_where_it_is(self):
        """Configured in place, it has what its start made: workers, and what it counts with."""
        self.done(self.node.ask("chain.add", service="rec", plugin="crew", config={"x": "each"}))
        before = self.instances()["crew"]
        self.done(self.merge(crew__x="all"))
        crew = [p for p in self.node.ask("chain.show", service="rec")["plugins"] if p["name"] == "crew"][0]
        self.assertEqual((crew["instance"], [w["worker"] for w in crew["workers"]]), (before, ["one", "two", "timer"]))
        self.assertIn({"service": "rec", "plugin": "crew", "name": "seen", "value": 1}, self.node.ask("stats")["plugins"])

    def test_one_that_refuses_changes_nothing(self):
        before = self.instances()
        self.put("fail-config-recb")
        self.refused(self.merge(reca__x=1, recb__x=2), "FAILED_PRECONDITION", "config of recb fails on purpose")
        self.drop("fail-config-recb")
        for config, code, part in (({"nobody__x": 1}, "NOT_FOUND", "config.nobody.x: expected NAME.KEY"),
                                   ({"reca": 1}, "NOT_FOUND", "config.reca: expected NAME.KEY"),
                                   ({"reca__bogus": 1}, "INVALID_ARGUMENT", "reca: config.bogus: unknown key; known are x, y.z"),
                                   ({"reca__x": [1]}, "INVALID_ARGUMENT", "config.x: expected a text, found a list"),
                                   ({"reca__x": {"a": 1}}, "INVALID_ARGUMENT", "reca.x: expected a text, number, flag or"),
                                   ({"reca__x": [[1]]}, "INVALID_ARGUMENT", "reca.x: expected a text, number, flag or"),
                                   ({"reca__y__z": "many"}, "INVALID_ARGUMENT", "y.z: expected 0..4294967295, found 'many'"),
                                   ({"reca__bogus": None}, "INVALID_ARGUMENT", "reca: config.bogus: unknown key"),
                                   ({}, "INVALID_ARGUMENT", "expected 1 to 256 keys")):
            self.refused(self.merge(**config), code, part)
        self.assertEqual(self.instances(), before)
        self.assertEqual(self.done(self.node.ask("config.show", service="rec"))["config"]["reca"], {})
        self.done(self.move("deactivate"))
        self.refused(self.merge(reca__x=1), "UNAVAILABLE", "stopped")

    def test_by_telactl(self):
        r = self.node.ctl("config", "merge", "rec", "reca.x=7", "recb.y.z=8")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(self.node.ask("config.show", service="rec")["config"],
                         {"rec": {}, "reca": {"x": "7"}, "recb": {"y.z": "8"}})


class Quotes(Life):
    def test_an_error_that_is_cut_in_a_character(self):
        """It is shown up to there, and so is the service."""
        for first in "", "x":
            path = "/" + first + "/".join(["\u00e9" * 100] * 4)
            self.refused(self.node.ask("chain.add", service="rec", plugin="loaded", object=path), "NOT_FOUND", path[:200])
            self.assertIn(path[:200], self.service()["last_error"])


class Ready(Life):
    files = ("unready-recb",)

    def test_every_link_must_agree(self):
        """Scenario 33."""
        self.node.wait(lambda: self.service()["not_ready"] == "recb: no pool")
        self.assertFalse(self.service()["ready"])
        self.drop("unready-recb")
        self.node.wait(lambda: self.service()["ready"])
        for name in "rec", "reca":
            self.put("unready-" + name)
            self.node.wait(lambda: self.service()["not_ready"] == name + ": no pool")
            self.drop("unready-" + name)
            self.node.wait(lambda: self.service()["ready"])


class Drain(Life):
    files = ("busy-recb",)

    def drain(self, ms):
        return self.move("drain", deadline_ms=ms)

    def test_poll_and_finish(self):
        """Scenario 35."""
        r = self.done(self.drain(0))
        self.assertEqual([r[k] for k in ("state", "drained", "in_flight")], ["paused", False, 0])
        self.node.wait(lambda: self.done(self.drain(50))["waits_for"] == "recb: jobs left")
        self.drop("busy-recb")
        r = self.done(self.drain(60000))
        self.assertEqual([r[k] for k in ("state", "drained", "waits_for")], ["paused", True, ""])
        self.assertEqual(self.service()["reason"], "draining")

    def watch(self, *options):
        watch = subprocess.Popen([TELACTL, "--socket", self.node.admin, *options, "service", "drain", "rec", "--watch"],
                                 stdout=subprocess.PIPE, text=True)
        self.addCleanup(watch.stdout.close)
        self.addCleanup(watch.kill)
        return watch

    def test_watched(self):
        """By two who have come later, as text and as JSON; they keep to the deadline of the one that has begun it."""
        self.node.send({"cmd": "service.drain", "service": "rec", "deadline_ms": 60000, "id": "d"})
        self.node.wait(lambda: Node.ask(self.other(), "services")["services"][0]["state"] == "paused")
        text, lines = self.watch(), self.watch("-o", "json")
        self.assertRegex(next(text.stdout), r"^rec: 0 calls left, \d+\.\d s; waits for recb: jobs left\n$")
        line = json.loads(next(lines.stdout))
        self.assertEqual([line[k] for k in ("ok", "progress", "service", "state", "in_flight", "working", "waits_for")],
                         [True, True, "rec", "paused", 0, 0, "recb: jobs left"])
        self.assertGreater(line["left_ms"], 1000)
        self.drop("busy-recb")
        self.assertRegex(text.stdout.read(), r"drained +yes\n")
        last = [json.loads(line) for line in lines.stdout][-1]
        self.assertTrue(last["ok"] and last["drained"] and "progress" not in last, last)
        self.assertEqual((text.wait(60), lines.wait(60)), (0, 0))
        self.assertTrue(self.done(self.node.receive())["drained"])
        self.assertTrue(self.done(self.node.ask("service.drain", service="rec", watch=True))["drained"])  # at once

    def test_watchers_hang_up(self):
        """One of them, and one is told nothing, as an older command of its connection is not answered yet."""
        self.other().send({"cmd": "service.drain", "service": "rec", "deadline_ms": 60000, "watch": True})
        self.assertTrue(self.other().receive()["progress"])
        self.second.lines.close()
        self.second.socket.close()
        del self.second
        for watch in False, True:
            self.node.send({"cmd": "service.drain", "service": "rec", "deadline_ms": 60000, "watch": watch})
        for _ in range(20):
            self.assertFalse(Node.ask(self.other(), "service.drain", service="rec", poll=True)["drained"])
        self.drop("busy-recb")
        for _ in range(2):
            self.assertTrue(self.done(self.node.receive())["drained"])
        self.refused(self.node.ask("service.drain", service="rec", poll=True, watch=True), "INVALID_ARGUMENT", "both")

    def test_undone_by_active(self):
        self.node.send({"cmd": "service.drain", "service": "rec", "deadline_ms": 60000, "id": "d"})
        self.node.wait(lambda: Node.ask(self.other(), "services")["services"][0]["state"] == "paused")
        self.done(Node.ask(self.other(), "service.activate", service="rec"))
        self.refused(self.node.receive(), "FAILED_PRECONDITION", "undone")

    def test_the_node_waits_for_it_and_says_so(self):
        self.node.end()
        self.node = Node(config().replace("drain_deadline_ms: 300", "drain_deadline_ms: 200"),
                         TELA_RECORD=self.record.name)
        self.addCleanup(self.node.folder.cleanup)
        self.assertTrue(self.node.ask("drain")["draining"])
        self.node.process.wait(60)
        self.assertIn("test.Rec: has not drained after 200 ms: recb: jobs left", self.node.logged())


class DrainOrder(Life):
    files = ("busy-recb",)

    def test_who_is_used_goes_on_until_its_users_are_done(self):
        """recb uses what svc2 serves, which stands first."""
        self.node.end()
        self.node = Node(config().replace("node: {{", "node: {{log: {{level: debug}}, ").replace(
            "drain_deadline_ms: 300", "drain_deadline_ms: 60000").replace("services:\n", "services:\n  - name: svc2\n"),
            TELA_RECORD=self.record.name)
        self.addCleanup(self.node.folder.cleanup)
        self.node.send({"cmd": "drain", "watch": True})
        self.node.wait(lambda: "test.Rec: draining: takes no more calls" in self.node.logged())
        told = self.node.receive()
        while "recb: jobs left" not in [s["waits_for"] for s in told["services"]]:
            self.assertTrue(told["progress"], told)
            told = self.node.receive()
        self.assertLess(told["left_ms"], 60000)
        for _ in range(20):  # it has looked at all of them meanwhile
            self.assertTrue(Node.ask(self.other(), "status")["ok"])
        self.assertNotIn("test.Other: draining: takes no more calls", self.node.logged())
        self.drop("busy-recb")
        while told.get("progress"):
            told = self.node.receive()
        self.assertTrue(told["drained"] and "services" not in told, told)
        self.assertEqual(self.node.process.wait(60), 0)
        log = self.node.logged()
        self.assertLess(log.index("test.Rec: draining: takes"), log.index("test.Other: draining: takes"))


class Crew(Life):
    HOW = "each"

    def setUp(self):
        super().setUp()
        self.events()
        self.done(self.node.ask("chain.add", service="rec", plugin="crew", config={"x": self.HOW}))
        self.node.wait(lambda: self.working() == {"one", "two"})

    def working(self):
        """Names of those that work, as they said; all is read anew."""
        self.seen = 0
        works = set()
        for event in self.events():
            word, name = event.split()[:2]
            if word in ("work", "rest"):
                (works.add if word == "work" else works.discard)(name)
        return works

    def crew(self):
        plugins = self.node.ask("chain.show", service="rec")["plugins"]
        return {w["worker"]: w for p in plugins if p["name"] == "crew" for w in p["workers"]}

    def count(self, event):
        self.seen = 0
        return self.events().count(event)

    def gave_up(self):
        s = self.service()
        return (s["state"], s["failed_starts"], s["next_try_ms"]) == ("failed", 4, None)


class Workers(Crew):
    def test_policies(self):
        """Permanent comes back always, transient after an error only, temporary never."""
        self.assertEqual({n: (w["runs"], w["restarts"]) for n, w in self.crew().items()},
                         {"one": (True, 0), "two": (True, 0), "timer": (True, 0)})
        self.put("end-two")
        self.put("die-timer")
        self.put("end-once-one")
        self.node.wait(lambda: self.crew()["one"]["restarts"] > 0)
        self.node.wait(lambda: not self.crew()["two"]["runs"] and not self.crew()["timer"]["runs"])
        self.assertEqual((self.crew()["two"]["restarts"], self.crew()["timer"]["restarts"]), (0, 0))

    def test_a_transient_one_comes_back_after_an_error(self):
        self.put("die-once-two")
        self.node.wait(lambda: self.crew()["two"]["restarts"] > 0)
        self.node.wait(lambda: self.crew()["two"]["runs"])
        self.assertEqual(self.crew()["one"]["restarts"], 0)

    def test_stopped_with_their_plugin(self):
        """Scenarios 22, 24: they live through a pause, end before the stop hook, and are new ones afterwards."""
        self.done(self.move("pause"))
        self.assertEqual(self.working(), {"one", "two"})
        self.done(self.move("deactivate"))
        self.seen = 0
        events = [e for e in self.events() if e.split()[0] in ("rest", "stop")]
        self.assertEqual(sorted(events[:events.index("stop crew")])[:2], ["rest one", "rest two"])
        self.done(self.move("activate"))
        self.node.wait(lambda: self.count("work one") == 2)

    def test_one_that_dies_for_ever(self):
        """Scenario 32: failed, that plugin alone started anew, and after the last try it stays failed."""
        self.put("die-one")
        self.node.wait(self.gave_up)
        self.assertIn("crew: worker one ended (-5) more than 5 times in 60000 ms", self.service()["last_error"])
        self.assertEqual((self.count("start crew"), self.count("start rec")), (4, 1), "three tries, the others untouched")
        works = self.count("work one")
        self.assertEqual(works, 4 * 6)
        self.drop("die-one")
        self.assertEqual(self.done(self.move("activate"))["state"], "running")
        self.node.wait(lambda: self.count("stop crew") == 4)  # once no call can run in it
        self.assertEqual((self.count("start crew"), self.count("start rec")), (5, 1))
        self.node.wait(lambda: self.count("work one") == works + 1)

    def test_what_failed_may_be_taken_out(self):
        self.put("die-one")
        self.node.wait(self.gave_up)
        self.done(self.node.ask("chain.remove", service="rec", name="crew"))
        self.assertEqual(self.done(self.move("activate"))["state"], "running")

    def test_wrong_workers_are_refused(self):
        reply = self.node.ask("chain.add", service="rec", plugin="crew", config={"x": "wrong"}, **{"as": "bad"})
        self.refused(reply, "FAILED_PRECONDITION", "its workers: each worker needs `run` or `task`, and a name of 1 to 15 bytes")
        self.assertEqual(self.count("stop crew"), 1)
        self.assertEqual(self.service()["state"], "running")


class Return(Crew):
    retries = 1000000

    def test_the_service_returns(self):
        self.put("die-one")
        self.node.wait(lambda: self.count("status rec running>failed"))
        self.drop("die-one")
        self.node.wait(lambda: self.service()["state"] == "running")
        self.assertEqual(self.count("stop rec"), 0)


class WorkersForAll(Workers):
    HOW = "all"

    def test_policies(self):
        """One that dies takes the others along."""
        self.put("end-once-one")
        self.node.wait(lambda: self.crew()["one"]["restarts"] > 0)
        self.node.wait(lambda: self.count("work two") >= 2 and self.crew()["timer"]["restarts"] > 0)

    def test_a_transient_one_comes_back_after_an_error(self):
        pass

    test_one_that_dies_for_ever = test_what_failed_may_be_taken_out = \
        test_wrong_workers_are_refused = test_a_transient_one_comes_back_after_an_error


if __name__ == "__main__":
    unittest.main(verbosity=2)
