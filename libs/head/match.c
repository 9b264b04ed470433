/* From matchers to series.
 *
 * Equality gives postings; the shortest is the start and the others are intersected with it. Every
 * other matcher then filters what is left, in the cheaper of two ways: by the label of each candidate
 * (verdicts remembered per label value), or by a bitmap of the postings of all values that match.
 */
#include "base/sort.h"
#include "head/head_internal.h"

/* One matcher against one head. */
struct test {
    const struct mrd_matcher *matcher;
    mrd_pool_handle name;  /* 0: no series has this label */
    mrd_pool_handle field; /* of an indexed tenant; 0: none of its series has this label */
    bool matches_absent;
    bool done;
    const struct mrd_head_pause *pause;
};

/* Verdicts of one regex by label pair. */
struct verdicts {
    struct head_table table; /* pair -> 1 or 2: no or yes; the pair itself is the hash */
};

static struct mrd_bytes label_value(const struct mrd_head *head, const struct head_series *series,
                                    mrd_pool_handle name, mrd_pool_handle *out_pair)
{
    const uint32_t *labels = head_labels(head, series);
    for (size_t i = 0; name != 0 && i < series->label_count; i++) {
        const struct head_pair *pair = head_at(head, labels[i]);
        if (pair->name == name) {
            *out_pair = labels[i];
            return (struct mrd_bytes){pair->value, pair->value_size};
        }
    }
    *out_pair = 0;
    return MRD_BYTES_NONE;
}

static bool test_series(const struct mrd_head *head, const struct test *test,
                        struct verdicts *verdicts, const struct head_series *series)
{
    mrd_pool_handle pair;
    const struct mrd_bytes value = label_value(head, series, test->name, &pair);
    if (pair == 0) {
        return test->matches_absent;
    }
    const enum mrd_match_type type = test->matcher->type;
    if (type == MRD_MATCH_EQ || type == MRD_MATCH_NE) {
        return mrd_matcher_matches(test->matcher, value);
    }
    uint32_t at = head_handle_hash(pair);
    const uint32_t known = head_table_next(&verdicts->table, head_handle_hash(pair), &at);
    if (known != 0) {
        return known == 2;
    }
    const bool matches = mrd_matcher_matches(test->matcher, value);
    head_table_add(&verdicts->table, head_handle_hash(pair), matches ? 2 : 1);
    return matches;
}

static enum mrd_status filter_by_labels(struct mrd_head *head, const struct test *test,
                                        struct head_numbers *candidates, struct mrd_error *err)
{
    struct verdicts verdicts = {0};
    enum mrd_status status = MRD_OK;
    size_t kept = 0;
    for (size_t i = 0; i < candidates->count && status == MRD_OK; i++) {
        if (i + 8 < candidates->count) {
            __builtin_prefetch(head_series(head, candidates->items[i + 8]));
        }
        if (i + 4 < candidates->count) {
            const struct head_series *ahead = head_series(head, candidates->items[i + 4]);
            __builtin_prefetch(head_at(head, ahead->labels));
        }
        if (test_series(head, test, &verdicts, head_series(head, candidates->items[i]))) {
            candidates->items[kept++] = candidates->items[i];
        }
        status = head_pause(test->pause, i, HEAD_PAUSE_ITEMS, err);
    }
    candidates->count = kept;
    head_table_fini(&verdicts.table);
    return status;
}

/* ---- values of an indexed tenant ---- */

static bool has_prefix(struct mrd_bytes text, struct mrd_bytes prefix)
{
    return text.size >= prefix.size &&
           (prefix.size == 0 || memcmp(text.data, prefix.data, prefix.size) == 0);
}

/* Value records, and the sum of their series. */
struct collected {
    struct head_numbers values;
    uint64_t series;
};

static void collect_one(const struct mrd_head *head, uint32_t handle, struct collected *out)
{
    const struct head_value *value = head_at(head, handle);
    head_numbers_add(&out->values, handle);
    out->series += value->series.count;
}

