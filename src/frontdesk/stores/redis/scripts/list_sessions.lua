#!lua flags=no-writes
-- with: row
-- KEYS: index of a subject. ARGV: what comes before an id in the key of a session. Returns ids and rows by turns.
local found = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  table.insert(found, id)
  table.insert(found, row(ARGV[1] .. id))
end
return found
