#!/usr/bin/python3
"""telac refuses what it does not cover: file, full name and reason, exit 1, nothing written.

Arguments: flatc, telac.
"""
import os
import subprocess
import sys
import tempfile

flatc, telac = sys.argv[1:3]
ATTRIBUTES = 'attribute "method_id"; attribute "deadline_us"; attribute "idempotent"; attribute "bytes"; ' \
    'attribute "segments";\n'
T = "namespace n; table T { x : int; }\n"
RAW = T + "table R { } rpc_service S { m(R) : R "

# schema text, the name that must be refused, words of the reason
CASES = [
    ("namespace n; table T { x : int (key, deprecated); }", "n.T.x", "must always be there"),
    ('namespace n; struct A { x : int; } table T { a : A; x : [ubyte] (nested_flatbuffer: "A"); }', "n.T.x", "no table"),
    ("namespace n; table T { x : [ubyte] (flexbuffer); }", "n.T.x", "flexbuffer"),
    ("namespace n; table T { x : [int] (force_align: 512); }", "n.T.x", "force_align"),
    ("namespace n; table T { x : [int] (force_align: 12); }", "n.T.x", "force_align"),
    ("namespace n; table T { values : [int]; values_len : int; }", "n.T.values", "C name"),
    ("namespace n; table T { class : int; class_ : int; }", "n.T.class_", "C name class_"),
    ("namespace n; struct S { class : int; class_ : int; }", "n.S.class_", "C name class_"),
    ("namespace n; table T { new : [int]; new__len : int; }", "n.T.new__len", "C name new__len"),
    (T + "union U { type : T, type_ : T } table V { u : U; }", "n.U.type_", "C name type_"),
    (T + 'rpc_service S { new(T) : T (method_id: "1"); new_(T) : T (method_id: "2"); }', "n.S.new_", "C name new_"),
    ("namespace n; table T { x : int; } table T_fb { put : int; }", "n.T_fb.put", "n_T_fb_put"),
    ("struct bool { x : int; }", "bool", "belongs to C"),
    ("enum class : byte { x }", "class", "belongs to C"),
    ("namespace size; struct t { x : int; }", "size.t", "belongs to C"),
    ("enum EINVAL : byte { x }", "EINVAL", "belongs to C"),
    ("table tela_fb { x : int; }", "tela_fb", "belongs to C, C++ or tela_fb.h"),
    ("namespace tela.fb; struct table { x : int; }", "tela.fb.table", "belongs to"),
    ("struct __T { x : int; }", "__T", "belongs to"),
    ("namespace n; table T { " + "x" * 240 + " : int; }", "n.T.x", "longer than 240"),
    (T + "rpc_service S { m(T) : T; }", "n.S.m", "no method_id"),
    (T + 'rpc_service S { m(T) : T (method_id: "0"); }', "n.S.m", "1 to 65535"),
    (T + 'rpc_service S { m(T) : T (method_id: "65536"); }', "n.S.m", "1 to 65535"),
    (T + 'rpc_service S { m(T) : T (method_id: "1x"); }', "n.S.m", "1 to 65535"),
    (T + 'rpc_service S { a(T) : T (method_id: "3"); b(T) : T (method_id: "3"); }', "n.S.", "3 is that"),
    (T + 'rpc_service S { m(T) : T (method_id: "1", deadline_us: "soon"); }', "n.S.m", "deadline_us"),
    (T + 'rpc_service S { m(T) : T (method_id: "1", streaming: "server"); }', "n.S.m", "stream (server)"),
    (T + 'rpc_service S { m(T) : T (method_id: "1", streaming: "client"); }', "n.S.m", "stream (client)"),
    (T + 'rpc_service S { m(T) : T (method_id: "1", streaming: "bidi"); }', "n.S.m", "stream (bidi)"),
    (T + 'rpc_service S { m(T) : T (method_id: "1", streaming: "both"); }', "n.S.m", "none, client, server or bidi"),
    (RAW + '(method_id: "1", bytes); }', "n.S.m", "bytes is request, response or both"),
    (RAW + '(method_id: "1", bytes: "reply"); }', "n.S.m", "bytes is request, response or both"),
    (RAW + '(method_id: "1", segments); }', "n.S.m", "segments are of a request that is bytes"),
    (RAW + '(method_id: "1", bytes: "response", segments); }', "n.S.m", "segments are of a request that is bytes"),
    (RAW.replace("m(R)", "m(T)") + '(method_id: "1", bytes: "request"); }', "n.S.m", "its request is bytes, and n.T has fields"),
    (RAW.replace(": R", ": T") + '(method_id: "1", bytes: "both"); }', "n.S.m", "its response is bytes, and n.T has fields"),
    (RAW + '(method_id: "1", bytes: "response"); m_reply(R) : R (method_id: "2", bytes: "request"); }', "n.S.m", "C name"),
]


def compile_schema(where, text):
    fbs = os.path.join(where, "case.fbs")
    with open(fbs, "w", encoding="ascii") as f:
        f.write(ATTRIBUTES + text)
    subprocess.run([flatc, "-b", "--schema", "--bfbs-builtins", "--bfbs-comments", "-o", where, fbs],
                   check=True, stdout=subprocess.DEVNULL)
    return subprocess.run([telac, "-o", where, os.path.join(where, "case.bfbs")],
                          capture_output=True, text=True, check=False)


