#include "promql/series_join.h"

#include <stdlib.h>

void mrd_series_join_fini(struct mrd_series_join *join)
{
    for (size_t i = 0; i < MRD_ARRAY_LEN(join->sides); i++) {
        struct mrd_joined *side = &join->sides[i];
        free(side->times_ms);
        free(side->starts_ms);
        free(side->values);
        free(side->histogram_times_ms);
        free(side->histogram_starts_ms);
        free(side->histograms);
    }
    *join = (struct mrd_series_join){0};
}

static void clear(struct mrd_joined *side)
{
    side->count = 0;
    side->histogram_count = 0;
    side->started = false;
    side->histograms_joined = false;
}

void mrd_series_join_begin(struct mrd_series_join *join, size_t samples_max,
                           const struct mrd_look *look)
{
    clear(&join->sides[join->now]);
    join->samples_max = samples_max;
    join->pace.look = look;
}

static bool grow(void *array_pointer, size_t count, size_t item_size)
{
    void **array = array_pointer;
    void *grown = reallocarray(*array, count, item_size);
    *array = grown != NULL ? grown : *array;
    return grown != NULL;
}

static size_t more(size_t capacity, size_t count)
{
    return MRD_MAX(count, capacity + capacity / 2 + 64);
}

static enum mrd_status reserve(struct mrd_joined *side, size_t count, size_t histogram_count,
                               struct mrd_error *err)
{
    bool good = true;
    if (count > side->capacity) {
        const size_t capacity = more(side->capacity, count);
        good = grow(&side->times_ms, capacity, sizeof(*side->times_ms)) &&
               grow(&side->starts_ms, capacity, sizeof(*side->starts_ms)) &&
               grow(&side->values, capacity, sizeof(*side->values));
        side->capacity = good ? capacity : side->capacity;
    }
    if (good && histogram_count > side->histogram_capacity) {
        const size_t capacity = more(side->histogram_capacity, histogram_count);
        good = grow(&side->histogram_times_ms, capacity, sizeof(*side->histogram_times_ms)) &&
               grow(&side->histogram_starts_ms, capacity, sizeof(*side->histogram_starts_ms)) &&
               grow(&side->histograms, capacity, sizeof(*side->histograms));
        side->histogram_capacity = good ? capacity : side->histogram_capacity;
    }
    return good ? MRD_OK
                : mrd_fail(err, MRD_E_LIMIT, "out of memory for %zu samples of one series",
                           count + histogram_count);
}

static mrd_time_ms start_at(const mrd_time_ms *starts_ms, size_t at)
{
    return starts_ms == NULL ? 0 : starts_ms[at];
}

static void put_sample(struct mrd_joined *to, const struct mrd_samples *from, size_t at)
{
    to->times_ms[to->count] = from->times_ms[at];
    to->starts_ms[to->count] = start_at(from->start_times_ms, at);
    to->values[to->count++] = from->values[at];
}

/* What was said of resets holds as long as the same one is before it. */
static void put_histogram(struct mrd_joined *to, const struct mrd_histograms *from, size_t at,
                          bool follows)
{
    struct mrd_histogram *item = &to->histograms[to->histogram_count];
    to->histogram_times_ms[to->histogram_count] = from->times_ms[at];
    to->histogram_starts_ms[to->histogram_count++] = start_at(from->start_times_ms, at);
    *item = from->items[at];
    if (!follows && item->reset != MRD_HISTOGRAM_GAUGE) {
        item->reset = MRD_HISTOGRAM_RESET_UNKNOWN;
    }
}

/* True if the ascending times have `time_ms`; *at goes on to it. */
static bool has_time(const mrd_time_ms *times_ms, size_t count, size_t *at, mrd_time_ms time_ms)
{
    while (*at < count && times_ms[*at] < time_ms) {
        (*at)++;
    }
    return *at < count && times_ms[*at] == time_ms;
}

static enum mrd_status join_samples(struct mrd_joined *to, const struct mrd_samples *older,
                                    const struct mrd_samples *newer,
                                    const struct mrd_histograms *hiding, struct mrd_pace *pace,
                                    struct mrd_error *err)
{
    size_t hidden = 0;
    size_t n = 0;
    for (size_t o = 0; o < older->count; o++) {
        const mrd_time_ms time_ms = older->times_ms[o];
        while (n < newer->count && newer->times_ms[n] < time_ms) {
            put_sample(to, newer, n++);
            MRD_TRY(mrd_pace(pace, 1, err));
        }
        MRD_TRY(mrd_pace(pace, 1, err));
        const bool replaced = n < newer->count && newer->times_ms[n] == time_ms;
        if (!replaced && !has_time(hiding->times_ms, hiding->count, &hidden, time_ms)) {
            put_sample(to, older, o);
        }
    }
    while (n < newer->count) {
        put_sample(to, newer, n++);
        MRD_TRY(mrd_pace(pace, 1, err));
    }
    return MRD_OK;
}

