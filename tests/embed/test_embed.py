"""Installs the build into a folder of its own and builds a program against what was installed: with pkg-config,
as C and as C++; every public header alone in both languages. Runs it.

usage: test_embed.py SOURCE BUILD
"""
import os
import re
import subprocess
import sys
import tempfile

HEADERS = ('tela_fb.h', 'tela_fb_print.h', 'tela_fb_share.h', 'tela_fb_verify.h', 'tela.h', 'tela_plugin.h', 'tela_node.h')
STRICT = ['-Wall', '-Wextra', '-Werror']


def run(args, **kw):
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **kw)
    if done.returncode:
        sys.exit(f'{" ".join(args)}\n{done.stdout}')
    return done.stdout


def find_file(root, name):
    return next(os.path.join(f, name) for f, _, names in os.walk(root) if name in names)


def move_prefix(root):
    """What was installed for /usr/local stands below `root`."""
    path = find_file(root, 'tela.pc')
    with open(path, encoding='utf-8') as f:
        text = f.read()
    with open(path, 'w', encoding='utf-8') as f:
        f.write(re.sub(r'^prefix=', 'prefix=' + root, text, flags=re.M))


def pkg_config(root, what):
    env = {**os.environ, 'PKG_CONFIG_PATH': os.path.dirname(find_file(root, 'tela.pc'))}
    return run(['pkg-config', what, 'tela'], env=env).split()


def main(source, build):
    program = os.path.join(source, 'tests/embed/embed.c')
    with tempfile.TemporaryDirectory() as root:
        run(['meson', 'install', '-C', build, '--no-rebuild', '--destdir', root])
        move_prefix(root)
        flags, libs = pkg_config(root, '--cflags'), pkg_config(root, '--libs')
        library = os.path.dirname(find_file(root, 'libtela.so'))
        for compiler, language in (('gcc', 'c'), ('clang', 'c'), ('g++', 'c++'), ('clang++', 'c++')):
            standard = '-std=c11' if language == 'c' else '-std=c++17'
            for header in HEADERS:
                run([compiler, '-x', language, standard, *STRICT, '-fsyntax-only', *flags, '-include', header, '/dev/null'])
            out = os.path.join(root, 'embed-' + compiler)
            run([compiler, '-x', language, standard, *STRICT, program, '-x', 'none', '-o', out, *flags, *libs])
            print(compiler, run([out], env={**os.environ, 'LD_LIBRARY_PATH': library}).strip())


if __name__ == '__main__':
    main(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]))