/* Adds the value records of the field whose text matches (or does not, as `wanted` says). */
static enum mrd_status collect_scanned(struct mrd_head *head, const struct test *test, bool wanted,
                                       struct collected *out, struct mrd_error *err)
{
    struct head_field *field = head_at(head, test->field);
    const struct mrd_bytes prefix =
        test->matcher->regex == NULL ? MRD_BYTES_NONE : mrd_regex_prefix(test->matcher->regex);
    const bool regex_wanted = test->matcher->type == MRD_MATCH_RE;
    const uint32_t *values = head_list_items(head, &field->values);
    for (uint32_t i = 0; i < field->values.count; i++) {
        if (i + 8 < field->values.count) {
            __builtin_prefetch(head_at(head, values[i + 8]));
        }
        if (i + 4 < field->values.count) {
            const struct head_value *ahead = head_at(head, values[i + 4]);
            __builtin_prefetch(head_at(head, ahead->pair));
        }
        const struct head_value *value = head_at(head, values[i]);
        const struct mrd_bytes text = head_pair_value(head, value->pair);
        const bool matches =
            has_prefix(text, prefix) ? mrd_matcher_matches(test->matcher, text) : !regex_wanted;
        if (matches == wanted) {
            collect_one(head, values[i], out);
        }
        MRD_TRY(head_pause(test->pause, i, HEAD_PAUSE_ITEMS, err));
    }
    return MRD_OK;
}

/* The same by looking up each literal of the regex (=~ wanted, !~ unwanted). */
static void collect_literals(struct mrd_head *head, uint32_t tenant, const struct test *test,
                             struct collected *out)
{
    const struct mrd_regex *regex = test->matcher->regex;
    for (size_t i = 0; i < mrd_regex_literal_count(regex); i++) {
        const struct head_label label =
            head_label_of(test->matcher->name, mrd_regex_literal(regex, i));
        const mrd_pool_handle pair = label.value.size == 0 ? 0 : head_pair_find(head, &label);
        const mrd_pool_handle handle = pair == 0 ? 0 : head_value_find(head, tenant, pair);
        if (handle != 0) {
            collect_one(head, handle, out);
        }
    }
}

static enum mrd_status collect(struct mrd_head *head, uint32_t tenant, const struct test *test,
                               bool wanted, struct collected *out, struct mrd_error *err)
{
    const struct mrd_matcher *matcher = test->matcher;
    const bool regex = matcher->type == MRD_MATCH_RE || matcher->type == MRD_MATCH_NRE;
    const bool literal_wanted = matcher->type == MRD_MATCH_RE;
    if (regex && wanted == literal_wanted && mrd_regex_literal_count(matcher->regex) > 0) {
        collect_literals(head, tenant, test, out);
        return MRD_OK;
    }
    return collect_scanned(head, test, wanted, out, err);
}

static enum mrd_status bits_set(struct mrd_head *head, const struct head_numbers *values,
                                const struct mrd_head_pause *pause, uint64_t *bits,
                                struct mrd_error *err)
{
    for (size_t i = 0; i < values->count; i++) {
        struct head_value *value = head_at(head, values->items[i]);
        const uint32_t *ordinals = head_list_items(head, &value->series);
        for (uint32_t k = 0; k < value->series.count; k++) {
            bits[ordinals[k] / 64] |= (uint64_t)1 << (ordinals[k] % 64);
            MRD_TRY(head_pause(pause, k, HEAD_PAUSE_NUMBERS, err));
        }
        MRD_TRY(head_pause(pause, i, HEAD_PAUSE_ITEMS, err));
    }
    return MRD_OK;
}

static enum mrd_status filter_by_bitmap(struct mrd_head *head, const struct head_numbers *values,
                                        const struct test *test, struct head_numbers *candidates,
                                        struct mrd_error *err)
{
    const bool keep = !test->matches_absent;
    uint64_t *bits = calloc((size_t)head->series_end / 64 + 1, sizeof(*bits));
    mrd_assert(bits != NULL);
    enum mrd_status status = bits_set(head, values, test->pause, bits, err);
    size_t kept = 0;
    for (size_t i = 0; i < candidates->count && status == MRD_OK; i++) {
        const uint32_t ordinal = candidates->items[i];
        const bool in = (bits[ordinal / 64] >> (ordinal % 64) & 1) != 0;
        if (in == keep) {
            candidates->items[kept++] = ordinal;
        }
        status = head_pause(test->pause, i, HEAD_PAUSE_NUMBERS, err);
    }
    candidates->count = kept;
    free(bits);
    return status;
}

