/* From matchers to series: what libs/head/match.c does over a head, over the sorted lists of a sidecar.
 *
 * Equality gives postings, which are intersected. Every other matcher then filters what is left, in the cheaper of two
 * ways: by the label of each candidate, or by a bitmap of the series of all values that match.
 */
#include <stdlib.h>

#include "block/sidecar_internal.h"

enum { MATCH_UNITS = 8 /* of a value that is tried, in those of mrd_pace */ };

void mbx_numbers_fini(struct mbx_numbers *numbers)
{
    free(numbers->items);
    *numbers = (struct mbx_numbers){0};
}

static void *take(size_t count, size_t size)
{
    void *memory = calloc(MRD_MAX(count, (size_t)1), size);
    mrd_assert(memory != NULL);
    return memory;
}

void mbx_postings(const struct mbx_tenant *tenant, const struct mbx_pair *pair, uint32_t *out)
{
    struct mrd_reader in = mrd_reader_of(tenant->gaps);
    const bool range = pair->gaps_at == UINT32_MAX;
    in.at += range ? 0 : pair->gaps_at;
    uint32_t ordinal = pair->first;
    out[0] = ordinal;
    for (uint32_t i = 1; i < pair->count; i++) {
        ordinal += 1 + (range ? 0 : (uint32_t)mrd_read_varint(&in));
        out[i] = ordinal;
    }
}

