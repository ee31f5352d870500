-- values.lua - what a schema describes, as items of Wireshark's tree: a filter for each field, and the decoder.
--
-- The decoder trusts nothing: every position is checked (flatbuffers.lua), and how deep it goes, how many items it makes
-- and how many elements of a vector it shows is limited, so that a few bytes that name one table along many paths cost
-- no more than any other ones.
local fb, codes = ...
local M = {}

local DEPTH_MAX, ITEMS_MAX, ELEMENTS_MAX = 32, 2000, 64

-- ---- filters: a ProtoField for each field of a schema ----

-- What frame.fbs says in words: enums behind plain numbers, and numbers that are no quantities.
local ENUM_OF = {
  ['frame.Packet.kind'] = 'frame.Kind',
  ['frame.Hello.integrity'] = 'frame.Integrity',
}
local CODES = { ['frame.Status.code'] = true, ['frame.Farewell.code'] = true }
local HEX = {
  connection = true, node = true, incarnation = true, cookie = true, nonce = true, schema = true, low = true, high = true,
  span = true, flags = true, integrity_offered = true,
}

-- For schemas that were not there when Wireshark started: it takes no filters later.
local generic = {}

local function make(kind, abbreviation, name, options)
  if kind == 'string' then
    return ProtoField.string(abbreviation, name, base.UNICODE, options.text)
  elseif kind == 'bytes' then
    return ProtoField.bytes(abbreviation, name, base.NONE, options.text)
  elseif kind == 'bool' then
    return ProtoField.bool(abbreviation, name, base.NONE, nil, 0, options.text)
  elseif kind == 'none' or kind == 'float' or kind == 'double' then
    return ProtoField[kind](abbreviation, name, options.text)
  end
  return ProtoField[kind](abbreviation, name, options.hex and base.HEX or base.DEC, options.names, 0, options.text)
end

local function is_bytes(field)
  return field.base == fb.VECTOR and field.element == fb.UBYTE
end

-- The type of what stands at one place of a field: of an element for vectors.
local function leaf(field)
  return (field.base == fb.VECTOR or field.base == fb.ARRAY) and field.element or field.base
end

local function kind_of(field)
  return is_bytes(field) and 'bytes' or fb.BASE[leaf(field)] and fb.BASE[leaf(field)].field or 'none'
end

local function names_of(enum)
  return enum and next(enum.values) and enum.values or nil
end

