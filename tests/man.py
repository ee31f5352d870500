"""The man pages say what the programs say of themselves: every option of --help stands in the page and no other does, and
telactl's page has every command of a node, made from the node's own list.

usage: man.py PAGES FAKE_TELAD TELACTL PROGRAM...   compares; exit 1 with what differs
       man.py --write PAGES FAKE_TELAD              writes the commands into telactl.1
"""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

FROM, TO = '.\\" made from the list of commands by tests/man.py', '.\\" as far as here\n'
OWN = ('batch', 'call', 'describe')  # telactl's own; `call` is the node's with --raw


def node_commands(telad):
    """As a node lists them."""
    with tempfile.TemporaryDirectory() as folder:
        admin, config = os.path.join(folder, 'a.sock'), os.path.join(folder, 'n.yaml')
        with open(config, 'w') as f:
            f.write(f'node: {{name: n, admin: {admin}}}\ncores: [{{cpu: 0}}]\n')
        node = subprocess.Popen([telad, '--config', config], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            node.stdout.readline()
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(60)
                s.connect(admin)
                s.sendall(b'{"cmd":"commands"}\n')
                return json.loads(s.makefile().readline())['commands']
        finally:
            node.terminate()
            node.wait(60)
            node.stdout.close()


def roff(text):
    return text.replace('\\', '\\e').replace('-', '\\-')


def argument(a):
    """How it is given, as telactl's --help has it."""
    name = a['name']
    if a['kind'] == 'config':
        return '[key=value ...]'
    if a['positional']:
        return name if a['required'] else f'[{name}]'
    if a['required']:
        return f'{name}=...'
    return f'[--{name}]' if a['kind'] == 'flag' else f'[{name}=...]'


def made(commands):
    """The section of telactl.1 that lists them."""
    lines = [FROM]
    for c in commands:
        name = c['command'].replace('.', ' ') + (' --raw' if c['command'] == 'call' else '')
        lines += ['.TP', f'\\fB{roff(name)}\\fR {roff(" ".join(map(argument, c["arguments"])))}'.rstrip(),
                  roff(c['help'][0].upper() + c['help'][1:]) + '.']
        if c['arguments']:
            lines.append('.RS')
        for a in c['arguments']:
            lines += [f'.IP "\\fB{roff(a["name"])}\\fR" 14', roff(a['help'])]
        if c['arguments']:
            lines.append('.RE')
    return '\n'.join(lines) + '\n' + TO


def split(page):
    """What stands before the made section, it, and what stands behind it."""
    at, end = page.index(FROM), page.index(TO) + len(TO)
    return page[:at], page[at:end], page[end:]


def plain(page):
    """Without fonts and other requests."""
    return re.sub(r'\\f.', '', re.sub(r'^\.\w+ ?|"', '', page, flags=re.M).replace('\\-', '-').replace('\\e', '\\'))


def options(text):
    return set(re.findall(r'(?<![\w-])--[a-z][a-z-]*', text))


def compare(name, page, text, others=()):
    """Options of a program in its page, and in what its --help says; `others` are spoken of."""
    has, says = options(plain(page)) - set(others), options(text)
    for o in sorted(says - has):
        yield f'{name}: {o} of --help is not in the man page'
    for o in sorted(has - says):
        yield f'{name}: {o} of the man page is not in --help'


def check(pages, telad, telactl, programs):
    with open(os.path.join(pages, 'telactl.1')) as f:
        before, section, after = split(f.read())
    if section != made(node_commands(telad)):
        yield 'telactl.1: other commands than a node lists; tests/man.py --write PAGES FAKE_TELAD writes them'
    words = [[], *([o] for o in OWN)]
    helps = ''.join(help_of(telactl, w) for w in words)
    yield from compare('telactl', before + after, helps,
                       {'--name', *options(plain(section))} - options(helps))
    for program in programs:
        name = os.path.basename(program)
        with open(os.path.join(pages, f'{name}.{8 if name == "telad" else 1}')) as f:
            page = f.read()
        words = [[], ['lint']] if name == 'telac' else [[]]
        yield from compare(name, page, ''.join(help_of(program, w) for w in words))
    for page in sorted(os.listdir(pages)):
        if shutil.which('groff'):
            said = subprocess.run(['groff', '-man', '-Tutf8', '-ww', '-z', os.path.join(pages, page)], capture_output=True,
                                  text=True, timeout=60).stderr
            if said:
                yield f'{page}: {said}'


def help_of(program, words):
    done = subprocess.run([program, *words, '--help'], capture_output=True, text=True, timeout=60,
                          env=dict(os.environ, TELA_SOCKET='/nowhere/at/all'))
    return done.stdout if not done.returncode else f'{program} {words}: exit {done.returncode}'


def main():
    if sys.argv[1] == '--write':
        path = os.path.join(sys.argv[2], 'telactl.1')
        with open(path) as f:
            before, _, after = split(f.read())
        with open(path, 'w') as f:
            f.write(before + made(node_commands(sys.argv[3])) + after)
        return 0
    wrong = list(check(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
    print('\n'.join(wrong) or 'the man pages say what the programs say')
    return bool(wrong)


if __name__ == '__main__':
    sys.exit(main())
