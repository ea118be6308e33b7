-- Drives SendMessage with wrk: messages of about 420 bytes that nobody replies to, over the conversations
-- that conversations.py has started. Both take their input from the environment.
local token = os.getenv("ADVISOR_TEST_TOKEN")
local ids = {}
for id in os.getenv("ADVISOR_TEST_CONVERSATIONS"):gmatch("%S+") do ids[#ids + 1] = id end
local threads = 0
function setup(thread) thread:set("tid", threads); threads = threads + 1 end
local text = string.rep("The lease allows a sublet only with consent. ", 9)
local headers = { ["content-type"] = "application/json", ["authorization"] = "Bearer " .. token }
local n = 0
function request()
  n = n + 1
  local id = ids[(n * 2 + tid) % #ids + 1]
  local body = '{"conversationId":"' .. id .. '","content":"' .. text .. '","advisorIds":[]}'
  return wrk.format("POST", "/api/commands/SendMessage", headers, body)
end
