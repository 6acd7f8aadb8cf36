#!lua
-- Changes nothing. That it runs shows that a write would be accepted.
return 1
