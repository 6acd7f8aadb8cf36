#!lua flags=allow-oom
-- with: row entry ending
-- KEYS: … index of its subject, epochs, account, emails, addresses. ARGV: … id, reason. Returns whether there was one.
local id = ARGV[7]
local address = redis.call('HGET', KEYS[8], 'email')
if not address then
  return 0
end
redis.call('DEL', KEYS[8])
redis.call('HDEL', KEYS[9], address)
redis.call('ZREM', KEYS[10], address)
finish_all(KEYS[6], id, ARGV[8])
append(realm, 'subject', id, redis.call('HINCRBY', KEYS[7], id, 1), now, kept)
return 1
