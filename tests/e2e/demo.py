"""The main job as a newcomer runs it, and interrupted: it says so, and nothing of it stays.

usage: demo.py   (run by deploy/test; takes two CPUs for a minute)
"""
import json
import os
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHORT = ['deploy/demo', '--json', '--no-setup', '--share-cpu', '--seconds', '0.2', '--rounds', '1']


def start(command):
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def huge_pages():
    try:
        return open('/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages').read().strip()
    except OSError:
        return ''


def traces(pid):
    """What belongs to the run of that process id: its prefix is in names, command lines and the state file."""
    mine = f'tela-demo-{pid}-'
    found = [f'/var/lib/tela/demo.{pid}'] if os.path.exists(f'/var/lib/tela/demo.{pid}') else []
    for place in ('/tmp', '/run/dpdk', '/tmp/dpdk'):
        found += [f'{place}/{name}' for name in os.listdir(place) if mine in name] if os.path.isdir(place) else []
    for process in filter(str.isdigit, os.listdir('/proc')):
        try:
            line = open(f'/proc/{process}/cmdline').read()
        except OSError:
            continue
        if mine in line:
            found.append(f'process {process}: ' + line.replace('\0', ' '))
    return found


def check(held, what):
    if not held:
        sys.exit(f'demo.py: {what}')


def whole():
    before = huge_pages()
    p = start(SHORT)
    out, err = p.communicate(timeout=200)
    sys.stderr.write(err[-3000:])
    check(p.returncode == 0, f'exit {p.returncode}: {out[-2000:]}')
    check(isinstance(json.loads(out), dict), 'standard output is one JSON object')
    check(not traces(p.pid), f'left behind: {traces(p.pid)}')
    check(huge_pages() == before, f'huge pages: {before} before, {huge_pages()} after')


def interrupted(after, how):
    """`after`: a text on standard error."""
    before = huge_pages()
    p = start(SHORT)
    for line in p.stderr:
        if after in line:
            break
    time.sleep(0.05)
    p.send_signal(how)
    out, err = p.communicate(timeout=60)
    check(p.returncode == (130 if how == signal.SIGINT else 143), f'"{after}": exit {p.returncode}: {err[-2000:]}')
    check('interrupted' in err, f'"{after}": it does not say that it was interrupted: {err[-2000:]}')
    check(not traces(p.pid), f'"{after}": left behind: {traces(p.pid)}')
    check(huge_pages() == before, f'"{after}": huge pages: {before} before, {huge_pages()} after')
    print(f'interrupted at "{after}": nothing is left')


def main():
    whole()
    for after, how in (('setup: huge pages', signal.SIGINT), ('yardstick: ', signal.SIGTERM),
                       ('telad: ready', signal.SIGINT), ('kv  ', signal.SIGINT), ('swaps  ', signal.SIGTERM)):
        interrupted(after, how)


main()