enum { BITMAP_GAIN = 32 /* postings that cost as much as looking at one candidate's label */ };

static enum mrd_status filter(struct mrd_head *head, uint32_t tenant, const struct test *test,
                              struct head_numbers *candidates, struct mrd_error *err)
{
    if (test->field == 0) {
        candidates->count = test->matches_absent ? candidates->count : 0;
        return MRD_OK;
    }
    const struct head_field *field = head_at(head, test->field);
    if (candidates->count <= field->values.count) {
        return filter_by_labels(head, test, candidates, err);
    }
    /* A matcher that accepts absence says which values to take out, another one which to keep. */
    struct collected found = {0};
    enum mrd_status status = collect(head, tenant, test, !test->matches_absent, &found, err);
    if (status == MRD_OK) {
        status = found.series <= (uint64_t)candidates->count * BITMAP_GAIN
                     ? filter_by_bitmap(head, &found.values, test, candidates, err)
                     : filter_by_labels(head, test, candidates, err);
    }
    head_numbers_fini(&found.values);
    return status;
}

/* ---- equality ---- */

static struct head_list *equal_postings(struct mrd_head *head, uint32_t tenant,
                                        const struct mrd_matcher *matcher)
{
    const struct head_label label = head_label_of(matcher->name, matcher->value);
    const mrd_pool_handle pair = head_pair_find(head, &label);
    const mrd_pool_handle handle = pair == 0 ? 0 : head_value_find(head, tenant, pair);
    if (handle == 0) {
        return NULL;
    }
    struct head_value *value = head_at(head, handle);
    return &value->series;
}

static bool is_equality(const struct mrd_matcher *matcher)
{
    return matcher->type == MRD_MATCH_EQ && matcher->value.size > 0;
}

