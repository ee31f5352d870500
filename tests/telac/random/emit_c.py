"""ours.c: for each schema a function that makes our arguments from a message's text, and one that prints what our readers
say, for every table and struct."""
from content import key_of
from model import FLOATS, Enum, Struct, Table

# Of the words that schemas.py uses, those of C and C++: a member gets an underscore.
WORDS = {'class', 'default', 'delete', 'new', 'for', 'export', 'operator', 'template', 'register', 'restrict', 'inline',
         'typedef', 'typeof', 'switch', 'case', 'while', 'not', 'or', 'try', 'static', 'extern', 'volatile', 'goto',
         'linux', 'unix', 'this', 'throw'}
TAKEN = {'t', 'args', 'root', 'verify', 'size', 'build'}  # a reader of such a field gets one
CTYPE = {'bool': 'bool', 'byte': 'int8_t', 'ubyte': 'uint8_t', 'short': 'int16_t', 'ushort': 'uint16_t', 'int': 'int32_t',
         'uint': 'uint32_t', 'long': 'int64_t', 'ulong': 'uint64_t', 'float': 'float', 'double': 'double'}


def c_name(decl):
    return decl.full.replace('.', '_')


def member(name):
    return name + '_' if name in WORDS else name


def reader(name):
    return name + '_' if name in TAKEN else name


def c_type(t):
    return c_name(t.ref) if t.ref else CTYPE[t.base]


def parse_number(t, cast=True):
    if t.base in FLOATS:
        return 'text_f32(in)' if t.base == 'float' else 'text_f64(in)'
    return f'({c_type(t)})text_number(in)' if cast else 'text_number(in)'


def put_number(t, v):
    if t.base in FLOATS:
        return f'text_put_{"f32" if t.base == "float" else "f64"}(o, {v});'
    if t.base == 'bool':
        return f'text_put_u64(o, ({v}) != 0);'
    return f'text_put_{"i" if t.base in ("byte", "short", "int", "long") else "u"}64(o, {v});'


class Emitter:
    """Lines with tabs for depth."""

    def __init__(self):
        self.lines, self.depth = [], 0

    def __call__(self, text):
        for line in text.split('\n'):
            if line.startswith('}'):
                self.depth -= 1
            self.lines.append('\t' * self.depth + line if line else line)
            if line.endswith('{'):
                self.depth += 1

    def text(self):
        return '\n'.join(self.lines) + '\n'