static enum mrd_status join_histograms(struct mrd_joined *to, const struct mrd_histograms *older,
                                       const struct mrd_histograms *newer,
                                       const struct mrd_samples *hiding, struct mrd_pace *pace,
                                       struct mrd_error *err)
{
    size_t hidden = 0;
    size_t n = 0;
    bool older_last = true; /* the one before in `to` is the one before in its own place */
    bool newer_last = true;
    for (size_t o = 0; o < older->count; o++) {
        const mrd_time_ms time_ms = older->times_ms[o];
        for (; n < newer->count && newer->times_ms[n] < time_ms; n++, older_last = false) {
            put_histogram(to, newer, n, newer_last);
            newer_last = true;
            MRD_TRY(mrd_pace(pace, 1, err));
        }
        MRD_TRY(mrd_pace(pace, 1, err));
        const bool replaced = n < newer->count && newer->times_ms[n] == time_ms;
        if (replaced || has_time(hiding->times_ms, hiding->count, &hidden, time_ms)) {
            older_last = false;
            continue;
        }
        put_histogram(to, older, o, older_last);
        older_last = true;
        newer_last = false;
    }
    for (; n < newer->count; n++) {
        put_histogram(to, newer, n, newer_last);
        newer_last = true;
        MRD_TRY(mrd_pace(pace, 1, err));
    }
    return MRD_OK;
}

static bool any_start(const mrd_time_ms *starts_ms, size_t count)
{
    for (size_t i = 0; starts_ms != NULL && i < count; i++) {
        if (starts_ms[i] != 0) {
            return true;
        }
    }
    return false;
}

static bool is_after(const struct mrd_joined *side, const struct mrd_samples *samples,
                     const struct mrd_histograms *histograms)
{
    mrd_time_ms last_ms = INT64_MIN;
    mrd_time_ms first_ms = INT64_MAX;
    if (side->count > 0) {
        last_ms = side->times_ms[side->count - 1];
    }
    if (side->histogram_count > 0) {
        last_ms = MRD_MAX(last_ms, side->histogram_times_ms[side->histogram_count - 1]);
    }
    if (samples->count > 0) {
        first_ms = samples->times_ms[0];
    }
    if (histograms->count > 0) {
        first_ms = MRD_MIN(first_ms, histograms->times_ms[0]);
    }
    return first_ms > last_ms;
}

static enum mrd_status append(struct mrd_joined *side, const struct mrd_samples *samples,
                              const struct mrd_histograms *histograms, struct mrd_pace *pace,
                              struct mrd_error *err)
{
    for (size_t i = 0; i < samples->count; i++) {
        put_sample(side, samples, i);
        MRD_TRY(mrd_pace(pace, 1, err));
    }
    const bool first = side->histogram_count == 0;
    for (size_t i = 0; i < histograms->count; i++) {
        put_histogram(side, histograms, i, i > 0 || first);
        MRD_TRY(mrd_pace(pace, 1, err));
    }
    return MRD_OK;
}

enum mrd_status mrd_series_join_add(struct mrd_series_join *join, const struct mrd_samples *samples,
                                    const struct mrd_histograms *histograms, struct mrd_error *err)
{
    struct mrd_joined *side = &join->sides[join->now];
    struct mrd_joined *other = &join->sides[join->now ^ 1];
    const size_t count = side->count + samples->count;
    const size_t histogram_count = side->histogram_count + histograms->count;
    const bool started = side->started || any_start(samples->start_times_ms, samples->count) ||
                         any_start(histograms->start_times_ms, histograms->count);
    const bool histograms_joined =
        side->histograms_joined || (side->histogram_count > 0 && histograms->count > 0);
    if (join->samples_max != 0 && count + histogram_count > join->samples_max) {
        return mrd_fail(err, MRD_E_LIMIT, "one series has more than %zu samples",
                        join->samples_max);
    }
    if (is_after(side, samples, histograms)) {
        MRD_TRY(reserve(side, count, histogram_count, err));
        MRD_TRY(append(side, samples, histograms, &join->pace, err));
    } else {
        const struct mrd_samples older = {side->times_ms, side->values, side->count,
                                          side->starts_ms};
        const struct mrd_histograms older_histograms = {side->histogram_times_ms, side->histograms,
                                                        side->histogram_count,
                                                        side->histogram_starts_ms};
        MRD_TRY(reserve(other, count, histogram_count, err));
        clear(other);
        MRD_TRY(join_samples(other, &older, samples, histograms, &join->pace, err));
        MRD_TRY(join_histograms(other, &older_histograms, histograms, samples, &join->pace, err));
        join->now ^= 1;
        side = other;
    }
    side->started = started;
    side->histograms_joined = histograms_joined;
    return MRD_OK;
}

void mrd_series_join_get(const struct mrd_series_join *join, struct mrd_samples *out,
                         struct mrd_histograms *out_histograms)
{
    const struct mrd_joined *side = &join->sides[join->now];
    *out = (struct mrd_samples){side->times_ms, side->values, side->count,
                                side->started ? side->starts_ms : NULL};
    *out_histograms =
        (struct mrd_histograms){side->histogram_times_ms, side->histograms, side->histogram_count,
                                side->started ? side->histogram_starts_ms : NULL};
}
