#!lua
-- with: entry
-- Writes keys if the realm's version is still the one under which they were decided on, and moves it.
-- KEYS: … realm, keys of the realm, keys. ARGV: the version, the realm, now, until when entries are kept, number of fields
-- of a key; then for each key its id, created_at, its name in `removable`, from when on it is removable or nothing, whether
-- it gets an entry, fields and values. Returns whether it did.
local version, realm, now, kept, fields = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if (redis.call('HGET', KEYS[5], 'keys_version') or '0') ~= version then
  return 0
end
for place = 7, #KEYS do
  local first = 6 + (place - 7) * (5 + 2 * fields)
  local id, created_at, name, removable_from, lost = unpack(ARGV, first, first + 4)
  redis.call('HSET', KEYS[place], unpack(ARGV, first + 5, first + 4 + 2 * fields))
  redis.call('ZADD', KEYS[6], created_at, id)
  if removable_from == '' then
    redis.call('ZREM', removable, name)
  else
    redis.call('ZADD', removable, removable_from, name)
  end
  if lost == '1' then
    append(realm, 'key', id, 0, now, kept)
  end
end
redis.call('HINCRBY', KEYS[5], 'keys_version', 1)
return 1
