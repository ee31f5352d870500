"""Keeps the include graph and the style, instead of a reviewer.

    schemas <- dataplane <- control        bench and tests may see everything; nothing sees them
                        \\- services

usage: tidy.py [ROOT]      checks the tree; one line a finding, exit 1 if there is one
       tidy.py --self-test plants one violation of each rule and sees that each is found
"""
import os
import re
import sys
import tempfile

# ---- who may include what (of ours) ----

# Installed: they include only each other.
PUBLIC = {'tela.h', 'tela_callback.h', 'tela_config.h', 'tela_plugin.h', 'tela_node.h',
          'tela_discovery.h', 'tela_forward.h', 'tela_log.h',
          'tela_mesh.h',
          'tela_registry.h', 'tela_state.h',
          'tela_status.h', 'tela_trace.h', 'tela_fb.h', 'tela_fb_print.h', 'tela_fb_share.h', 'tela_fb_verify.h'}
LEAVES = {'base.h', 'siphash.h'}  # of dataplane, for all parts: no state, nothing but C in them
DATAPLANE_FOR_CONTROL = PUBLIC | LEAVES
# Made from schemas/*.fbs: known by name, not there before a build.
GENERATED = re.compile(
    r'^(calculator|echo|echo_next|frame|kv|monster|monster_common|reflection|shapes|shop|shout|wide)(_rpc)?\.h$')
# Parts that a part may include headers of, besides what is above.
SEES = {
    'schemas': {'schemas'},
    'dataplane': {'schemas', 'dataplane'},
    'control': {'schemas', 'control'},
    'services': {'schemas', 'services'},
}
DPDK = re.compile(r'^(rte_.*|urcu.*)\.h$')
DPDK_FILES = re.compile(r'^(dataplane/|tests/dataplane/|bench/(echo|floor|yardstick)\.[ch]$)')
BARE_C = {'assert.h', 'ctype.h', 'errno.h', 'inttypes.h', 'limits.h', 'math.h', 'stdarg.h', 'stdatomic.h', 'stdbool.h',
          'stddef.h', 'stdint.h', 'stdio.h', 'stdlib.h', 'string.h', 'time.h'}

# ---- lengths ----

LINE_COLUMNS, FUNCTION_LINES, FILE_LINES = 130, 90, 900  # a tab is 8 columns
CODE_COLUMNS = 110  # of C: clang-format keeps 100 where it can
LONG_FUNCTIONS = {  # (file, function): why it is better whole
}
LONG_FILES = {      # file: why
}

# ---- which files ----

PARTS = ('schemas', 'dataplane', 'control', 'services', 'bench', 'tests', 'deploy')
CODE = ('.c', '.h', '.cc')
TEXT = CODE + ('.py', '.lua', '.sh', '.fbs', '.md', '.yaml', '.txt', '.build')
SKIPPED = re.compile(r'(^|/)(build[^/]*|__pycache__|\.git|corpus)(/|$)')

# Written so that this file does not hold them itself.
LEFT_OVER = re.compile(r'\b(TO[D]O|FIX[M]E|X[X]X)\b|^\s*#\s*if\s+[0]\b')
MACHINE_PATH = re.compile(r'(?<![\w.$}])/(wo[r]k|ho[m]e|ro[o]t|Us[e]rs|m[n]t)/(?!nowhere/)')  # a folder named nowhere is a test's


def files(root):
    """Every file of ours, as a path from `root`."""
    for folder, folders, names in os.walk(root):
        at = os.path.relpath(folder, root)
        at = '' if at == '.' else at + '/'
        folders[:] = sorted(f for f in folders if not SKIPPED.search(at + f))
        for name in sorted(names):
            first = (at + name).split('/')[0]
            if (first in PARTS or not at or first == '.ci') and not name.endswith('.pyc'):
                yield at + name


def is_text(path):
    name = os.path.basename(path)
    return name.endswith(TEXT) or (path.startswith(('deploy/', '.ci/')) and '.' not in name)


