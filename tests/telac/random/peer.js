// peer.js - writes and reads messages with npm's flatbuffers and what flatc --ts generates.
//
//     node peer.js write CODE SCHEMAS.json TEXTS.pack OUT.pack      node peer.js check CODE SCHEMAS.json ALL.pack
//
// CODE is the generated code of all schemas in one file, made by esbuild (lang_js.py): {schema: {name: class}}.
'use strict';
const fs = require('fs');
const path = require('path');

const { flatbuffers, code } = require(path.resolve(process.argv[3]));
const schemas = JSON.parse(fs.readFileSync(process.argv[4]));
const { UTF8_BYTES } = flatbuffers.Encoding;
const scratch = new DataView(new ArrayBuffer(8));

let here; // {decls, classes} of the schema at work

const upper = (name) => name.split('_').map((p) => p.slice(0, 1).toUpperCase() + p.slice(1)).join('');
const camel = (name) => name.slice(0, 1) + upper(name).slice(1);
const decl = (ref) => here.decls[ref];
const cls = (ref) => here.classes[decl(ref).name];

// A reader of a field: a word of JavaScript has an underscore behind it.
function reader(obj, name) {
  for (const n of [camel(name), camel(name) + '_']) {
    if (typeof obj[n] === 'function') return obj[n].bind(obj);
  }
  throw new Error(`${obj.constructor.name} has no ${camel(name)}`);
}

// ---- numbers: floats by their bits ----

function number(t, token) {
  if (t.base === 'float') {
    scratch.setUint32(0, parseInt(token.slice(1), 16));
    return scratch.getFloat32(0);
  }
  if (t.base === 'double') {
    scratch.setBigUint64(0, BigInt('0' + token));
    return scratch.getFloat64(0);
  }
  if (t.base === 'long' || t.base === 'ulong') return BigInt(token);
  return t.base === 'bool' ? token === '1' : Number(token);
}

function token(t, v) {
  if (t.base === 'float') {
    scratch.setFloat32(0, v);
    return 'x' + scratch.getUint32(0).toString(16).padStart(8, '0');
  }
  if (t.base === 'double') {
    scratch.setFloat64(0, v);
    return 'x' + scratch.getBigUint64(0).toString(16).padStart(16, '0');
  }
  if ((t.base === 'long' || t.base === 'ulong') && typeof v !== 'bigint') throw new Error(`${v} is no bigint`);
  return t.base === 'bool' ? String(Number(v)) : String(v);
}

// ---- writing, from the text ----

class Writer {
  constructor(text) {
    this.tokens = text.split(/\s+/);
    this.at = 0;
  }

  next() {
    return this.tokens[this.at++];
  }

  expect(wanted) {
    const got = this.next();
    if (got !== wanted) throw new Error(`${wanted} wanted, ${got} found`);
  }

  bytes() {
    return new Uint8Array(Buffer.from(this.next().slice(1), 'hex'));
  }

  // The arguments of create{Struct}: what is inside a nested struct in its place.
  leaves(t) {
    if (t.kind === 'struct') return decl(t.ref).fields.flatMap((f) => this.leaves(f.type));
    return [number(t, this.next())];
  }

  structLeaves(t) {
    this.expect('(');
    const leaves = this.leaves(t);
    this.expect(')');
    return leaves;
  }

  struct(b, t, leaves) {
    return cls(t.ref)['create' + decl(t.ref).name](b, ...leaves);
  }

  // What stands outside of a table or vector: its offset.
  offset(b, t) {
    if (t.kind === 'string') return b.createString(this.bytes());
    if (t.kind === 'struct') return this.struct(b, t, this.structLeaves(t));
    return this.table(b, t.ref);
  }

  union(b, ref) {
    const choice = Number(this.next().slice(1));
    return choice ? [choice, this.offset(b, decl(ref).members[choice - 1])] : null;
  }

