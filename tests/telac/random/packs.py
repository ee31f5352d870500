"""Records between the programs of a run: what, of which schema and message, and its bytes. oracle.cc reads and writes the
same.

    w  the text that writers take       e  the text that must come back
    C  a buffer that ours wrote         +, F  that C++ wrote, and with force_defaults
    P  that Python wrote                J  that JavaScript wrote
    d  what readers must print of the buffer before
    X  a buffer that only the visit budget refuses     Y  one that must be accepted
    Z  one that is not valid
"""
import struct

HEAD = struct.Struct('<ccHII')  # what, p if size prefixed, schema, message, length


def record(what, schema, message, data, prefixed=False):
    return HEAD.pack(what.encode(), b'p' if prefixed else b'-', schema, message, len(data)) + data


def read(path):
    """(what, prefixed, schema, message, data) one by one."""
    with open(path, 'rb') as f:
        data = f.read()
    at = 0
    while at < len(data):
        what, prefixed, schema, message, n = HEAD.unpack_from(data, at)
        at += HEAD.size
        yield what.decode(), prefixed == b'p', schema, message, data[at:at + n]
        at += n


def difference(wanted, got):
    """The first line in which two texts differ."""
    for n, (a, b) in enumerate(zip(wanted.split('\n'), got.split('\n')), 1):
        if a != b:
            return f'\nline {n}, wanted: {a[:300]}\nline {n}, got:    {b[:300]}'
    return ', one of them is longer'
