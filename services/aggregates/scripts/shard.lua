-- Put before every script, behind the names of windows.layout. A script works on one shard: KEYS[1] is what all of its
-- keys begin with, ARGV[1] its arguments as a MessagePack map.

local base = KEYS[1]
local args = cmsgpack.unpack(ARGV[1])
local SLICE = 3500 -- values given to one command: Lua's stack ends at 8,000

-- Calls `command` on `key` with all of `values`, slice by slice; an even slice keeps pairs together.
local function call(command, key, values)
    for first = 1, #values, SLICE do
        redis.call(command, key, unpack(values, first, math.min(first + SLICE - 1, #values)))
    end
end

-- A head: event time in 6 bytes, ingested at in 7, content hash in 6; number of conditions held in 2, their revisions
-- in 4 each; the parent. All of these numbers are exact as doubles.
local function is_newer(one, other)
    local time, ingested, hash = struct.unpack('>I6I7I6', one)
    local other_time, other_ingested, other_hash = struct.unpack('>I6I7I6', other)
    if time ~= other_time then return time > other_time end
    if ingested ~= other_ingested then return ingested > other_ingested end
    return hash > other_hash
end

local function is_same_version(one, other)
    return string.sub(one, 1, 19) == string.sub(other, 1, 19)
end

local function held_and_parent(head)
    local held, count = {}, struct.unpack('>I2', head, 20)
    for n = 1, count do
        held[n] = struct.unpack('>I4', head, 18 + 4 * n)
    end
    return held, string.sub(head, 22 + 4 * count)
end

-- The part of a key that names a condition's revision, or nil once it is gone with all of its sets.
local names = {}
local function held_name(revision)
    if names[revision] == nil then
        local condition = redis.call('HGET', base .. CONDITIONS, revision)
        names[revision] = condition and (cjson.decode(condition).name .. '@' .. string.format('%.0f', revision))
    end
    return names[revision] or nil
end

local function of_key(parent)
    return base .. OF .. parent
end

local function of_held_key(parent, name)
    return base .. OF_HELD .. name .. ':' .. parent
end

-- Takes `id` out of the sets that its former head put it in, but for those that `keeps` names under the same parent.
local function leave(id, head, parent, keeps)
    local held, former = held_and_parent(head)
    if former ~= '' and former ~= parent then
        redis.call('ZREM', of_key(former), id)
    end
    for _, revision in ipairs(held) do
        local name = held_name(revision)
        if name and not keeps[revision] then
            redis.call('ZREM', base .. HELD .. name, id)
        end
        if name and former ~= '' and (former ~= parent or not keeps[revision]) then
            redis.call('ZREM', of_held_key(former, name), id)
        end
    end
end