-- Adds the ProtoFields of a schema to `made`, unless their filters are there. `filter_of` names that of an object.
function M.fields(schema, filter_of, taken, made)
  local function add(to, kind, filter, name, options)
    if not taken[filter] then
      taken[filter] = true
      to.proto = make(kind, filter, name, options)
      made[#made + 1] = to.proto
    end
  end
  for full, object in pairs(schema.objects) do
    add(object, 'none', filter_of(full), full, { text = object.documentation })
    for _, field in ipairs(object.fields) do
      local key = full .. '.' .. field.name
      add(field, kind_of(field), filter_of(full) .. '.' .. field.name, field.name, {
        text = field.documentation,
        hex = full:match('^frame%.') and HEX[field.name],
        names = CODES[key] and codes or names_of(field.enum or schema.enums[ENUM_OF[key] or '']),
      })
    end
  end
end

function M.generic_fields()
  local made = {}
  local kinds = { none = true, bytes = true }
  for _, b in pairs(fb.BASE) do
    kinds[b.field or 'none'] = true
  end
  for kind in pairs(kinds) do
    generic[kind] = make(kind, 'tela.value.' .. kind, 'value', {})
    made[#made + 1] = generic[kind]
  end
  return made
end

-- ---- the decoder ----

local add_object

local function bad(w, item, name, why)
  w.bad = true
  item:add_proto_expert_info(w.experts.malformed, ('%s: %s'):format(name, why))
end

-- One more item? Said once if not.
local function room(w, item)
  w.items = w.items + 1
  if w.items > ITEMS_MAX and not w.full then
    w.full = true
    item:add_proto_expert_info(w.experts.limit, ('more than %d items: the others are not shown'):format(ITEMS_MAX))
  end
  return not w.full
end

local function label(field, name, value)
  local enum = names_of(field.enum)
  value = tostring(value)
  if enum then
    value = ('%s (%s)'):format(enum[tonumber(value)] or 'unknown', value)
  end
  return name .. ': ' .. value
end

local function add_scalar(w, tree, field, name, at, base)
  local value = fb.scalar(w.s, at, base)
  if value == nil then
    return bad(w, tree, name, 'it reaches behind the end of the buffer')
  end
  local item = tree:add_le(field.proto or generic[fb.BASE[base].field], w.range(at, fb.BASE[base].size))
  if not field.proto or name ~= field.name then
    item:set_text(label(field, name, value))
  end
end

local function add_string(w, tree, field, name, at)
  local first, n, why = fb.vector(w.s, at, 1)
  if not first then
    return bad(w, tree, name, why)
  end
  if fb.u8(w.s, first + n) ~= 0 then
    bad(w, tree, name, 'the string does not end in a zero')
  end
  local range = w.range(first, n)
  local item = tree:add_packet_field(field.proto or generic.string, range, ENC_UTF_8)
  if not field.proto or name ~= field.name then
    item:set_text(name .. ': ' .. (n > 0 and range:string(ENC_UTF_8) or ''))
  end
end

local function add_bytes(w, tree, field, at)
  local first, n, why = fb.vector(w.s, at, 1)
  if not first then
    return bad(w, tree, field.name, why)
  end
  local item = tree:add(field.proto or generic.bytes, w.range(first, n))
  if n == 0 or not field.proto then
    item:set_text(('%s: %s'):format(field.name, n > 0 and tostring(w.range(first, n):bytes()) or ''))
  end
  item:append_text((' (%d byte%s)'):format(n, n == 1 and '' or 's'))
end

-- A union's value is a table, a struct or a string, as its type field says.
local function add_union(w, tree, field, name, at, number, depth)
  local union = field.enum and field.enum.union_of[number]
  if not union or union.base == 0 then
    return bad(w, tree, name, ('there is no member %d of the union'):format(number))
  end
  name = ('%s (%s)'):format(name, field.enum.values[number])
  if union.base == fb.STRING then
    return add_string(w, tree, { proto = nil, name = field.name }, name, at)
  end
  return add_object(w, tree, field, name, union.object, at, depth)
end

-- What an offset of type `base` leads to, or a scalar or struct itself.
local function add_value(w, tree, field, name, at, base, depth)
  if not room(w, tree) then
    return
  end
  if fb.BASE[base].format then
    return add_scalar(w, tree, field, name, at, base)
  elseif base == fb.OBJECT and field.object.is_struct then
    return add_object(w, tree, field, name, field.object, at, depth)
  end
  local target, why = fb.follow(w.s, at)
  if not target then
    return bad(w, tree, name, why)
  elseif base == fb.STRING then
    return add_string(w, tree, field, name, target)
  end
  return add_object(w, tree, field, name, field.object, target, depth)
end

local function size_of(field, base)
  return base == fb.OBJECT and field.object.is_struct and field.object.size or fb.BASE[base].size
end

local function add_elements(w, tree, field, first, n, types, depth)
  local size = size_of(field, field.element)
  local branch = tree:add(generic.none, w.range(first, n * size))
  branch:set_text(('%s: %d element%s'):format(field.name, n, n == 1 and '' or 's'))
  for i = 0, math.min(n, ELEMENTS_MAX) - 1 do
    local name, at = ('%s[%d]'):format(field.name, i), first + i * size
    if not types then
      add_value(w, branch, field, name, at, field.element, depth)
    elseif room(w, branch) then
      local target, why = fb.follow(w.s, at)
      if target then
        add_union(w, branch, field, name, target, fb.u8(w.s, types + i), depth)
      else
        bad(w, branch, name, why)
      end
    end
    if w.full then
      return
    end
  end
  if n > ELEMENTS_MAX then
    branch:add_proto_expert_info(w.experts.limit, ('%d more elements are not shown'):format(n - ELEMENTS_MAX))
  end
end

-- Numbers of the members: the field before a union, or a vector of unions, holds them.
local function types_of(t, field)
  if field.base == fb.UNION then
    local at = fb.field(t, field.id - 1, 1)
    return at and fb.u8(t.s, at) or 0
  end
  local at = fb.field(t, field.id - 1, 4)
  local target = at and fb.follow(t.s, at)
  if target then
    return fb.vector(t.s, target, 1)
  end
end

local function add_vector(w, tree, t, field, at, depth)
  if not fb.BASE[field.element] then
    return bad(w, tree, field.name, 'its type is not known here')
  end
  local first, n, why = fb.vector(w.s, at, size_of(field, field.element))
  local types
  if first and field.element == fb.UNION then
    local n_types
    types, n_types = types_of(t, field)
    if n_types ~= n then
      return bad(w, tree, field.name, 'it has another number of types than of values')
    end
  end
  if not first then
    return bad(w, tree, field.name, why)
  end
  return add_elements(w, tree, field, first, n, types, depth)
end

local function add_default(tree, field)
  if not field.proto or field.optional or field.deprecated or field.base > fb.DOUBLE then
    return
  end
  local value = field.default
  if field.base == fb.FLOAT or field.base == fb.DOUBLE then
    value = field.default_real
  elseif field.base == fb.ULONG then
    value = UInt64.new(value:lower(), value:higher())
  elseif field.base == fb.BOOL then
    value = value ~= Int64.new(0)
  elseif field.base ~= 9 then
    value = value:tonumber()
  end
  tree:add(field.proto, value):set_generated()
end

local function add_field(w, tree, t, field, depth)
  local size = fb.BASE[field.base] and size_of(field, field.base)
  if not size then
    return bad(w, tree, field.name, 'its type is not known here')
  end
  local at, why = fb.field(t, field.id, size)
  if why then
    return bad(w, tree, field.name, why)
  elseif not at then
    if field.required then
      bad(w, tree, field.name, 'it is required and not there')
    end
    return add_default(tree, field)
  elseif field.base == fb.VECTOR or field.base == fb.UNION then
    if not room(w, tree) then
      return
    end
    local target
    target, why = fb.follow(w.s, at)
    if not target then
      return bad(w, tree, field.name, why)
    elseif is_bytes(field) then
      return add_bytes(w, tree, field, target)
    elseif field.base == fb.UNION then
      return add_union(w, tree, field, field.name, target, types_of(t, field), depth)
    end
    return add_vector(w, tree, t, field, target, depth)
  end
  return add_value(w, tree, field, field.name, at, field.base, depth)
end

local function add_struct(w, tree, object, at, depth)
  for _, field in ipairs(object.fields) do
    if field.base == fb.ARRAY then
      add_elements(w, tree, field, at + field.offset, field.fixed_length, nil, depth)
    elseif not field.name:match('^reserved') or fb.scalar(w.s, at + field.offset, field.base) ~= 0 then
      add_value(w, tree, field, field.name, at + field.offset, field.base, depth)
    end
  end
end

-- A table or struct as a branch. `field` may be nil: a root.
function add_object(w, tree, field, name, object, at, depth)
  if depth >= DEPTH_MAX then
    return tree:add_proto_expert_info(w.experts.limit, ('%s: deeper than %d is not shown'):format(name, DEPTH_MAX))
  end
  local t, why, length
  if object.is_struct then
    length = at + object.size <= #w.s and object.size
    why = 'it reaches behind the end of the buffer'
  else
    t, why = fb.table(w.s, at)
    length = t and t.length
  end
  if not length then
    return bad(w, tree, name, why)
  end
  local branch = tree:add(field and field.proto or object.proto or generic.none, w.range(at, length))
  branch:set_text(('%s: %s'):format(name, object.name))
  if object.is_struct then
    add_struct(w, branch, object, at, depth + 1)
  else
    for _, f in ipairs(object.fields) do
      add_field(w, branch, t, f, depth + 1)
      if w.full then
        break
      end
    end
  end
  return branch
end

-- `n` bytes of a Tvb from `from` on; positions count from there.
local function walk(tvb, from, n, experts)
  local function range(at, length)
    return tvb(from + at, length)
  end
  return { range = range, s = tvb:raw(from, n), items = 0, experts = experts }
end

-- A struct of the wire at `from`, which must be inside of the Tvb. The branch, for more.
function M.struct(tvb, from, tree, name, object, experts)
  return add_object(walk(tvb, from, object.size, experts), tree, nil, name, object, 0, 0)
end

-- A whole buffer of `n` bytes, its root being an `object`. Whether it was good.
function M.buffer(tvb, from, n, tree, name, object, experts)
  local w = walk(tvb, from, n, experts)
  local root, why = fb.follow(w.s, 0)
  if root then
    add_object(w, tree, nil, name, object, root, 0)
  else
    bad(w, tree, name, why or 'it is too short')
  end
  return not w.bad
end

return M
