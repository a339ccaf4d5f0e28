-- Records in Redis, changed as one. KEYS are, all of them in one slot,
--   PREFIXstate   a number that none was above, the bytes of all payloads, the codec, whether any key expires
--   PREFIXorder   all keys by the number that places them, those that have expired until they are swept
--   PREFIXdue     keys that expire, by the millisecond from which on they are absent
--   PREFIXsize    what the payloads of those keys measure: when they have expired nobody else can tell
--   PREFIXk:TEXT  for each key that is changed: the 57 bytes of HEAD, spelling, metadata, payload; it expires by itself
-- Where a slot is on its way to another server, a script some of whose KEYS are not here is refused before it begins.
-- HEAD: format, order, version, updated, created, expires, checksum of the payload, lengths of spelling, metadata and
-- payload.

local call = redis.call
local STATE, ORDER, DUE, SIZE = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ROOT = string.sub(STATE, 1, -6)
local HEAD, FORMAT, SWEPT_PER_WRITE, NEAR = 57, 1, 2, 500

local time = call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)

-- Every change of a store of one slot has the time, in microseconds, for its version, or the next number: what a server
-- lost that did not write it down is not given again. Of several slots each has numbers of its own, congruent `share`.
local last, bytes, counted, expiring = 0, 0, 0, true
local since, highest, share, shares

local function digits(number)
  return string.format('%.0f', number)
end

-- Reads what all changes need; gives the answer to who has another codec. `numbers` are the highest floor of any number,
-- whether the time counts, `share` and `shares`.
local function begin(codec, numbers)
  local state = call('HMGET', STATE, 'last', 'bytes', 'codec', 'expiring')
  last, bytes, expiring = tonumber(state[1]) or 0, tonumber(state[2]) or 0, state[4]
  counted = bytes
  highest, since, share, shares = struct.unpack('>dBI2I2', numbers)
  since = since * micros
  return state[3] and state[3] ~= codec and { 'codec', state[3] }
end

-- Where memory is full a script is stopped at the first command that changes anything if that one takes some.
local function reserve(codec, takes)
  call('HSET', STATE, 'last', digits(math.max(last, highest, since) + (takes + 1) * shares), 'codec', codec)
end

local function number(floor)
  last = math.max(last + 1, floor, since)
  last = last + (share - last) % shares
  return last
end

local function count_bytes()
  if bytes ~= counted then
    call('HINCRBY', STATE, 'bytes', digits(bytes - counted))
    counted = bytes
  end
end

local function head(key)
  local found = call('GETRANGE', key, 0, HEAD - 1)
  return #found == HEAD and found or nil
end

local function lengths(found)
  return struct.unpack('>I4I4I4', found, 46)
end

local function size(found)
  return found and struct.unpack('>I4', found, 54) or 0
end

-- Takes a key out of all but its record.
local function forget(text, found)
  bytes = bytes - size(found)
  if expiring and call('ZREM', DUE, text) == 1 then
    if not found then
      bytes = bytes - (tonumber(call('HGET', SIZE, text)) or 0)
    end
    call('HDEL', SIZE, text)
  end
  call('ZREM', ORDER, text)
end

local function sweep(limit)
  local due = call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', 0, limit)
  for _, text in ipairs(due) do
    forget(text, nil)
  end
  return #due
end

-- A key lives through the millisecond that PEXPIREAT is given.
local function expire(key, text, due, length)
  if due == math.huge then
    if expiring and call('ZREM', DUE, text) == 1 then
      call('HDEL', SIZE, text)
      call('PERSIST', key)
    end
    return
  end
  if not expiring then
    call('HSET', STATE, 'expiring', 1)
    expiring = true
  end
  local gone = due <= now + 1
  if gone then
    call('UNLINK', key)
  else
    call('PEXPIREAT', key, digits(due - 1))
  end
  call('ZADD', DUE, digits(gone and math.min(due, now) or due), text)
  call('HSET', SIZE, text, length)
end

local function keep(key, text, order, version, times, rest, due, length)
  call('SET', key, struct.pack('>Bdd', FORMAT, order, version) .. times .. rest)
  expire(key, text, due, length)
end

local function spelling_of(key, length)
  return length == 0 and '' or call('GETRANGE', key, HEAD, HEAD + length - 1)
end

