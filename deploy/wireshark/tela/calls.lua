-- calls.lua - what Tela's packets have to do with each other: paths, sessions, bind indices, calls, fragments.
--
-- Wireshark reads a capture once in order, and then any frame again at any time. All of this is learnt in the first
-- reading; what a packet was found to be then is kept in `memo` under the frame and the packet's place in it.
local M = {}

local KEPT_MAX = 256 * 1024 * 1024 -- bytes of fragments and of messages made of them
local BODY_MAX = 16 * 1024 * 1024 + 2048 -- of one message

local memo, toward, pairs_of, kept

function M.reset()
  memo, toward, pairs_of, kept = {}, {}, {}, 0
end
M.reset()

-- ---- paths ----

local function new_path()
  return { sessions = { {}, {} }, numbers = { {}, {} }, ids = {} }
end

local function key(address, connection)
  return ('%s#%08x'):format(address, connection)
end

-- The ids in a hello's answer: a path that is new begins with no sessions, whatever the addresses had before.
function M.accepted(address_of, packet_to, id_of_receiver, id_of_sender)
  local there, here = key(packet_to, id_of_receiver), key(address_of, id_of_sender)
  if not toward[there] or not toward[here] or toward[there].path ~= toward[here].path then
    local path = new_path()
    toward[there], toward[here] = { path = path, side = 1 }, { path = path, side = 2 }
  end
end

-- The path of a datagram and the side (1, 2) that sent it. Without its handshake in the capture: by the two end points.
function M.path(from, from_port, to, to_port, connection)
  local known = toward[key(to, connection)]
  if not known then
    local a, b = from .. ':' .. from_port, to .. ':' .. to_port
    local side = a < b and 2 or 1
    local pair = a < b and a .. ' ' .. b or b .. ' ' .. a
    local path = pairs_of[pair]
    if not path or path.ids[side] then -- another id: the path is another one
      path = new_path()
      pairs_of[pair] = path
    end
    path.ids[side] = connection
    known = { path = path, side = side }
    toward[key(to, connection)] = known
  end
  return known.path, 3 - known.side
end

-- The frame that had the same datagram before.
function M.datagram_seen(path, side, number, frame)
  local before = path.numbers[side][number]
  if not before then
    path.numbers[side][number] = frame
  end
  return before
end

-- ---- calls ----

function M.session(path, side, number)
  local session = path.sessions[side][number]
  if not session then
    session = { binds = {}, calls = {} }
    path.sessions[side][number] = session
  end
  return session
end

function M.call(session, slot, number)
  local id = slot .. '/' .. number
  local call = session.calls[id]
  if not call then
    call = { number = number, request = {}, response = {} }
    session.calls[id] = call
  end
  return call
end

local function whole(way, frame)
  local bytes, n = {}, 0
  while way.parts[n] do
    bytes[n + 1] = way.parts[n].bytes
    way.parts[n].bytes = nil
    n = n + 1
  end
  if n < way.count then
    return nil, 'the fragments do not follow each other'
  end
  way.frame = frame
  if n > 1 and #bytes == n then
    way.body = table.concat(bytes)
  end
end

-- A fragment of `size` bytes of one way (call.request or call.response); `bytes` is nil if the capture has not all of
-- them. The frame that had it before, or nil. When the last one is there, way.frame is set, and, if there was more than
-- one, way.body is the message. nil and why if it does not fit the others.
function M.fragment(way, index, size, bytes, total, frame)
  way.first, way.parts, way.total = way.first or frame, way.parts or {}, way.total or total
  local before = way.parts[index]
  if before or way.frame then
    return before and before.frame or way.frame
  end
  if total > BODY_MAX or kept + size > KEPT_MAX then
    return nil, 'the message is not put together: there are too many bytes'
  end
  if total ~= way.total or (way.have or 0) + size > total or (size == 0 and total > 0) then
    return nil, ('the fragment does not fit a message of %d bytes'):format(way.total)
  end
  way.have, way.count = (way.have or 0) + size, (way.count or 0) + 1
  way.parts[index] = { frame = frame }
  if size < total then
    way.parts[index].bytes, kept = bytes, kept + size
  end
  if way.have == total then
    return whole(way, frame)
  end
end

-- ---- what a packet was found to be ----

function M.remember(frame, place, what)
  memo[frame .. '/' .. place] = what
  return what
end

function M.recall(frame, place)
  return memo[frame .. '/' .. place]
end

return M
