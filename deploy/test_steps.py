"""What deploy/test runs, step by step, and the sum of it.

A step builds in a folder of its own (build/ is shared with the main job) and adds results: a name, passed, failed or
skipped, and for the last two a reason. A test that skips (exit 77) says what it could not have; if what it names is
there, or it names nothing that is known here, that counts as failed: nothing is skipped in silence.
"""
import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CPUS = len(os.sched_getaffinity(0))
FUZZ_SECONDS = 20
LIMIT_SECONDS = 25 * 60 - 20  # all steps together
BEGAN = time.monotonic()

results = []  # (step, name, 'passed' | 'failed' | 'skipped', reason)
times = []    # (step, seconds)
running = set()


# ---- what a skipped test may ask for: a word of its reason, and whether it is there ----

def free_huge_pages():
    try:
        return int(open('/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages').read())
    except OSError:
        return 0


def namespaces():
    return os.geteuid() == 0 and subprocess.run(['unshare', '-n', 'true'], stderr=subprocess.DEVNULL).returncode == 0


def link_kind(*kind):
    """Can the kernel make such an interface? Tried in a namespace that ends with the command."""
    command = ['unshare', '-n', 'ip', 'link', 'add', 'tela-try', *kind]
    return namespaces() and subprocess.run(command, capture_output=True).returncode == 0


NEEDS = [
    (r'\bhuge ?pages?\b', 'huge pages', lambda: free_huge_pages() > 0),
    (r'\bveth\b|\baf_packet\b', 'veth interfaces', lambda: link_kind('type', 'veth', 'peer', 'name', 'tela-try2')),
    (r'\btap\b|/dev/net/tun', '/dev/net/tun', lambda: os.path.exists('/dev/net/tun')),
    (r'\bnamespaces?\b', 'network namespaces', namespaces),
    (r'\bthere is no (node|esbuild|npm)\b', 'node, esbuild and npm',
        lambda: all(shutil.which(p) for p in ('node', 'esbuild', 'npm'))),
    (r'\bregistry of npm\b', 'the registry of npm',
        lambda: subprocess.run(['npm', 'ping', '--fetch-retries=0'], capture_output=True).returncode == 0),
    (r'\bflatbuffers\b', 'the Python package flatbuffers',
        lambda: subprocess.run(['/usr/bin/python3', '-c', 'import flatbuffers'], capture_output=True).returncode == 0),
    (r'\b(two|2|second|more) (free )?CPUs?\b|\bone CPU\b', 'two CPUs', lambda: CPUS >= 2),
    (r'\bordinary user\b|\bnobody\b|\bsetpriv\b', 'root, to become an ordinary user', lambda: os.geteuid() == 0),
    (r'\btshark\b|\bdpdk-\w+', "tshark and DPDK's tools",
        lambda: all(shutil.which(p) for p in ('tshark', 'dpdk-testpmd', 'dpdk-dumpcap'))),
    (r'\broot\b', 'root', lambda: os.geteuid() == 0),
]


def judge_skip(reason):
    """'skipped' if what the reason names is not there; else 'failed' and why."""
    for pattern, what, there in NEEDS:
        if re.search(pattern, reason, re.I):
            if there():
                return 'failed', f'skipped although there is {what}: {reason}'
            return 'skipped', reason
    return 'failed', f'skipped without a reason that is known here: {reason or "none given"}'


# ---- running things ----

class Failed(Exception):
    pass


def say(text):
    print(f'[{time.monotonic() - BEGAN:5.0f} s] {text}', flush=True)


def add(step, name, result, reason=''):
    results.append((step, name, result, reason))
    if result != 'passed':
        say(f'{step}: {name}: {result.upper()} {reason}')


def left():
    return LIMIT_SECONDS - (time.monotonic() - BEGAN)


def start(command, log, env=None):
    """A process group of its own, so that its end takes along what it started."""
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                               env=env, start_new_session=True)
    running.add(process)
    return process


