-- flatbuffers.lua - FlatBuffers in a string, and the schemas that flatc writes as .bfbs.
--
-- Nothing is taken from a buffer before it is known to be inside of it: each reader returns nil where the bytes are not
-- there. Positions count from 0. A schema becomes tables: object.fields in the order of their ids, each with its `type`;
-- see load() for what they hold.
local M = {}

-- reflection.fbs's BaseType: size in bytes of what is stored in place, how Struct reads it, its ProtoField.
M.BASE = {
  [1] = { name = 'utype', size = 1, format = '<B', field = 'uint8' },
  [2] = { name = 'bool', size = 1, format = '<B', field = 'bool' },
  [3] = { name = 'byte', size = 1, format = '<b', field = 'int8' },
  [4] = { name = 'ubyte', size = 1, format = '<B', field = 'uint8' },
  [5] = { name = 'short', size = 2, format = '<i2', field = 'int16' },
  [6] = { name = 'ushort', size = 2, format = '<I2', field = 'uint16' },
  [7] = { name = 'int', size = 4, format = '<i4', field = 'int32' },
  [8] = { name = 'uint', size = 4, format = '<I4', field = 'uint32' },
  [9] = { name = 'long', size = 8, format = '<e', field = 'int64' },
  [10] = { name = 'ulong', size = 8, format = '<E', field = 'uint64' },
  [11] = { name = 'float', size = 4, format = '<f', field = 'float' },
  [12] = { name = 'double', size = 8, format = '<d', field = 'double' },
  [13] = { name = 'string', size = 4, field = 'string' },
  [14] = { name = 'vector', size = 4 },
  [15] = { name = 'object', size = 4 },
  [16] = { name = 'union', size = 4 },
  [17] = { name = 'array', size = 0 },
}
M.UTYPE, M.BOOL, M.BYTE, M.UBYTE, M.ULONG, M.FLOAT, M.DOUBLE = 1, 2, 3, 4, 10, 11, 12
M.STRING, M.VECTOR, M.OBJECT, M.UNION, M.ARRAY = 13, 14, 15, 16, 17

-- ---- reading ----

local function reader(format, size)
  return function(s, at)
    if at >= 0 and at + size <= #s then
      return (Struct.unpack(format, s, at + 1))
    end
  end
end

M.u8, M.u16, M.u32, M.i32 = reader('<B', 1), reader('<I2', 2), reader('<I4', 4), reader('<i4', 4)
M.u64, M.i64, M.f64 = reader('<E', 8), reader('<e', 8), reader('<d', 8)

-- The scalar of a base type.
function M.scalar(s, at, base)
  local b = M.BASE[base]
  if b.format and at >= 0 and at + b.size <= #s then
    return (Struct.unpack(b.format, s, at + 1))
  end
end

-- A table as {s, at, vtable, vtable_length, length}; nil and why if it is not inside of the buffer.
function M.table(s, at)
  local back = M.i32(s, at)
  local vtable = back and at - back
  local vtable_length = vtable and M.u16(s, vtable)
  local length = vtable_length and M.u16(s, vtable + 2)
  if not length or vtable_length < 4 or vtable_length % 2 == 1 or vtable + vtable_length > #s then
    return nil, 'its vtable is not inside of the buffer'
  end
  if length < 4 or at + length > #s then
    return nil, 'it reaches behind the end of the buffer'
  end
  return { s = s, at = at, vtable = vtable, vtable_length = vtable_length, length = length }
end

-- Where field `id` of `size` bytes stands; nil: absent; nil and why: it cannot be there.
function M.field(t, id, size)
  local entry = 4 + 2 * id
  if entry + 2 > t.vtable_length then
    return nil
  end
  local offset = M.u16(t.s, t.vtable + entry)
  if offset == 0 then
    return nil
  end
  if offset < 4 or offset + size > t.length then
    return nil, 'it stands outside of its table'
  end
  return t.at + offset
end

-- Follows an offset.
function M.follow(s, at)
  local offset = M.u32(s, at)
  if offset and offset >= 4 and at + offset + 4 <= #s then
    return at + offset
  end
  return nil, 'its offset leads out of the buffer'
end

-- First byte and number of elements of the vector at `at` (of bytes, for a string).
function M.vector(s, at, size)
  local n = M.u32(s, at)
  if not n or at + 4 + n * size > #s then
    return nil, nil, 'it reaches behind the end of the buffer'
  end
  return at + 4, n
end

-- ---- .bfbs ----

-- Fields of reflection.fbs by id. load() runs under pcall: a file that is none ends in error().
local function place(t, id, size)
  local at, why = M.field(t, id, size)
  if why then
    error(why, 0)
  end
  return at
end

local function need(value, why)
  if value == nil then
    error(why or 'it is cut off', 0)
  end
  return value
end

local function scalar_of(t, id, base, default)
  local at = place(t, id, M.BASE[base].size)
  if at then
    return need(M.scalar(t.s, at, base))
  end
  return default
end

local function table_of(t, id)
  local at = place(t, id, 4)
  return at and need(M.table(t.s, need(M.follow(t.s, at))))
end

local function string_at(s, at)
  local first, n, why = M.vector(s, at, 1)
  need(first, why)
  return s:sub(first + 1, first + n)
end

local function string_of(t, id)
  local at = place(t, id, 4)
  return at and string_at(t.s, need(M.follow(t.s, at)))
end

