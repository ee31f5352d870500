-- crc32c.lua - CRC-32C (polynomial 0x1edc6f41), a table and a byte at a time.
local M = {}

local bxor, band, rshift = bit.bxor, bit.band, bit.rshift
local steps = {}

for i = 0, 255 do
  local crc = i
  for _ = 1, 8 do
    crc = bxor(rshift(crc, 1), band(crc, 1) == 1 and 0x82f63b78 or 0)
  end
  steps[i] = crc
end

function M.of(s)
  local crc = -1
  for i = 1, #s do
    crc = bxor(rshift(crc, 8), steps[band(bxor(crc, s:byte(i)), 255)])
  end
  return bxor(crc, -1) % 0x100000000
end

return M