-- `given` is when it was created, -inf for now, and in milliseconds when it is due, inf for never, and behind that a
-- record from where its expiry stands.
local function put(key, text, floor, fresh, given)
  local found = head(key)
  if found and fresh or expiring and not found then
    forget(text, found)
    found = nil
  end
  local created, due, _, _, spelled, described, length = struct.unpack('>dddI4I4I4I4', given)
  local version = number(floor)
  local order, rest = version, string.sub(given, 17)
  if found then
    local kept, _, size = lengths(found)
    order, created = struct.unpack('>d', found, 2), struct.unpack('>d', found, 26)
    bytes = bytes - size
    if kept + spelled > 0 then
      rest = string.sub(rest, 1, 12) .. struct.pack('>I4I4I4', kept, described, length)
        .. spelling_of(key, kept) .. string.sub(rest, 25 + spelled)
    end
  else
    call('ZADD', ORDER, digits(order), text)
  end
  bytes = bytes + length
  local updated = micros / 1000000
  keep(key, text, order, version, struct.pack('>dd', updated, created == -math.huge and updated or created), rest, due,
    length)
  return { version, found and 0 or 1 }
end

local function holds(key, version)
  local found = head(key)
  if version == '' then
    return not found
  end
  return found and struct.unpack('>d', found, 10) == tonumber(version)
end

