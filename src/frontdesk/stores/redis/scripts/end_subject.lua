#!lua flags=allow-oom
-- with: row entry ending
-- KEYS: … index of the subject, epochs. ARGV: … subject, reason. Returns ids and rows by turns.
local subject = ARGV[7]
local ended = finish_all(KEYS[6], subject, ARGV[8])
append(realm, 'subject', subject, redis.call('HINCRBY', KEYS[7], subject, 1), now, kept)
return ended