ptrdiff_t mbx_name_find(const struct mbx_tenant *tenant, struct mrd_bytes name)
{
    size_t from = 0;
    size_t to = tenant->name_count;
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        if (mrd_bytes_compare(tenant->names[middle].name, name) < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    const bool found = from < tenant->name_count && mrd_bytes_equal(tenant->names[from].name, name);
    return found ? (ptrdiff_t)from : -1;
}

struct mrd_labels mbx_labels(const struct mbx_tenant *tenant, const struct mbx_series *series,
                             struct mrd_label *items)
{
    for (uint32_t i = 0; i < series->refs_count; i++) {
        const struct mbx_pair *pair = &tenant->pairs[tenant->refs[series->refs_first + i]];
        items[i] = (struct mrd_label){tenant->names[pair->name].name, pair->value};
    }
    return (struct mrd_labels){items, series->refs_count};
}

/* ---- values ---- */

/* The first pair of the name whose value is not below `value`; the end of the name's pairs if there is none. */
static uint32_t lower_bound(const struct mbx_tenant *tenant, const struct mbx_name *name,
                            struct mrd_bytes value)
{
    uint32_t from = name->pairs_first;
    uint32_t to = from + name->pairs_count;
    while (from < to) {
        const uint32_t middle = from + (to - from) / 2;
        if (mrd_bytes_compare(tenant->pairs[middle].value, value) < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

static const struct mbx_pair *find_pair(const struct mbx_tenant *tenant,
                                        const struct mbx_name *name, struct mrd_bytes value)
{
    const uint32_t at = lower_bound(tenant, name, value);
    const bool found = at < name->pairs_first + name->pairs_count &&
                       mrd_bytes_equal(tenant->pairs[at].value, value);
    return found ? &tenant->pairs[at] : NULL;
}

static bool has_prefix(struct mrd_bytes text, struct mrd_bytes prefix)
{
    return text.size >= prefix.size &&
           (prefix.size == 0 || memcmp(text.data, prefix.data, prefix.size) == 0);
}

/* Regexes of literals alone are looked up; others are tried on the values that have their prefix. */
static enum mrd_status try_regex(const struct mbx_tenant *tenant, const struct mbx_name *name,
                                 const struct mrd_matcher *matcher, uint8_t *accepted,
                                 struct mrd_pace *pace, struct mrd_error *err)
{
    const uint8_t hit = matcher->type == MRD_MATCH_RE;
    memset(accepted, !hit, name->pairs_count);
    const size_t literals = mrd_regex_literal_count(matcher->regex);
    for (size_t i = 0; i < literals; i++) {
        const struct mbx_pair *pair = find_pair(tenant, name, mrd_regex_literal(matcher->regex, i));
        if (pair != NULL) {
            accepted[pair - tenant->pairs - name->pairs_first] = hit;
        }
    }
    const struct mrd_bytes prefix = mrd_regex_prefix(matcher->regex);
    const uint32_t end = name->pairs_first + name->pairs_count;
    for (uint32_t i = lower_bound(tenant, name, prefix); literals == 0 && i < end; i++) {
        if (!has_prefix(tenant->pairs[i].value, prefix)) {
            break;
        }
        accepted[i - name->pairs_first] = mrd_matcher_matches(matcher, tenant->pairs[i].value);
        MRD_TRY(mrd_pace(pace, MATCH_UNITS + tenant->pairs[i].value.size / 4, err));
    }
    return MRD_OK;
}

/* Whether the matcher accepts each pair of the name. */
static enum mrd_status judge(const struct mbx_tenant *tenant, const struct mbx_name *name,
                             const struct mrd_matcher *matcher, uint8_t *accepted,
                             struct mrd_pace *pace, struct mrd_error *err)
{
    if (matcher->regex != NULL) {
        return try_regex(tenant, name, matcher, accepted, pace, err);
    }
    const uint8_t hit = matcher->type == MRD_MATCH_EQ;
    memset(accepted, !hit, name->pairs_count);
    const struct mbx_pair *pair = find_pair(tenant, name, matcher->value);
    if (pair != NULL) {
        accepted[pair - tenant->pairs - name->pairs_first] = hit;
    }
    return MRD_OK;
}

/* ---- candidates ---- */

/* What a bitmap is made with. */
struct marks {
    uint64_t *bits;
    uint32_t *ordinals;
};

static void marks_fini(struct marks *marks)
{
    free(marks->bits);
    free(marks->ordinals);
}

static enum mrd_status filter_by_bitmap(const struct mbx_tenant *tenant,
                                        const struct mbx_name *name, const uint8_t *accepted,
                                        bool absent_accepted, struct mbx_numbers *candidates,
                                        struct mrd_pace *pace, struct mrd_error *err)
{
    /* A matcher that accepts absence says which values to take out, another one which to keep. */
    const uint8_t marked = absent_accepted ? 0 : 1;
    mrd_auto(marks_fini)
    struct marks marks = {take(tenant->series_count / 64 + 1, sizeof(*marks.bits)),
                          take(tenant->series_count, sizeof(*marks.ordinals))};
    uint64_t *bits = marks.bits;
    uint32_t *ordinals = marks.ordinals;
    for (uint32_t i = 0; i < name->pairs_count; i++) {
        MRD_TRY(mrd_pace(pace, 1, err));
        const struct mbx_pair *pair = &tenant->pairs[name->pairs_first + i];
        if ((accepted[i] != 0) != (marked != 0)) {
            continue;
        }
        mbx_postings(tenant, pair, ordinals);
        for (uint32_t k = 0; k < pair->count; k++) {
            bits[ordinals[k] / 64] |= (uint64_t)1 << (ordinals[k] % 64);
        }
        MRD_TRY(mrd_pace(pace, pair->count / 4, err));
    }
    size_t kept = 0;
    for (size_t i = 0; i < candidates->count; i++) {
        const uint32_t ordinal = candidates->items[i];
        const bool in = (bits[ordinal / 64] >> (ordinal % 64) & 1) != 0;
        if (in == (marked != 0)) {
            candidates->items[kept++] = ordinal;
        }
    }
    candidates->count = kept;
    return MRD_OK;
}

/* The pair that a series has of a name, or NULL. Refs are sorted by name. */
static const struct mbx_pair *pair_of(const struct mbx_tenant *tenant, uint32_t ordinal,
                                      uint32_t name)
{
    const struct mbx_series *series = &tenant->series[ordinal];
    for (uint32_t i = 0; i < series->refs_count; i++) {
        const struct mbx_pair *pair = &tenant->pairs[tenant->refs[series->refs_first + i]];
        if (pair->name >= name) {
            return pair->name == name ? pair : NULL;
        }
    }
    return NULL;
}

static enum mrd_status filter_by_labels(const struct mbx_tenant *tenant, uint32_t name,
                                        const struct mrd_matcher *matcher, bool absent_accepted,
                                        struct mbx_numbers *candidates, struct mrd_pace *pace,
                                        struct mrd_error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < candidates->count; i++) {
        const struct mbx_pair *pair = pair_of(tenant, candidates->items[i], name);
        if (pair == NULL ? absent_accepted : mrd_matcher_matches(matcher, pair->value)) {
            candidates->items[kept++] = candidates->items[i];
        }
        MRD_TRY(mrd_pace(pace, MATCH_UNITS + (pair == NULL ? 0 : pair->value.size / 4), err));
    }
    candidates->count = kept;
    return MRD_OK;
}

static void bytes_free(uint8_t **bytes) { free(*bytes); }

static enum mrd_status filter(const struct mbx_tenant *tenant, const struct mrd_matcher *matcher,
                              struct mbx_numbers *candidates, struct mrd_pace *pace,
                              struct mrd_error *err)
{
    const bool absent_accepted = mrd_matcher_matches(matcher, MRD_BYTES(""));
    const ptrdiff_t at = mbx_name_find(tenant, matcher->name);
    if (at < 0) {
        candidates->count = absent_accepted ? candidates->count : 0;
        return MRD_OK;
    }
    const struct mbx_name *name = &tenant->names[at];
    if (candidates->count <= name->pairs_count) {
        return filter_by_labels(tenant, (uint32_t)at, matcher, absent_accepted, candidates, pace,
                                err);
    }
    mrd_auto(bytes_free)
    uint8_t *accepted = take(name->pairs_count, 1);
    MRD_TRY(judge(tenant, name, matcher, accepted, pace, err));
    return filter_by_bitmap(tenant, name, accepted, absent_accepted, candidates, pace, err);
}

/* ---- equality ---- */

static bool is_equality(const struct mrd_matcher *matcher)
{
    return matcher->type == MRD_MATCH_EQ && matcher->value.size > 0;
}

static void intersect(struct mbx_numbers *candidates, const uint32_t *items, size_t count)
{
    size_t kept = 0;
    size_t at = 0;
    for (size_t i = 0; i < candidates->count; i++) {
        while (at < count && items[at] < candidates->items[i]) {
            at++;
        }
        if (at < count && items[at] == candidates->items[i]) {
            candidates->items[kept++] = items[at];
        }
    }
    candidates->count = kept;
}

static void take_pair(const struct mbx_tenant *tenant, const struct mbx_pair *pair,
                      struct mbx_numbers *out)
{
    out->count = pair->count;
    out->items = take(pair->count, sizeof(out->items[0]));
    mbx_postings(tenant, pair, out->items);
}

/* Fills `out` from the equalities; false if there are none. */
static bool start(const struct mbx_tenant *tenant, const struct mbx_query *query,
                  struct mbx_numbers *out)
{
    bool any = false;
    for (size_t i = 0; i < query->matcher_count; i++) {
        const struct mrd_matcher *matcher = &query->matchers[i];
        if (!is_equality(matcher)) {
            continue;
        }
        const ptrdiff_t name = mbx_name_find(tenant, matcher->name);
        const struct mbx_pair *pair =
            name < 0 ? NULL : find_pair(tenant, &tenant->names[name], matcher->value);
        if (pair == NULL) {
            out->count = 0;
            return true;
        }
        if (!any) {
            take_pair(tenant, pair, out);
        } else {
            struct mbx_numbers other;
            take_pair(tenant, pair, &other);
            intersect(out, other.items, other.count);
            mbx_numbers_fini(&other);
        }
        any = true;
    }
    return any;
}

static bool meets(const struct mbx_tenant *tenant, uint32_t ordinal, const struct mbx_query *query)
{
    const struct mbx_series *series = &tenant->series[ordinal];
    const struct mbx_segment *segment = &tenant->segments[series->segments_first];
    for (uint32_t i = 0; i < series->segments_count; i++) {
        const bool histograms = (segment[i].flags & MBX_HISTOGRAMS) != 0;
        const mrd_time_ms min_ms = histograms ? query->histograms_min_ms : query->min_ms;
        if (segment[i].first_ms <= query->max_ms && segment[i].last_ms >= min_ms) {
            return true;
        }
    }
    return false;
}

static enum mrd_status keep_those_that_meet(const struct mbx_tenant *tenant,
                                            const struct mbx_query *query, struct mbx_numbers *out,
                                            struct mrd_pace *pace, struct mrd_error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < out->count; i++) {
        if (meets(tenant, out->items[i], query)) {
            out->items[kept++] = out->items[i];
        }
        MRD_TRY(mrd_pace(pace, 1, err));
    }
    out->count = kept;
    return MRD_OK;
}

enum mrd_status mbx_match_among(const struct mbx_tenant *tenant, const struct mbx_query *query,
                                const struct mbx_numbers *among, const struct mrd_look *look,
                                struct mbx_numbers *out, struct mrd_error *err)
{
    struct mrd_pace pace = {.look = look};
    *out = (struct mbx_numbers){take(among->count, sizeof(out->items[0])), among->count};
    if (among->count > 0) {
        memcpy(out->items, among->items, among->count * sizeof(out->items[0]));
    }
    for (size_t i = 0; i < query->matcher_count && out->count > 0; i++) {
        MRD_TRY(filter(tenant, &query->matchers[i], out, &pace, err));
    }
    return keep_those_that_meet(tenant, query, out, &pace, err);
}

enum mrd_status mbx_match(const struct mbx_tenant *tenant, const struct mbx_query *query,
                          const struct mrd_look *look, struct mbx_numbers *out,
                          struct mrd_error *err)
{
    struct mrd_pace pace = {.look = look};
    *out = (struct mbx_numbers){0};
    if (!start(tenant, query, out)) {
        out->items = take(tenant->series_count, sizeof(out->items[0]));
        out->count = tenant->series_count;
        for (uint32_t i = 0; i < tenant->series_count; i++) {
            out->items[i] = i;
        }
    }
    for (size_t i = 0; i < query->matcher_count && out->count > 0; i++) {
        if (!is_equality(&query->matchers[i])) {
            MRD_TRY(filter(tenant, &query->matchers[i], out, &pace, err));
        }
    }
    return keep_those_that_meet(tenant, query, out, &pace, err);
}