def hash_of(text):
    with tempfile.TemporaryDirectory() as where:
        done = compile_schema(where, text)
        assert done.returncode == 0, done.stderr
        with open(os.path.join(where, "case_rpc.h"), encoding="ascii") as f:
            return [line.split()[2] for line in f if "_SCHEMA_HASH UINT64_C" in line][0]


def refusals():
    for text, name, why in CASES:
        with tempfile.TemporaryDirectory() as where:
            done = compile_schema(where, text)
            lines = [x for x in done.stderr.splitlines() if x.startswith("case.fbs: " + name)]
            assert done.returncode == 1, (text, done)
            assert any(why in x for x in lines), (text, done.stderr)
            assert not [x for x in os.listdir(where) if x.endswith(".h")], text


def files_that_need_each_other():
    with tempfile.TemporaryDirectory() as where:
        for name, text in (("case", 'include "other.fbs"; namespace n; table T { o : O; }'),
                           ("other", 'include "case.fbs"; namespace n; table O { t : T; }')):
            with open(os.path.join(where, name + ".fbs"), "w", encoding="ascii") as f:
                f.write(text)
        subprocess.run([flatc, "-b", "--schema", "--bfbs-builtins", "-o", where, os.path.join(where, "case.fbs")],
                       check=True)
        done = subprocess.run([telac, "-o", where, os.path.join(where, "case.bfbs")],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 1 and done.stderr.startswith("other.fbs: n.O.t: "), done
        assert not os.path.exists(os.path.join(where, "case.h"))


def wrong_files():
    with tempfile.TemporaryDirectory() as where:
        for name, data in (("empty", b""), ("text", b"table T { }\n" * 9), ("zero", b"\0" * 64)):
            path = os.path.join(where, name + ".bfbs")
            with open(path, "wb") as f:
                f.write(data)
            done = subprocess.run([telac, "-o", where, path], capture_output=True, text=True, check=False)
            assert done.returncode == 1 and path in done.stderr, done
    assert subprocess.run([telac, "/nonexistent"], capture_output=True, check=False).returncode == 1
    assert subprocess.run([telac], capture_output=True, check=False).returncode == 2
    for option in ("--help", "--version"):
        done = subprocess.run([telac, option], capture_output=True, text=True, check=True)
        assert "telac" in done.stdout


def hashes():
    service = 'rpc_service S { a(T) : T (method_id: "1"); b(U) : T (method_id: "2"); }\n'
    types = "namespace n; enum E : ubyte { p, q } table T { x : int; e : E; } table U { t : T; s : string; }\n"
    first = hash_of(types + service)
    same = [
        types + service.replace('"1"', '"1", streaming: "none"'),
        "/// a comment\n" + types + service,
        types.replace("x : int", "renamed : int") + service,
        service.join(["namespace n; table U { t : T; s : string; }\n",
                      "enum E : ubyte { p, q } table T { x : int; e : E; }"]),
        types + service.replace('a(T) : T (method_id: "1"); ', "").replace(
            "}", 'a(T) : T (method_id: "1"); }'),
    ]
    other = [
        types + "table R { }" + service.replace("a(T)", "a(R)"),
        types + "table R { }" + service.replace("a(T)", "a(R)").replace('"1"', '"1", bytes: "request"'),
        types.replace("x : int", "x : uint") + service,
        types.replace("x : int", "x : int = 1") + service,
        types.replace("x : int", "x : int = null") + service,
        types.replace("x : int", "x : int (deprecated)") + service,
        types.replace("s : string", "s : string (required)") + service,
        types.replace("p, q", "p, q, r") + service,
        types.replace("s : string", "s : string; more : int") + service,
        types + service.replace('"2"', '"3"'),
        types + service.replace("b(U)", "c(U)"),
        types + service.replace("b(U)", "b(T)"),
        types + service.replace("service S", "service R"),
    ]
    structs = "namespace n; struct S { a : [int:3]; } table U { t : S; s : string; } table T { }\n" + service
    assert hash_of(structs) != hash_of(structs.replace("[int:3]", "[int:4]"))
    assert hash_of(structs) != hash_of(structs.replace("[int:3]", "[uint:3]"))
    unions = "namespace n; table A { } table B { x : int; } union U { A, B } table T { u : U; } table U2 { }\n"
    unions += service.replace("(U)", "(U2)")
    found = [hash_of(x) for x in (unions, unions.replace("{ A, B }", "{ A }"), unions.replace("{ A, B }", "{ B, A }"),
                                  unions.replace("x : int", "x : uint"), unions.replace("u : U", "u : [U]"))]
    assert len(set(found)) == len(found)
    assert found[0] == hash_of(unions.replace("{ A, B }", "{ first : A, B }"))
    assert hash_of(types + service + 'root_type T; file_identifier "ABCD";') != first
    assert hash_of(types + service + "root_type T;") == first
    nested = [types.replace("s : string", "s : [ubyte]" + how) + service
              for how in ("", ' (nested_flatbuffer: "T")', ' (nested_flatbuffer: "U")')]
    assert len({hash_of(x) for x in nested}) == len(nested)
    assert hash_of(types.replace("x : int", "x : int (key)") + service) != first
    assert all(hash_of(x) == first for x in same)
    found = [hash_of(x) for x in other]
    assert first not in found and len(set(found)) == len(found)


refusals()
files_that_need_each_other()
wrong_files()
hashes()