/* First position from `from` on with items[position] >= wanted: steps double, then halve. */
static size_t gallop(const uint32_t *items, size_t count, size_t from, uint32_t wanted)
{
    size_t step = 1;
    size_t to = from;
    while (to < count && items[to] < wanted) {
        from = to + 1;
        to += step;
        step *= 2;
    }
    to = MRD_MIN(to, count);
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        if (items[middle] < wanted) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

static enum mrd_status intersect(struct head_numbers *candidates, const uint32_t *items,
                                 size_t count, const struct mrd_head_pause *pause,
                                 struct mrd_error *err)
{
    size_t kept = 0;
    size_t at = 0;
    for (size_t i = 0; i < candidates->count && at < count; i++) {
        at = gallop(items, count, at, candidates->items[i]);
        if (at < count && items[at] == candidates->items[i]) {
            candidates->items[kept++] = candidates->items[i];
        }
        MRD_TRY(head_pause(pause, i, HEAD_PAUSE_NUMBERS, err));
    }
    candidates->count = kept;
    return MRD_OK;
}

static int compare_numbers(const void *a, const void *b, void *context)
{
    const uint32_t x = *(const uint32_t *)a;
    const uint32_t y = *(const uint32_t *)b;
    (void)context;
    return (x > y) - (x < y);
}

/* Sorts a long list beside it, as others read it in the pauses; they may sort it, too. */
static enum mrd_status sort_list(struct mrd_head *head, struct head_list *list,
                                 const struct mrd_head_pause *pause, struct mrd_error *err)
{
    if (!list->unsorted || list->count <= HEAD_PAUSE_NUMBERS) {
        (void)head_list_sorted(head, list);
        return MRD_OK;
    }
    const struct mrd_look look = {pause->run, pause->context};
    const size_t size = (size_t)list->count * sizeof(uint32_t);
    uint32_t *sorted = malloc(size);
    mrd_assert(sorted != NULL);
    memcpy(sorted, head_list_items(head, list), size);
    const enum mrd_status status =
        mrd_sort(sorted, list->count, sizeof(*sorted), compare_numbers, NULL, &look, err);
    if (status == MRD_OK) {
        memcpy(head_list_items(head, list), sorted, size);
        list->unsorted = 0;
    }
    free(sorted);
    return status;
}

static enum mrd_status take_list(struct mrd_head *head, struct head_list *list,
                                 const struct mrd_head_pause *pause, struct head_numbers *out,
                                 struct mrd_error *err)
{
    MRD_TRY(sort_list(head, list, pause, err));
    const uint32_t *items = head_list_items(head, list);
    for (uint32_t i = 0; i < list->count; i++) {
        head_numbers_add(out, items[i]);
        MRD_TRY(head_pause(pause, i, HEAD_PAUSE_NUMBERS, err));
    }
    return MRD_OK;
}

struct head_list *head_shortest_list(struct mrd_head *head, uint32_t tenant,
                                     const struct mrd_matcher *matchers, size_t count)
{
    struct head_list *least = &head_tenant(head, tenant)->series;
    for (size_t i = 0; i < count; i++) {
        if (is_equality(&matchers[i])) {
            struct head_list *list = equal_postings(head, tenant, &matchers[i]);
            if (list == NULL) {
                return NULL;
            }
            least = list->count <= least->count ? list : least;
        }
    }
    return least;
}

/* All lists of equality, and the tenant's: those that `start` reads in order. */
static bool lists_are_sorted(struct mrd_head *head, uint32_t tenant,
                             const struct mrd_matcher *matchers, size_t count)
{
    bool sorted = !head_tenant(head, tenant)->series.unsorted;
    for (size_t i = 0; i < count && sorted; i++) {
        if (is_equality(&matchers[i])) {
            const struct head_list *list = equal_postings(head, tenant, &matchers[i]);
            sorted = list == NULL || !list->unsorted;
        }
    }
    return sorted;
}

/* Fills candidates from the equality tests. */
static enum mrd_status start(struct mrd_head *head, uint32_t tenant,
                             const struct mrd_head_query *query, size_t count, struct test *tests,
                             struct head_numbers *candidates, struct mrd_error *err)
{
    const struct mrd_matcher *matchers = query->matchers;
    struct head_list *least = head_shortest_list(head, tenant, matchers, count);
    if (least == NULL) {
        return MRD_OK;
    }
    MRD_TRY(take_list(head, least, &query->pause, candidates, err));
    for (size_t i = 0; i < count; i++) {
        if (is_equality(&matchers[i])) {
            struct head_list *list = equal_postings(head, tenant, &matchers[i]);
            tests[i].done = true;
            if (list != least) {
                MRD_TRY(sort_list(head, list, &query->pause, err));
                MRD_TRY(intersect(candidates, head_list_items(head, list), list->count,
                                  &query->pause, err));
            }
        }
    }
    return MRD_OK;
}

/* ---- time ---- */

static bool ranges_meet(mrd_time_ms first, mrd_time_ms last, mrd_time_ms min, mrd_time_ms max)
{
    return first <= max && last >= min;
}

bool head_overlaps(const struct mrd_head *head, uint32_t ordinal, mrd_time_ms time_min_ms,
                   mrd_time_ms time_max_ms)
{
    return head_floats_overlap(head, ordinal, time_min_ms, time_max_ms) ||
           head_mixed_overlaps(head, ordinal, time_min_ms, time_max_ms);
}

bool head_floats_overlap(const struct mrd_head *head, uint32_t ordinal, mrd_time_ms time_min_ms,
                         mrd_time_ms time_max_ms)
{
    const struct head_hot *hot = head_hot(head, ordinal);
    if (hot->open.count > 0 && hot->open.last_time_ms >= time_min_ms &&
        ranges_meet(head_tail_first_ms(head, hot), hot->open.last_time_ms, time_min_ms,
                    time_max_ms)) {
        return true;
    }
    for (mrd_pool_handle at = hot->chunks; at != 0;) {
        const struct head_chunk *chunk = head_at(head, at);
        const mrd_time_ms first = head_chunk_first_ms(chunk);
        const mrd_time_ms last = first + (mrd_time_ms)chunk->span_ms;
        if (ranges_meet(first, last, time_min_ms, time_max_ms)) {
            return true;
        }
        if (last < time_min_ms) {
            break;
        }
        at = chunk->next;
    }
    const struct head_series *series = head_series(head, ordinal);
    if ((hot->open.owner_flags & HOT_LATE) == 0) {
        return false;
    }
    const struct head_late_block *block = head_at(head, series->late);
    for (uint32_t i = 0; i < block->count; i++) {
        const mrd_time_ms time_ms = block->items[i].time_ms;
        if (ranges_meet(time_ms, time_ms, time_min_ms, time_max_ms)) {
            return true;
        }
    }
    return false;
}

static enum mrd_status filter_by_time(struct mrd_head *head, const struct mrd_head_query *query,
                                      struct head_numbers *candidates, struct mrd_error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < candidates->count; i++) {
        if (i + 16 < candidates->count) {
            __builtin_prefetch(head_hot(head, candidates->items[i + 16]));
        }
        const uint32_t ordinal = candidates->items[i];
        if ((head_hot(head, ordinal)->open.owner_flags & HOT_LIVE) != 0 &&
            head_overlaps(head, ordinal, query->time_min_ms, query->time_max_ms)) {
            candidates->items[kept++] = ordinal;
        }
        MRD_TRY(head_pause(&query->pause, i, HEAD_PAUSE_ITEMS, err));
    }
    candidates->count = kept;
    return MRD_OK;
}

