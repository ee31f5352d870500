-- tela.lua - Wireshark's dissector for Tela: datagrams, packets of every kind, envelopes, typed payloads.
--
-- What stands on the wire is read from frame.bfbs, what a service's payloads hold from its own .bfbs: no layout and no
-- value is written down here twice. They are looked for in the folder given with -X lua_script1:FOLDER, else where
-- "meson install" put them, and those of more services in the folders that the preference names.
--
--   tela/flatbuffers.lua  buffers and binary schemas       tela/values.lua   their values as items of the tree
--   tela/calls.lua        paths, sessions, calls, messages  tela/crc32c.lua   the trailer
local INSTALLED = '@SCHEMAS@'
local VERSION, HEADER_MAX = 1, 64 -- dataplane/wire.h
local AEAD_TAG, CRC = 16, 4
local UDP_PORT = 7447
local INFO_MAX = 6 -- packets of a datagram that stand in the info column

-- gRPC's
local CODES = { [0] = 'OK', 'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS',
  'PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED', 'INTERNAL',
  'UNAVAILABLE', 'DATA_LOSS', 'UNAUTHENTICATED' }

local given = ...
local here = __DIR__
if here ~= '' and not here:match('[/\\]$') then
  here = here .. '/'
end
local function part(name, ...)
  return assert(loadfile(here .. 'tela/' .. name .. '.lua'))(...)
end
local fb = part('flatbuffers')
local values = part('values', fb, CODES)
local calls = part('calls')
local crc32c = part('crc32c')

-- ---- schemas ----

local services = {} -- by name: methods, and the hash of the schema if it is known
local hashes = {} -- telac's hash of a service's schema: hashes[name with underscores] = UInt64

local function read_hashes(path)
  for line in io.lines(path) do
    local name, hash = line:match('#define (%S+)_SCHEMA_HASH UINT64_C%(0x(%x+)%)')
    if name then
      hashes[name] = hash:lower()
    end
  end
end

