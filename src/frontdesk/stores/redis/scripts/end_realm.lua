#!lua flags=allow-oom
-- with: row entry ending
-- KEYS: … realm. ARGV: … reason. Returns how many sessions ended.
-- All that is unended goes, so that the index of each subject goes as a whole, and not session by session.
local ended, subjects = 0, {}
for _, id in ipairs(redis.call('SMEMBERS', unended)) do
  local session = session_key(id)
  local subject = redis.call('HGET', session, 'subject')
  if subject then
    redis.call('HSET', session, 'ended_at', now, 'end_reason', ARGV[7])
    redis.call('ZADD', removable, 'LT', gone, 'session:' .. place .. ':' .. id)
    subjects[subject] = true
    ended = ended + 1
  end
end
redis.call('DEL', unended)
for subject in pairs(subjects) do
  redis.call('DEL', base .. 'subject:' .. place .. ':' .. subject)
end
append(realm, 'all', '', redis.call('HINCRBY', KEYS[6], 'epoch', 1), now, kept)
return ended
