-- Commits one batch of a partition: its writes and its position, or nothing.
--
-- KEYS  1 live   2 generations   3 users   4 movies   5 trending
-- ARGV  1 the position the batch was computed from, '' for none
--       2 the position after it
--       3 its generation where it is another one than before, else 0
--       4 how many users   5 how many movies
--       then user id, record; movie id, record; heat, movie id
--
-- Returns the position that is stored afterwards, false where there is none.

-- HSET and ZADD take their arguments from the Lua stack, which holds 8,000.
local STEP = 4000

local function write(command, key, first, last)
  for at = first, last, STEP do
    redis.call(command, key, unpack(ARGV, at, math.min(at + STEP - 1, last)))
  end
end

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

-- 3. Check whatever could make a write fail, since nothing is rolled back.
local users = 6
local movies = users + 2 * tonumber(ARGV[4])
local heats = movies + 2 * tonumber(ARGV[5])
local last = heats + 2 * tonumber(ARGV[5]) - 1
if #ARGV ~= last then
  return redis.error_reply('ERR ' .. #ARGV .. ' arguments, expected ' .. last)
end
for key, kind in pairs({ [KEYS[3]] = 'hash', [KEYS[4]] = 'hash', [KEYS[5]] = 'zset' }) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= kind then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found .. ', expected ' .. kind)
  end
end
for at = heats, last, 2 do
  if not tonumber(ARGV[at]) then
    return redis.error_reply('ERR heat ' .. ARGV[at] .. ' is not a number')
  end
end

-- 4. Write the state.
write('HSET', KEYS[3], users, movies - 1)
write('HSET', KEYS[4], movies, heats - 1)
write('ZADD', KEYS[5], heats, last)

-- 5. Set the position.
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]
