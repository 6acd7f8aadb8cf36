#!lua flags=no-writes
-- KEYS: any key of the store. ARGV: commands, with KEY for that key. Returns the name of the first that this user may not run.
for _, command in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(command, '%S+') do
    table.insert(words, word == 'KEY' and KEYS[1] or word)
  end
  if not redis.acl_check_cmd(unpack(words)) then
    return words[1]
  end
end
return false
