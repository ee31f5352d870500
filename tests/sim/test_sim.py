"""The simulator itself: one seed is one run, whatever else differs; a fault left out stays out; options that mean nothing
are refused; the help lists what there is.

usage: test_sim.py TELA_SIM
"""
import os
import re
import subprocess
import sys

SIM = sys.argv[1]
FAULTS = ['loss', 'duplicate', 'reorder', 'corrupt', 'jitter', 'cut', 'partition', 'pause', 'crash', 'clock', 'slow', 'rings',
          'alloc', 'scarce', 'drain', 'swap', 'link']


def run(*options, env=None, code=0):
    done = subprocess.run([SIM, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200,
                          env={**os.environ, **(env or {})}, check=False)
    assert done.returncode == code, f'{options}: exit {done.returncode}\n{done.stdout[-3000:]}'
    return done.stdout


def hashes(*options, env=None):
    found = re.findall(r'^seed (\d+) hash ([0-9a-f]{16}) ', run('--hash', *options, env=env), re.M)
    assert found, options
    return dict(found)


def test_one_seed_is_one_run():
    first = hashes('--seed', '1', '--runs', '12')
    # Other addresses, other contents of fresh memory, other environment.
    assert first == hashes('--seed', '1', '--runs', '12', env={'MALLOC_PERTURB_': '165', 'PADDING': 'x' * 4000})
    assert len(set(first.values())) == 12
    # A seed does not depend on those before it.
    assert hashes('--seed', '12')['12'] == first['12']


def test_verbose_changes_nothing():
    text = run('--seed', '3', '--hash', '--verbose')
    assert re.search(r'hash ([0-9a-f]{16})', text)[1] == hashes('--seed', '3')['3']
    for word in ('is made', 'runs', 'ends', 'request(', 'response(', 'nodes:', 'wires:'):
        assert word in text, word
    call = re.findall(r'call (\d+) is made', text)[5]
    one = run('--seed', '3', '--verbose', '--follow', call)
    assert set(re.findall(r'call (\d+) ', one)) == {call}


def test_without():
    text = run('--seed', '1', '--runs', '10', '--without', ','.join(f for f in FAULTS if f != 'crash'))
    hit = re.search(r'^faults:(.*)$', text, re.M)[1].split()
    assert set(hit[::2]) <= {'crash', 'rings'}, hit  # a ring of full length may still run over


def test_stalls_and_partitions():
    """Nothing but these: calls fail where the rule says so, and nowhere else (oracle.c)."""
    for only, wanted in ({'pause'}, {'pause', 'rings'}), ({'pause', 'partition'}, {'pause', 'partition', 'rings'}):
        text = run('--seed', '1', '--runs', '40', '--without', ','.join(f for f in FAULTS if f not in only))
        hit = re.search(r'^faults:(.*)$', text, re.M)[1].split()
        assert only <= set(hit[::2]) <= wanted, hit


def test_every_fault_is_used():
    hit = dict(re.findall(r' (\w+) (\d+)', re.search(r'^faults:(.*)$', run('--seed', '1', '--runs', '60'), re.M)[1]))
    missing = set(FAULTS) - set(hit) - {'reorder', 'jitter', 'scarce'}  # these three are not single events
    assert not missing, missing


def test_options():
    text = run('--help')
    for fault in FAULTS:
        assert re.search(rf'^  {fault} +\w', text, re.M), fault
    for option in ('seed', 'runs', 'minutes', 'nodes', 'calls', 'without', 'study', 'verbose', 'follow', 'hash'):
        assert re.search(rf'^  --{option}\b.*\w', text, re.M), option
    assert 'no fault is named "rain"' in run('--without', 'loss,rain', code=2)
    assert 'no study is named "rain"' in run('--study', 'rain', code=2)
    assert 'no number' in run('--seed', 'x', code=2)
    assert 'no number' in run('--nodes', '1', code=2)
    assert 'means nothing' in run('seed', code=2)
    first = re.search(r'from seed (\d+)', run('--seed', 'fresh', '--calls', '50'))[1]
    assert first != re.search(r'from seed (\d+)', run('--seed', 'fresh', '--calls', '50'))[1]


def test_readme():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'README.md')) as f:
        blocks = re.findall(r'^```sh\n(.*?)^```$', f.read(), re.S | re.M)
    commands = re.findall(r'^build/tests/sim/tela-sim (.*?) *(?:#.*)?$', ''.join(blocks), re.M)
    assert len(commands) > 5
    for command in commands:
        if '--nodes' not in command and '--study' not in command:  # those are tests of their own
            run(*command.replace('--minutes 60', '--runs 2').split())


def main():
    for name, test in list(globals().items()):
        if name.startswith('test_'):
            test()
            print(f'{name}: ok', flush=True)


if __name__ == '__main__':
    main()