  vector(b, c, f) {
    const t = f.type.of, name = upper(f.name), n = Number(this.next().slice(1)), values = [], types = [];
    for (let i = 0; i < n; i++) {
      if (t.kind === 'struct') values.push(this.structLeaves(t));
      else if (t.kind === 'scalar' || t.kind === 'enum') values.push(number(t, this.next()));
      else if (t.kind === 'union') {
        const [type, value] = this.union(b, t.ref);
        types.push(type);
        values.push(value);
      } else values.push(this.offset(b, t));
    }
    this.expect(']');
    if (t.kind === 'union') return [c[`create${name}TypeVector`](b, types), c[`create${name}Vector`](b, values)];
    if (t.kind !== 'struct') return c[`create${name}Vector`](b, values);
    c[`start${name}Vector`](b, n);
    for (let i = n; i--;) this.struct(b, t, values[i]);
    return b.endVector();
  }

  child(b, c, f) {
    const t = f.type;
    if (t.kind === 'union') return this.union(b, t.ref);
    if (this.tokens[this.at] === '-') {
      this.at++;
      return null;
    }
    if (f.nested) {
      const inner = new flatbuffers.Builder(0);
      inner.finish(this.table(inner, f.nested));
      return c[`create${upper(f.name)}Vector`](b, inner.asUint8Array());
    }
    if (t.kind === 'struct') return this.structLeaves(t);
    if (t.kind === 'vector' && this.tokens[this.at][0] === '#') return c[`create${upper(f.name)}Vector`](b, this.bytes());
    return t.kind === 'vector' ? this.vector(b, c, f) : this.offset(b, t);
  }

  add(b, c, f, v) {
    const t = f.type, name = upper(f.name);
    if (t.kind === 'union' || (t.kind === 'vector' && t.of.kind === 'union')) {
      c[`add${name}Type`](b, v[0]);
      v = v[1];
    }
    if (t.kind === 'struct') v = this.struct(b, t, v);
    const forced = b.force_defaults;
    if (f.optional) b.forceDefaults(true); // an optional 0 would be left out
    c['add' + name](b, v);
    b.forceDefaults(forced);
  }

  table(b, ref) {
    const d = decl(ref), c = cls(ref), values = [];
    this.expect('{');
    for (const f of d.fields) {
      this.expect(f.name);
      if (f.type.kind === 'scalar' || f.type.kind === 'enum') {
        const v = this.next();
        values.push(v[0] === '=' ? number(f.type, v.slice(1)) : null);
      } else values.push(this.child(b, c, f));
    }
    this.expect('}');
    c['start' + d.name](b);
    d.fields.forEach((f, i) => values[i] !== null && this.add(b, c, f, values[i]));
    return c['end' + d.name](b);
  }
}

// ---- reading, to the text ----

const hex = (mark, bytes) => mark + Buffer.from(bytes).toString('hex');

function flat(t, obj) {
  return decl(t.ref).fields.map((f) => {
    const v = reader(obj, f.name)();
    return f.type.kind === 'struct' ? flat(f.type, v) : token(f.type, v);
  }).join(' ');
}

function readOne(lines, head, t, v) {
  if (v === null) lines.push(head + '-');
  else if (t.kind === 'table') readTable(lines, head, t.ref, v);
  else if (t.kind === 'struct') lines.push(`${head}( ${flat(t, v)} )`);
  else if (t.kind === 'string') lines.push(head + hex('"', v));
  else lines.push(head + token(t, v));
}

function readUnion(lines, head, ref, choice, get, getString) {
  if (!choice) {
    lines.push(head + '|0');
    return;
  }
  const t = decl(ref).members[choice - 1];
  readOne(lines, `${head}|${choice} `, t, t.kind === 'string' ? getString() : get(new (cls(t.ref))()));
}

function readVector(lines, head, f, obj, offset) {
  const t = f.type.of, n = reader(obj, f.name + '_length')(), get = reader(obj, f.name);
  lines.push(`${head}[${n}`);
  for (let i = 0; i < n; i++) {
    if (t.kind === 'union') {
      const at = () => obj.bb.__string(obj.bb.__vector(obj.bb_pos + offset) + 4 * i, UTF8_BYTES);
      readUnion(lines, '', t.ref, reader(obj, f.name + '_type')(i), (o) => get(i, o), at);
    } else readOne(lines, '', t, t.kind === 'string' ? get(i, UTF8_BYTES) : get(i));
  }
  lines.push(']');
}

