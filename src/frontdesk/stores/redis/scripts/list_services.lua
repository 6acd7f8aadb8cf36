#!lua flags=no-writes
-- KEYS: services of the realm, digests. Returns digests and services by turns.
local found = {}
for _, digest in ipairs(redis.call('HVALS', KEYS[1])) do
  table.insert(found, digest)
  table.insert(found, redis.call('HGET', KEYS[2], digest))
end
return found
