"""Which parts of a schema flatc 2.0.8 (Debian 12) generates for which language, found by trying each."""

# ---- what a schema may have only where these languages are left out ----
LANGUAGE_LACKS = {
    'python': {
        'union_struct': 'flatc: only tables can be union elements in the generated language',
        'union_string': 'the same',
        'union_vector': 'flatc: vectors of unions are not yet supported',
        'nested_elsewhere': 'flatc --python wants the name of a nested_flatbuffer without its namespace, and flatc --cpp '
                            'then looks for it in the last one of the file only',
        'async': 'flatc --python uses the word as the name of an argument',
        'await': 'the same',
    },
    'js': {
        'array': 'flatc --ts: arrays are not yet supported in all the specified programming languages',
        'nan_default': 'flatc --ts writes `nan` and `-inf`, which are no words of JavaScript',
        'struct_word': 'flatc --ts uses the words of a struct as names of arguments',
        'inner_enum': 'flatc --ts crashes on a struct with an enum inside another struct',
        'eval': 'flatc --ts uses the word as the name of an argument, which no module may',
    },
}

# ---- in no language ----
# - flexbuffer and methods that stream: telac refuses them
# - a field named errno, which is a macro of C++
# - a field that is a union (or several) and named by a word of C++: flatc --cpp calls its type by two names
# - a vector of unions of another namespace than its table's: flatc --cpp looks for the verifier in the table's
# - a ulong default above 2^63-1: flatc 2.0.8 writes 0 and says nothing
# - defaults of strings and vectors: refused for every language here
# - an enum without 0 inside a struct, or as a field without a default: refused by flatc


def allowed(feature, languages):
    """Whether a schema that these languages shall read may have it."""
    return not any(feature in LANGUAGE_LACKS[language] for language in languages)
