#!lua flags=allow-oom
-- with: row entry ending
-- KEYS: … session. ARGV: … id, reason, and the subject that it must have, if any. Returns the row, and whether it ended now.
local session, id = KEYS[6], ARGV[7]
local found = redis.call('HMGET', session, 'subject', 'ended_at')
if not found[1] or (#ARGV == 9 and found[1] ~= ARGV[9]) then
  return false
end
if not found[2] then
  finish(id, found[1], ARGV[8])
  append(realm, 'session', id, 0, now, kept)
end
return {row(session), found[2] and 0 or 1}
