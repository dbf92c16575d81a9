-- Writes a value unless the one held is newer, by (epoch, version, R), as numbers: strings would compare by locale.
-- Equal in all three renews nothing, so a repeated event cannot keep an entry alive.
-- KEYS[1] key; ARGV[1] value; ARGV[2] time to live in ms; ARGV[3] '1' to write only where an entry is held.
-- Returns 1 if the value was written, else 0.
-- A key of another type is none of ours: it counts as not held, and a fill replaces it.
local held = redis.pcall('GETRANGE', KEYS[1], 0, 23)
if type(held) == 'string' and #held == 24 then
  local epoch, version, position = struct.unpack('>I8I8I8', held)
  local new_epoch, new_version, new_position = struct.unpack('>I8I8I8', ARGV[1])
  if epoch > new_epoch then return 0 end
  if epoch == new_epoch then
    if version > new_version then return 0 end
    if version == new_version and position >= new_position then return 0 end
  end
elseif ARGV[3] == '1' then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