-- Each schema of a folder, except frame's.
local function schemas_of(folder)
  local found, wrong = {}, {}
  if not Dir.exists(folder) then
    return found, { folder .. ': there is no such folder' }
  end
  for name in Dir.open(folder, '.hash') do
    read_hashes(folder .. '/' .. name)
  end
  for name in Dir.open(folder, '.bfbs') do
    if name ~= 'frame.bfbs' then
      local schema, why = fb.load(folder .. '/' .. name)
      found[#found + 1], wrong[#wrong + 1] = schema, why
    end
  end
  return found, wrong
end

local function take_services(schema)
  for name, service in pairs(schema.services) do
    service.hash = hashes[(name:gsub('%.', '_'))]
    services[name] = service
  end
end

local function service_of_hash(hash)
  for name, service in pairs(services) do
    if service.hash == hash then
      return name
    end
  end
end

local folder = given or INSTALLED
local frame, why_not = fb.load(folder .. '/frame.bfbs')
if not frame then
  report_failure('tela.lua: ' .. why_not .. '\nGive the folder of the .bfbs files: -X lua_script1:FOLDER')
  return
end

local function struct(name)
  return frame.objects['frame.' .. name]
end

local function number_of(enum, name)
  for number, n in pairs(frame.enums['frame.' .. enum].values) do
    if n == name then
      return number
    end
  end
end

local KINDS = frame.enums['frame.Kind'].values
local INTEGRITY = frame.enums['frame.Integrity'].values
local ONE_WAY = number_of('PacketFlag', 'one_way')
local FROM_CALLEE = number_of('PacketFlag', 'from_callee')
local PACKET, DATAGRAM, TIMING = struct('Packet'), struct('Datagram'), struct('Timing')
-- Which struct is the body of a kind, and who sends it: frame.fbs says so in its comments.
local BODY = { acknowledge = 'Window', gap = 'Gap', credit = 'Credit', bind = 'Bind', ping = 'Probe', pong = 'Probe',
  go_away = 'Farewell', refuse = 'Farewell', hello = 'Hello', cookie = 'Hello', accept = 'Hello' }
local BY_CALLEE = { response = true, in_progress = true, bind = true, rebind = true }
local BY_CALLER = { request = true, cancel = true, release = true }
local ABOUT_A_CALL = { request = true, response = true, in_progress = true, acknowledge = true, gap = true, cancel = true,
  release = true, bind = true, rebind = true, stream_data = true, stream_credit = true }

-- ---- fields ----

local tela = Proto('tela', 'Tela RPC')
local f = {
  version = ProtoField.uint8('tela.version', 'Version'),
  lowest = ProtoField.uint8('tela.version.lowest', 'Lowest version spoken'),
  highest = ProtoField.uint8('tela.version.highest', 'Highest version spoken'),
  integrity = ProtoField.uint8('tela.integrity', 'Integrity', base.DEC, INTEGRITY, 3),
  connection = ProtoField.uint32('tela.connection', 'Connection', base.HEX),
  number = ProtoField.uint64('tela.number', 'Datagram number'),
  crc = ProtoField.uint32('tela.crc32c', 'CRC32C', base.HEX),
  crc_status = ProtoField.string('tela.crc32c.status', 'CRC32C status'),
  tag = ProtoField.bytes('tela.aead.tag', 'AEAD tag'),
  sealed = ProtoField.bytes('tela.aead.data', 'Sealed packets'),
  repeated = ProtoField.framenum('tela.repeated', 'Same datagram as in', base.NONE, frametype.DUP_ACK),
  payload = ProtoField.bytes('tela.payload', 'Payload'),
  payload_length = ProtoField.uint32('tela.payload.length', 'Payload length'),
  fragment_data = ProtoField.bytes('tela.fragment.data', 'Fragment'),
  fragment_count = ProtoField.uint32('tela.fragment.count', 'Fragments'),
  reassembled_in = ProtoField.framenum('tela.reassembled_in', 'Whole in'),
  service = ProtoField.string('tela.service', 'Service'),
  method = ProtoField.string('tela.method', 'Method'),
  status = ProtoField.uint8('tela.status', 'Status', base.DEC, CODES),
  response_in = ProtoField.framenum('tela.response_in', 'Response in', base.NONE, frametype.RESPONSE),
  response_to = ProtoField.framenum('tela.response_to', 'Request in', base.NONE, frametype.REQUEST),
  cancelled_in = ProtoField.framenum('tela.cancelled_in', 'Cancelled in'),
  duplicate_of = ProtoField.framenum('tela.duplicate_of', 'Sent before in', base.NONE, frametype.RETRANS_PREV),
  time = ProtoField.relative_time('tela.time', 'Time from request'),
}
local flag_fields = {}
local e = {
  malformed = ProtoExpert.new('tela.malformed', 'Malformed', expert.group.MALFORMED, expert.severity.ERROR),
  crc = ProtoExpert.new('tela.crc32c.bad', 'Wrong CRC32C', expert.group.CHECKSUM, expert.severity.ERROR),
  version = ProtoExpert.new('tela.version.unknown', 'Unknown version', expert.group.PROTOCOL, expert.severity.WARN),
  kind = ProtoExpert.new('tela.kind.unknown', 'Unknown kind', expert.group.PROTOCOL, expert.severity.WARN),
  cut = ProtoExpert.new('tela.cut', 'Cut off by the capture', expert.group.UNDECODED, expert.severity.NOTE),
  repeated = ProtoExpert.new('tela.repeated.expert', 'Repeated', expert.group.SEQUENCE, expert.severity.NOTE),
  failed = ProtoExpert.new('tela.failed', 'Call failed', expert.group.RESPONSE_CODE, expert.severity.NOTE),
  schema = ProtoExpert.new('tela.schema.differs', 'Other schema', expert.group.UNDECODED, expert.severity.WARN),
  unknown = ProtoExpert.new('tela.schema.unknown', 'No schema', expert.group.UNDECODED, expert.severity.CHAT),
  limit = ProtoExpert.new('tela.limit', 'Not all shown', expert.group.UNDECODED, expert.severity.NOTE),
}

-- The filter of an object: tela.hello, tela.kv.Item; a packet's fields are tela's own.
local function filter_of(full)
  local name = full:match('^frame%.(%w+)$')
  return name == 'Packet' and 'tela' or 'tela.' .. (name and name:lower() or full)
end

local function register()
  local all, experts, taken = values.generic_fields(), {}, { tela = true }
  for _, field in pairs(f) do
    all[#all + 1] = field
    taken[tostring(field):match('tela[%w._]*')] = true
  end
  for _, one in pairs(e) do
    experts[#experts + 1] = one
  end
  local first, wrong = schemas_of(folder)
  table.insert(first, 1, frame)
  for _, schema in ipairs(first) do
    values.fields(schema, filter_of, taken, all)
    take_services(schema)
  end
  for number, name in pairs(frame.enums['frame.PacketFlag'].values) do
    flag_fields[number] = ProtoField.bool('tela.flags.' .. name, name, 8, nil, number)
    all[#all + 1] = flag_fields[number]
  end
  tela.fields, tela.experts = all, experts
  return wrong
end
local wrong = register()

-- ---- preferences ----

tela.prefs.schemas = Pref.string('Folders of more schemas', '', 'Folders with .bfbs files of services, separated by colons')
tela.prefs.port = Pref.range('UDP ports', tostring(UDP_PORT), 'Datagrams to and from these ports are Tela\'s', 65535)
tela.prefs.crc = Pref.bool('Check CRC32C', true, 'Whether the trailer is computed and compared')
tela.prefs.decode = Pref.bool('Decode typed payloads', true, 'By the schemas of their services')

local ports = DissectorTable.get('udp.port')
local bound

local function prefs_changed()
  if bound ~= tela.prefs.port then
    if bound then
      ports:remove(bound, tela)
    end
    bound = tela.prefs.port
    ports:add(bound, tela)
  end
  for more in tela.prefs.schemas:gmatch('[^:]+') do
    local found, bad = schemas_of(more)
    for _, schema in ipairs(found) do
      take_services(schema)
    end
    for _, text in ipairs(bad) do
      report_failure('tela.lua: ' .. text)
    end
  end
end
tela.prefs_changed = prefs_changed

function tela.init()
  calls.reset()
end

-- ---- small things ----

local function pad8(n)
  return n + -n % 8
end

-- A struct's scalars by name.
local function read(s, at, object)
  local r = {}
  for _, field in ipairs(object.fields) do
    r[field.name] = fb.scalar(s, at + field.offset, field.base)
  end
  return r
end

local function has(flags, one)
  return bit.band(flags, one) ~= 0
end

local function title(kind)
  return (kind:sub(1, 1):upper() .. kind:sub(2):gsub('_', ' '))
end

local function malformed(d, item, ...)
  d.wrong = true
  item:add_proto_expert_info(e.malformed, string.format(...))
end

-- ---- messages ----

-- What an envelope says about its call, before anything else is known.
local function read_envelope(s)
  local root = fb.follow(s, 0)
  local t = root and fb.table(s, root)
  if not t then
    return {}
  end
  local fields = struct('Envelope').by_name
  local function scalar(name)
    local field = fields[name]
    local at = fb.field(t, field.id, fb.BASE[field.base].size)
    return at and fb.scalar(s, at, field.base)
  end
  local r = { bind = scalar('bind') or 0, method = scalar('method') or 0, schema = scalar('schema') }
  r.schema = r.schema and r.schema:tohex(16):lower()
  local at = fb.field(t, fields.service.id, 4)
  at = at and fb.follow(s, at)
  local first, n = nil, nil
  if at then
    first, n = fb.vector(s, at, 1)
  end
  r.service = first and s:sub(first + 1, first + n)
  at = fb.field(t, fields.status.id, 4)
  at = at and fb.follow(s, at)
  local status = at and fb.table(s, at)
  at = status and fb.field(status, struct('Status').by_name.code.id, 1)
  r.code = at and fb.u8(s, at) or 0
  return r
end

local function method_of(call)
  local service = services[call.service]
  return service and service.methods[call.method]
end

local function full_name(call)
  if not call or not call.method then
    return '?'
  end
  local method = method_of(call)
  local service = call.service or call.bind and 'bind ' .. call.bind or '?'
  return service .. (method and '.' .. method.name or ' method ' .. call.method)
end

-- The first reading of a request's first fragment: the service by name, or by the index that a bind gave it.
local function name_call(session, call, envelope)
  local known = envelope.service and envelope or session.binds[envelope.bind] or {}
  call.service, call.schema = known.service, known.schema
  call.bind, call.method = envelope.bind, envelope.method
end

local function add_payload(d, p, tvb, at, n)
  local call = p.call
  p.item:add(f.payload_length, n):set_generated()
  p.payload_length = n
  if n == 0 then
    return
  end
  local item = p.item:add(f.payload, tvb(at, n))
  local service, method = services[call.service], method_of(call)
  if not method then
    item:add_proto_expert_info(e.unknown, ('no schema for %s'):format(full_name(call)))
    return
  end
  if service.hash and call.schema and service.hash ~= call.schema then
    item:add_proto_expert_info(e.schema, ('%s: the call is of schema 0x%s, the .bfbs file of 0x%s'):format(call.service,
      call.schema, service.hash))
  end
  if d.decode and not values.buffer(tvb, at, n, p.item, p.kind, method[p.kind], e) then
    d.wrong = true
  end
end

-- The payload of a message whose bytes are all there, from `at` on.
local function add_whole(d, p, tvb, at)
  local payload = pad8(p.h.envelope_length)
  if payload <= p.h.body_length then
    add_payload(d, p, tvb, at + payload, p.h.body_length - payload)
  end
end

-- The envelope, whole in the first fragment.
local function add_envelope(d, p, body)
  local n = p.h.envelope_length
  if n == 0 or (p.cut and n > #body) then
    return {}
  elseif n > #body then
    malformed(d, p.item, 'the envelope is longer than its fragment')
    return {}
  end
  if not values.buffer(d.tvb, p.body_at, n, p.item, 'Envelope', struct('Envelope'), e) then
    d.wrong = true
  end
  return read_envelope(body:sub(1, n))
end

-- What is learnt in the first reading of a fragment.
local function learn_message(d, p, envelope, body)
  local what, way = p.what, p.call[p.kind]
  if p.kind == 'request' and p.h.fragment == 0 and not p.call.method then
    name_call(p.session, p.call, envelope)
  end
  what.duplicate_of, what.why = calls.fragment(way, p.h.fragment, p.size, not p.cut and body or nil, p.h.body_length,
    d.frame)
  what.call = p.call
  if not what.duplicate_of then
    way.time = way.time or d.time
    what.whole = way.frame == d.frame and way.body ~= nil
    what.answers = p.kind == 'response' and way.frame == d.frame
    if what.answers then
      way.done = d.time
    end
  end
end

local function add_links(p)
  local item, call, what = p.item, p.call, p.what
  local function link(field, number)
    if number then
      item:add(field, number):set_generated()
    end
  end
  if call.service then
    item:add(f.service, call.service):set_generated()
  end
  if call.method then
    item:add(f.method, full_name(call)):set_generated()
  end
  if what.duplicate_of then
    link(f.duplicate_of, what.duplicate_of)
    item:add_proto_expert_info(e.repeated, ('sent before, in frame %d'):format(what.duplicate_of))
  end
  if p.kind == 'request' and p.h.fragment == 0 then
    link(f.response_in, call.response.frame)
    link(f.cancelled_in, call.cancelled)
  elseif what.answers then
    link(f.response_to, call.request.first)
    if call.request.time then
      local ns = math.floor((call.response.done - call.request.time) * 1e9 + 0.5)
      item:add(f.time, NSTime.new(math.floor(ns / 1e9), ns % 1e9)):set_generated()
    end
  end
end

local function add_status(p, code)
  p.item:add(f.status, code):set_generated()
  p.code = code
  if code ~= 0 then
    p.item:add_proto_expert_info(e.failed, ('the call ended with %s'):format(CODES[code] or code))
  end
end

-- Request and response: Timing (in the first fragment of a response), envelope, payload, perhaps in fragments.
local function dissect_message(d, p)
  local h, first = p.h, p.h.fragment == 0
  if p.kind == 'response' and first then
    if p.cut and p.available < TIMING.size then
      return
    elseif p.available < TIMING.size then
      return malformed(d, p.item, 'a response without its %d bytes of Timing', TIMING.size)
    end
    values.struct(d.tvb, p.body_at, p.item, 'Timing', TIMING, e)
    p.body_at, p.available, p.size = p.body_at + TIMING.size, p.available - TIMING.size, p.size - TIMING.size
  end
  local body = d.s:sub(p.body_at + 1, p.body_at + p.available)
  if p.size > h.body_length or h.envelope_length > h.body_length then
    return malformed(d, p.item, 'more bytes than the %d of the whole message', h.body_length)
  end
  local envelope = first and add_envelope(d, p, body) or {}
  if d.trusted and p.what.new then
    learn_message(d, p, envelope, body)
  end
  local call, what = p.call, p.what
  if not call.method and p.kind == 'request' and first then -- not trusted: what it says itself
    name_call(p.session, call, envelope)
  end
  add_links(p)
  if p.kind == 'response' and first then
    add_status(p, envelope.code or 0)
  end
  if first and #body == h.body_length then
    add_whole(d, p, d.tvb, p.body_at)
    return
  end
  if #body > 0 then
    p.item:add(f.fragment_data, d.tvb(p.body_at, #body))
  end
  p.fragment = true
  local way = call[p.kind]
  if what.whole then
    p.item:add(f.fragment_count, way.count):set_generated()
    add_whole(d, p, ByteArray.new(way.body, true):tvb('Tela message'), 0)
  elseif way.frame then
    p.item:add(f.reassembled_in, way.frame):set_generated()
  end
  if what.why then
    malformed(d, p.item, '%s', what.why)
  end
end

-- ---- packets of one struct ----

local function learn_small(d, p, body)
  if p.kind == 'cancel' then
    p.call.cancelled = p.call.cancelled or d.frame
  elseif p.kind == 'bind' then
    local schema = body.schema:tohex(16):lower()
    p.session.binds[body.index] = { service = p.call.service or service_of_hash(schema), schema = schema }
  elseif p.kind == 'accept' then
    calls.accepted(d.from, d.to, d.header.connection, body.connection)
  end
  p.what.service = p.call and p.call.service
end

local SUMMARY = {
  acknowledge = function(p, b) return ('below %d, window to %d'):format(p.h.fragment, b.limit) end,
  gap = function(_, b) return ('%d..%d missing'):format(b.first, b.first + b.count - 1) end,
  credit = function(_, b) return ('%d slots'):format(b.slots) end,
  bind = function(p, b) return ('%s is %d'):format(p.what.service or 'schema 0x' .. b.schema:tohex(16):lower(), b.index) end,
  hello = function(_, b) return b.cookie_time == 0 and 'without a cookie' or 'with its cookie' end,
  accept = function(_, b) return ('connection 0x%08x, %s'):format(b.connection, INTEGRITY[b.integrity] or '?') end,
  go_away = function(_, b) return CODES[b.code] or tostring(b.code) end,
}
SUMMARY.refuse = SUMMARY.go_away

local function dissect_small(d, p)
  local object = BODY[p.kind] and struct(BODY[p.kind])
  local size = object and object.size or 0
  local body
  if p.available < size then
    if not p.cut then
      malformed(d, p.item, 'a body of %d bytes where a %s has %d', p.available, p.kind, size)
    end
    return
  end
  if object then
    values.struct(d.tvb, p.body_at, p.item, BODY[p.kind], object, e)
    body = read(d.s, p.body_at, object)
  end
  if p.available > size then
    malformed(d, p.item, '%d bytes behind the body of a %s', p.available - size, p.kind)
  end
  if d.trusted and not p.cut and p.what.new then
    learn_small(d, p, body)
  end
  if p.call then
    add_links(p)
  end
  p.summary = body and SUMMARY[p.kind] and SUMMARY[p.kind](p, body)
end

-- No node sends these yet: their bytes are all that can be said.
local function dissect_stream(d, p)
  if p.available > 0 then
    p.item:add(f.payload, d.tvb(p.body_at, p.available))
  end
end

local HANDLERS = { request = dissect_message, response = dissect_message, stream_data = dissect_stream,
  stream_credit = dissect_stream }

-- ---- packets ----

local function add_header(d, p)
  local range = d.tvb(p.at, PACKET.size)
  for _, field in ipairs(PACKET.fields) do
    local size = fb.BASE[field.base].size
    if not field.name:match('^reserved') or p.h[field.name] ~= 0 then
      local item = p.item:add_le(field.proto, range(field.offset, size))
      if field.name == 'flags' then
        for number, flag in pairs(flag_fields) do
          item:add(flag, range(field.offset, size))
          if has(p.h.flags, number) then
            item:append_text(' ' .. frame.enums['frame.PacketFlag'].values[number])
          end
        end
      end
    end
  end
end

-- Session and call of a packet: as remembered, or found now. In a datagram that is not to be trusted they are its own.
local function find_call(d, p)
  p.what = calls.recall(d.frame, p.key)
  if not p.what then
    p.what = { new = not d.visited, call = nil }
    if d.trusted and not d.visited then
      calls.remember(d.frame, p.key, p.what)
    end
  end
  if not ABOUT_A_CALL[p.kind] then
    return
  end
  local side = d.side
  if BY_CALLEE[p.kind] or (not BY_CALLER[p.kind] and has(p.h.flags, FROM_CALLEE)) then
    side = 3 - side
  end
  if p.what.new and d.trusted then
    p.session = calls.session(d.path, side, p.h.session)
    p.what.call = calls.call(p.session, p.h.slot, p.h.call)
  end
  p.session = p.session or { binds = {} }
  p.call = p.what.call or { request = {}, response = {} }
end

local function info_of(p)
  local text = { title(p.kind) }
  local function say(...)
    text[#text + 1] = string.format(...)
  end
  if p.call then
    if p.kind ~= 'bind' then
      if p.call.method then
        say('%s', full_name(p.call))
      end
      say('#%d', p.h.call)
    end
    if has(p.h.flags, ONE_WAY) then
      say('one-way')
    end
  end
  if p.fragment then
    say('fragment %d', p.h.fragment)
  end
  if p.summary then
    say('%s', p.summary)
  end
  if p.code and p.code ~= 0 then
    say('%s', CODES[p.code] or 'status ' .. p.code)
  elseif p.payload_length then
    say('%d B', p.payload_length)
  end
  if p.what.duplicate_of then
    say('[again]')
  end
  return table.concat(text, ' ')
end

-- One packet at `at`. Where the next one begins, or nil.
local function dissect_packet(d, tree, at)
  local left = d.finish - at
  if left < PACKET.size then
    if at + left >= d.captured and d.cut then
      tree:add_proto_expert_info(e.cut, 'the capture ends in the header of a packet')
    else
      malformed(d, tree, '%d bytes where a packet has at least %d', left, PACKET.size)
    end
    return nil
  end
  local p = { at = at, h = read(d.s, at, PACKET), key = d.offset + at }
  local whole = d.reported_finish - at
  p.kind = KINDS[p.h.kind] or ('kind ' .. p.h.kind)
  p.item = tree:add(tela, d.tvb(at, math.max(PACKET.size, math.min(p.h.length, left))), title(p.kind))
  if p.h.length < PACKET.size or p.h.length > whole then
    add_header(d, p)
    d.info[#d.info + 1] = title(p.kind) .. ' of a wrong length'
    malformed(d, p.item, 'a length of %d where %d to %d bytes can be', p.h.length, PACKET.size, whole)
    return nil
  end
  add_header(d, p)
  -- where what it carries stands, how many bytes that has, how many of them are in the capture
  p.body_at, p.size, p.available = at + PACKET.size, p.h.length - PACKET.size, math.min(p.h.length, left) - PACKET.size
  p.cut = p.h.length > left
  if p.cut then
    p.item:add_proto_expert_info(e.cut, ('%d of %d bytes are in the capture'):format(left, p.h.length))
  end
  find_call(d, p)
  if not KINDS[p.h.kind] or p.kind == 'none' then
    p.item:add_proto_expert_info(e.kind, ('kind %d is not known'):format(p.h.kind))
  else
    (HANDLERS[p.kind] or dissect_small)(d, p)
  end
  p.what.new = nil
  local text = info_of(p)
  p.item:set_text(text)
  d.info[#d.info + 1] = text
  local next_at = at + pad8(p.h.length)
  if next_at > d.reported_finish then
    malformed(d, p.item, 'it is not padded to a multiple of 8')
    return nil
  end
  local padding = d.s:sub(at + p.h.length + 1, math.min(next_at, d.finish))
  if padding:find('[^%z]') then
    malformed(d, p.item, 'its padding is not zeros')
  end
  return next_at < d.finish and next_at or nil
end

-- ---- datagrams ----

local function trailer_of(header)
  local kind = INTEGRITY[bit.band(header.flags, 3)]
  return kind, ({ none = 0, crc32c = CRC, aead = AEAD_TAG })[kind]
end

local function add_datagram_header(d, tree)
  local h, tvb = d.header, d.tvb
  local branch = values.struct(tvb, 0, tree, 'Datagram', DATAGRAM, e)
  branch:add(f.version, tvb(0, 1)):set_generated()
  branch:add(f.integrity, tvb(1, 1)):set_generated()
  branch:add_le(f.connection, tvb(4, 4)):set_generated()
  branch:add(f.number, UInt64.new(h.number_low, h.number_high)):set_generated()
  if h.zero ~= 0 then
    malformed(d, branch, 'its fourth byte is not zero')
  end
  if bit.band(h.flags, 0xfc) ~= 0 then
    malformed(d, branch, 'flags that are not known')
  end
end

-- A CRC that is there and wrong: nothing is learnt from such a datagram.
local function check_crc(d, tree)
  local stored = fb.u32(d.s, d.reported_finish)
  local item = tree:add_le(f.crc, d.tvb(d.reported_finish, CRC))
  local status = 'Unverified'
  if d.check_crc then
    local found = crc32c.of(d.s:sub(1, d.reported_finish))
    status = found == stored and 'Good' or 'Bad'
    if status == 'Bad' then
      d.trusted = false
      item:add_proto_expert_info(e.crc, ('CRC32C is 0x%08x, computed 0x%08x'):format(stored, found))
    end
  end
  item:append_text((' [%s]'):format(status:lower()))
  tree:add(f.crc_status, status):set_generated()
end

local function dissect_trailer(d, tree)
  if d.reported < d.header.header_length + d.trailer then
    malformed(d, tree, 'no room for the trailer')
    return false
  elseif d.cut then
    return true
  elseif d.integrity == 'crc32c' then
    check_crc(d, tree)
  elseif d.integrity == 'aead' then
    tree:add(f.tag, d.tvb(d.reported_finish, AEAD_TAG))
  end
  return true
end

-- The path, once a datagram is known to be right.
local function find_path(d, tree)
  local h = d.header
  if h.connection == 0 or not d.trusted or d.visited then
    d.path, d.side = { sessions = { {}, {} }, numbers = { {}, {} }, ids = {} }, 1
  else
    d.path, d.side = calls.path(d.from, d.pinfo.src_port, d.to, d.pinfo.dst_port, h.connection)
  end
  local number = h.number_low + h.number_high * 0x100000000
  local what = calls.recall(d.frame, d.offset)
  if not what and d.trusted and not d.visited and number > 0 and h.connection ~= 0 then
    what = calls.remember(d.frame, d.offset, { repeated = calls.datagram_seen(d.path, d.side, number, d.frame) })
  end
  if what and what.repeated then
    tree:add(f.repeated, what.repeated):set_generated()
    tree:add_proto_expert_info(e.repeated, ('datagram %.0f was seen before, in frame %d'):format(number, what.repeated))
  end
end

local function dissect_datagram(d, tree)
  d.header = read(d.s, 0, DATAGRAM)
  local h = d.header
  d.integrity, d.trailer = trailer_of(h)
  add_datagram_header(d, tree)
  if h.header_length < DATAGRAM.size or h.header_length > HEADER_MAX or h.header_length > d.reported then
    return malformed(d, tree, 'a header length of %d', h.header_length)
  elseif not d.trailer then
    return malformed(d, tree, 'an integrity that is not known')
  end
  d.reported_finish = d.reported - d.trailer
  d.finish = math.min(d.captured, d.reported_finish)
  if not dissect_trailer(d, tree) then
    return
  end
  find_path(d, tree)
  if d.cut then
    tree:add_proto_expert_info(e.cut, ('%d of %d bytes are in the capture'):format(d.captured, d.reported))
  end
  if d.integrity == 'aead' then
    if d.finish > h.header_length then
      tree:add(f.sealed, d.tvb(h.header_length, d.finish - h.header_length))
    end
    d.info[1] = 'Sealed'
    return
  end
  local at, n = h.header_length, 0
  while at do
    at, n = dissect_packet(d, tree, at), n + 1
  end
  tree:append_text((', number %.0f, %d packet%s'):format(h.number_low + h.number_high * 0x100000000, n, n == 1 and '' or 's'))
end

-- Another version: only the first 8 bytes say anything.
local function dissect_version(d, tree)
  local tvb, version = d.tvb, fb.u8(d.s, 0)
  tree:add(f.version, tvb(0, 1))
  tree:add_le(f.connection, tvb(4, 4))
  if version == 0 and d.reported == 8 then
    tree:add(f.lowest, tvb(1, 1))
    tree:add(f.highest, tvb(2, 1))
    d.info[1] = ('Versions %d to %d are spoken'):format(fb.u8(d.s, 1), fb.u8(d.s, 2))
    if fb.u8(d.s, 3) ~= 0 then
      malformed(d, tree, 'its fourth byte is not zero')
    end
  else
    d.info[1] = ('Version %d'):format(version)
    tree:add_proto_expert_info(e.version, ('version %d is not known'):format(version))
  end
end

local function info_text(d)
  local text = table.concat(d.info, ', ', 1, math.min(#d.info, INFO_MAX))
  if #d.info > INFO_MAX then
    text = ('%s, and %d more'):format(text, #d.info - INFO_MAX)
  end
  return (d.wrong and '[Malformed] ' or '') .. (d.trusted and '' or not d.cut and '[Wrong CRC] ' or '') .. text
end

function tela.dissector(tvb, pinfo, tree)
  if tvb:len() == 0 then
    return 0
  end
  local d = { tvb = tvb, s = tvb:raw(), pinfo = pinfo, captured = tvb:len(), reported = tvb:reported_len(),
    offset = tvb:offset(), frame = pinfo.number, time = pinfo.rel_ts, visited = pinfo.visited, info = {}, trusted = true,
    from = tostring(pinfo.net_src), to = tostring(pinfo.net_dst), check_crc = tela.prefs.crc, decode = tela.prefs.decode }
  d.cut = d.reported > d.captured
  pinfo.cols.protocol = 'Tela'
  local top = tree:add(tela, tvb(), 'Tela')
  if d.captured < 8 or (fb.u8(d.s, 0) == VERSION and d.captured < DATAGRAM.size) then
    if d.cut then
      d.info[1] = 'Cut off'
      top:add_proto_expert_info(e.cut, 'the capture ends in the datagram\'s header')
    else
      malformed(d, top, '%d bytes are no datagram', d.captured)
    end
  elseif fb.u8(d.s, 0) == VERSION then
    dissect_datagram(d, top)
  else
    dissect_version(d, top)
  end
  pinfo.cols.info = info_text(d)
  return tvb:len()
end

-- On other ports: the bytes that are the same in every datagram, a first packet that can be, and the trailer.
local function heuristic(tvb, pinfo, tree)
  if tvb:len() < DATAGRAM.size + PACKET.size or tvb:len() < tvb:reported_len() then
    return false
  end
  local s = tvb:raw()
  local h = read(s, 0, DATAGRAM)
  local kind, trailer = trailer_of(h)
  if h.version ~= VERSION or h.zero ~= 0 or h.flags > 3 or not trailer or
    h.header_length < DATAGRAM.size or h.header_length > HEADER_MAX or
    h.header_length + PACKET.size + trailer > #s then
    return false
  end
  if kind ~= 'aead' then
    local p = read(s, h.header_length, PACKET)
    if not KINDS[p.kind] or p.kind == 0 or p.reserved ~= 0 or p.length < PACKET.size or
      h.header_length + pad8(p.length) + trailer > #s then
      return false
    end
  end
  if kind == 'crc32c' and crc32c.of(s:sub(1, #s - CRC)) ~= fb.u32(s, #s - CRC) then
    return false
  end
  pinfo.conversation = tela
  tela.dissector(tvb, pinfo, tree)
  return true
end

tela:register_heuristic('udp', heuristic)
prefs_changed()
for _, text in ipairs(wrong) do
  report_failure('tela.lua: ' .. text)
end
