#!lua flags=allow-oom
-- with: row entry ending
-- KEYS: … index of the subject. ARGV: … subject, reason, the id that is spared. Returns ids and rows by turns.
local ended = finish_all(KEYS[6], ARGV[7], ARGV[8], ARGV[9])
for place_of = 1, #ended, 2 do
  append(realm, 'session', ended[place_of], 0, now, kept)
end
return ended