def end(process):
    for how, seconds in ((signal.SIGTERM, 30), (signal.SIGKILL, 10)):
        if process.poll() is None:
            os.killpg(process.pid, how)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
    running.discard(process)


def call(command, env=None, seconds=None, beat=None):
    """Exit code and output. `beat` is called now and then meanwhile."""
    with tempfile.TemporaryFile('w+', errors='replace') as log:
        process = start(command, log, {**os.environ, **(env or {})})
        until = time.monotonic() + min(left(), seconds or left())
        while process.poll() is None and time.monotonic() < until:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                if beat:
                    beat()
        timed_out = process.poll() is None
        end(process)
        log.seek(0)
        text = log.read()
    if timed_out:
        text += f'\nnot done in time: {" ".join(command)}'
    return (1 if timed_out else process.returncode), text


def must(what, command, env=None):
    code, text = call(command, env)
    if code:
        print(text[-6000:])
        raise Failed(f'{what} (exit {code})')
    return text


# ---- builds ----

def introspect(build, what):
    return json.loads(must(f'meson introspect {what}', ['meson', 'introspect', f'--{what}', build]))


def configure(step, build, options, compiler='gcc'):
    """Made, or brought to these options; a folder that meson no longer accepts is made anew."""
    compilers = {'gcc': ('gcc', 'g++'), 'clang': ('clang', 'clang++')}[compiler]
    env = dict(zip(('CC', 'CXX'), compilers))
    options = ['-Dwerror=true', '-Dtests=enabled', *options]
    path = os.path.join(ROOT, build)
    if os.path.exists(os.path.join(path, 'build.ninja')):
        if call(['meson', 'setup', '--reconfigure', build, *options], env)[0] == 0:
            return
        shutil.rmtree(path)
    must('meson setup', ['meson', 'setup', build, *options], env)


def compile_targets(step, build, targets=()):
    began = time.monotonic()
    must('build', ['ninja', '-C', build, *targets])
    say(f'{step}: built {build} in {time.monotonic() - began:.0f} s')
    add(step, 'build', 'passed')


def files_of(build, ids):
    """ninja's names of some of meson's targets."""
    top = os.path.join(ROOT, build)
    return sorted({os.path.relpath(f, top) for t in introspect(build, 'targets') if t['id'] in ids for f in t['filename']})


def last_line(text):
    lines = [line.strip() for line in (text or '').splitlines() if line.strip()]
    reasons = [line for line in lines if re.match(r'SKIP', line, re.I)]
    return (reasons or lines or [''])[-1]


def read_log(step, path):
    """The lines of meson's log; how many there were."""
    n = 0
    with open(path, errors='replace') as log:
        for line in log:
            test = json.loads(line)
            output = (test.get('stdout') or '') + '\n' + (test.get('stderr') or '')
            name, result = test['name'], test['result']
            n += 1
            if result in ('OK', 'EXPECTEDFAIL'):
                add(step, name, 'passed')
            elif result == 'SKIP':
                add(step, name, *judge_skip(last_line(output)))
            else:
                add(step, name, 'failed', f'{result}, exit {test.get("returncode")}')
                print(output[-5000:])
    return n


