#include "block/erased_internal.h"

#include <stdlib.h>

/* ---- ranges ---- */

size_t mbx_ranges_find(const struct mbx_ranges *ranges, mrd_time_ms time_ms)
{
    size_t from = 0;
    size_t to = ranges->count;
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        if (ranges->items[middle].max_ms < time_ms) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

bool mbx_ranges_cover(const struct mbx_ranges *ranges, mrd_time_ms first_ms, mrd_time_ms last_ms)
{
    const size_t at = mbx_ranges_find(ranges, first_ms);
    return at < ranges->count && ranges->items[at].min_ms <= first_ms &&
           ranges->items[at].max_ms >= last_ms;
}

/* Takes the next one in, in the order of their beginnings. */
static void ranges_add(struct mbx_ranges *ranges, mrd_time_ms min_ms, mrd_time_ms max_ms)
{
    struct mbx_range *last = ranges->count == 0 ? NULL : &ranges->items[ranges->count - 1];
    if (last != NULL && (last->max_ms == INT64_MAX || min_ms <= last->max_ms + 1)) {
        last->max_ms = MRD_MAX(last->max_ms, max_ms);
        return;
    }
    if (ranges->count == ranges->capacity) {
        ranges->capacity = ranges->capacity == 0 ? 8 : 2 * ranges->capacity;
        ranges->items = realloc(ranges->items, ranges->capacity * sizeof(*ranges->items));
        mrd_assert(ranges->items != NULL);
    }
    ranges->items[ranges->count++] = (struct mbx_range){min_ms, max_ms};
}

void mbx_ranges_fini(struct mbx_ranges *ranges) { free(ranges->items); }

static bool has_bit(const struct mbx_erased *erased, size_t series, size_t erasure)
{
    return (erased->bits[series * erased->width + erasure / 8] >> (erasure % 8) & 1) != 0;
}

/* Makes `ranges` those of a series, whatever they are. */
static void collect(const struct mbx_erased *erased, size_t series, struct mbx_ranges *ranges)
{
    ranges->count = 0;
    ranges->series = series;
    for (size_t i = 0; i < erased->count; i++) {
        if (has_bit(erased, series, i)) {
            ranges_add(ranges, erased->items[i]->time_min_ms, erased->items[i]->time_max_ms);
        }
    }
}

void mbx_erased_ranges(const struct mbx_erased *erased, size_t series, struct mbx_ranges *ranges)
{
    if (erased->count > 0 && (ranges->items == NULL || ranges->series != series)) {
        collect(erased, series, ranges);
    }
}

/* ---- which erasures select which series ---- */

static int by_time(const void *a, const void *b)
{
    const struct mrd_erasure *left = *(const struct mrd_erasure *const *)a;
    const struct mrd_erasure *right = *(const struct mrd_erasure *const *)b;
    return (left->time_min_ms > right->time_min_ms) - (left->time_min_ms < right->time_min_ms);
}

/* Those that have something to say here, by time. */
static void take_erasures(struct mbx_erased *erased, const struct mrd_block_select *select)
{
    erased->items = calloc(select->erasure_count, sizeof(struct mrd_erasure *));
    mrd_assert(erased->items != NULL);
    for (size_t i = 0; i < select->erasure_count; i++) {
        const struct mrd_erasure *erasure = select->erasures[i];
        if (mrd_bytes_equal(erasure->tenant, select->tenant) &&
            erasure->time_min_ms <= select->max_ms && erasure->time_max_ms >= select->min_ms) {
            erased->items[erased->count++] = erasure;
        }
    }
    qsort(erased->items, erased->count, sizeof(erased->items[0]), by_time);
}

/* Sets the erasure's bits of the series that one selector selects, both in rising order. */
static bool mark(struct mbx_erased *erased, size_t erasure, const struct mbx_numbers *chosen,
                 const struct mbx_numbers *selected)
{
    size_t at = 0;
    for (size_t i = 0; i < selected->count; i++, at++) {
        while (chosen->items[at] != selected->items[i]) {
            at++;
        }
        erased->bits[at * erased->width + erasure / 8] |= (uint8_t)(1U << (erasure % 8));
    }
    return selected->count > 0;
}

/* Whether the erasure selects any of the series. */
static enum mrd_status mark_erasure(struct mbx_erased *erased, size_t at,
                                    const struct mbx_tenant *tenant,
                                    const struct mrd_block_select *select,
                                    const struct mrd_look *look, const struct mbx_numbers *chosen,
                                    bool *any, struct mrd_error *err)
{
    const struct mrd_erasure *erasure = erased->items[at];
    for (size_t i = 0; i < erasure->selector_count; i++) {
        const mrd_time_ms min_ms = MRD_MAX(select->min_ms, erasure->time_min_ms);
        const struct mbx_query query = {erasure->selectors[i].matchers,
                                        erasure->selectors[i].matcher_count, min_ms,
                                        MRD_MIN(select->max_ms, erasure->time_max_ms), min_ms};
        mrd_auto(mbx_numbers_fini)
        struct mbx_numbers selected = {0};
        MRD_TRY(mbx_match_among(tenant, &query, chosen, look, &selected, err));
        *any |= mark(erased, at, chosen, &selected);
    }
    return MRD_OK;
}

/* ---- series that have nothing left ---- */

/* Whether no run in the range has anything left; then *gone says what they have of it. */
static bool is_gone(const struct mbx_tenant *tenant, uint32_t ordinal,
                    const struct mrd_block_select *select, bool labels_only,
                    const struct mbx_ranges *ranges, uint64_t *gone)
{
    const struct mbx_series *series = &tenant->series[ordinal];
    const struct mbx_segment *segments = &tenant->segments[series->segments_first];
    uint64_t rows = 0;
    for (uint32_t i = 0; i < series->segments_count; i++) {
        const mrd_time_ms first_ms = MRD_MAX(segments[i].first_ms, select->min_ms);
        const mrd_time_ms last_ms = MRD_MIN(segments[i].last_ms, select->max_ms);
        const bool cut = first_ms != segments[i].first_ms || last_ms != segments[i].last_ms;
        if (first_ms > last_ms) {
            continue;
        }
        if ((cut && !labels_only) || !mbx_ranges_cover(ranges, first_ms, last_ms)) {
            return false; /* to be counted, a run that is cut has to be read */
        }
        rows += segments[i].rows;
    }
    *gone += labels_only ? 0 : rows;
    return true;
}

static enum mrd_status drop_gone(struct mbx_erased *erased, const struct mbx_tenant *tenant,
                                 const struct mrd_block_select *select, bool labels_only,
                                 const struct mrd_look *look, struct mbx_numbers *chosen,
                                 uint64_t *out_gone, struct mrd_error *err)
{
    struct mrd_pace pace = {.look = look};
    mrd_auto(mbx_ranges_fini)
    struct mbx_ranges ranges = {0};
    size_t kept = 0;
    for (size_t i = 0; i < chosen->count; i++) {
        MRD_TRY(mrd_pace(&pace, 4, err));
        collect(erased, i, &ranges);
        if (ranges.count > 0 &&
            is_gone(tenant, chosen->items[i], select, labels_only, &ranges, out_gone)) {
            continue;
        }
        chosen->items[kept] = chosen->items[i];
        memmove(erased->bits + kept * erased->width, erased->bits + i * erased->width,
                erased->width);
        kept++;
    }
    chosen->count = kept;
    return MRD_OK;
}

/* ---- life ---- */

enum mrd_status mbx_erased_init(struct mbx_erased *erased, const struct mbx_tenant *tenant,
                                const struct mrd_block_select *select, bool labels_only,
                                const struct mrd_look *look, struct mbx_numbers *chosen,
                                uint64_t *out_gone, struct mrd_error *err)
{
    *erased = (struct mbx_erased){0};
    *out_gone = 0;
    if (select->erasure_count == 0 || chosen->count == 0) {
        return MRD_OK;
    }
    take_erasures(erased, select);
    erased->width = (erased->count + 7) / 8;
    erased->bits = calloc(MRD_MAX(chosen->count * erased->width, (size_t)1), 1);
    mrd_assert(erased->bits != NULL);
    bool any = false;
    for (size_t i = 0; i < erased->count; i++) {
        MRD_TRY(mark_erasure(erased, i, tenant, select, look, chosen, &any, err));
    }
    if (!any) {
        mbx_erased_fini(erased);
        return MRD_OK;
    }
    return drop_gone(erased, tenant, select, labels_only, look, chosen, out_gone, err);
}

void mbx_erased_fini(struct mbx_erased *erased)
{
    free(erased->items);
    free(erased->bits);
    *erased = (struct mbx_erased){0};
}
