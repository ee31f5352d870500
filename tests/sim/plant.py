"""Plants bugs in the protocol machine, one at a time, and sees that the simulator finds each.

usage: plant.py SOURCE_ROOT BUILD_ROOT [--only NAME]... [--draw N] [--seconds N] [--list]

A bug is an exact piece of a source file and what takes its place. The file is changed in a copy and compiled as the
build compiles it, and linked before the library that tela-sim is built from. Then seeds are run, from 1 on, until one fails;
the same seed must pass without the bug. Ends with 1 if a bug is not found, or if its piece of source is no longer there.
"""
import argparse
import json
import os
import random
import re
import shlex
import subprocess
import sys
import tempfile
import time

LIBRARY = 'tests/libmachine.a'

# name, what it is, file, piece of source, what takes its place; the study that finds it, if seeds do not
BUGS = [
    ('dropped-ack', 'acknowledgements of fragments open no window', 'bulk.c',
        '\tt->acked = upto;\n\tt->limit = limit;\n', '\tt->acked = upto;\n'),
    ('bitmap', 'off by one in the bitmap of fragments', 'bulk.c',
        '\t*seen_word(r, index) |= 1ull << index % 64;\n', '\t*seen_word(r, index) |= 1ull << (index + 1) % 64;\n'),
    ('credit', 'the window is one fragment longer than what the receiver can tell apart', 'bulk.c',
        'min_u32(r->n, r->first_missing + m->cfg.budgets.window)', 'min_u32(r->n, r->first_missing + BULK_SEEN + 1)'),
    ('gap-range', 'the last fragment of a hole is not named', 'bulk.c',
        '.count = (uint16_t)(end - first)};', '.count = (uint16_t)(end - first - 1)};'),
    ('stale-bit', 'what has been taken in order looks as if the fragment a window later were here', 'bulk.c',
        '\t\t*seen_word(r, r->first_missing) &= ~(1ull << r->first_missing % 64);\n', '\t\t;\n'),
    ('heap', 'a buffer that is taken out of the middle leaves its place empty', 'expiry.c',
        '\tif (m != last)\n\t\tsettle(e, m->place, last);\n', ''),
    ('arena', 'two messages share a page', 'msgpool.c',
        '(size + MSG_HEADER + MSG_PAGE - 1) / MSG_PAGE', '(size + MSG_HEADER) / MSG_PAGE'),
    ('held', 'a buffer that a message held is never given back', 'segments.c',
        '\t\t\tm->ops->release(m->io, (void *)owner[i]);\n', '\t\t\t;\n'),
    ('overdrawn', 'messages hold more buffers than they may', 'segments.c',
        'm->segments_held + n <= m->cfg.budgets.segments && can_hold', 'can_hold'),
    ('unsettled', 'frames read a message that may be over', 'bulk.c',
        '\tif (m->ops->settle)\n\t\tm->ops->settle(m->io);', '\t'),
    ('astray', 'a reply with metadata is not where its caller wants it', 'bulk.c',
        'r->into + (at + skip - head)', 'r->into + at'),
    ('lent', 'a lent request is sent from a wrong place', 'bulk.c', 't->rest + (at - t->split)', 't->rest + at'),
    ('lent-kept', 'a reply that was lent is not given back', 'callee_session.c',
        '\t\tmessage_put(m, slot->msg);\n', '\t\tmsgpool_put(&m->msgs, slot->msg);\n'),
    ('lent-early', 'a reply that was lent is given back before it is sent', 'lend.c',
        '\tc->reply_len = c->reply_room = (uint32_t)len;\n',
        '\tc->reply_len = c->reply_room = (uint32_t)len;\n\tlend_end(c->machine, c->reply_msg);\n'),
    ('reused-slot', 'a late answer ends the next call in its slot', 'caller_response.c',
        's->call != h->call || s->state < CALLER_WAITING', 's->state < CALLER_WAITING'),
    ('runs-twice', 'a duplicate is taken for a new call', 'callee_request.c',
        'slot->state == CALLEE_IDLE || serial_after(h->call, slot->call)',
        'slot->state == CALLEE_IDLE || !serial_after(slot->call, h->call)'),
    ('lost-credit', 'the slots of a session that ends are not given back', 'callee_session.c',
        'while (s->n_slots) {', 'while (s->n_slots > SLOT_BLOCK) {'),
    ('lost-chunk', 'the place where a session had its blocks is not given back', 'session.c',
        'c->next_free = m->free_chunk;', 'c->next_free = NULL;'),
    ('no-timer', 'nothing remembers when a call is due', 'caller.c',
        '\tm->due_ns = min_u64(m->due_ns, s->deadline_ns);\n', ''),
    ('leak', 'the copy of a pending request is not given back', 'call.c',
        '\tmsg_drop(m, &c->request_msg);\n', '\tc->request_msg = NULL;\n'),
    ('no-crc', 'damaged datagrams are taken', 'machine.c',
        'if (unlikely(crc != crc32c(0, data, len))) {', 'if (0) {'),
    ('lie', 'a call whose request was sent "surely did not run"', 'caller.c',
        '\ts->on_wire = true;\n\twire_packet_store(', '\twire_packet_store('),
    ('borrowed', 'a pending call reads its request where the datagram was', 'call.c',
        '\tc->pub.request = msg->data + head;\n', ''),
    ('stranger', 'the answer of a call without a caller is sent', 'callee_request.c',
        '\tif (unlikely(c->detached))\n\t\treply_drop(m, c);\n\telse if', '\tif'),
    ('accepts', 'a one-way call is accepted and does not run', 'callee_request.c',
        '\tcall_detach(m, c);\n\tcall_run(m, c);\n', '\tcall_detach(m, c);\n\tcall_put(m, c);\n'),
    ('tells', 'a one-way call is answered as any other', 'callee_request.c',
        '\tif (unlikely(c->one_way))\n\t\tone_way_run(m, c);\n\telse if', '\tif'),
    ('shed-runs', 'a call that was shed runs when its request comes again', 'shed.c',
        '\tcallee_slot_gone(slot, GONE_SHED);\n', '\tslot->state = CALLEE_IDLE;\n'),
    ('early-end', 'a local one-way call ends before its request was read', 'callee_request.c',
        '\tcall_run(m, c);\n\tif (local)\n\t\tcaller_accepted(m, local);\n',
        '\tif (local)\n\t\tcaller_accepted(m, local);\n\tcall_run(m, c);\n'),
    ('pinned', 'an image is held for ever', 'call.c',
        '\timage_pin_add(c->image, m->cfg.core, -1);\n', ''),
    ('detached-lie', 'a call that was given up at its deadline "surely did not run"', 'call.c',
        '\t\tc->slot->gone = GONE_DETACHED;\n', '\t\tc->slot->gone = GONE_REFUSED;\n'),
    ('evicted-lie', 'a call whose reply was evicted "surely did not run"', 'callee_reply.c',
        '\tcallee_slot_gone(slot, GONE_EXECUTED);\n', '\tcallee_slot_gone(slot, GONE_REFUSED);\n'),
    ('stale-budget', 'a call that has waited for its path says it has all of its time left', 'caller_time.c',
        '\tcaller_patch_budget(m, s);\n\tcaller_transmit(m, arg, s, 0);\n', '\tcaller_transmit(m, arg, s, 0);\n'),
    ('old-slots', 'slots that the last incarnation granted are used with the next', 'caller_session.c',
        '\ts->n_slots = SLOT_BLOCK;\n\tfree_list_make(s);\n', '\ts->n_slots = SLOT_BLOCK;\n'),
    ('keeps-slots', 'slots that were given back are kept in hand', 'caller_session.c',
        '\t\tblocks_release(m, s);\n}\n\n/* ---- given back', '\t\t;\n}\n\n/* ---- given back'),
    ('old-cancel', 'the cancel of an older call ends the next one in its slot', 'callee_session.c',
        '\t\treturn; /* of an older call */\n', '\t\t;\n'),
    ('kept-back', 'what a path holds back is not given back with it', 'congest.c',
        '\twhile (held_take(m, &p->congest, &d))\n\t\tm->ops->drop(m->io, d.buf);\n', '\t(void)held_take(m, &p->congest, &d);\n'),
    ('no-pace', 'pacing is off by a unit', 'congest.c', '(len * cost >> 16)', '(len * cost >> 26)', 'incast'),
    ('too-slow', 'pacing is off by a unit the other way', 'congest.c', '(len * cost >> 16)', '(len * cost >> 12)', 'single'),
    ('unheeded', 'who is refused asks on as before', 'throttle.c',
        '\tif (r->code != TELA_RESOURCE_EXHAUSTED ||', '\tif (r->code == TELA_RESOURCE_EXHAUSTED ||', 'brief'),
    ('no-start', 'a path starts with all it can', 'congest.c',
        '\t\tstart_slowly(m, p);\n}\n\nvoid congest_end', '\t\tc->look_ns = UINT64_MAX;\n}\n\nvoid congest_end', 'incast'),
]