class Tree:
    def __init__(self, root):
        self.root = root
        self.found = []
        self.paths = list(files(root))
        self.headers = {}  # base name: paths
        for path in self.paths:
            if path.endswith('.h'):
                self.headers.setdefault(os.path.basename(path), []).append(path)

    def say(self, path, line, text):
        self.found.append(f'{path}:{line}: {text}')

    def read(self, path):
        with open(os.path.join(self.root, path), errors='replace') as f:
            return f.read().split('\n')

    # ---- includes ----

    def resolve(self, path, name):
        """The file of ours that an include leads to; None: a system's, or generated."""
        near = os.path.normpath(os.path.join(os.path.dirname(path), name))
        if os.path.exists(os.path.join(self.root, near)):
            return near
        if '/' in name and not name.startswith('.'):
            return None  # event2/thread.h
        candidates = self.headers.get(os.path.basename(name), [])
        mine = [c for c in candidates if c.split('/')[0] == path.split('/')[0]]
        return (mine or candidates or [None])[0]

    def include(self, path, n, name):
        part, base = path.split('/')[0], os.path.basename(name)
        target = self.resolve(path, name)
        if DPDK.match(name) and not DPDK_FILES.match(path):
            self.say(path, n, f'{name}: DPDK and liburcu are used in dataplane (and by the yardsticks) only')
        if os.path.basename(path) in PUBLIC and (part in SEES) and base not in PUBLIC | BARE_C:
            self.say(path, n, f'{name}: a public header includes only public headers and those of C')
        if part == 'dataplane' and os.path.basename(path) in LEAVES and base not in BARE_C:
            self.say(path, n, f'{name}: a leaf includes only headers of C')
        if not target or part not in SEES or GENERATED.match(base):
            return  # a system's, or made by the build
        there = target.split('/')[0]
        allowed = DATAPLANE_FOR_CONTROL if part in ('control', 'services') else PUBLIC
        if there in SEES[part] or (there == 'dataplane' and part != 'schemas' and base in allowed):
            return
        self.say(path, n, f'{name}: {part} may not include {target}')

    # ---- text ----

    def line(self, path, n, text):
        if text != text.rstrip():
            self.say(path, n, 'blanks at the end of the line')
        if LEFT_OVER.search(text):
            self.say(path, n, 'left over: finish it, or open an issue')
        if MACHINE_PATH.search(text):
            self.say(path, n, "a path of somebody's machine")
        columns = len(text.expandtabs(8))
        most = CODE_COLUMNS if path.endswith(CODE) else LINE_COLUMNS
        if columns > most and not path.endswith(('.md', '.txt')):
            self.say(path, n, f'{columns} columns, at most {most}')
        if path.endswith(CODE) and re.match(r' {4,}[^ *]', text) and not text.endswith('\\'):
            self.say(path, n, 'indented with blanks, not tabs')

    def functions(self, path, lines):
        """In this style a function begins with a brace in the first column and ends with one."""
        begin = None
        for n, text in enumerate(lines, 1):
            if text == '{':
                begin = n
            elif text == '}' and begin:
                head = ' '.join(lines[max(0, begin - 6):begin - 1])
                names = re.findall(r'(\w+)\(', re.split(r'[};/]\s', head)[-1])
                name = next((x for x in names if not x.startswith('__')), '?')
                if n - begin + 1 >= FUNCTION_LINES and (path, name) not in LONG_FUNCTIONS:
                    self.say(path, begin, f'{name} has {n - begin + 1} lines, below {FUNCTION_LINES} wanted')
                begin = None

    def file(self, path):
        lines = self.read(path)
        if lines and lines[-1] != '':
            self.say(path, len(lines), 'no newline at the end of the file')
        elif len(lines) > 1 and lines[-2] == '':
            self.say(path, len(lines) - 1, 'an empty line at the end of the file')
        if len(lines) > FILE_LINES and path not in LONG_FILES:
            self.say(path, 1, f'{len(lines)} lines, below {FILE_LINES} wanted')
        for n, text in enumerate(lines, 1):
            self.line(path, n, text)
            include = re.match(r'\s*#\s*include\s*[<"]([^">]+)[">]', text) if path.endswith(CODE) else None
            if include:
                self.include(path, n, include[1])
        if path.endswith(('.c', '.cc', '.h')):
            self.functions(path, lines)

    def check(self):
        for path in self.paths:
            if is_text(path):
                self.file(path)
        return self.found


