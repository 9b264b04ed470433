#include "bus/log_map.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE "Meridian: partition log"
#define ERASED "; erased "
#define KEY "; positions"

/* Far from where sums wrap. */
static const uint64_t NUMBER_MAX = UINT64_MAX / 4;

static bool follows(const struct mrd_log_map *map, uint64_t from, uint64_t base)
{
    const struct mrd_log_map_part *last = map->count == 0 ? NULL : &map->parts[map->count - 1];
    return from > (last == NULL ? 0 : last->from) && base > (last == NULL ? 0 : last->base) &&
           from <= NUMBER_MAX && base <= NUMBER_MAX;
}

/* Digits, or 0 of what is none. */
static uint64_t number(const char **at)
{
    uint64_t value = 0;
    const char *begin = *at;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        value = value > NUMBER_MAX ? value : value * 10 + (uint64_t)(**at - '0');
    }
    return *at == begin ? 0 : value;
}

static enum mrd_status erased_parse(const char *description, struct mrd_log_map *out,
                                    struct mrd_error *err)
{
    const char *at = description == NULL ? NULL : strstr(description, ERASED);
    if (at == NULL) {
        return MRD_OK;
    }
    const char *begin = at += strlen(ERASED);
    out->erased = number(&at);
    out->erased_known = at > begin && out->erased <= NUMBER_MAX && (*at == ';' || *at == '\0');
    return out->erased_known
               ? MRD_OK
               : mrd_fail(err, MRD_E_CORRUPT,
                          "the stream's description \"%.200s\" says a stamp that is none",
                          description);
}

enum mrd_status mrd_log_map_parse(const char *description, struct mrd_log_map *out,
                                  struct mrd_error *err)
{
    struct mrd_log_map map = {0};
    MRD_TRY(erased_parse(description, &map, err));
    const char *at = description == NULL ? NULL : strstr(description, KEY);
    if (at != NULL) {
        at += strlen(KEY);
        while (*at == ' ') {
            at++;
            const uint64_t from = number(&at);
            const bool plus = *at == '+';
            at += plus ? 1 : 0;
            const uint64_t base = plus ? number(&at) : 0;
            if (map.count == MRD_LOG_MAP_PARTS || !follows(&map, from, base)) {
                map.count = 0;
                break;
            }
            map.parts[map.count++] = (struct mrd_log_map_part){from, base};
        }
        if (map.count == 0 || *at != '\0') {
            return mrd_fail(err, MRD_E_CORRUPT,
                            "the stream's description \"%.200s\" says positions that are none",
                            description);
        }
    }
    *out = map;
    return MRD_OK;
}

const char *mrd_log_map_format(const struct mrd_log_map *map, char out[MRD_LOG_MAP_TEXT_MAX])
{
    int size = snprintf(out, MRD_LOG_MAP_TEXT_MAX, "%s", TITLE);
    if (map->erased_known) {
        size += snprintf(out + size, (size_t)(MRD_LOG_MAP_TEXT_MAX - size), ERASED "%" PRIu64,
                         map->erased);
    }
    size += snprintf(out + size, (size_t)(MRD_LOG_MAP_TEXT_MAX - size), "%s",
                     map->count == 0 ? "" : KEY);
    for (size_t i = 0; i < map->count; i++) {
        size += snprintf(out + size, (size_t)(MRD_LOG_MAP_TEXT_MAX - size), " %" PRIu64 "+%" PRIu64,
                         map->parts[i].from, map->parts[i].base);
    }
    return out;
}

bool mrd_log_map_equal(const struct mrd_log_map *a, const struct mrd_log_map *b)
{
    bool equal = a->count == b->count && a->erased_known == b->erased_known &&
                 (!a->erased_known || a->erased == b->erased);
    for (size_t i = 0; equal && i < a->count; i++) {
        equal = a->parts[i].from == b->parts[i].from && a->parts[i].base == b->parts[i].base;
    }
    return equal;
}

void mrd_log_map_join(struct mrd_log_map *map, const struct mrd_log_map *other)
{
    const uint64_t base = mrd_log_map_base(map);
    const uint64_t other_base = mrd_log_map_base(other);
    if (other_base > base) {
        *map = *other;
    } else if (other_base == base && other->erased_known) {
        map->erased = map->erased_known ? MRD_MAX(map->erased, other->erased) : other->erased;
        map->erased_known = true;
    }
}

uint64_t mrd_log_map_base(const struct mrd_log_map *map)
{
    return map->count == 0 ? 0 : map->parts[map->count - 1].base;
}

uint64_t mrd_log_map_position(const struct mrd_log_map *map, uint64_t sequence)
{
    uint64_t base = 0;
    for (size_t i = 0; i < map->count && map->parts[i].from <= sequence; i++) {
        base = map->parts[i].base;
    }
    return sequence + base;
}

uint64_t mrd_log_map_last(const struct mrd_log_map *map, uint64_t sequence_last)
{
    return mrd_log_map_position(map, sequence_last + 1) - 1;
}

uint64_t mrd_log_map_sequence(const struct mrd_log_map *map, uint64_t position)
{
    uint64_t next = UINT64_MAX; /* where the part behind begins */
    for (size_t i = map->count; i > 0; i--) {
        const struct mrd_log_map_part *part = &map->parts[i - 1];
        if (position >= part->from + part->base) {
            return position - part->base < next ? position - part->base : next;
        }
        next = part->from;
    }
    return position < next ? position : next;
}

uint64_t mrd_log_map_start(const struct mrd_log_map *map)
{
    const struct mrd_log_map_part *last = map->count == 0 ? NULL : &map->parts[map->count - 1];
    return last == NULL ? 1 : last->from + last->base;
}

enum mrd_status mrd_log_map_add(struct mrd_log_map *map, uint64_t sequence_first, uint64_t from,
                                uint64_t position, struct mrd_error *err)
{
    struct mrd_log_map next = *map;
    while (next.count > 0 && next.parts[next.count - 1].from >= from) {
        next.count--; /* all of it gets other positions */
    }
    size_t dead = 0;
    while (dead + 1 < next.count && next.parts[dead + 1].from <= sequence_first) {
        dead++;
    }
    next.count -= dead;
    memmove(next.parts, next.parts + dead, next.count * sizeof(next.parts[0]));
    if (position <= from || position > NUMBER_MAX || from == 0 ||
        position - from <= mrd_log_map_base(map)) {
        return mrd_fail(err, MRD_E_INVALID,
                        "the stream's sequence %" PRIu64 " cannot have position %" PRIu64
                        ": it has been given away",
                        from, position);
    }
    if (next.count == MRD_LOG_MAP_PARTS) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "the stream was adopted %d times, and has messages of all these times",
                        MRD_LOG_MAP_PARTS);
    }
    next.parts[next.count++] = (struct mrd_log_map_part){from, position - from};
    next.erased_known = false; /* requests may have been lost with the log before */
    next.erased = 0;
    *map = next;
    return MRD_OK;
}