class Trouble(Exception):
    pass


def run(command, cwd, seconds):
    try:
        done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors='replace', timeout=seconds, check=False)
    except subprocess.TimeoutExpired as late:
        return None, (late.stdout or b'').decode(errors='replace') if isinstance(late.stdout, bytes) else late.stdout or ''
    return done.returncode, done.stdout


def must(command, cwd):
    code, text = run(command, cwd, 120)
    if code:
        raise Trouble(f'{" ".join(command)}\n{text[-3000:]}')
    return text


class Build:
    """How tela-sim was built: the command that made an object, and the one that linked them."""

    def __init__(self, source, build):
        self.source, self.build = os.path.abspath(source), os.path.abspath(build)
        with open(os.path.join(self.build, 'compile_commands.json')) as f:
            self.compiles = json.load(f)
        self.program = os.path.join(self.build, 'tests/sim/tela-sim')
        commands = must(['ninja', '-t', 'commands', 'tests/sim/tela-sim'], self.build).strip().split('\n')
        self.link = shlex.split(commands[-1])

    def text_of(self, bug):
        name, old = bug[2:4]
        with open(os.path.join(self.source, 'dataplane', name)) as f:
            text = f.read()
        if text.count(old) != 1:
            raise Trouble(f'dataplane/{name} holds the piece to be changed {text.count(old)} times:\n{old}')
        return text

    def plant(self, bug, folder):
        name, old, new = bug[2:5]
        path = os.path.join(self.source, 'dataplane', name)
        text = self.text_of(bug)
        changed = os.path.join(folder, name)
        with open(changed, 'w') as f:
            f.write(text.replace(old, new))
        compiled = [c for c in self.compiles if c['output'].startswith(LIBRARY + '.p/')
                    and os.path.normpath(os.path.join(c['directory'], c['file'])) == path]
        if len(compiled) != 1:
            raise Trouble(f'{len(compiled)} objects of {LIBRARY} are made from {name}')
        before, planted = compiled[0]['output'], os.path.join(folder, name + '.o')
        words = [w for w in shlex.split(compiled[0]['command']) if w != '-Werror']
        words = [changed if w == compiled[0]['file'] else planted if w == before else w for w in words]
        must(words, self.build)
        program = os.path.join(folder, 'tela-sim')
        if self.link.count(LIBRARY) != 1 or 'tests/sim/tela-sim' not in self.link:
            raise Trouble(f'the link command does not name {LIBRARY}')
        # the library's own is not taken, since all that it defines is there already
        at = self.link.index(LIBRARY)
        link = [*self.link[:at], planted, *self.link[at:]]
        must([program if w == 'tests/sim/tela-sim' else w for w in link], self.build)
        return program