function readField(lines, f, obj) {
  const t = f.type, head = f.name + ' ', get = reader(obj, f.name), offset = obj.bb.__offset(obj.bb_pos, f.slot);
  if (t.kind === 'scalar' || t.kind === 'enum') {
    const v = get();
    lines.push(head + (v === null ? '-' : (offset || f.optional ? '=' : '~') + token(t, v)));
  } else if (t.kind === 'union') {
    const choice = reader(obj, f.name + '_type')();
    readUnion(lines, head, t.ref, choice, get, () => obj.bb.__string(obj.bb_pos + offset, UTF8_BYTES));
  } else if (!offset) {
    if (t.kind !== 'vector' && get(t.kind === 'string' ? UTF8_BYTES : undefined) !== null) throw new Error(f.name);
    lines.push(head + '-');
  } else if (f.nested) {
    const bytes = new flatbuffers.ByteBuffer(reader(obj, f.name + '_array')());
    readTable(lines, head, f.nested, cls(f.nested)['getRootAs' + decl(f.nested).name](bytes));
  } else if (t.kind === 'vector' && t.of.kind === 'scalar' && t.of.base === 'ubyte') {
    lines.push(head + hex('#', reader(obj, f.name + '_array')()));
  } else if (t.kind === 'vector') {
    readVector(lines, head, f, obj, offset);
  } else {
    readOne(lines, head, t, t.kind === 'string' ? get(UTF8_BYTES) : get());
  }
}

function readTable(lines, head, ref, obj) {
  lines.push(head + '{');
  for (const f of decl(ref).fields) readField(lines, f, obj);
  lines.push('}');
}

// ---- packs (packs.py) ----

function* records(file) {
  const data = fs.readFileSync(file);
  for (let at = 0; at < data.length;) {
    const what = String.fromCharCode(data[at]), prefixed = data[at + 1] === 112, schema = data.readUInt16LE(at + 2);
    const message = data.readUInt32LE(at + 4), n = data.readUInt32LE(at + 8);
    yield { what, prefixed, schema, message, data: data.subarray(at + 12, at + 12 + n) };
    at += 12 + n;
  }
}

function record(what, r, prefixed, data) {
  const head = Buffer.alloc(12);
  head.write(what + (prefixed ? 'p' : '-'), 0, 'latin1');
  head.writeUInt16LE(r.schema, 2);
  head.writeUInt32LE(r.message, 4);
  head.writeUInt32LE(data.length, 8);
  return Buffer.concat([head, data]);
}

function enter(schema) {
  here = schemas[schema] && { ...schemas[schema], classes: code[schemas[schema].stem] };
  return here;
}

function write(texts, out) {
  const parts = [];
  for (const r of records(texts)) {
    if (r.what !== 'e' || !enter(r.schema)) continue;
    for (const prefixed of [false, true]) {
      const b = new flatbuffers.Builder(0);
      b.forceDefaults(r.message % 2 === 1);
      b.finish(new Writer(r.data.toString()).table(b, here.root), here.identifier || undefined, prefixed);
      parts.push(record('J', r, prefixed, b.asUint8Array()));
    }
  }
  fs.writeFileSync(out, Buffer.concat(parts));
}

function check(all) {
  let n = 0, buffer;
  for (const r of records(all)) {
    if (r.what !== 'd') {
      buffer = r;
      continue;
    }
    if (!enter(r.schema)) continue;
    const lines = [], bytes = new flatbuffers.ByteBuffer(new Uint8Array(buffer.data));
    const root = `get${r.prefixed ? 'SizePrefixed' : ''}RootAs${decl(here.root).name}`;
    readTable(lines, '', here.root, cls(here.root)[root](bytes));
    const wanted = r.data.toString().split('\n');
    for (let i = 0; i < lines.length; i++) {
      if (lines[i] === wanted[i]) continue;
      console.log(`JavaScript reads message ${r.message} of ${here.stem}, written by ${buffer.what}, otherwise\n` +
        `line ${i + 1}, wanted: ${wanted[i]}\nline ${i + 1}, got:    ${lines[i]}`);
      process.exit(1);
    }
    n++;
  }
  console.log(`JavaScript read ${n} of them`);
}

if (process.argv[2] === 'write') write(process.argv[5], process.argv[6]);
else check(process.argv[5]);
