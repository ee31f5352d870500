"""Runs commands; one that fails is an exception with what it said."""
import shlex
import subprocess
import tempfile


class Failed(Exception):
    pass


def call(*command, cwd=None):
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = done.stdout.decode(errors='replace')
    if done.returncode:
        raise Failed(f'{shlex.join(command)[:300]}\nexit {done.returncode}\n{text[:6000]}')
    return text


def call_all(commands, cwd):
    """At the same time."""
    logs = [tempfile.TemporaryFile() for _ in commands]
    running = [subprocess.Popen(c, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
               for c, log in zip(commands, logs)]
    codes = [p.wait() for p in running]
    for command, code, log in zip(commands, codes, logs):
        log.seek(0)
        text = log.read().decode(errors='replace')
        log.close()
        if code:
            raise Failed(f'{shlex.join(command)}\nexit {code}\n{text[:6000]}')