def find(build, bug, seconds):
    """Returns the seed and what was seen; (None, why) if nothing was."""
    with tempfile.TemporaryDirectory(prefix='tela-plant-') as folder:
        program = build.plant(bug, folder)
        options = ['--study', bug[5]] if len(bug) > 5 else []
        code, text = run([program, '--seed', '1', '--runs', '1000000', *options], folder, seconds)
        seed = re.search(r'^FAILED: seed (\d+)', text, re.M)
        if not seed:
            return None, f'not found in {seconds} s' if code is None else f'exit {code} without a seed: {text[-500:]}'
        seen = re.search(r'VIOLATION[^:]*: (.*)', text) or re.search(r'(check failed: .*|(runtime error|Sanitizer): .*)', text)
        code, text = run([build.program, '--seed', seed[1], *options], folder, 120)
        if code != 0:
            return None, f'seed {seed[1]} fails without the bug too: {text[-500:]}'
        return int(seed[1]), seen[1] if seen else 'the program crashed'


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument('source')
    words.add_argument('build')
    words.add_argument('--only', action='append', metavar='NAME', help='this bug, not all')
    words.add_argument('--draw', type=int, metavar='N', help='N of them, others each time')
    words.add_argument('--seconds', type=int, default=60, help='most that are spent on seeds for one bug (60)')
    words.add_argument('--list', action='store_true', help='says which bugs there are')
    told = words.parse_args()
    bugs = [b for b in BUGS if not told.only or b[0] in told.only]
    if told.list:
        for b in bugs:
            print(f'{b[0]:12} {b[1]} ({b[2]})')
        return 0
    if not bugs:
        raise Trouble(f'no bug is named {told.only}; --list names them')
    build, missed = Build(told.source, told.build), 0
    for bug in bugs:
        build.text_of(bug)
    if told.draw:
        bugs = random.sample(bugs, min(told.draw, len(bugs)))
    print(f'{"bug":12} {"seed":>6} {"s":>5}  what was seen')
    for bug in bugs:
        began = time.monotonic()
        seed, seen = find(build, bug, told.seconds)
        missed += seed is None
        print(f'{bug[0]:12} {seed if seed is not None else "MISSED":>6} {time.monotonic() - began:5.1f}  {seen}', flush=True)
    print(f'{len(bugs) - missed} of {len(bugs)} found')
    return 1 if missed else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except Trouble as trouble:
        sys.exit(f'plant.py: {trouble}')