class Ours(Emitter):
    def __init__(self, schema):
        super().__init__()
        self.schema = schema

    # ---- structs ----

    def parse_inline(self, t, to):
        if t.kind == 'array':
            self(f'for (size_t i = 0; i < {t.n}; i++) {{')
            self.parse_inline(t.of, f'{to}[i]')
            self('}')
        elif t.kind == 'struct':
            self(f'parse_{c_name(t.ref)}(in, &{to});')
        else:
            self(f'{to} = {parse_number(t)};')

    def dump_inline(self, t, v):
        if t.kind == 'array':
            self(f'for (size_t i = 0; i < {t.n}; i++) {{')
            self.dump_inline(t.of, f'{v}[i]')
            self('}')
        elif t.kind == 'struct':
            self(f'dump_{c_name(t.ref)}(o, &{v});')
        else:
            self(put_number(t, v) + '\nTEXT(o, " ");')

    def struct(self, s):
        name = c_name(s)
        self(f'static void parse_{name}(struct text_in *in, {name} *a)\n{{')
        for f in s.fields:
            self.parse_inline(f.type, f'a->{member(f.name)}')
        self('}\n')
        self(f'static void dump_{name}(struct text_out *o, const {name} *v)\n{{')
        for f in s.fields:
            self.dump_inline(f.type, f'v->{member(f.name)}')
        self('}\n')

    # ---- arguments from text ----

    def parse_one(self, t, to):
        """A value that is there, into the place `to`; `to` is a pointer where arguments hold one."""
        if t.kind == 'struct':
            self(f'text_expect(in, \'(\');\nparse_{c_name(t.ref)}(in, {to});\ntext_expect(in, \')\');')
        elif t.kind == 'table':
            self(f'parse_{c_name(t.ref)}(in, {to});')
        elif t.kind == 'string':
            self(f'text_expect(in, \'"\');\n{to}.s = (const char *)text_hex(in, &{to}.len);')
        elif t.kind == 'union':
            self(f'parse_{c_name(t.ref)}(in, &{to});')
        else:
            self(f'{to} = {parse_number(t)};')

    def new(self, ctype, n='1'):
        return f'({ctype} *)arena_take(in->arena, {n} * sizeof({ctype}))'

    def parse_vector(self, f, to):
        t = f.type.of
        ctype = {'table': 'struct {}_args', 'union': 'struct {}_args', 'string': 'struct tela_str'}.get(t.kind, '{}')
        ctype = ctype.format(c_type(t) if t.kind != 'string' else '')
        self(f'text_expect(in, \'[\');\n{to}_len = text_number(in);')
        self(f'{ctype} *v = {self.new(ctype, f"{to}_len")};')
        self(f'for (size_t i = 0; i < {to}_len; i++) {{')
        self.parse_one(t, '&v[i]' if t.kind in ('struct', 'table') else 'v[i]')
        self('}\ntext_expect(in, \']\');')
        if key_of(t):
            self(f'{c_name(t.ref)}_sort(v, {to}_len);')
        self(f'{to} = v;')

    def parse_field(self, f):
        t, to = f.type, f'a->{member(f.name)}'
        self(f'text_name(in, "{f.name}");')
        if t.kind in ('scalar', 'enum') and f.optional:
            self(f'if (text_set(in)) {{\n{c_type(t)} *v = {self.new(c_type(t))};')
            self(f'*v = {parse_number(t)};\n{to} = v;\n}}')
        elif t.kind in ('scalar', 'enum'):
            self(f'if (text_set(in)) {{\n{to} = {parse_number(t)};\n}}')
        elif t.kind == 'union':
            self.parse_one(t, to)
        else:
            self('if (!text_is(in, \'-\')) {')
            if f.nested:
                self.parse_nested(f, to)
            elif t.is_bytes:
                self(f'text_expect(in, \'#\');\n{to}.data = text_hex(in, &{to}.len);')
            elif t.kind == 'vector':
                self.parse_vector(f, to)
            elif t.kind == 'string':
                self.parse_one(t, to)
            else:
                ctype = f'struct {c_type(t)}_args' if t.kind == 'table' else c_type(t)
                self(f'{ctype} *v = {self.new(ctype)};')
                self.parse_one(t, 'v')
                self(f'{to} = v;')
            self('}')

    def parse_nested(self, f, to):
        name = c_name(f.nested)
        self(f'struct {name}_args n;\nparse_{name}(in, &n);\n{to}.len = {name}_size(&n);')
        self(f'uint8_t *v = (uint8_t *)arena_take(in->arena, {to}.len + 1);\n{name}_build(v, {to}.len, &n);\n{to}.data = v;')

    def union(self, u):
        name = c_name(u)
        self(f'static void parse_{name}(struct text_in *in, struct {name}_args *a)\n{{')
        self('memset(a, 0, sizeof(*a));\ntext_expect(in, \'|\');\na->type = (uint8_t)text_number(in);\nswitch (a->type) {')
        for i, (label, t, _) in enumerate(u.members, 1):
            to = f'a->{member(label)}'
            self(f'case {i}: {{')
            if t.kind == 'string':
                self.parse_one(t, to)
            else:
                ctype = f'struct {c_type(t)}_args' if t.kind == 'table' else c_type(t)
                self(f'{ctype} *v = {self.new(ctype)};')
                self.parse_one(t, 'v')
                self(f'{to} = v;')
            self('break;\n}')
        self('}\n}\n')

    # ---- readers to text ----

    def dump_one(self, t, v):
        """A value; a table may be absent, and so may a string."""
        if t.kind == 'struct':
            self(f'TEXT(o, "( ");\ndump_{c_name(t.ref)}(o, &{v});\nTEXT(o, ")\\n");')
        elif t.kind == 'table':
            self(f'dump_{c_name(t.ref)}(o, {v});')
        elif t.kind == 'string':
            self(f'text_put_hex(o, \'"\', {v}.s, {v}.len);')
            self(f'if ({v}.s && {v}.s[{v}.len]) {{\nTEXT(o, "no terminator\\n");\n}}')
        else:
            self(put_number(t, v) + '\nTEXT(o, "\\n");')

    def dump_union(self, u, value, type_value):
        """`value`: a format for the reader of a member."""
        self(f'TEXT(o, "|");\ntext_put_u64(o, {type_value});\nswitch ({type_value}) {{')
        for i, (label, t, _) in enumerate(u.members, 1):
            call = value.format(label)
            self(f'case {i}: {{\nTEXT(o, " ");')
            if t.kind == 'struct':
                self(f'{c_type(t)} v;\nif ({call[:-1]}, &v)) {{')
                self.dump_one(t, 'v')
                self('} else {\nTEXT(o, "-\\n");\n}')
            else:
                self(f'const {"struct tela_str" if t.kind == "string" else c_type(t) + "_t"} v = {call};')
                self.dump_one(t, 'v')
            self('break;\n}')
        self('default:\nTEXT(o, "\\n");\n}')

    def dump_field(self, table, f):
        t, name, call = f.type, c_name(table), f'{c_name(table)}_{reader(f.name)}(t)'
        plain = f'{name}_{f.name}'
        self(f'TEXT(o, "{f.name} ");')
        has = f'{name}_has_{f.name}(t)'
        if t.kind in ('scalar', 'enum') and f.optional:
            self(f'{{\n{c_type(t)} v = 0;\nif ({call[:-1]}, &v)) {{\nTEXT(o, "=");\n{put_number(t, "v")}\n}} else {{')
            self(f'TEXT(o, "-");\n}}\ncheck_has(o, {has}, {call[:-1]}, &v));\nTEXT(o, "\\n");\n}}')
        elif t.kind in ('scalar', 'enum'):
            self(f'text_put(o, {has} ? "=" : "~", 1);\n{put_number(t, call)}\nTEXT(o, "\\n");')
        elif t.kind == 'union':
            self.dump_union(t.ref, f'{plain}_as_{{}}(t)', f'{plain}_type(t)')
        elif f.nested:
            self(f'check_has(o, {has}, {call}.data != NULL);\ndump_{c_name(f.nested)}(o, {plain}_root(t));')
        elif t.is_bytes:
            self(f'{{\nconst struct tela_bytes v = {call};\ncheck_has(o, {has}, v.data != NULL);')
            self('text_put_hex(o, \'#\', v.data, v.len);\n}')
        elif t.kind == 'vector':
            self.dump_vector(table, f, has)
        elif t.kind == 'struct':
            self(f'{{\n{c_type(t)} v;\ncheck_has(o, {has}, {call[:-1]}, &v));\nif ({call[:-1]}, &v)) {{')
            self.dump_one(t, 'v')
            self('} else {\nTEXT(o, "-\\n");\n}\n}')
        else:
            ctype, there = ('struct tela_str', 'v.s') if t.kind == 'string' else (c_type(t) + '_t', 'v.p')
            self(f'{{\nconst {ctype} v = {call};\ncheck_has(o, {has}, {there} != NULL);')
            self.dump_one(t, 'v')
            self('}')

    def dump_vector(self, table, f, has):
        plain, t = f'{c_name(table)}_{f.name}', f.type.of
        self(f'text_put_vector(o, {has}, {plain}_len(t));\nfor (size_t i = 0; i < {plain}_len(t); i++) {{')
        if t.kind == 'union':
            self.dump_union(t.ref, f'{plain}_as_{{}}_at(t, i)', f'{plain}_type_at(t, i)')
        else:
            ctype = {'string': 'struct tela_str', 'table': '{}_t'}.get(t.kind, '{}').format(
                '' if t.kind == 'string' else c_type(t))
            self(f'const {ctype} v = {plain}_at(t, i);')
            self.dump_one(t, 'v')
            if key_of(t):
                self.find(plain, t)
        self(f'}}\nif ({has}) {{\nTEXT(o, "]\\n");\n}}')

    def find(self, plain, t):
        """Each element by its key; in a damaged buffer it need not be found, but must not be looked for outside."""
        key, v = key_of(t), f'v.{member(key_of(t).name)}' if t.kind == 'struct' else None
        v = v or f'{c_name(t.ref)}_{reader(key.name)}(v)'
        if t.kind == 'struct':
            self(f'{c_type(t)} found;\ncheck_found({plain}_find(t, {v}, &found));')
        else:
            self(f'check_found({plain}_find(t, {v}).p == v.p);')

    def table(self, table):
        name = c_name(table)
        self(f'static void parse_{name}(struct text_in *in, struct {name}_args *a)\n{{')
        self(f'static const struct {name}_args init = {name}_ARGS_INIT;\n*a = init;\ntext_expect(in, \'\\x7b\');')
        for f in table.live:
            self.parse_field(f)
        self('text_expect(in, \'\\x7d\');\n}\n')
        self(f'static void dump_{name}(struct text_out *o, {name}_t t)\n{{')
        self('if (!t.p) {\nTEXT(o, "-\\n");\nreturn;\n}\nTEXT(o, "\\x7b\\n");')
        for f in table.live:
            self.dump_field(table, f)
        self('TEXT(o, "\\x7d\\n");\n}\n')

    # ---- what ours.h asks for ----

    def root(self):
        name, stem = c_name(self.schema.root), self.schema.stem
        self(f'static int {stem}_verify(const void *buf, size_t len)\n{{\nreturn {name}_verify(buf, len);\n}}\n')
        identifier = f'{name}_IDENTIFIER' if self.schema.identifier else 'NULL'
        self(f'static int {stem}_visits(const void *buf, size_t len, bool prefixed, '
             f'uint32_t *ret_used, uint64_t *ret_leaves)\n{{')
        self(f'struct tela_fb_verifier v = {{0}};\nuint32_t root;\n'
             f'bool ok = tela_fb_verify_start(&v, buf, len, prefixed ? 4 : 0, {identifier}, &root) &&\n'
             f'\t{name}_fb_verify(&v, root);\n'
             f'const bool twice = !ok && v.again;')
        self(f'if (twice) {{\nok = tela_fb_verify_again(&v, buf, len, root, {name}_fb_verify);\n}}')
        self('*ret_used = TELA_FB_VISITS((uint32_t)len) - v.budget;\n'
             '*ret_leaves = (twice ? TELA_FB_LEAVES_AGAIN(len) : TELA_FB_LEAVES(len)) - v.leaves;')
        self('return ok ? 0 : -EBADMSG;\n}\n')
        self(f'static size_t {stem}_size(struct text_in *in, const void **ret_args)\n{{')
        self(f'struct {name}_args *a = {self.new(f"struct {name}_args")};\nparse_{name}(in, a);\n*ret_args = a;')
        self(f'return {name}_size(a);\n}}\n')
        self(f'static int {stem}_build(void *buf, size_t room, const void *args)\n{{')
        self(f'return {name}_build(buf, room, (const struct {name}_args *)args);\n}}\n')
        self(f'static void {stem}_dump(const void *buf, struct text_out *o)\n{{\ndump_{name}(o, {name}_root(buf));\n}}\n')
        self.root_prefixed(name, stem)

    def root_prefixed(self, name, stem):
        self(f'static int {stem}_verify_prefixed(const void *buf, size_t len)\n{{')
        self(f'return {name}_verify_prefixed(buf, len);\n}}\n')
        self(f'static size_t {stem}_size_prefixed(const void *args)\n{{')
        self(f'return {name}_size_prefixed((const struct {name}_args *)args);\n}}\n')
        self(f'static int {stem}_build_prefixed(void *buf, size_t room, const void *args)\n{{')
        self(f'return {name}_build_prefixed(buf, room, (const struct {name}_args *)args);\n}}\n')
        self(f'static void {stem}_dump_prefixed(const void *buf, struct text_out *o)\n{{')
        self(f'dump_{name}(o, {name}_root_prefixed(buf));\n}}\n')

    def all(self):
        for s in self.schema.of(Struct):
            self.struct(s)
        for d in self.schema.decls:
            if not isinstance(d, (Struct, Enum)):
                name = c_name(d)
                self(f'static void parse_{name}(struct text_in *in, struct {name}_args *a);')
                if isinstance(d, Table):
                    self(f'static void dump_{name}(struct text_out *o, {name}_t t);')
        for d in self.schema.decls:
            if isinstance(d, Table):
                self.table(d)
            elif not isinstance(d, (Struct, Enum)):
                self.union(d)
        self.root()
        return self.text()


HEAD = '''/* Made by emit_c.py for a batch of random schemas. */
#include "ours.h"

static uint64_t not_found;

uint64_t oracle_not_found(void)
{
	return not_found;
}

__attribute__((unused)) static void check_found(bool found)
{
	not_found += !found;
}

__attribute__((unused)) static void check_has(struct text_out *o, bool has, bool there)
{
	if (has != there)
		TEXT(o, "has and the reader differ: ");
}

'''


def emit(schemas):
    """The whole of ours.c."""
    out = ''.join(f'#include "{s.stem}.h"\n' for s in schemas) + HEAD
    rows = ''
    for s in schemas:
        out += Ours(s).all()
        names = ('verify', 'visits', 'size', 'build', 'dump', 'verify_prefixed', 'size_prefixed', 'build_prefixed',
                 'dump_prefixed')
        root = c_name(s.root)
        identifier = f'{root}_IDENTIFIER' if s.identifier else 'NULL'
        rows += f'\t{{"{s.stem}", {root}_DESC, {identifier}, ' + ', '.join(f'{s.stem}_{n}' for n in names) + '},\n'
    return out + f'const struct oracle_ours oracle_ours[] = {{\n{rows}}};\nconst size_t oracle_n = {len(schemas)};\n'
