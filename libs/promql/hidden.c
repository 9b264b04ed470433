#include "promql/hidden_internal.h"

#include <stdlib.h>

/* ---- rules ---- */

bool mrd_hidden_meets(const struct mrd_hidden_rule *rule, const struct mrd_matcher *matchers,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; matchers[i].type == MRD_MATCH_EQ && k < rule->matcher_count; k++) {
            if (mrd_bytes_equal(matchers[i].name, rule->matchers[k].name) &&
                !mrd_matcher_matches(&rule->matchers[k], matchers[i].value)) {
                return false;
            }
        }
    }
    return true;
}

mrd_time_ms mrd_hidden_before(const struct mrd_hidden_rules *rules, struct mrd_labels labels)
{
    mrd_time_ms before_ms = INT64_MIN;
    for (size_t i = 0; i < rules->count; i++) {
        const struct mrd_hidden_rule *rule = &rules->items[i];
        if (rule->before_ms > before_ms &&
            mrd_matchers_match(rule->matchers, rule->matcher_count, labels)) {
            before_ms = rule->before_ms;
        }
    }
    return before_ms;
}

/* ---- the source ---- */

struct mrd_source_set {
    const struct mrd_hidden *hidden;
    bool cuts; /* some rule meets the select */
    struct mrd_source_set *inner;
};

static bool concerns(const struct mrd_hidden *hidden, const struct mrd_select *select)
{
    bool found = false;
    for (size_t i = 0; i < hidden->rules.count && !found; i++) {
        const struct mrd_hidden_rule *rule = &hidden->rules.items[i];
        found = rule->before_ms > select->min_ms &&
                mrd_hidden_meets(rule, select->matchers, select->matcher_count);
    }
    return found;
}

static struct mrd_source_set *set_create(const struct mrd_hidden *hidden, bool cuts,
                                         struct mrd_source_set *inner)
{
    struct mrd_source_set *set = calloc(1, sizeof(*set));
    mrd_assert(set != NULL);
    *set = (struct mrd_source_set){hidden, cuts, inner};
    return set;
}

static enum mrd_status hidden_open(void *context, const struct mrd_select *select,
                                   const struct mrd_query_scope *scope,
                                   struct mrd_source_set **out_set, struct mrd_error *err)
{
    const struct mrd_hidden *hidden = context;
    struct mrd_source_set *inner = NULL;
    MRD_TRY(hidden->source->open(hidden->source->context, select, scope, &inner, err));
    *out_set = set_create(hidden, concerns(hidden, select), inner);
    return MRD_OK;
}

/* The first of the times that is not before it. */
static size_t find_time(const mrd_time_ms *times_ms, size_t count, mrd_time_ms before_ms)
{
    size_t low = 0;
    while (low < count) {
        const size_t middle = low + (count - low) / 2;
        if (times_ms[middle] < before_ms) {
            low = middle + 1;
        } else {
            count = middle;
        }
    }
    return low;
}

static void cut_samples(struct mrd_samples *samples, mrd_time_ms before_ms)
{
    const size_t from = find_time(samples->times_ms, samples->count, before_ms);
    if (from > 0) {
        samples->times_ms += from;
        samples->values += from;
        if (samples->start_times_ms != NULL) {
            samples->start_times_ms += from;
        }
        samples->count -= from;
    }
}

static void cut_histograms(struct mrd_histograms *histograms, mrd_time_ms before_ms)
{
    const size_t from = find_time(histograms->times_ms, histograms->count, before_ms);
    if (from > 0) {
        histograms->times_ms += from;
        histograms->items += from;
        if (histograms->start_times_ms != NULL) {
            histograms->start_times_ms += from;
        }
        histograms->count -= from;
    }
}

static enum mrd_status hidden_next(struct mrd_source_set *set, struct mrd_source_series *out,
                                   bool *out_more, struct mrd_error *err)
{
    const struct mrd_source *source = set->hidden->source;
    for (;;) {
        MRD_TRY(source->next(set->inner, out, out_more, err));
        if (!*out_more || !set->cuts) {
            return MRD_OK;
        }
        const mrd_time_ms before_ms = mrd_hidden_before(&set->hidden->rules, out->labels);
        if (before_ms == INT64_MIN) {
            return MRD_OK;
        }
        cut_samples(&out->samples, before_ms);
        cut_histograms(&out->histograms, before_ms);
        if (out->samples.count + out->histograms.count > 0) {
            return MRD_OK;
        }
    }
}

static enum mrd_status hidden_open_fragment(void *context, const struct mrd_select *select,
                                            const struct mrd_fragment *fragment,
                                            const struct mrd_query_scope *scope,
                                            struct mrd_source_set **out_set, struct mrd_error *err)
{
    const struct mrd_hidden *hidden = context;
    struct mrd_source_set *inner = NULL;
    *out_set = NULL;
    if (concerns(hidden, select)) {
        return MRD_OK;
    }
    MRD_TRY(hidden->source->open_fragment(hidden->source->context, select, fragment, scope, &inner,
                                          err));
    *out_set = inner == NULL ? NULL : set_create(hidden, false, inner);
    return MRD_OK;
}

static enum mrd_status hidden_next_states(struct mrd_source_set *set, struct mrd_bytes *out,
                                          bool *out_more, struct mrd_error *err)
{
    return set->hidden->source->next_states(set->inner, out, out_more, err);
}

static void hidden_close(struct mrd_source_set *set)
{
    set->hidden->source->close(set->inner);
    free(set);
}

struct mrd_source mrd_hidden_source(const struct mrd_hidden *hidden)
{
    const bool fragments = hidden->source->open_fragment != NULL;
    return (struct mrd_source){
        .context = (void *)(uintptr_t)hidden,
        .open = hidden_open,
        .next = hidden_next,
        .open_fragment = fragments ? hidden_open_fragment : NULL,
        .next_states = fragments ? hidden_next_states : NULL,
        .close = hidden_close,
        .label_names = mrd_hidden_label_names,
        .label_values = mrd_hidden_label_values,
        .series = mrd_hidden_series,
    };
}
