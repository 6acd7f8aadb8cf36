#!lua flags=no-writes
-- KEYS: keys of a realm, realm. ARGV: what comes before an id in the name of a key, fields.
-- Returns the version, then ids and rows by turns, oldest first.
local found = {redis.call('HGET', KEYS[2], 'keys_version') or '0'}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  table.insert(found, id)
  table.insert(found, redis.call('HMGET', ARGV[1] .. id, unpack(ARGV, 2)))
end
return found
