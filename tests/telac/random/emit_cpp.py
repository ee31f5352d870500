"""theirs.cc: the same as ours.c for the code that flatc --cpp --gen-mutable makes. What prints a buffer also says where
its offsets stand and how many visits it took (walk.h)."""
from content import key_of
from emit_c import CTYPE, WORDS, Emitter, c_name, parse_number, put_number
from model import FLOATS, Enum, Struct, Table


# Of the words that schemas.py uses, those that flatc puts an underscore behind.
CPP_WORDS = WORDS - {'restrict', 'linux', 'unix', 'typeof'} | {'import'}


def ns(decl):
    return '::' + decl.full.replace('.', '::')


def name_of(name):
    return name + '_' if name in CPP_WORDS else name


def wire(t):
    """What a vector of it holds."""
    return 'uint8_t' if t.base == 'bool' else CTYPE[t.base]


def set_number(t):
    return f'static_cast<{ns(t.ref)}>(text_number(in))' if t.ref else parse_number(t)


def put(t, v):
    return put_number(t, f'static_cast<{CTYPE[t.base]}>({v})' if t.base not in FLOATS else v)


class Theirs(Emitter):
    def __init__(self, schema):
        super().__init__()
        self.schema = schema

    # ---- structs ----

    def struct(self, s):
        self(f'void parse_{c_name(s)}(text_in *in, {ns(s)} *a)\n{{')
        for f in s.fields:
            t, name = f.type, name_of(f.name)
            if t.kind == 'struct':
                self(f'parse_{c_name(t.ref)}(in, &a->mutable_{name}());')
            elif t.kind == 'array' and t.of.kind == 'struct':
                self(f'for (uint16_t i = 0; i < {t.n}; i++) {{')
                self(f'parse_{c_name(t.of.ref)}(in, a->mutable_{name}()->GetMutablePointer(i));\n}}')
            elif t.kind == 'array':
                self(f'for (uint16_t i = 0; i < {t.n}; i++) {{\na->mutable_{name}()->Mutate(i, {set_number(t.of)});\n}}')
            else:
                self(f'a->mutate_{name}({set_number(t)});')
        self(f'}}\n\nvoid dump_{c_name(s)}(text_out *o, const {ns(s)} *v)\n{{')
        for f in s.fields:
            t, name = f.type, name_of(f.name)
            if t.kind == 'array':
                self(f'for (uint16_t i = 0; i < {t.n}; i++) {{')
                self(f'dump_{c_name(t.of.ref)}(o, v->{name}()->Get(i));' if t.of.kind == 'struct'
                     else put(t.of, f'v->{name}()->Get(i)') + '\nTEXT(o, " ");')
                self('}')
            elif t.kind == 'struct':
                self(f'dump_{c_name(t.ref)}(o, &v->{name}());')
            else:
                self(put(t, f'v->{name}()') + '\nTEXT(o, " ");')
        self('}\n')

    # ---- building ----

    def parse_offset(self, t, to):
        """A string, table or union's value into an Offset."""
        if t.kind == 'string':
            self(f'text_expect(in, \'"\');\n{to} = parse_string(b, in);')
        elif t.kind == 'table':
            self(f'{to} = parse_{c_name(t.ref)}(b, in);')

    def parse_union(self, u, type_to, to):
        self(f'text_expect(in, \'|\');\n{type_to} = uint8_t(text_number(in));\nswitch ({type_to}) {{')
        for i, (_, t, _) in enumerate(u.members, 1):
            self(f'case {i}: {{')
            if t.kind == 'struct':
                self(f'{ns(t.ref)} s;\ntext_expect(in, \'(\');\nparse_{c_name(t.ref)}(in, &s);\ntext_expect(in, \')\');')
                self(f'{to} = b.CreateStruct(s).Union();')
            elif t.kind == 'string':
                self(f'text_expect(in, \'"\');\n{to} = parse_string(b, in).Union();')
            else:
                self(f'{to} = parse_{c_name(t.ref)}(b, in).Union();')
            self('break;\n}')
        self('}')

    def parse_vector(self, f, x):
        t = f.type.of
        self('if (!text_is(in, \'-\')) {\ntext_expect(in, \'[\');\nconst size_t n = text_number(in);')
        if t.kind == 'union':
            self('std::vector<uint8_t> types(n);\nstd::vector<flatbuffers::Offset<void>> v(n);')
            self('for (size_t i = 0; i < n; i++) {')
            self.parse_union(t.ref, 'types[i]', 'v[i]')
            self(f'}}\ntext_expect(in, \']\');\n{x}_type = b.CreateVector(types);\n{x} = b.CreateVector(v);\n}}')
            return
        element = {'string': 'flatbuffers::Offset<flatbuffers::String>'}.get(t.kind) or (
            f'flatbuffers::Offset<{ns(t.ref)}>' if t.kind == 'table' else ns(t.ref) if t.kind == 'struct' else wire(t))
        self(f'std::vector<{element}> v(n);\nfor (size_t i = 0; i < n; i++) {{')
        if t.kind == 'struct':
            self(f'text_expect(in, \'(\');\nparse_{c_name(t.ref)}(in, &v[i]);\ntext_expect(in, \')\');')
        elif t.kind in ('scalar', 'enum'):
            self(f'v[i] = {parse_number(t) if t.base in FLOATS else f"static_cast<{wire(t)}>(text_number(in))"};')
        else:
            self.parse_offset(t, 'v[i]')
        self('}\ntext_expect(in, \']\');')
        how = ('CreateVectorOfSortedTables(&v)' if t.kind == 'table' else 'CreateVectorOfSortedStructs(&v)') if key_of(t) else (
            'CreateVectorOfStructs(v)' if t.kind == 'struct' else 'CreateVector(v)')
        self(f'{x} = b.{how};\n}}')

    def parse_field(self, f):
        t, x = f.type, f'x{f.id}'
        self(f'text_name(in, "{f.name}");')
        if t.kind in ('scalar', 'enum'):
            self(f'const bool {x}_set = text_set(in);\n{ns(t.ref) if t.ref else CTYPE[t.base]} {x}{{}};')
            self(f'if ({x}_set) {{\n{x} = {set_number(t)};\n}}')
        elif t.kind == 'struct':
            self(f'{ns(t.ref)} {x};\nconst bool {x}_set = !text_is(in, \'-\');\nif ({x}_set) {{')
            self(f'text_expect(in, \'(\');\nparse_{c_name(t.ref)}(in, &{x});\ntext_expect(in, \')\');\n}}')
        elif t.kind == 'union':
            self(f'uint8_t {x}_type = 0;\nflatbuffers::Offset<void> {x};')
            self.parse_union(t.ref, f'{x}_type', x)
        elif f.nested:
            self(f'flatbuffers::Offset<flatbuffers::Vector<uint8_t>> {x};\nif (!text_is(in, \'-\')) {{')
            self('flatbuffers::FlatBufferBuilder nested;')
            self(f'nested.Finish(parse_{c_name(f.nested)}(nested, in));')
            self(f'{x} = b.CreateVector(nested.GetBufferPointer(), nested.GetSize());\n}}')
        elif t.is_bytes:
            self(f'flatbuffers::Offset<flatbuffers::Vector<uint8_t>> {x};\nif (!text_is(in, \'-\')) {{')
            self(f'size_t n;\ntext_expect(in, \'#\');\nconst uint8_t *p = text_hex(in, &n);\n{x} = b.CreateVector(p, n);\n}}')
        elif t.kind == 'vector':
            kind = t.of.kind
            element = {'string': 'flatbuffers::Offset<flatbuffers::String>', 'union': 'flatbuffers::Offset<void>'}.get(kind) or (
                f'flatbuffers::Offset<{ns(t.of.ref)}>' if kind == 'table' else
                f'const {ns(t.of.ref)} *' if kind == 'struct' else wire(t.of))
            if kind == 'union':
                self(f'flatbuffers::Offset<flatbuffers::Vector<uint8_t>> {x}_type;')
            self(f'flatbuffers::Offset<flatbuffers::Vector<{element}>> {x};')
            self.parse_vector(f, x)
        else:
            self(f'flatbuffers::Offset<{ns(t.ref) if t.ref else "flatbuffers::String"}> {x};\nif (!text_is(in, \'-\')) {{')
            self.parse_offset(t, x)
            self('}')

    def add_field(self, f):
        t, x, name = f.type, f'x{f.id}', name_of(f.name)
        if t.kind in ('scalar', 'enum', 'struct'):
            self(f'if ({x}_set) {{\nt.add_{name}({"&" if t.kind == "struct" else ""}{x});\n}}')
            return
        self(f'if (!{x}.IsNull()) {{')
        if t.kind == 'union':
            self(f't.add_{f.name}_type(static_cast<{ns(t.ref)}>({x}_type));')
        elif t.kind == 'vector' and t.of.kind == 'union':
            self(f't.add_{f.name}_type({x}_type);')
        self(f't.add_{name}({x});\n}}')

    # ---- reading ----

    def dump_target(self, t, v, site):
        """What the offset at `site` leads to; `v` a pointer that may be NULL."""
        if t.kind == 'string':
            self(f'dump_string(o, w, {site}, {v});')
        else:
            self(f'dump_{c_name(t.ref)}(o, w, {site}, {v});')

    def dump_union(self, u, type_value, value, site):
        self(f'TEXT(o, "|");\ntext_put_u64(o, uint8_t({type_value}));\nswitch (uint8_t({type_value})) {{')
        for i, (_, t, _) in enumerate(u.members, 1):
            self(f'case {i}: {{\nTEXT(o, " ");')
            if t.kind == 'struct':
                self(f'const auto *s = reinterpret_cast<const {ns(t.ref)} *>({value});\nif (s) {{\nTEXT(o, "( ");')
                self(f'dump_{c_name(t.ref)}(o, s);\nTEXT(o, ")\\n");\n}} else {{\nTEXT(o, "-\\n");\n}}')
            else:
                kind = 'flatbuffers::String' if t.kind == 'string' else ns(t.ref)
                self.dump_target(t, f'reinterpret_cast<const {kind} *>({value})', site)
            self('break;\n}')
        self('default:\nTEXT(o, "\\n");\n}')

    def dump_field(self, f):
        t, name, site = f.type, name_of(f.name), f'raw->GetAddressOf({f.slot})'
        self(f'TEXT(o, "{f.name} ");')
        if f.shared:
            self(f'w->once(t->{name}());')
        if f.align:
            self(f'w->aligned(t->{name}() ? t->{name}()->Data() : nullptr, {f.align});')
        if t.kind in ('scalar', 'enum') and f.optional:
            self(f'if (t->{name}().has_value()) {{\nTEXT(o, "=");\n{put(t, f"*t->{name}()")}\n}} else {{\nTEXT(o, "-");\n}}')
            self('TEXT(o, "\\n");')
        elif t.kind in ('scalar', 'enum'):
            self(f'text_put(o, raw->CheckField({f.slot}) ? "=" : "~", 1);\n{put(t, f"t->{name}()")}\nTEXT(o, "\\n");')
        elif t.kind == 'struct':
            self(f'if (t->{name}()) {{\nTEXT(o, "( ");\ndump_{c_name(t.ref)}(o, t->{name}());\nTEXT(o, ")\\n");')
            self('} else {\nTEXT(o, "-\\n");\n}')
        elif t.kind == 'union':
            self.dump_union(t.ref, f't->{f.name}_type()', f't->{name}()', site)
        elif f.nested:
            self(f'w->vector({site}, t->{name}());')
            self(f'w->enter_nested();\ndump_{c_name(f.nested)}(o, w, nullptr, t->{name}() ? t->{name}_nested_root() : nullptr);')
            self('w->nested--;')
        elif t.is_bytes:
            self(f'w->vector({site}, t->{name}());')
            self(f'text_put_hex(o, \'#\', t->{name}() ? t->{name}()->Data() : nullptr, t->{name}() ? t->{name}()->size() : 0);')
        elif t.kind == 'vector':
            self.dump_vector(f, name, site)
        else:
            self.dump_target(t, f't->{name}()', site)

    def dump_vector(self, f, name, site):
        t = f.type.of
        if t.kind == 'union':
            self(f'w->vector(raw->GetAddressOf({f.slot - 2}), t->{f.name}_type());')
        walk = {'table': 'refs', 'string': 'leaves', 'union': 'leaves'}.get(t.kind, 'vector')
        more = f', {str(t.kind == "union").lower()}' if walk == 'leaves' else ''
        self(f'w->{walk}({site}, t->{name}(){more});')
        self(f'text_put_vector(o, t->{name}() != nullptr, t->{name}() ? t->{name}()->size() : 0);')
        self(f'for (flatbuffers::uoffset_t i = 0; t->{name}() && i < t->{name}()->size(); i++) {{')
        at = f't->{name}()->Data() + 4 * i'
        if t.kind == 'union':
            self.dump_union(t.ref, f't->{f.name}_type()->Get(i)', f't->{name}()->Get(i)', at)
        elif t.kind == 'struct':
            self(f'TEXT(o, "( ");\ndump_{c_name(t.ref)}(o, t->{name}()->Get(i));\nTEXT(o, ")\\n");')
        elif t.kind in ('table', 'string'):
            self.dump_target(t, f't->{name}()->Get(i)', at)
        else:
            self(put(t, f't->{name}()->Get(i)' + (' != 0' if t.base == 'bool' else '')) + '\nTEXT(o, "\\n");')
        self(f'}}\nif (t->{name}()) {{\nTEXT(o, "]\\n");\n}}')

    def table(self, table):
        name = c_name(table)
        self(f'flatbuffers::Offset<{ns(table)}> parse_{name}(flatbuffers::FlatBufferBuilder &b, text_in *in)\n{{')
        self('text_expect(in, \'\\x7b\');')
        for f in table.live:
            self.parse_field(f)
        self(f'text_expect(in, \'\\x7d\');\n{ns(table)}Builder t(b);')
        for f in table.live:
            self.add_field(f)
        self('return t.Finish();\n}\n')
        self(f'void dump_{name}(text_out *o, walk *w, const void *site, const {ns(table)} *t)\n{{')
        self('if (!t) {\nTEXT(o, "-\\n");\nreturn;\n}\nconst auto *raw = reinterpret_cast<const flatbuffers::Table *>(t);')
        self(f'w->table(site, t, raw->GetVTable(), "{name}", {str(table.shared_vtable).lower()});\nTEXT(o, "\\x7b\\n");')
        for f in table.live:
            self.dump_field(f)
        self('TEXT(o, "\\x7d\\n");\n}\n')

    def root(self):
        name, stem, identifier = ns(self.schema.root), self.schema.stem, self.schema.identifier
        id_text = f'"{identifier}"' if identifier else 'nullptr'
        self(f'bool {stem}_verify(const uint8_t *buf, size_t len, bool prefixed)\n{{\nflatbuffers::Verifier v(buf, len);')
        self(f'return prefixed ? v.VerifySizePrefixedBuffer<{name}>({id_text})\n\t: v.VerifyBuffer<{name}>({id_text});\n}}\n')
        self(f'void {stem}_build(text_in *in, flatbuffers::FlatBufferBuilder &b, bool prefixed)\n{{')
        self(f'const auto root = parse_{c_name(self.schema.root)}(b, in);')
        self(f'prefixed ? b.FinishSizePrefixed(root, {id_text}) : b.Finish(root, {id_text});\n}}\n')
        self(f'void {stem}_dump(const uint8_t *buf, bool prefixed, text_out *o, walk *w)\n{{')
        self(f'dump_{c_name(self.schema.root)}(o, w, nullptr, prefixed ? flatbuffers::GetSizePrefixedRoot<{name}>(buf)\n'
             f'\t: flatbuffers::GetRoot<{name}>(buf));\n}}\n')

    def all(self):
        for s in self.schema.of(Struct):
            self.struct(s)
        for t in self.schema.of(Table):
            self(f'flatbuffers::Offset<{ns(t)}> parse_{c_name(t)}(flatbuffers::FlatBufferBuilder &b, text_in *in);')
            self(f'void dump_{c_name(t)}(text_out *o, walk *w, const void *site, const {ns(t)} *t);')
        for t in self.schema.of(Table):
            self.table(t)
        self.root()
        return self.text()


def emit(schemas):
    """The whole of theirs.cc."""
    out = '// Made by emit_cpp.py for a batch of random schemas.\n'
    out += ''.join(f'#include "{s.stem}_generated.h"\n' for s in schemas)
    out += '#include "theirs.h"\n\nnamespace {\n\n' + ''.join(Theirs(s).all() for s in schemas) + '} // namespace\n\n'
    rows = ''.join(f'\t{{{s.stem}_verify, {s.stem}_build, {s.stem}_dump}},\n' for s in schemas)
    return out + f'const oracle_theirs theirs[] = {{\n{rows}}};\n'