-- The commonest change comes before the functions that the others need: to make those takes longer than to make this.
-- codec, numbers, what is expected of the key if it is one ('any', a version, or ''), floors if there are any, and what is
-- given for each of the keys behind the first four.
if ARGV[1] == 'put' then
  local other = begin(ARGV[2], ARGV[3])
  if other then
    return other
  end
  local behind = #ROOT + 3
  if ARGV[4] ~= 'any' and not holds(KEYS[5], ARGV[4]) then
    return { 'conflict', string.sub(KEYS[5], behind) }
  end
  reserve(ARGV[2], #KEYS - 4)
  if expiring then
    sweep(SWEPT_PER_WRITE)
  end
  local done = { 'ok' }
  for which = 5, #KEYS do
    local floor = ARGV[5] == '' and 0 or struct.unpack('>d', ARGV[5], 8 * which - 39)
    done[which - 3] = put(KEYS[which], string.sub(KEYS[which], behind), floor, false, ARGV[which + 1])
  end
  count_bytes()
  return done
end

local function place(text)
  return ROOT .. 'k:' .. text
end

local function drop(text, found)
  forget(text, found)
  return call('UNLINK', place(text)) == 1
end

local changes = {}

function changes.put(floor, text, fresh, given)
  return put(place(text), text, tonumber(floor), fresh == '1', given)
end

function changes.amend(floor, text, expires, due, amended, meta)
  local key = place(text)
  local found = head(key)
  if not found then
    return { 0, 0 }
  end
  local version = number(tonumber(floor))
  local spelled, described, length = lengths(found)
  if amended == '1' then
    if expires == '' then
      expires, due = string.sub(found, 34, 41), call('ZSCORE', DUE, text)
    end
    local rest = expires .. string.sub(found, 42, 45) .. struct.pack('>I4I4I4', spelled, #meta, length)
      .. spelling_of(key, spelled) .. meta .. call('GETRANGE', key, HEAD + spelled + described, -1)
    keep(key, text, struct.unpack('>d', found, 2), version, string.sub(found, 18, 33), rest, tonumber(due) or math.huge,
      length)
  else
    call('SETRANGE', key, 9, struct.pack('>d', version))
    if expires ~= '' then
      call('SETRANGE', key, 33, expires)
      expire(key, text, tonumber(due) or math.huge, length)
    end
  end
  return { version, 0 }
end

function changes.delete(_, text)
  return { 0, drop(text, head(place(text))) and 1 or 0 }
end

-- 1 where it was moved, 0 where the target is there, -1 where the source is not.
function changes.rename(floor, source, target, spelling)
  local found = head(place(source))
  if not found then
    return { 0, -1 }
  elseif head(place(target)) then
    return { 0, 0 }
  end
  local spelled, described, length = lengths(found)
  local kept = call('GETRANGE', place(source), HEAD + spelled, -1)
  local due = tonumber(call('ZSCORE', DUE, source)) or math.huge
  drop(source, found)
  drop(target, nil)
  local version = number(tonumber(floor))
  call('ZADD', ORDER, digits(version), target)
  bytes = bytes + length
  local rest = string.sub(found, 34, 45) .. struct.pack('>I4I4I4', #spelling, described, length) .. spelling .. kept
  keep(place(target), target, version, version, string.sub(found, 18, 33), rest, due, length)
  return { version, 1 }
end

local TAKES = { put = 4, amend = 6, delete = 2, rename = 4 }

local function met(limit, growth)
  return limit ~= '' and growth > 0 and bytes + growth > tonumber(limit)
end

local asked = {}

-- codec, numbers, limit, growth, how many changes take a number, number of expectations, text and version of each, and
-- then changes: kind, floor of its number, what else it takes. Gives 'ok' and what each did, or 'codec', 'limit', 'conflict' and what is there.
function asked.write(codec, numbers, limit, growth, takes, expected)
  local other = begin(codec, numbers)
  if other then
    return other
  end
  local at = 8
  for _ = 1, tonumber(expected) do
    if not holds(place(ARGV[at]), ARGV[at + 1]) then
      return { 'conflict', ARGV[at] }
    end
    at = at + 2
  end
  local first = at
  growth = tonumber(growth)
  if limit ~= '' then
    while ARGV[at] do
      if ARGV[at] == 'put' then
        growth = growth + struct.unpack('>I4', ARGV[at + 4], 37) - size(head(place(ARGV[at + 2])))
      end
      at = at + 1 + TAKES[ARGV[at]]
    end
  end
  if met(limit, growth) then
    sweep(-1)
    count_bytes()
    if met(limit, growth) then
      return { 'limit', digits(bytes + growth) }
    end
  end
  local done = { 'ok' }
  at = first
  if tonumber(takes) > 0 then
    reserve(codec, takes)
  end
  if expiring and ARGV[at] then
    sweep(SWEPT_PER_WRITE)
  end
  while ARGV[at] do
    local kind = ARGV[at]
    done[#done + 1] = changes[kind](unpack(ARGV, at + 1, at + TAKES[kind]))
    at = at + 1 + TAKES[kind]
  end
  count_bytes()
  return done
end

function asked.stat(text)
  local found = head(place(text))
  if not found then
    return call('EXISTS', place(text)) == 1 and { '', 0 } or false
  end
  local spelling, meta = lengths(found)
  return { call('GETRANGE', place(text), 0, HEAD + spelling + meta - 1), size(found) }
end

function asked.count()
  return call('ZCARD', ORDER) - call('ZCOUNT', DUE, '-inf', now)
end

function asked.sweep(limit)
  local swept = sweep(limit)
  count_bytes()
  if call('ZCARD', DUE) == 0 then
    call('HDEL', STATE, 'expiring')
  end
  return swept
end

-- Whether a text is pieces, those from `first` to `last` of ARGV, with anything between them.
local function is_like(text, first, last)
  local at = #ARGV[first]
  if string.sub(text, 1, at) ~= ARGV[first] then
    return false
  end
  for number = first + 1, last - 1 do
    local _, found = string.find(text, ARGV[number], at + 1, true)
    if not found then
      return false
    end
    at = found
  end
  if first == last then
    return #text == at
  end
  local behind = #text - #ARGV[last]
  return behind >= at and string.sub(text, behind + 1) == ARGV[last]
end

-- Of so many keys after (or, in reverse, before) a number: those that are like the pieces that follow and live by the
-- clock of the first page. Gives that time, where to go on ('' at the end), and orders, texts and spellings one after
-- another.
function asked.page(reverse, after, many, begun)
  local command, stop = 'ZRANGEBYSCORE', '+inf'
  if reverse == '1' then
    command, stop = 'ZREVRANGEBYSCORE', '-inf'
  end
  local found = call(command, ORDER, '(' .. after, stop, 'WITHSCORES', 'LIMIT', 0, many)
  local expiring = call('ZCARD', DUE) > 0
  begun = begun == '' and now or tonumber(begun)
  local page = { digits(begun), #found == 2 * many and found[#found] or '' }
  for at = 1, #found, 2 do
    local text = found[at]
    if is_like(text, 6, #ARGV) then
      local due = expiring and call('ZSCORE', DUE, text)
      if not (due and tonumber(due) <= begun) then
        page[#page + 1] = found[at + 1]
        page[#page + 1] = text
        local record = string.sub(text, 1, 1) == '=' and head(place(text))
        page[#page + 1] = record and spelling_of(place(text), lengths(record)) or ''
      end
    end
  end
  return page
end

-- The metadata of each key, '' where there is none, or none that has all the texts that follow, or a backslash.
function asked.meta()
  local metas = {}
  for number = 5, #KEYS do
    local begun = call('GETRANGE', KEYS[number], 0, HEAD + NEAR - 1)
    local meta = ''
    if #begun >= HEAD then
      local spelling, length = lengths(begun)
      local first = HEAD + spelling
      meta = #begun >= first + length and string.sub(begun, first + 1, first + length)
        or call('GETRANGE', KEYS[number], first, first + length - 1)
      for sought = 2, #ARGV do
        if not string.find(meta, ARGV[sought], 1, true) and not string.find(meta, '\\', 1, true) then
          meta = ''
        end
      end
    end
    metas[number - 4] = meta
  end
  return metas
end

return asked[ARGV[1]](unpack(ARGV, 2, 7))