# ---- of itself ----

PLANTED = [  # file, text, what must be said
    ('services/a.c', '#include "machine.h"\n', 'may not include'),
    ('services/a.c', '#include "../control/conf.h"\n', 'may not include'),
    ('control/a.c', '#include "../dataplane/machine.h"\n', 'may not include'),
    ('control/a.c', '#include "svc.h"\n', 'may not include'),
    ('dataplane/a.c', '#include "conf.h"\n', 'may not include'),
    ('schemas/a.c', '#include "tela.h"\n', 'may not include'),
    ('services/a.c', '#include <rte_mbuf.h>\n', 'DPDK and liburcu'),
    ('bench/load.c', '#include <urcu-qsbr.h>\n', 'DPDK and liburcu'),
    ('dataplane/tela.h', '#include "machine.h"\n', 'public header'),
    ('dataplane/base.h', '#include <rte_mbuf.h>\n', 'a leaf includes only'),
    ('control/a.c', 'int x; \n', 'blanks at the end'),
    ('control/a.c', '/* TO' + 'DO: later */\n', 'left over'),
    ('control/a.c', '#if ' + '0\n#endif\n', 'left over'),
    ('control/a.c', 'char *p = "/wo' + 'rk/x";\n', "somebody's machine"),
    ('control/a.c', '\tint ' + 'x' * 120 + ';\n', 'columns'),
    ('control/a.c', 'int f(void)\n{\n' + '\tg();\n' * 90 + '}\n', 'f has 92 lines'),
    ('control/a.c', 'int x;\n' * 901, 'lines, below'),
    ('control/a.c', 'int f(void)\n{\n        g();\n}\n', 'indented with blanks'),
    ('control/a.c', 'int x;', 'no newline'),
    ('deploy/a', 'x \n', 'blanks at the end'),
]
RIGHT = {
    'schemas/tela_fb.h': '#include <stdint.h>\n',
    'dataplane/tela.h': '#include <stdint.h>\n#include <tela_fb.h>\n',
    'dataplane/base.h': '#include <errno.h>\n',
    'dataplane/machine.h': '#include "base.h"\n#include <rte_mbuf.h>\n',
    'control/conf.h': '#include "../dataplane/base.h"\n#include "../dataplane/tela.h"\n',
    'services/svc.h': '#include "tela.h"\n#include "kv_rpc.h"\n',
    'bench/load.c': '#include "../control/conf.h"\n#include "machine.h"\n',
    'control/long.c': 'int f(void)\n{\n' + '\tg();\n' * 80 + '}\n',
}


def self_test():
    bad = 0
    for path, text, expected in [('', '', None)] + PLANTED:
        with tempfile.TemporaryDirectory() as root:
            for name, content in {**RIGHT, **({path: text} if path else {})}.items():
                os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
                with open(os.path.join(root, name), 'w') as f:
                    f.write(content)
            found = Tree(root).check()
        if (expected is None and found) or (expected and not any(expected in x and x.startswith(path) for x in found)):
            print(f'self-test: {path}: {text[:50]!r}: expected {expected!r}, found {found}')
            bad = 1
    print(f'self-test: {len(PLANTED)} planted violations, {"not all" if bad else "all"} found')
    return bad


def main():
    if sys.argv[1:] == ['--self-test']:
        return self_test()
    found = Tree(sys.argv[1] if len(sys.argv) > 1 else '.').check()
    print('\n'.join(found) if found else 'tidy')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
