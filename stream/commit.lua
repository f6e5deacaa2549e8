-- Commits one batch of a partition: its writes and its position, or nothing.
--
-- KEYS  1 live   2 generations   3 users   4 movies   5 changed
--       6, ... what is kept for the users that are erased
-- ARGV  1 the position the batch was computed from, '' for none
--       2 the position after it
--       3 its generation where it is another one than before, else 0
--       4 its next offset
--       5 users, each as: id u64, size u32, record; an empty one is erased
--       6 movies, likewise
--
-- Entries come in one string, since a client takes longer to send many small arguments than Redis
-- takes to tell them apart. Numbers are little-endian.
--
-- Returns the position that is stored afterwards, false where there is none.

-- 1. Compare: another position means that another writer got ahead, or that this very commit took
--    and is sent again because its answer was lost.
local stored = redis.call('GET', KEYS[1])
if (stored or '') ~= ARGV[1] then
  return stored
end

-- 2. A generation whose number the store has forgotten was lost in part or whole: refuse to switch.
if tonumber(redis.call('GET', KEYS[2]) or 0) < tonumber(ARGV[3]) then
  return stored
end

-- 3. Take everything apart and check what could make a write fail, since nothing is rolled back.
local users, erased, movies, changed = {}, {}, {}, {}
local at, id, size = 1, nil, nil
while at <= #ARGV[5] do
  id, size, at = struct.unpack('<I8I4', ARGV[5], at)
  if size == 0 then
    erased[#erased + 1] = id
  else
    users[#users + 1] = id
    users[#users + 1] = string.sub(ARGV[5], at, at + size - 1)
  end
  at = at + size
end
if at ~= #ARGV[5] + 1 then
  return redis.error_reply('ERR the users are not whole')
end
at = 1
while at <= #ARGV[6] do
  id, size, at = struct.unpack('<I8I4', ARGV[6], at)
  movies[#movies + 1] = id
  movies[#movies + 1] = string.sub(ARGV[6], at, at + size - 1)
  changed[#changed + 1] = ARGV[4]
  changed[#changed + 1] = id
  at = at + size
end
if at ~= #ARGV[6] + 1 then
  return redis.error_reply('ERR the movies are not whole')
end
if not tonumber(ARGV[4]) then
  return redis.error_reply('ERR the next offset is not a number')
end
for key, kind in pairs({ [KEYS[3]] = 'hash', [KEYS[4]] = 'hash', [KEYS[5]] = 'zset' }) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= kind then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found .. ', expected ' .. kind)
  end
end

-- 4. Write the state, in steps: arguments go over the Lua stack, which holds 8,000.
local function write(command, key, values)
  for first = 1, #values, 4000 do
    redis.call(command, key, unpack(values, first, math.min(first + 3999, #values)))
  end
end
write('HSET', KEYS[3], users)
write('HDEL', KEYS[3], erased)
for at = 6, #KEYS do
  redis.call('UNLINK', KEYS[at])
end
write('HSET', KEYS[4], movies)
write('ZADD', KEYS[5], changed)

-- 5. Set the position.
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]