-- Calls `each` with every element of a vector of tables or, with `strings`, of strings.
local function each_of(t, id, each, strings)
  local at = place(t, id, 4)
  if not at then
    return
  end
  local first, n, why = M.vector(t.s, need(M.follow(t.s, at)), 4)
  need(first, why)
  for i = 0, n - 1 do
    local element = need(M.follow(t.s, first + 4 * i))
    each(strings and string_at(t.s, element) or need(M.table(t.s, element)), i + 1)
  end
end

local function documentation(t, id)
  local lines = {}
  each_of(t, id, function(line) lines[#lines + 1] = line:gsub('^%s+', '') end, true)
  return #lines > 0 and table.concat(lines, ' ') or nil
end

local function attribute(t, id, name)
  local value
  each_of(t, id, function(pair)
    if string_of(pair, 0) == name then
      value = string_of(pair, 1) or ''
    end
  end)
  return value
end

local function read_enum(t)
  local e = { name = string_of(t, 0), values = {}, union_of = {}, bit_flags = attribute(t, 4, 'bit_flags') ~= nil }
  each_of(t, 1, function(v)
    local at = place(v, 1, 8)
    local number = at and need(M.i64(v.s, at)):tonumber() or 0
    e.values[number] = string_of(v, 0)
    local union = table_of(v, 3)
    e.union_of[number] = union and { base = scalar_of(union, 0, M.BYTE, 0), index = scalar_of(union, 2, 7, -1) }
  end)
  return e
end

local function read_field(t)
  local type = need(table_of(t, 1), 'a field without a type')
  local integer, real = place(t, 4, 8), place(t, 5, 8)
  return {
    name = string_of(t, 0),
    base = scalar_of(type, 0, M.BYTE, 0),
    element = scalar_of(type, 1, M.BYTE, 0),
    index = scalar_of(type, 2, 7, -1),
    fixed_length = scalar_of(type, 3, 6, 0),
    id = scalar_of(t, 2, 6, 0),
    offset = scalar_of(t, 3, 6, 0),
    default = integer and need(M.i64(t.s, integer)) or Int64.new(0),
    default_real = real and need(M.f64(t.s, real)) or 0,
    deprecated = scalar_of(t, 6, M.BOOL, 0) ~= 0,
    required = scalar_of(t, 7, M.BOOL, 0) ~= 0,
    optional = scalar_of(t, 11, M.BOOL, 0) ~= 0,
    documentation = documentation(t, 10),
  }
end

local function read_object(t)
  local o = { name = string_of(t, 0), fields = {}, by_name = {}, is_struct = scalar_of(t, 2, M.BOOL, 0) ~= 0,
    size = scalar_of(t, 4, 7, 0), documentation = documentation(t, 6) }
  each_of(t, 1, function(f)
    local field = read_field(f)
    o.fields[#o.fields + 1] = field
    o.by_name[need(field.name)] = field
  end)
  table.sort(o.fields, function(a, b) return a.id < b.id end)
  return o
end

local function read_service(t, objects)
  local service = { name = string_of(t, 0), methods = {} }
  each_of(t, 1, function(call)
    local id = tonumber(attribute(call, 3, 'method_id') or '')
    if id then
      service.methods[id] = { name = string_of(call, 0), request = objects[string_of(table_of(call, 1), 0)],
        response = objects[string_of(table_of(call, 2), 0)] }
    end
  end)
  return service
end

-- Indices become what they stand for.
local function resolve(type, objects, enums)
  local holds = (type.base == M.VECTOR or type.base == M.ARRAY) and type.element or type.base
  if type.index >= 0 then
    if holds == M.OBJECT then
      type.object = need(objects[type.index + 1], 'an object that is not there')
    else
      type.enum = need(enums[type.index + 1], 'an enum that is not there')
    end
  end
end

local function load(s)
  local schema = { objects = {}, enums = {}, services = {} }
  local objects, enums = {}, {}
  need(M.u32(s, 0), 'it is empty')
  if s:sub(5, 8) ~= 'BFBS' then
    error('it is not a binary schema (flatc -b --schema)', 0)
  end
  local root, why = M.table(s, M.u32(s, 0))
  need(root, why)
  each_of(root, 1, function(t, i) enums[i] = read_enum(t) end)
  each_of(root, 0, function(t, i) objects[i] = read_object(t) end)
  for _, o in ipairs(objects) do
    schema.objects[need(o.name)] = o
    for _, field in ipairs(o.fields) do
      resolve(field, objects, enums)
    end
  end
  for _, e in ipairs(enums) do
    schema.enums[need(e.name)] = e
    for _, union in pairs(e.union_of) do
      resolve(union, objects, enums)
    end
  end
  each_of(root, 5, function(t)
    local service = read_service(t, schema.objects)
    schema.services[need(service.name)] = service
  end)
  return schema
end

-- The schema in a file:
--   objects[full name]: name, is_struct, size (of a struct), fields, by_name, documentation
--     a field: name, id, offset (in a struct), base, element, object, enum, default, required, optional, deprecated
--   enums[full name]: name, values[number] = name, union_of[number], bit_flags
--   services[full name]: name, methods[id] = {name, request, response}
-- nil and why if it cannot be read.
function M.load(path)
  local file, why = io.open(path, 'rb')
  if not file then
    return nil, why
  end
  local s = file:read('*a')
  file:close()
  local good, schema = pcall(load, s)
  if not good then
    return nil, path .. ': ' .. tostring(schema)
  end
  return schema
end

return M