static struct test *tests_make(struct mrd_head *head, uint32_t tenant,
                               const struct mrd_head_query *query)
{
    struct test *tests = calloc(query->matcher_count + 1, sizeof(*tests));
    mrd_assert(tests != NULL);
    const bool indexed = head_tenant(head, tenant)->indexed != 0;
    for (size_t i = 0; i < query->matcher_count; i++) {
        struct test *test = &tests[i];
        test->matcher = &query->matchers[i];
        test->name = head_name_find(head, test->matcher->name);
        test->field = indexed && test->name != 0 ? head_field_find(head, tenant, test->name) : 0;
        test->matches_absent = mrd_matcher_matches(test->matcher, MRD_BYTES(""));
        test->pause = &query->pause;
    }
    return tests;
}

void head_match_few(struct mrd_head *head, uint32_t tenant, const struct mrd_head_query *query,
                    struct head_numbers *candidates)
{
    mrd_assert(query->pause.run == NULL); /* so nothing fails */
    struct mrd_error err;
    struct test *tests = tests_make(head, tenant, query);
    for (size_t i = 0; i < query->matcher_count && candidates->count > 0; i++) {
        mrd_assert(filter_by_labels(head, &tests[i], candidates, &err) == MRD_OK);
    }
    free(tests);
    mrd_assert(filter_by_time(head, query, candidates, &err) == MRD_OK);
}

enum mrd_status head_match(struct mrd_head *head, const struct mrd_head_query *query,
                           struct head_numbers *out, struct mrd_error *err)
{
    out->count = 0;
    const uint32_t tenant = head_tenant_find(head, query->tenant);
    if (tenant == 0) {
        return MRD_OK;
    }
    const bool indexed = head_tenant(head, tenant)->indexed != 0;
    const size_t equal_count = indexed ? query->matcher_count : 0;
    struct test *tests = tests_make(head, tenant, query);
    if (query->beside && !lists_are_sorted(head, tenant, query->matchers, equal_count)) {
        free(tests);
        return mrd_fail(err, MRD_E_UNAVAILABLE, "lists of series are to be sorted first");
    }
    enum mrd_status status = start(head, tenant, query, equal_count, tests, out, err);
    for (size_t i = 0; i < query->matcher_count && out->count > 0 && status == MRD_OK; i++) {
        if (!indexed) {
            status = filter_by_labels(head, &tests[i], out, err);
        } else if (!tests[i].done) {
            status = filter(head, tenant, &tests[i], out, err);
        }
    }
    free(tests);
    return status == MRD_OK ? filter_by_time(head, query, out, err) : status;
}
