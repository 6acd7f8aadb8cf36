#!lua
-- Stores tallies if they are still what they were when they were read. KEYS: removable, tallies. ARGV: for each its name
-- in `removable`, the old value, the new one, and when that expires; an empty value is none. Returns whether it did.
for place = 2, #KEYS do
  if (redis.call('GET', KEYS[place]) or '') ~= ARGV[4 * place - 6] then
    return 0
  end
end
for place = 2, #KEYS do
  local name, old, new, expires_at = unpack(ARGV, 4 * place - 7, 4 * place - 4)
  if new == '' and old ~= '' then
    redis.call('DEL', KEYS[place])
    redis.call('ZREM', KEYS[1], name)
  elseif new ~= old then
    redis.call('SET', KEYS[place], new)
    redis.call('ZADD', KEYS[1], expires_at, name)
  end
end
return 1