def run_tests(step, build, wanted, what='tests', env=None, multiplier=1):
    """Those tests for whose suites `wanted` says yes: what they depend on is built, then they run, then the log is read."""
    tests = [t for t in introspect(build, what) if wanted([s.split(':')[-1] for s in t['suite']])]
    if not tests:
        add(step, what, 'failed', 'there are none in this build')
        return
    compile_targets(step, build, files_of(build, {i for t in tests for i in t['depends']}))
    base = f'deploy-{os.getpid()}'  # not mixed up with another meson test in the same folder
    log = os.path.join(ROOT, build, 'meson-logs', base + '.json')
    command = ['meson', 'test', '-C', build, '--no-rebuild', '--timeout-multiplier', str(multiplier),
               '--num-processes', str(CPUS), '--logbase', base]
    if what != 'tests':
        command.append('--benchmark')

    def beat():
        try:
            done = sum(1 for _ in open(log))
        except OSError:
            done = 0
        say(f'{step}: {done} of {len(tests)} {what} done')

    began = time.monotonic()
    names = [t['name'] for t in tests]
    code, text = call([*command, *names], env, beat=beat)
    n = read_log(step, log) if os.path.exists(log) else 0
    for ending in ('.json', '.txt', '.junit.xml'):
        if os.path.exists(os.path.join(ROOT, build, 'meson-logs', base + ending)):
            os.remove(os.path.join(ROOT, build, 'meson-logs', base + ending))
    if n < len(tests):
        print(text[-3000:])
        add(step, what, 'failed', f'only {n} of {len(tests)} ended (exit {code})')
    say(f'{step}: {n} {what} in {time.monotonic() - began:.0f} s')


# ---- the steps ----

SANITIZED = ['-Djemalloc=disabled', '-Ddebug=true', '-Doptimization=1', '-Db_lundef=false', '-Db_ndebug=false']
# All there is but the micro-benchmarks, by clang: with the fuzz targets, which run over their corpora among the tests and then
# on their own.
ASAN = ['-Db_sanitize=address,undefined', '-Dfuzz=true', '-Dbench=disabled', *SANITIZED]
SANITIZER_ENV = {
    'ASAN_OPTIONS': 'detect_stack_use_after_return=1:strict_string_checks=1:abort_on_error=0',
    'UBSAN_OPTIONS': 'print_stacktrace=1:halt_on_error=1',
    'TSAN_OPTIONS': 'halt_on_error=1:second_deadlock_stack=1:report_thread_leaks=0',  # a hung hook's thread stays
}


planned = []  # names of the steps
beside = []   # builds under way while tests run that leave CPU time


def step_gcc(step):
    configure(step, 'build', [])
    compile_targets(step, 'build')
    if 'asan' in planned:
        configure('asan', 'build-asan', ASAN, 'clang')
        beside.append(start(['nice', '-n', '19', 'ninja', '-k0', '-j1', '-C', 'build-asan'], subprocess.DEVNULL))
    run_tests(step, 'build', lambda suites: True)


def unit(suites):
    """Not plain ones either: they compile for themselves, or are the like of others at a size that sanitizers make slow."""
    return not {'e2e', 'style', 'live', 'plain'} & set(suites)


def step_asan(step):
    while beside:  # what it has not done is done now, by all CPUs
        end(beside.pop())
    configure(step, 'build-asan', ASAN, 'clang')
    compile_targets(step, 'build-asan')
    run_tests(step, 'build-asan', unit, env=SANITIZER_ENV, multiplier=4)


def step_tsan(step):
    configure(step, 'build-tsan', ['-Db_sanitize=thread', '-Dbench=disabled', *SANITIZED], 'clang')
    run_tests(step, 'build-tsan', lambda suites: 'threads' in suites, env=SANITIZER_ENV, multiplier=6)


def fuzz_one(step, program, scratch):
    name = os.path.basename(program)
    kept = os.path.join(ROOT, 'tests', 'fuzz', 'corpus', re.sub('^fuzz_', '', name))
    found = os.path.join(scratch, name)
    os.makedirs(found)
    log = open(os.path.join(scratch, name + '.log'), 'w+', errors='replace')
    command = [program, f'-max_total_time={FUZZ_SECONDS}', '-timeout=10', '-rss_limit_mb=2048', '-print_final_stats=1',
               f'-artifact_prefix={found}/crash-', found, *([kept] if os.path.isdir(kept) else [])]
    return name, start(command, log, {**os.environ, **SANITIZER_ENV}), log


def fuzz_end(step, name, process, log):
    """libFuzzer ends by itself; what it prints shows the input that failed, in base64 too."""
    try:
        process.wait(FUZZ_SECONDS + 60)
    except subprocess.TimeoutExpired:
        pass
    end(process)
    log.seek(0)
    text = log.read()
    log.close()
    runs = re.search(r'number_of_executed_units:\s*(\d+)', text)
    if process.returncode == 0 and runs and int(runs[1]) > 0:
        add(step, name, 'passed')
        say(f'{step}: {name}: {int(runs[1]):,} inputs')
    else:
        print(text[-5000:])
        add(step, name, 'failed', f'exit {process.returncode}')


def step_fuzz(step):
    configure(step, 'build-asan', ASAN, 'clang')
    targets = [t for t in introspect('build-asan', 'targets') if t['type'] == 'executable' and t['name'].startswith('fuzz_')]
    if not targets:
        raise Failed('there is no target named fuzz_*')
    compile_targets(step, 'build-asan', files_of('build-asan', {t['id'] for t in targets}))
    programs = [t['filename'][0] for t in targets]
    with tempfile.TemporaryDirectory() as scratch:
        for i in range(0, len(programs), CPUS):
            group = [fuzz_one(step, p, scratch) for p in programs[i:i + CPUS]]
            for name, process, log in group:
                fuzz_end(step, name, process, log)


def step_bench(step):
    """That they run and that their work is right, not how fast; CI machines say nothing about that."""
    configure(step, 'build', [])
    run_tests(step, 'build', lambda suites: True, 'benchmarks', env={'TELA_BENCH_SMOKE': '1'})


def step_demo(step):
    code, text = call(['/usr/bin/python3', '-B', 'tests/e2e/demo.py'], seconds=400, beat=lambda: say(f'{step}: running'))
    print(text[-6000:])
    add(step, 'main job', 'passed' if code == 0 else 'failed', '' if code == 0 else f'exit {code}')


STEPS = {'gcc': step_gcc, 'asan': step_asan, 'tsan': step_tsan, 'fuzz': step_fuzz,
         'bench': step_bench, 'demo': step_demo}
QUICK = ['gcc', 'bench']


def run_step(name):
    began = time.monotonic()
    say(f'---- {name} ----')
    try:
        if left() < 10:
            raise Failed(f'no time left of {LIMIT_SECONDS} s')
        STEPS[name](name)
    except Failed as e:
        add(name, 'step', 'failed', str(e))
    times.append((name, time.monotonic() - began))


def summary():
    count = {'passed': 0, 'failed': 0, 'skipped': 0}
    print()
    for step, seconds in times:
        mine = [r for r in results if r[0] == step]
        print(f'{step:8} {seconds:5.0f} s  ' + ', '.join(
            f'{sum(r[2] == result for r in mine)} {result}' for result in count))
    for result in ('skipped', 'failed'):
        for step, name, what, reason in results:
            if what == result:
                print(f'{result.upper()}: {step}: {name}: {reason}')
    for r in results:
        count[r[2]] += 1
    print(f'{count["passed"]} passed, {count["failed"]} failed, {count["skipped"]} skipped', flush=True)
    return 1 if count['failed'] or not count['passed'] else 0


class HugePages:
    """For the tests that can use them; given back at the end, by the next deploy/demo if this is killed."""
    state = f'/var/lib/tela/test.{os.getpid()}'

    def __enter__(self):
        print(call(['deploy/setup', '--only', 'memory', '--state', self.state])[1], end='', flush=True)

    def __exit__(self, *_):
        if os.path.exists(self.state):
            print(call(['deploy/setup', '--undo', '--only', 'memory', '--state', self.state], seconds=60)[1], end='')


def stop(number, _):
    raise SystemExit(128 + number)


def main():
    parser = argparse.ArgumentParser(prog='deploy/test')
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--only', nargs='+', choices=STEPS, default=None)
    parser.add_argument('--no-setup', action='store_true')
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    planned.extend(options.only or (QUICK if options.quick else STEPS))
    with HugePages():
        try:
            for name in planned:
                run_step(name)
        finally:
            for process in list(running):
                end(process)
    return summary()


if __name__ == '__main__':
    sys.exit(main())
